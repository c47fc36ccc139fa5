//! The image's build file, as far as it can be judged without building it (`container/check.sh` does that).

use super::{Rule, unless};
use crate::Package;

pub(super) const RULES: &[Rule] = &[
    Rule::new("container: a numeric user that is not root", user),
    Rule::new("container: commands in the list form", list_form),
    Rule::new("container: stops by SIGTERM", stop_signal),
    Rule::new("container: no moving tags", pinned),
    Rule::new("container: copies, never downloads", no_add),
    Rule::new("container: the volume is declared in both targets", volume),
    Rule::new("container: labels", labels),
];

/// Labels that every image carries (OCI image specification, annotations).
const LABELS: [&str; 8] =
    ["title", "description", "version", "revision", "created", "source", "licenses", "base.name"];

fn user(package: &Package) -> Vec<String> {
    let users: Vec<_> = package.image_lines("USER").collect();
    unless(users == ["65532:65532"], || format!("USER is {users:?}, not 65532:65532 once"))
}

/// The base has no shell to read another form.
fn list_form(package: &Package) -> Vec<String> {
    let commands = package.image_lines("ENTRYPOINT").chain(package.image_lines("CMD"));
    let mut broken: Vec<_> = commands
        .filter(|command| serde_json::from_str::<Vec<String>>(command).is_err())
        .map(|command| format!("`{command}` is not a list"))
        .collect();
    broken.extend(unless(
        package.image_lines("ENTRYPOINT").any(|line| line == r#"["/usr/bin/causeway"]"#),
        || "the entry point is not /usr/bin/causeway".to_owned(),
    ));
    broken
}

fn stop_signal(package: &Package) -> Vec<String> {
    unless(package.image_lines("STOPSIGNAL").eq(["SIGTERM"]), || "STOPSIGNAL is not SIGTERM".to_owned())
}

fn pinned(package: &Package) -> Vec<String> {
    let images =
        package.image_lines("ARG").filter_map(|line| line.split_once("_IMAGE=")).map(|(_, image)| image);
    images
        .filter(|image| {
            image.ends_with(":latest") || !image.rsplit('/').next().unwrap_or_default().contains(':')
        })
        .map(|image| format!("`{image}` names no fixed tag"))
        .collect()
}

fn no_add(package: &Package) -> Vec<String> {
    package.image_lines("ADD").map(|line| format!("ADD {line}")).collect()
}

/// After each target's last COPY: what is copied into a declared volume is lost in some builders.
fn volume(package: &Package) -> Vec<String> {
    let stages: Vec<_> = package.image.split(|line| line.starts_with("FROM ")).skip(1).collect();
    let finals = stages.iter().filter(|stage| stage.iter().any(|line| line.ends_with(" /usr/bin/causeway")));
    let good = finals.clone().count() == 2
        && finals.clone().all(|stage| stage.last().is_some_and(|line| line == r#"VOLUME ["/data"]"#));
    unless(good, || "each target that copies the binary must end with VOLUME [\"/data\"]".to_owned())
}

fn labels(package: &Package) -> Vec<String> {
    let labels = package.image_lines("LABEL").collect::<Vec<_>>().join(" ");
    let missing = LABELS.iter().filter(|name| !labels.contains(&format!("org.opencontainers.image.{name}=")));
    missing.map(|name| format!("org.opencontainers.image.{name} is missing")).collect()
}
