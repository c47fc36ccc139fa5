//! `setup-wizard.yml`: the form at installation. A target that the compose file lacks is silently without effect.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Rule;
use crate::{
    Package,
    package::{entries, items, texts},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new("wizard: known keys only", known_keys),
    Rule::new("wizard: ids are there and differ", ids),
    Rule::new("wizard: targets exist in the compose file", targets),
    Rule::new("wizard: choices are texts and contain the default", choices),
    Rule::new("wizard: conditions name other fields", conditions),
    Rule::new("wizard: patterns have a message", messages),
];

/// Keys of a field.
const KEYS: [&str; 10] = [
    "id",
    "target",
    "title",
    "description",
    "secret",
    "pattern",
    "patternErrorMessage",
    "enum",
    "required",
    "if",
];

fn fields(package: &Package) -> impl Iterator<Item = (&str, &Value)> {
    items(&package.wizard["fields"]).map(|field| (field["id"].as_str().unwrap_or_default(), field))
}

fn known_keys(package: &Package) -> Vec<String> {
    let keys = fields(package).flat_map(|(id, field)| entries(field).map(move |(key, _)| (id, key)));
    keys.filter(|(_, key)| !KEYS.contains(key))
        .map(|(id, key)| format!("field `{id}`: `{key}` is no key"))
        .collect()
}

fn ids(package: &Package) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice = fields(package).map(|(id, _)| id).filter(|id| id.is_empty() || !seen.insert(*id));
    twice.map(|id| format!("`{id}` is empty or there twice")).collect()
}

fn targets(package: &Package) -> Vec<String> {
    let missing = fields(package).filter(|(_, field)| !target_exists(package, &field["target"]));
    missing.map(|(id, field)| format!("field `{id}`: the compose file has no {}", field["target"])).collect()
}

fn target_exists(package: &Package, target: &Value) -> bool {
    let text = |key: &str| target[key].as_str().unwrap_or_default();
    let named: Vec<_> = target["service"].as_str().into_iter().chain(texts(&target["service"])).collect();
    let mut services =
        package.services().filter(|(name, _)| named.is_empty() || named.contains(name)).peekable();
    let known = services.peek().is_some()
        && named.iter().all(|name| package.services().any(|(service, _)| service == *name));
    known
        && match text("type") {
            "environment" => services.all(|(_, service)| service["environment"].get(text("name")).is_some()),
            "portMapping" => services.any(|(_, service)| {
                let wanted = text("containerPort").to_lowercase();
                let wanted = if wanted.contains('/') { wanted } else { format!("{wanted}/tcp") };
                texts(&service["ports"])
                    .any(|port| port.split_once(':').is_some_and(|(_, inside)| inside == wanted))
            }),
            "namedVolumeMountpoint" => package.compose["volumes"].get(text("volumeName")).is_some(),
            "allNamedVolumesMountpoint" => package.compose["volumes"].is_object(),
            "fileUpload" => text("path").starts_with('/'),
            _ => false,
        }
}

fn choices(package: &Package) -> Vec<String> {
    let mut broken = Vec::new();
    for (id, field) in fields(package).filter(|(_, field)| !field["enum"].is_null()) {
        if items(&field["enum"]).any(|choice| !choice.is_string()) || items(&field["enum"]).next().is_none() {
            broken.push(format!("field `{id}`: choices must be texts in quotation marks"));
        }
        let defaults = package.services().filter_map(|(_, service)| {
            service["environment"].get(field["target"]["name"].as_str()?)?.as_str()
        });
        for default in defaults
            .filter(|default| !default.is_empty() && texts(&field["enum"]).all(|choice| choice != *default))
        {
            broken.push(format!("field `{id}`: the compose file's `{default}` is no choice"));
        }
    }
    broken
}

fn conditions(package: &Package) -> Vec<String> {
    let conditions = fields(package).filter(|(_, field)| !field["if"].is_null());
    conditions
        .filter(|(id, field)| {
            let condition = &field["if"];
            let schema =
                if condition["properties"].is_object() { &condition["properties"] } else { condition };
            let known = |name: &str| name != *id && fields(package).any(|(other, _)| other == name);
            !entries(schema).all(|(name, _)| known(name))
        })
        .map(|(id, field)| format!("field `{id}`: {} names a field that is not there", field["if"]))
        .collect()
}

fn messages(package: &Package) -> Vec<String> {
    let silent = fields(package)
        .filter(|(_, field)| field["pattern"].is_null() != field["patternErrorMessage"].is_null());
    silent.map(|(id, _)| format!("field `{id}`: `pattern` and `patternErrorMessage` go together")).collect()
}
