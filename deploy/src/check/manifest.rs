//! `dappnode_package.json`, beyond its published schema, which lets unknown keys pass.

use serde_json::Value;

use super::{Rule, unless};
use crate::{
    Package,
    package::{entries, items, texts},
};

pub(super) const RULES: &[Rule] = &[
    Rule::new("manifest: known keys only", known_keys),
    Rule::new("manifest: name", name),
    Rule::new("manifest: version", plain_version),
    Rule::new("manifest: one way to name the upstream version", upstream),
    Rule::new("manifest: short description of 6 to 8 words", short_description),
    Rule::new("manifest: categories", categories),
    Rule::new("manifest: claims no chain and depends on no client", independent),
    Rule::new("manifest: architectures", architectures),
    Rule::new("manifest: services exist", services),
    Rule::new("manifest: backups are absolute paths in a volume", backups),
    Rule::new("manifest: exposable ports are published and closed by default", exposable),
    Rule::new("manifest: global variables are known to Dappnode", global_variables),
    Rule::new("manifest: time to stop is longer than the service's grace", stop_time),
];

/// Keys that an installer reads, and those of the objects below them.
const KEYS: [&str; 32] = [
    "name",
    "version",
    "upstream",
    "upstreamVersion",
    "upstreamRepo",
    "upstreamArg",
    "shortDescription",
    "description",
    "type",
    "chain",
    "mainService",
    "dockerTimeout",
    "dependencies",
    "optionalDependencies",
    "requirements",
    "globalEnvs",
    "architectures",
    "backup",
    "changelog",
    "warnings",
    "updateAlerts",
    "disclaimer",
    "style",
    "exposable",
    "author",
    "contributors",
    "categories",
    "keywords",
    "links",
    "repository",
    "bugs",
    "license",
];
const NESTED_KEYS: [(&str, &[&str]); 9] = [
    ("upstream", &["repo", "version", "arg"]),
    ("requirements", &["minimumDappnodeVersion", "minimumDockerVersion"]),
    ("globalEnvs", &["envs", "services"]),
    ("backup", &["name", "path", "service"]),
    ("warnings", &["onInstall", "onPatchUpdate", "onMinorUpdate", "onMajorUpdate", "onReset", "onRemove"]),
    ("updateAlerts", &["from", "to", "message"]),
    ("disclaimer", &["message"]),
    ("style", &["featuredBackground", "featuredColor", "featuredAvatarFilter"]),
    ("exposable", &["name", "description", "serviceName", "fromSubdomain", "port", "exposeByDefault"]),
];

/// What the store sorts by (the published schema's list).
const CATEGORIES: [&str; 8] = [
    "Blockchain",
    "Communications",
    "Developer tools",
    "ETH2.0",
    "Economic incentive",
    "Monitoring",
    "Payment channels",
    "Storage",
];

/// At most so many of them.
const MAX_CATEGORIES: usize = 2;

/// What Dappnode can put into a container's environment, by short name; another one breaks the installation.
const GLOBAL_VARIABLES: [&str; 19] = [
    "ACTIVE",
    "DOMAIN",
    "STATIC_IP",
    "HOSTNAME",
    "INTERNAL_IP",
    "UPNP_AVAILABLE",
    "NO_NAT_LOOPBACK",
    "PUBKEY",
    "ADDRESS",
    "PUBLIC_IP",
    "SERVER_NAME",
    "CONSENSUS_CLIENT_MAINNET",
    "EXECUTION_CLIENT_MAINNET",
    "CONSENSUS_CLIENT_GNOSIS",
    "EXECUTION_CLIENT_GNOSIS",
    "CONSENSUS_CLIENT_LUKSO",
    "EXECUTION_CLIENT_LUKSO",
    "CONSENSUS_CLIENT_HOLESKY",
    "EXECUTION_CLIENT_HOLESKY",
];

fn known_keys(package: &Package) -> Vec<String> {
    let top = unknown("", &package.manifest, &KEYS);
    let nested = NESTED_KEYS.iter().flat_map(|(key, known)| {
        let value = &package.manifest[*key];
        let objects: Vec<_> = if value.is_array() { items(value).collect() } else { vec![value] };
        objects.into_iter().flat_map(|object| unknown(&format!("{key}."), object, known)).collect::<Vec<_>>()
    });
    top.into_iter().chain(nested).collect()
}

fn unknown(path: &str, object: &Value, known: &[&str]) -> Vec<String> {
    let keys = entries(object).map(|(key, _)| key).filter(|key| !known.contains(key));
    keys.map(|key| format!("`{path}{key}` is no key that Dappnode knows")).collect()
}

fn name(package: &Package) -> Vec<String> {
    let name = package.manifest_text("name");
    let short = name.strip_suffix(".public.dappnode.eth").unwrap_or_default();
    let plain = short.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    unless(!short.is_empty() && plain, || format!("`{name}` is not SHORT.public.dappnode.eth in lower case"))
}

