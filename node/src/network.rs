//! Which chain `--network` means.

use std::path::Path;

use anyhow::{Context, bail};
use causeway_verify::ChainSpec;
use causeway_wire::NetworkId;

use crate::cli::NetworkArgs;

/// Largest genesis file that is read: mainnet's is under 1 MiB.
const MAX_GENESIS: u64 = 64 * 1024 * 1024;

/// The chain's specification.
///
/// # Errors
/// If the name is not built in and no such file can be read as a `genesis.json`.
pub(crate) fn chain_spec(args: &NetworkArgs) -> anyhow::Result<ChainSpec> {
    let mut spec = named(&args.network)?;
    if let Some(id) = args.networkid {
        spec.network = NetworkId(id);
    }
    Ok(spec)
}

/// The chain of this name, or of the genesis file there.
///
/// # Errors
/// If the name is not built in and no such file can be read as a `genesis.json`.
pub(crate) fn named(name: &str) -> anyhow::Result<ChainSpec> {
    match ChainSpec::builtin(name) {
        Some(spec) => Ok(spec),
        None => from_file(Path::new(name)),
    }
}

fn from_file(path: &Path) -> anyhow::Result<ChainSpec> {
    let what = path.display();
    let metadata = std::fs::metadata(path).with_context(|| {
        format!("network `{what}` is neither built in (mainnet, sepolia, classic, mordor) nor a file that can be read")
    })?;
    if metadata.len() > MAX_GENESIS {
        bail!("`{what}` has {} bytes; a genesis.json has at most {MAX_GENESIS}", metadata.len());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the genesis file `{what}`"))?;
    let name = path.file_stem().map_or_else(|| "custom".into(), |stem| stem.to_string_lossy());
    ChainSpec::from_genesis_json(&name, &text).with_context(|| format!("`{what}` is not a geth genesis.json"))
}
