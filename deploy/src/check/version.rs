//! One version everywhere.

use serde_json::Value;

use super::{Rule, unless};
use crate::{Package, package::items};

pub(super) const RULES: &[Rule] = &[
    Rule::new("version: the manifest's upstream version is the workspace's", upstream),
    Rule::new("version: images carry the package's name and version", images),
];

/// The package has a version of its own, as it may be packed again around the same Causeway.
fn upstream(package: &Package) -> Vec<String> {
    let listed = items(&package.manifest["upstream"]).map(|upstream| &upstream["version"]);
    let named = listed.chain([&package.manifest["upstreamVersion"]]).filter_map(Value::as_str);
    let named: Vec<_> = named.map(|version| version.strip_prefix('v').unwrap_or(version)).collect();
    unless(named == [package.version.as_str()], || {
        format!("is {named:?}, Cargo.toml has {}", package.version)
    })
}

fn images(package: &Package) -> Vec<String> {
    let (name, version) = (package.manifest_text("name"), package.manifest_text("version"));
    let several = package.services().count() > 1;
    let broken = package.services().filter_map(|(service, value)| {
        let expected =
            if several { format!("{service}.{name}:{version}") } else { format!("{name}:{version}") };
        let image = value["image"].as_str().unwrap_or_default();
        (image != expected).then(|| format!("service `{service}` has `{image}`, not `{expected}`"))
    });
    broken.collect()
}