fn plain_version(package: &Package) -> Vec<String> {
    let version = package.manifest_text("version");
    let parts: Vec<_> = version.split('.').collect();
    let good = parts.len() == 3
        && parts.iter().all(|part| part.parse::<u32>().is_ok_and(|n| n.to_string() == *part));
    unless(good, || format!("`{version}` is not three numbers"))
}

fn upstream(package: &Package) -> Vec<String> {
    let list = !package.manifest["upstream"].is_null();
    let single = ["upstreamVersion", "upstreamRepo", "upstreamArg"];
    let single = single.iter().any(|key| !package.manifest[*key].is_null());
    unless(list != single, || {
        "either `upstream` or `upstreamVersion` says which Causeway is inside, not both".to_owned()
    })
}

fn short_description(package: &Package) -> Vec<String> {
    let text = package.manifest_text("shortDescription");
    let words = text.split_whitespace().count();
    unless((6..=8).contains(&words), || format!("`{text}` has {words} words"))
}

fn categories(package: &Package) -> Vec<String> {
    let named: Vec<_> = texts(&package.manifest["categories"]).collect();
    let mut broken: Vec<_> = named
        .iter()
        .filter(|name| !CATEGORIES.contains(name))
        .map(|name| format!("`{name}` is no category of the store"))
        .collect();
    broken.extend(unless((1..=MAX_CATEGORIES).contains(&named.len()), || {
        format!("{} categories, not 1 to {MAX_CATEGORIES}", named.len())
    }));
    broken
}

/// `chain` claims an execution client's RPC on port 8545; a dependency would force one client on the owner.
fn independent(package: &Package) -> Vec<String> {
    let set = ["chain", "dependencies"].into_iter().filter(|key| !package.manifest[*key].is_null());
    set.map(|key| format!("`{key}` must not be set")).collect()
}

fn architectures(package: &Package) -> Vec<String> {
    let named: Vec<_> = texts(&package.manifest["architectures"]).collect();
    unless(named == ["linux/amd64", "linux/arm64"], || format!("{named:?}, not linux/amd64 and linux/arm64"))
}

fn services(package: &Package) -> Vec<String> {
    let manifest = &package.manifest;
    let named = [manifest["mainService"].as_str().unwrap_or_default()]
        .into_iter()
        .chain(items(&manifest["backup"]).filter_map(|item| item["service"].as_str()))
        .chain(items(&manifest["exposable"]).filter_map(|item| item["serviceName"].as_str()))
        .chain(items(&manifest["globalEnvs"]).flat_map(|item| texts(&item["services"])));
    named
        .filter(|name| package.services().all(|(service, _)| service != *name))
        .map(|name| format!("the compose file has no service `{name}`"))
        .collect()
}

fn backups(package: &Package) -> Vec<String> {
    let mounts: Vec<_> = package
        .services()
        .flat_map(|(_, service)| texts(&service["volumes"]))
        .filter_map(|volume| volume.split(':').nth(1))
        .collect();
    let paths = items(&package.manifest["backup"]).filter_map(|item| item["path"].as_str());
    let inside = |path: &str| {
        mounts.iter().any(|mount| {
            path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    paths.filter(|path| !inside(path)).map(|path| format!("`{path}` lies in no volume")).collect()
}

fn exposable(package: &Package) -> Vec<String> {
    let published = super::ports::published(package);
    let mut broken = Vec::new();
    for item in items(&package.manifest["exposable"]) {
        let port = &item["port"];
        if !published
            .iter()
            .any(|published| published.protocol == "tcp" && port.as_u64() == Some(published.container.into()))
        {
            broken.push(format!("port {port} is not published over TCP"));
        }
        if item["exposeByDefault"] != Value::Bool(false) {
            broken.push(format!("port {port} must have `exposeByDefault: false`"));
        }
    }
    broken
}

fn global_variables(package: &Package) -> Vec<String> {
    let named = items(&package.manifest["globalEnvs"]).flat_map(|item| texts(&item["envs"]));
    named
        .filter(|name| !GLOBAL_VARIABLES.contains(name))
        .map(|name| format!("Dappnode has no global variable `{name}`"))
        .collect()
}

fn stop_time(package: &Package) -> Vec<String> {
    let timeout = package.manifest_text("dockerTimeout");
    let Some(limit) = seconds(timeout) else { return vec![format!("dockerTimeout `{timeout}` is no time")] };
    package
        .services()
        .filter_map(|(name, service)| Some((name, service["stop_grace_period"].as_str()?)))
        .filter(|(_, grace)| seconds(grace).is_none_or(|grace| grace >= limit))
        .map(|(name, grace)| format!("service `{name}` may take {grace} to stop, Dappnode waits {timeout}"))
        .collect()
}

/// A time as Dappnode (`2min`) and compose files (`60s`) write it.
pub(super) fn seconds(text: &str) -> Option<u64> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
