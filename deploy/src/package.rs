//! What the rules look at: the files, read and taken apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context, bail};
use serde_json::Value;

/// Largest file that is read; Dappnode's own largest limit is 10 MB.
const MAX_FILE: u64 = 20_000_000;

/// The files as they lie in the workspace.
#[derive(Clone, Debug)]
pub struct Source {
    /// Files directly in `deploy/dappnode`, by name.
    pub dappnode: BTreeMap<String, Vec<u8>>,
    /// `deploy/container/Containerfile`.
    pub containerfile: String,
    /// The workspace's `Cargo.toml`.
    pub cargo: String,
    /// The command line, `node/src/cli.rs`: it alone knows which variables are read.
    pub cli: String,
}

impl Source {
    /// Reads them below the workspace's root.
    ///
    /// # Errors
    /// If one of them is missing, is too large, or is not text where text is due.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let folder = root.join("deploy/dappnode");
        let mut dappnode = BTreeMap::new();
        for entry in fs::read_dir(&folder).with_context(|| format!("reading `{}`", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                dappnode.insert(name, bytes(&entry.path())?);
            }
        }
        Ok(Self {
            dappnode,
            containerfile: text(&root.join("deploy/container/Containerfile"))?,
            cargo: text(&root.join("Cargo.toml"))?,
            cli: text(&root.join("node/src/cli.rs"))?,
        })
    }
}

fn bytes(path: &Path) -> anyhow::Result<Vec<u8>> {
    let length = fs::metadata(path).with_context(|| format!("reading `{}`", path.display()))?.len();
    if length > MAX_FILE {
        bail!("`{}` has {length} bytes; at most {MAX_FILE} are read", path.display());
    }
    fs::read(path).with_context(|| format!("reading `{}`", path.display()))
}

fn text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(bytes(path)?).with_context(|| format!("`{}` is not UTF-8", path.display()))
}

/// The files, taken apart.
#[derive(Clone, Debug)]
pub struct Package {
    /// Files directly in `deploy/dappnode`, by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// `dappnode_package.json`.
    pub manifest: Value,
    /// `docker-compose.yml`.
    pub compose: Value,
    /// `setup-wizard.yml`; null without one.
    pub wizard: Value,
    /// Instructions of the image's build file, continuation lines joined.
    pub image: Vec<String>,
    /// The workspace's version.
    pub version: String,
    /// Environment variables that the command line reads.
    pub variables: BTreeSet<String>,
}

impl Package {
    /// Takes the files apart.
    ///
    /// # Errors
    /// If manifest or compose file are missing, or a file is not what its name says.
    pub fn parse(source: &Source) -> anyhow::Result<Self> {
        let file = |name: &str| source.dappnode.get(name).map(Vec::as_slice);
        let manifest = file("dappnode_package.json").context("there is no dappnode_package.json")?;
        let manifest = serde_json::from_slice(manifest).context("dappnode_package.json is not JSON")?;
        let compose = yaml(
            "docker-compose.yml",
            file("docker-compose.yml").context("there is no docker-compose.yml")?,
        )?;
        let wizard =
            file("setup-wizard.yml").map_or(Ok(Value::Null), |bytes| yaml("setup-wizard.yml", bytes))?;
        Ok(Self {
            files: source.dappnode.clone(),
            manifest,
            compose,
            wizard,
            image: instructions(&source.containerfile),
            version: workspace_version(&source.cargo)?,
            variables: quoted_after(&source.cli, "env = \"").collect(),
        })
    }

    /// The compose file's services, by name.
    pub fn services(&self) -> impl Iterator<Item = (&str, &Value)> {
        entries(&self.compose["services"])
    }

    /// A text of the manifest; empty where there is none.
    #[must_use]
    pub fn manifest_text(&self, key: &str) -> &str {
        self.manifest[key].as_str().unwrap_or_default()
    }

    /// Instructions of one kind in the image's build file, without their keyword.
    pub fn image_lines<'a>(&'a self, keyword: &'a str) -> impl Iterator<Item = &'a str> {
        self.image.iter().filter_map(move |line| line.strip_prefix(keyword)?.strip_prefix(' ')).map(str::trim)
    }
}

/// Keys and values of an object; nothing for anything else.
pub(crate) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Items of a list; nothing for anything else.
pub(crate) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Texts of a list; items of another kind are left out.
pub(crate) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).filter_map(Value::as_str)
}

fn yaml(name: &str, bytes: &[u8]) -> anyhow::Result<Value> {
    let text = std::str::from_utf8(bytes).with_context(|| format!("{name} is not UTF-8"))?;
    serde_saphyr::from_str(text).with_context(|| format!("{name} is not YAML"))
}

fn instructions(containerfile: &str) -> Vec<String> {
    let mut joined = Vec::new();
    let mut open = String::new();
    for line in containerfile.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(start) = line.strip_suffix('\\') {
            open.push_str(start);
            continue;
        }
        open.push_str(line);
        if !open.is_empty() {
            joined.push(std::mem::take(&mut open));
        }
    }
    joined
}

fn workspace_version(cargo: &str) -> anyhow::Result<String> {
    let (_, section) =
        cargo.split_once("[workspace.package]").context("Cargo.toml has no [workspace.package]")?;
    let section = section.split("\n[").next().unwrap_or_default();
    quoted_after(section, "version = \"").next().context("[workspace.package] has no version")
}

/// What stands between `start` and the next quotation mark, wherever `start` occurs.
fn quoted_after<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(start).skip(1).filter_map(|rest| rest.split_once('"')).map(|(value, _)| value.to_owned())
}
