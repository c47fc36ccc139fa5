//! `causeway run`: the relay.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::ExitCode,
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context, bail};
use causeway_records::{Enode, Record};
use tracing::{info, warn};

use super::{print_line, stop_signal};
use crate::{
    app::{Ports, Relay, RelayConfig},
    cli::RunArgs,
    identity, network, record,
};

/// Runs until it is told to stop.
///
/// # Errors
/// If something it was told cannot be used, or a listener cannot bind.
pub(crate) async fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    let spec = Arc::new(network::chain_spec(&args.network)?);
    let full_nodes = args.full_nodes.iter().map(|text| full_node(text)).collect::<Result<Vec<_>, _>>()?;
    if full_nodes.is_empty() {
        warn!(
            "no full node to ask: name at least one with --full-node enode://… (this version does not look for \
             full nodes by itself yet); until then light peers get no answers"
        );
    }
    let (key_file, datadir) = key_and_datadir(args.listen.nodekey.clone(), args.datadir)?;
    let secret_key = identity::load_or_create(&key_file)?;
    let ports = Ports::new(&args.listen, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let relay = Relay::start(RelayConfig {
        spec,
        checkpoint: args.network.checkpoint,
        full_nodes,
        secret_key,
        record_file: datadir.as_deref().map(record::default_file),
        ports,
        light_peers: args.light_peers,
        cache_bytes: args.cache_mib.saturating_mul(1024 * 1024),
    })
    .await?;
    print_line(&relay.ready().to_string());
    stop.cancelled().await;
    info!("stopping");
    relay.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// A full node as the user names it: an enode URL or a node record.
fn full_node(text: &str) -> anyhow::Result<Enode> {
    let enode = if text.starts_with("enr:") {
        let record = Record::from_str(text).with_context(|| format!("--full-node {text}"))?;
        record
            .enode()
            .with_context(|| format!("--full-node {text}: the record has no IP address and TCP port"))?
    } else {
        Enode::from_str(text).with_context(|| format!("--full-node {text}"))?
    };
    if enode.tcp_addr().is_none() {
        bail!("--full-node {text}: needs an IP address and a TCP port to dial");
    }
    Ok(enode)
}

/// The file with the node key, and where state is kept: nowhere if only the key was named.
///
/// # Errors
/// If neither was named and there is no home directory.
pub(crate) fn key_and_datadir(
    nodekey: Option<PathBuf>,
    datadir: Option<PathBuf>,
) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    if let Some(file) = nodekey {
        return Ok((file, datadir));
    }
    let datadir = datadir.map_or_else(default_datadir, Ok)?;
    Ok((identity::default_file(&datadir), Some(datadir)))
}

/// Where state is kept unless the user says otherwise (deploy guide, section 2).
pub(crate) fn default_datadir() -> anyhow::Result<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("STATE_DIRECTORY")
        .or_else(|| from("XDG_DATA_HOME").map(|home| home.join("causeway")))
        .or_else(|| from("HOME").map(|home| home.join(".local/share/causeway")))
        .or_else(|| from("LOCALAPPDATA").map(|home| home.join("causeway").join("data")))
        .context("there is no home directory to keep the node key in: name one with --datadir or --nodekey")
}
