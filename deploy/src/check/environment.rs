//! Environment variables: a misspelt one is silently without effect.

use super::Rule;
use crate::{Package, package::entries};

pub(super) const RULES: &[Rule] = &[
    Rule::new("environment: written as a map of texts", written),
    Rule::new("environment: the compose file's names exist in the command line", compose_names),
    Rule::new("environment: the image's names exist in the command line", image_names),
    Rule::new("environment: no secrets", no_secrets),
];

fn of_services(package: &Package) -> impl Iterator<Item = (&str, &serde_json::Value)> {
    package.services().flat_map(|(_, service)| entries(&service["environment"]))
}

fn written(package: &Package) -> Vec<String> {
    let lists = package.services().filter(|(_, service)| {
        let environment = &service["environment"];
        !environment.is_null() && !environment.is_object()
    });
    let lists = lists.map(|(name, _)| format!("service `{name}`: `environment` must be a map"));
    let bare = of_services(package).filter(|(_, value)| !value.is_string());
    lists
        .chain(bare.map(|(name, value)| format!("`{name}` is {value}, must be a text in quotation marks")))
        .collect()
}

fn unread<'a>(package: &'a Package, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let unread = names.filter(|name| !package.variables.contains(*name));
    unread.map(|name| format!("the command line reads no variable `{name}`")).collect()
}

fn compose_names(package: &Package) -> Vec<String> {
    unread(package, of_services(package).map(|(name, _)| name))
}

fn image_names(package: &Package) -> Vec<String> {
    let settings = package.image_lines("ENV").flat_map(str::split_whitespace);
    unread(package, settings.map(|setting| setting.split_once('=').map_or(setting, |(name, _)| name)))
}

/// Everybody who can inspect a container reads its environment.
fn no_secrets(package: &Package) -> Vec<String> {
    let secret =
        |name: &str| ["PASSWORD", "SECRET", "TOKEN", "PRIVATE"].iter().any(|word| name.contains(word));
    let set = of_services(package).filter(|(name, value)| secret(name) && value.as_str() != Some(""));
    set.map(|(name, _)| format!("`{name}` must have no value here")).collect()
}
