//! Every rule holds for the files in the repository, and each one notices the package that breaks it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use causeway_deploy::{Finding, Package, Source, check, check::rules};

const MANIFEST: &str = "dappnode_package.json";
const COMPOSE: &str = "docker-compose.yml";
const WIZARD: &str = "setup-wizard.yml";

/// A way to break a rule.
enum Break {
    /// Replaces the first occurrence in a file of the package.
    Replace(&'static str, &'static str, &'static str),
    /// Replaces the first occurrence in the image's build file.
    Image(&'static str, &'static str),
    /// Puts a file of so many zero bytes there.
    Zeroes(&'static str, usize),
    /// Takes a file away.
    Remove(&'static str),
    /// Writes bytes into a file.
    Overwrite(&'static str, usize, &'static [u8]),
}

use Break::{Image, Overwrite, Remove, Replace, Zeroes};

/// One package for each rule that breaks it; some rules have more than one way.
const BROKEN: &[(&str, Break)] = &[
    ("files: required ones are there", Remove("avatar.png")),
    ("files: names are found by the installer", Zeroes("notifications.yml", 10)),
    ("files: one of each kind", Zeroes("docker-compose.second.yml", 10)),
    ("files: sizes", Zeroes("notifications.yaml", 10_001)),
    ("avatar: a square PNG of 200 to 300 pixels", Overwrite("avatar.png", 16, &[0, 0, 1, 1])),
    ("avatar: a square PNG of 200 to 300 pixels", Overwrite("avatar.png", 16, &[0, 0, 2, 0, 0, 0, 2, 0])),
    ("avatar: a square PNG of 200 to 300 pixels", Overwrite("avatar.png", 0, b"GIF89a")),
    ("manifest: known keys only", Replace(MANIFEST, "\"keywords\"", "\"keyword\"")),
    ("manifest: known keys only", Replace(MANIFEST, "\"exposeByDefault\"", "\"exposedByDefault\"")),
    ("manifest: name", Replace(MANIFEST, "causeway.public", "Causeway.public")),
    ("manifest: version", Replace(MANIFEST, "\"version\": \"", "\"version\": \"v")),
    (
        "manifest: one way to name the upstream version",
        Replace(MANIFEST, "\"type\"", "\"upstream\": [], \"type\""),
    ),
    (
        "manifest: short description of 6 to 8 words",
        Replace(MANIFEST, "Lets phones and browsers", "Lets everybody"),
    ),
    ("manifest: categories", Replace(MANIFEST, "\"Blockchain\"", "\"Chains\"")),
    ("manifest: categories", Replace(MANIFEST, "\"Blockchain\"", "\"Communications\", \"Blockchain\"")),
    (
        "manifest: claims no chain and depends on no client",
        Replace(MANIFEST, "\"type\"", "\"chain\": \"ethereum\", \"type\""),
    ),
    ("manifest: architectures", Replace(MANIFEST, ", \"linux/arm64\"", "")),
    (
        "manifest: services exist",
        Replace(MANIFEST, "\"serviceName\": \"causeway\"", "\"serviceName\": \"relay\""),
    ),
    ("manifest: backups are absolute paths in a volume", Replace(MANIFEST, "/data/keys", "/database/keys")),
    (
        "manifest: exposable ports are published and closed by default",
        Replace(MANIFEST, "\"exposeByDefault\": false", "\"exposeByDefault\": true"),
    ),
    ("manifest: exposable ports are published and closed by default", Replace(MANIFEST, "30315", "8688")),
    (
        "manifest: global variables are known to Dappnode",
        Replace(
            MANIFEST,
            "\"type\"",
            "\"globalEnvs\": [{\"envs\": [\"PUBLIC_IPV6\"], \"services\": [\"causeway\"]}], \"type\"",
        ),
    ),
    ("manifest: time to stop is longer than the service's grace", Replace(MANIFEST, "2min", "30s")),
    ("compose: version", Replace(COMPOSE, "version: \"3.5\"", "version: 3.5")),
    (
        "compose: top-level keys",
        Replace(COMPOSE, "volumes:\n  data: {}", "volumes:\n  data: {}\nsecrets: {}"),
    ),
    (
        "compose: service keys that Dappnode allows",
        Replace(COMPOSE, "    user:", "    read_only: true\n    user:"),
    ),
    (
        "compose: not privileged, no foreign network or processes",
        Replace(COMPOSE, "    user:", "    network_mode: host\n    user:"),
    ),
    ("compose: volumes are named and declared empty", Replace(COMPOSE, "  data: {}", "  data:")),
    ("compose: volumes are named and declared empty", Replace(COMPOSE, "data:/data", "./data:/data")),
    ("compose: runs as the image's user", Replace(COMPOSE, "65532:65532", "0:0")),
    ("compose: no capabilities, no new privileges", Replace(COMPOSE, "      - ALL", "      - NET_RAW")),
    (
        "compose: no capabilities, no new privileges",
        Replace(COMPOSE, "no-new-privileges:true", "seccomp:unconfined"),
    ),
    ("compose: health check is the image's", Replace(COMPOSE, "\"health\"]", "\"health\", \"--ready\"]")),
    ("compose: time to stop", Replace(COMPOSE, "stop_grace_period: 60s", "stop_grace_period: 10s")),
    ("compose: memory is limited", Replace(COMPOSE, "memory: 1G", "cpus: \"1\"")),
    ("ports: written as \"N:N/protocol\"", Replace(COMPOSE, "30313:30313/udp", "30313/udp")),
    ("ports: same number inside and outside", Replace(COMPOSE, "30315:30315", "30325:30315")),
    ("ports: TCP and UDP together", Replace(COMPOSE, "      - \"30314:30314/udp\"\n", "")),
    ("ports: those that the image exposes", Replace(COMPOSE, "30315:30315", "8688:8688")),
    ("ports: those that the image exposes", Image("30315/tcp", "30316/tcp")),
    ("ports: away from those of other packages", Replace(COMPOSE, "30315:30315", "30303:30315")),
    ("environment: written as a map of texts", Replace(COMPOSE, "VERBOSITY: \"3\"", "VERBOSITY: 3")),
    (
        "environment: the compose file's names exist in the command line",
        Replace(COMPOSE, "CAUSEWAY_FULL_NODE", "CAUSEWAY_FULL_NODES"),
    ),
    (
        "environment: the image's names exist in the command line",
        Image("CAUSEWAY_LOG__FORMAT", "CAUSEWAY_LOG_FORMAT"),
    ),
    (
        "environment: no secrets",
        Replace(COMPOSE, "CAUSEWAY_NETWORK:", "CAUSEWAY_PASSWORD: \"x\"\n      CAUSEWAY_NETWORK:"),
    ),
    ("wizard: known keys only", Replace(WIZARD, "patternErrorMessage", "patternError")),
    ("wizard: ids are there and differ", Replace(WIZARD, "id: network", "id: fullNode")),
    (
        "wizard: targets exist in the compose file",
        Replace(WIZARD, "name: CAUSEWAY_FULL_NODE", "name: CAUSEWAY_UPSTREAM"),
    ),
    ("wizard: targets exist in the compose file", Replace(WIZARD, "service: causeway", "service: relay")),
    ("wizard: choices are texts and contain the default", Replace(WIZARD, "      - \"mainnet\"\n", "")),
    ("wizard: choices are texts and contain the default", Replace(WIZARD, "- \"1\"", "- 1")),
    (
        "wizard: conditions name other fields",
        Replace(WIZARD, "    required: true", "    if: { upstream: { enum: [custom] } }"),
    ),
    (
        "wizard: patterns have a message",
        Replace(WIZARD, "    pattern: \"^enode", "    description2: \"^enode"),
    ),
    (
        "version: the manifest's upstream version is the workspace's",
        Replace(MANIFEST, "\"upstreamVersion\": \"", "\"upstreamVersion\": \"9"),
    ),
    (
        "version: images carry the package's name and version",
        Replace(COMPOSE, "dappnode.eth:", "dappnode.eth:9"),
    ),
    ("container: a numeric user that is not root", Image("USER 65532:65532", "USER nonroot")),
    ("container: commands in the list form", Image("CMD [\"run\"]", "CMD run")),
    ("container: stops by SIGTERM", Image("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL")),
    ("container: no moving tags", Image("cc-debian13:nonroot", "cc-debian13:latest")),
    ("container: no moving tags", Image("cc-debian13:nonroot", "cc-debian13")),
    (
        "container: copies, never downloads",
        Image("CMD [\"run\"]", "CMD [\"run\"]\nADD https://example.org/x /x"),
    ),
    ("container: the volume is declared in both targets", Image("VOLUME [\"/data\"]\n", "")),
    ("container: labels", Image("org.opencontainers.image.licenses", "org.opencontainers.image.license")),
];

#[test]
fn repository_keeps_every_rule() {
    assert_eq!(check(&parse(&repository())), []);
}

#[test]
fn every_rule_has_a_package_that_breaks_it() {
    let broken: BTreeSet<_> = BROKEN.iter().map(|(rule, _)| *rule).collect();
    let all: BTreeSet<_> = rules().map(|rule| rule.name).collect();

    assert_eq!(all, broken);
    assert_eq!(rules().count(), all.len(), "two rules have one name");
}

#[test]
fn broken_packages_are_found_by_their_rule() {
    for (index, (rule, how)) in BROKEN.iter().enumerate() {
        let findings = check(&parse(&broken(how)));

        assert!(
            findings.iter().any(|finding| finding.rule == *rule),
            "broken package {index} passes `{rule}`: {findings:?}"
        );
    }
}

#[test]
fn changed_version_of_the_workspace_is_noticed() {
    let mut source = repository();
    source.cargo = source.cargo.replacen("version = \"", "version = \"9", 1);

    assert!(finds(&source, "version: the manifest's upstream version is the workspace's"));
}

#[test]
fn variable_gone_from_the_command_line_is_noticed() {
    let mut source = repository();
    source.cli = source.cli.replace("CAUSEWAY_CHECKPOINT", "CAUSEWAY_TRUSTED_BLOCK");

    assert!(finds(&source, "environment: the compose file's names exist in the command line"));
}

#[test]
fn port_mapping_of_the_form_is_looked_up_with_its_protocol() {
    let field = |port: &str| {
        format!(
            "version: \"2\"\nfields:\n  - {{ id: port, title: Port, description: Port, target: {{ type: portMapping, containerPort: \"{port}\" }} }}\n"
        )
    };
    for (port, found) in [("30314/UDP", false), ("30315", false), ("30317/UDP", true), ("1/TCP", true)] {
        let mut source = repository();
        source.dappnode.insert(WIZARD.to_owned(), field(port).into_bytes());

        assert_eq!(finds(&source, "wizard: targets exist in the compose file"), found, "{port}");
    }
}

#[test]
fn unreadable_package_is_an_error_that_names_the_file() {
    for name in [MANIFEST, COMPOSE, WIZARD] {
        let mut source = repository();
        source.dappnode.insert(name.to_owned(), b"{ [ \xff".to_vec());

        let error = Package::parse(&source).expect_err("unreadable").to_string();

        assert!(error.contains(name), "{error}");
    }
}

fn finds(source: &Source, rule: &str) -> bool {
    check(&parse(source)).iter().any(|finding: &Finding| finding.rule == rule)
}

fn parse(source: &Source) -> Package {
    Package::parse(source).expect("parsed")
}

fn repository() -> Source {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(PathBuf::from)
        .expect("the crate lies at the root");
    Source::read(&root).expect("read")
}

fn broken(how: &Break) -> Source {
    let mut source = repository();
    match how {
        Replace(name, from, to) => {
            let file = source.dappnode.get_mut(*name).expect("a file of the package");
            *file = replaced(&String::from_utf8_lossy(file), from, to).into_bytes();
        }
        Image(from, to) => source.containerfile = replaced(&source.containerfile, from, to),
        Zeroes(name, size) => {
            source.dappnode.insert((*name).to_owned(), vec![0; *size]);
        }
        Remove(name) => {
            source.dappnode.remove(*name).expect("a file of the package");
        }
        Overwrite(name, at, bytes) => {
            let file = source.dappnode.get_mut(*name).expect("a file of the package");
            file[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
    }
    source
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is no longer in the file: break it in another way");
    text.replacen(from, to, 1)
}
