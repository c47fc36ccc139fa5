//! The house's rules: arrows between crates only as drawn, pure crates pure, no nameless rooms.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Which of our crates each may use (ARCHITECTURE.md). Tests may use everything.
const EDGES: &[(&str, &[&str])] = &[
    ("causeway-wire", &[]),
    ("causeway-rlpx", &["wire"]),
    ("causeway-autonat", &[]),
    ("causeway-circuit", &[]),
    ("causeway-webrtc-direct", &[]),
    ("causeway-webtransport", &[]),
    ("causeway-host", &["wire", "autonat", "circuit", "webrtc-direct", "webtransport"]),
    ("causeway-transports", &["wire", "rlpx", "host"]),
    ("causeway-records", &["wire"]),
    ("causeway-discv4", &["wire", "records"]),
    ("causeway-mapping", &[]),
    ("causeway-pool", &["wire", "records"]),
    ("causeway-reachability", &["wire", "records"]),
    ("causeway-topics", &["wire", "records"]),
    ("causeway-discovery", &["wire", "records", "discv4", "pool", "topics"]),
    ("causeway-translate", &["wire"]),
    ("causeway-verify", &["wire"]),
    ("causeway-bridge", &["wire", "translate", "verify", "transports"]),
    ("causeway-devnet", &["wire", "verify", "bridge"]),
    (
        "causeway",
        &[
            "wire",
            "records",
            "mapping",
            "pool",
            "reachability",
            "discovery",
            "transports",
            "translate",
            "verify",
            "bridge",
            "devnet",
        ],
    ),
    ("causeway-deploy", &[]),
];

const PURE: &[&str] = &[
    "causeway-wire",
    "causeway-rlpx",
    "causeway-records",
    "causeway-discv4",
    "causeway-pool",
    "causeway-reachability",
    "causeway-topics",
    "causeway-translate",
    "causeway-verify",
];

/// The `enr` crate brings `rand` into records.
const WITHOUT_RANDOMNESS: &[&str] =
    &["causeway-wire", "causeway-rlpx", "causeway-translate", "causeway-verify"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace").to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes text")
}

fn packages() -> Vec<Value> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]))
            .expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

#[test]
fn arrows_between_crates_are_as_drawn() {
    let allowed: BTreeMap<_, BTreeSet<String>> = EDGES
        .iter()
        .map(|(name, uses)| (*name, uses.iter().map(|used| format!("causeway-{used}")).collect()))
        .collect();
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        if name == "causeway-tests" {
            continue;
        }
        let allowed = allowed.get(name).unwrap_or_else(|| panic!("{name} is not in the table of edges"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let used = dependency["name"].as_str().expect("a name");
            let ours = used == "causeway" || used.starts_with("causeway-");
            let normal = dependency["kind"].is_null();
            assert!(!ours || !normal || allowed.contains(used), "{name} must not use {used}");
        }
    }
}

/// Programs of one name are built over each other: a test then runs another crate's.
#[test]
fn no_two_programs_have_one_name() {
    let mut owners: BTreeMap<(String, String), String> = BTreeMap::new();
    for package in packages() {
        let owner = package["name"].as_str().expect("a name");
        for target in package["targets"].as_array().expect("targets") {
            let kind = target["kind"][0].as_str().expect("a kind");
            if !matches!(kind, "bin" | "example") {
                continue;
            }
            let name = target["name"].as_str().expect("a name");
            let other = owners.insert((kind.to_owned(), name.to_owned()), owner.to_owned());
            assert!(other.is_none(), "{owner} and {other:?} both have the {kind} {name}");
        }
    }
}

#[test]
fn pure_crates_know_neither_runtime_nor_sockets() {
    for name in PURE {
        let tree = cargo(&["tree", "--offline", "-e", "normal", "--prefix", "none", "-p", name]);
        for forbidden in ["tokio ", "mio ", "async-std ", "smol "] {
            assert!(!tree.lines().any(|line| line.starts_with(forbidden)), "{name} brings {forbidden}");
        }
    }
}

#[test]
fn decisions_bring_no_randomness_of_their_own() {
    for name in WITHOUT_RANDOMNESS {
        let tree = cargo(&["tree", "--offline", "-e", "normal", "--prefix", "none", "-p", name]);
        assert!(!tree.lines().any(|line| line.starts_with("getrandom ")), "{name} brings getrandom");
    }
}

#[test]
fn pure_crates_do_not_look_at_clocks_or_sockets() {
    for package in packages() {
        let name = package["name"].as_str().expect("a name").to_owned();
        if !PURE.contains(&name.as_str()) {
            continue;
        }
        let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
        for file in rust_files(&manifest.with_file_name("src")) {
            let is_test = |part: &std::ffi::OsStr| part == "tests" || part == "tests.rs";
            if file.iter().any(is_test) {
                continue;
            }
            let text = std::fs::read_to_string(&file).expect("a source file");
            // Tests at the end of a file may make up a starting time.
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for forbidden in
                ["Instant::now()", "SystemTime::now()", "TcpStream", "UdpSocket", "thread::spawn"]
            {
                assert!(!code.contains(forbidden), "{} uses {forbidden}", file.display());
            }
        }
    }
}

#[test]
fn rooms_have_cards_and_names() {
    for package in packages() {
        let manifest = PathBuf::from(package["manifest_path"].as_str().expect("a path"));
        let sources = manifest.with_file_name("src");
        for file in rust_files(&sources) {
            let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            assert!(
                !["utils", "util", "common", "helpers", "misc", "types"].contains(&stem),
                "{} says nothing about its subject",
                file.display()
            );
            let text = std::fs::read_to_string(&file).expect("a source file");
            assert!(text.starts_with("//!"), "{} does not say its subject in its first line", file.display());
        }
        let card =
            ["lib.rs", "main.rs"].map(|file| sources.join(file)).into_iter().find(|file| file.is_file());
        let card = std::fs::read_to_string(card.expect("a lib.rs or a main.rs")).expect("a source file");
        for line in ["//! Owns:", "//! Must not know:", "//! Start at:", "Told by:"] {
            assert!(card.contains(line), "{}: the room card lacks `{line}`", manifest.display());
        }
    }
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
