//! `docker-compose.yml`: what Dappnode refuses, and what we promise to its owner.

use serde_json::{Value, json};

use super::{Rule, manifest::seconds, unless};
use crate::{
    Package,
    package::{entries, texts},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new("compose: version", version),
    Rule::new("compose: top-level keys", top_level),
    Rule::new("compose: service keys that Dappnode allows", service_keys),
    Rule::new("compose: not privileged, no foreign network or processes", isolated),
    Rule::new("compose: volumes are named and declared empty", volumes),
    Rule::new("compose: runs as the image's user", user),
    Rule::new("compose: no capabilities, no new privileges", unprivileged),
    Rule::new("compose: health check is the image's", health_check),
    Rule::new("compose: time to stop", stop_time),
    Rule::new("compose: memory is limited", memory),
];

/// Service keys that every installer takes.
const SERVICE_KEYS: [&str; 30] = [
    "build",
    "cap_add",
    "cap_drop",
    "command",
    "container_name",
    "depends_on",
    "deploy",
    "devices",
    "dns",
    "entrypoint",
    "environment",
    "expose",
    "extra_hosts",
    "healthcheck",
    "image",
    "labels",
    "logging",
    "network_mode",
    "networks",
    "pid",
    "ports",
    "privileged",
    "restart",
    "security_opt",
    "stop_grace_period",
    "stop_signal",
    "ulimits",
    "user",
    "volumes",
    "working_dir",
];

/// Least time to stop: longer than the node takes at most (deploy guide, section 7).
const MIN_STOP_SECONDS: u64 = 60;

fn each(package: &Package, judge: impl Fn(&Value) -> Option<String>) -> Vec<String> {
    let broken = package.services().filter_map(|(name, service)| Some((name, judge(service)?)));
    broken.map(|(name, text)| format!("service `{name}`: {text}")).collect()
}

fn version(package: &Package) -> Vec<String> {
    let version = &package.compose["version"];
    unless(*version == json!("3.5"), || format!("is {version}, not \"3.5\""))
}

fn top_level(package: &Package) -> Vec<String> {
    let unknown = entries(&package.compose).map(|(key, _)| key);
    let unknown = unknown.filter(|key| !["version", "services", "volumes"].contains(key));
    let mut broken: Vec<_> = unknown.map(|key| format!("`{key}` must not be there")).collect();
    broken.extend(unless(package.services().next().is_some(), || "there is no service".to_owned()));
    broken
}

fn service_keys(package: &Package) -> Vec<String> {
    let keys =
        package.services().flat_map(|(name, service)| entries(service).map(move |(key, _)| (name, key)));
    keys.filter(|(_, key)| !SERVICE_KEYS.contains(key))
        .map(|(name, key)| format!("service `{name}`: `{key}` is not allowed"))
        .collect()
}

fn isolated(package: &Package) -> Vec<String> {
    let forbidden = ["privileged", "network_mode", "networks", "pid", "devices", "cap_add"];
    each(package, |service| {
        let key = forbidden.into_iter().find(|key| !service[*key].is_null())?;
        Some(format!("`{key}` must not be set"))
    })
}

fn volumes(package: &Package) -> Vec<String> {
    let declared = &package.compose["volumes"];
    let mut broken: Vec<_> = entries(declared)
        .filter(|(_, options)| **options != json!({}))
        .map(|(name, _)| format!("volume `{name}` must be declared as `{name}: {{}}`"))
        .collect();
    broken.extend(each(package, |service| {
        let bad = service["volumes"].as_array()?.iter().find(|volume| {
            let name = volume.as_str().and_then(|volume| volume.split_once(':')).map(|(name, _)| name);
            name.is_none_or(|name| declared.get(name).is_none())
        })?;
        Some(format!("volume {bad} is no declared one in the short form NAME:PATH"))
    }));
    broken
}

fn user(package: &Package) -> Vec<String> {
    let expected = package.image_lines("USER").last().unwrap_or_default();
    each(package, |service| {
        let user = service["user"].as_str().unwrap_or_default();
        (user != expected).then(|| format!("runs as `{user}`, the image as `{expected}`"))
    })
}

fn unprivileged(package: &Package) -> Vec<String> {
    each(package, |service| {
        if service["cap_drop"] != json!(["ALL"]) {
            return Some("`cap_drop` must be [ALL]".to_owned());
        }
        let closed = texts(&service["security_opt"]).any(|option| option == "no-new-privileges:true");
        (!closed).then(|| "`security_opt` lacks no-new-privileges:true".to_owned())
    })
}

/// Podman and registries drop the image's own check from the OCI format, so it is repeated here.
fn health_check(package: &Package) -> Vec<String> {
    let expected = package.image_lines("HEALTHCHECK").last().and_then(|line| line.split_once("CMD "));
    let expected: Vec<_> = match expected.map(|(_, command)| serde_json::from_str::<Vec<String>>(command)) {
        Some(Ok(command)) => ["CMD".to_owned()].into_iter().chain(command).collect(),
        _ => return vec!["the image's HEALTHCHECK has no CMD in the list form".to_owned()],
    };
    each(package, |service| {
        let test = &service["healthcheck"]["test"];
        (*test != json!(expected)).then(|| format!("the test is {test}, the image's {expected:?}"))
    })
}

fn stop_time(package: &Package) -> Vec<String> {
    each(package, |service| {
        let text = service["stop_grace_period"].as_str().unwrap_or_default();
        let long = seconds(text).is_some_and(|seconds| seconds >= MIN_STOP_SECONDS);
        (!long).then(|| format!("`stop_grace_period` is `{text}`, must be {MIN_STOP_SECONDS}s or more"))
    })
}

fn memory(package: &Package) -> Vec<String> {
    each(package, |service| {
        let limit = &service["deploy"]["resources"]["limits"]["memory"];
        (!limit.is_string()).then(|| "`deploy.resources.limits.memory` is not set".to_owned())
    })
}
