//! File names and sizes. Dappnode finds the files of a package by patterns; what has another name is left
//! out of the package without a word.

use super::Rule;
use crate::Package;

pub(super) const RULES: &[Rule] = &[
    Rule::new("files: required ones are there", required),
    Rule::new("files: names are found by the installer", named),
    Rule::new("files: one of each kind", single),
    Rule::new("files: sizes", sizes),
];

/// A kind of file in a package.
struct Kind {
    name: &'static str,
    matches: fn(&str) -> bool,
    max_size: usize,
    required: bool,
    multiple: bool,
}

/// The installer's patterns and limits (`releaseFiles` of `@dappnode/types`), and notifications, which are newer.
const KINDS: [Kind; 9] = [
    Kind {
        name: "manifest",
        matches: |name| has(name, "dappnode_package", &[".json", ".yaml", ".yml"]),
        max_size: 100_000,
        required: true,
        multiple: false,
    },
    Kind {
        name: "compose",
        matches: |name| has(name, "compose", &[".yml"]),
        max_size: 10_000,
        required: true,
        multiple: false,
    },
    Kind {
        name: "avatar",
        matches: |name| has(name, "avatar", &[".png"]),
        max_size: 100_000,
        required: true,
        multiple: false,
    },
    Kind {
        name: "setup wizard",
        matches: |name| has(name, "setup-wizard.", &["json", "yaml", "yml"]),
        max_size: 100_000,
        required: false,
        multiple: false,
    },
    Kind {
        name: "getting started",
        matches: |name| has(&name.to_lowercase(), "getting", &["started.md"]),
        max_size: 100_000,
        required: true,
        multiple: false,
    },
    Kind {
        name: "disclaimer",
        matches: |name| name.to_lowercase().ends_with("disclaimer.md"),
        max_size: 100_000,
        required: false,
        multiple: false,
    },
    Kind {
        name: "notifications",
        matches: |name| name == "notifications.yaml",
        max_size: 10_000,
        required: false,
        multiple: false,
    },
    Kind {
        name: "Prometheus targets",
        matches: |name| has(name, "prometheus-targets.", &["json", "yaml", "yml"]),
        max_size: 10_000,
        required: false,
        multiple: false,
    },
    Kind {
        name: "Grafana dashboard",
        matches: |name| name.ends_with("grafana-dashboard.json"),
        max_size: 10_000_000,
        required: false,
        multiple: true,
    },
];

/// Files of the repository that are not meant for the package.
const OURS: [&str; 5] = ["avatar.svg", "check.sh", "releases.json", "README.md", "LICENSE"];

/// Whether the name contains `part` and, after it, ends in one of `ends`.
fn has(name: &str, part: &str, ends: &[&str]) -> bool {
    name.split_once(part).is_some_and(|(_, rest)| ends.iter().any(|end| rest.ends_with(end)))
}

fn of_kind<'a>(package: &'a Package, kind: &'a Kind) -> impl Iterator<Item = (&'a String, &'a Vec<u8>)> {
    package.files.iter().filter(|(name, _)| (kind.matches)(name))
}

fn required(package: &Package) -> Vec<String> {
    let missing = KINDS.iter().filter(|kind| kind.required && of_kind(package, kind).next().is_none());
    missing.map(|kind| format!("no file is the package's {}", kind.name)).collect()
}

fn named(package: &Package) -> Vec<String> {
    let known =
        |name: &&String| OURS.contains(&name.as_str()) || KINDS.iter().any(|kind| (kind.matches)(name));
    let unknown = package.files.keys().filter(|name| !known(name));
    unknown.map(|name| format!("`{name}` matches no pattern and would be left out")).collect()
}

fn single(package: &Package) -> Vec<String> {
    let crowded = KINDS.iter().filter(|kind| !kind.multiple && of_kind(package, kind).count() > 1);
    crowded
        .map(|kind| {
            let names: Vec<_> = of_kind(package, kind).map(|(name, _)| name.as_str()).collect();
            format!("more than one file is the package's {}: {}", kind.name, names.join(", "))
        })
        .collect()
}

fn sizes(package: &Package) -> Vec<String> {
    let files = KINDS.iter().flat_map(|kind| of_kind(package, kind).map(move |file| (kind, file)));
    files
        .filter(|(kind, (_, bytes))| bytes.len() > kind.max_size)
        .map(|(kind, (name, bytes))| format!("`{name}` has {} bytes, at most {}", bytes.len(), kind.max_size))
        .collect()
}
