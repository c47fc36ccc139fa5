//! The command line (design section 4): names that scripts rely on.

mod access;
mod light;
mod listen;
mod nat;
mod reach;
mod records;

use std::{net::SocketAddr, path::PathBuf};

use alloy_primitives::B256;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::{
    access::AccessArgs,
    light::{BlockArg, LightArgs, LightCommand},
    listen::ListenArgs,
    nat::Nat,
    reach::ReachArgs,
    records::{DnsCommand, DnsReadArgs, DnsSignArgs, EnrCommand, EnrNewArgs},
};

/// A relay between Ethereum full nodes and light peers.
///
/// Full nodes speak devp2p, light peers libp2p; Causeway speaks both, checks every answer and hands on the proof.
#[derive(Debug, Parser)]
#[command(name = "causeway", version, about, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// How much is logged to stderr: 0 nothing, 1 errors, 2 warnings, 3 information, 4 debugging, 5 everything.
    #[arg(long, global = true, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=5), env = "CAUSEWAY_LOG__VERBOSITY")]
    pub(crate) verbosity: u8,
    /// How log lines look.
    #[arg(long = "log.format", global = true, value_enum, default_value_t = LogFormat::Text, env = "CAUSEWAY_LOG__FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// An empty variable counts as unset: setup forms and compose files produce empty ones.
pub(crate) fn without_empty_variables(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let is_empty = |name| std::env::var_os(name).is_some_and(|value| value.is_empty());
            if arg.get_env().is_some_and(is_empty) { arg.env(None::<&'static str>) } else { arg }
        })
        .mut_subcommands(without_empty_variables)
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The relay: serves light peers from full nodes.
    Run(Box<RunArgs>),
    /// A whole house to look at: an embedded full node with a live chain, a relay before it, and a light
    /// peer that reads through the relay over QUIC and over WebSocket.
    Dev(DevArgs),
    /// A verifying light peer: reads through a relay (multiaddr) or a full node (enode).
    Light(LightArgs),
    /// Asks a running relay on this machine whether it is well: exit code 0 if so, else 1.
    Health(HealthArgs),
    /// The peers of a running relay on this machine: who is connected, being dialed, remembered.
    Peers(PeersArgs),
    /// Whether others reach this node, how, and what to do if not: asks a running relay on this machine, or looks by
    /// itself if none runs. Exit code 0 if it is reached directly or by hole punching, 1 if only through relays, 2 if
    /// not at all or if that is not known.
    Netcheck(NetcheckArgs),
    /// Node records (EIP-778): shows ours, reads another's, makes one.
    #[command(subcommand)]
    Enr(EnrCommand),
    /// Lists of node records in the DNS (EIP-1459): signs one, shows one's root, reads one.
    #[command(subcommand)]
    Dns(DnsCommand),
}

/// Which chain.
#[derive(Clone, Debug, Args)]
pub(crate) struct NetworkArgs {
    /// mainnet, sepolia, classic, mordor, or the path of a geth genesis.json.
    #[arg(
        long,
        global = true,
        visible_alias = "chain",
        value_name = "NAME|FILE",
        default_value = "mainnet",
        env = "CAUSEWAY_NETWORK"
    )]
    pub(crate) network: String,
    /// Network id, where it is not the chain id.
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) networkid: Option<u64>,
    /// A block that you trust, from which headers are followed instead of from genesis.
    #[arg(long, global = true, value_name = "NUMBER:HASH", value_parser = checkpoint, env = "CAUSEWAY_CHECKPOINT")]
    pub(crate) checkpoint: Option<(u64, B256)>,
}

/// `causeway run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The chain.
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// Full nodes to ask, as enode URLs or node records (or another relay, as a multiaddr); repeat the flag or
    /// separate with commas. They are dialed for ever; more are looked for unless --no-discovery is given.
    #[arg(long = "full-node", value_name = "ENODE", value_delimiter = ',', env = "CAUSEWAY_FULL_NODE")]
    pub(crate) full_nodes: Vec<String>,
    /// The same for peers that are to stay whatever happens: dialed before all others and never let go.
    #[arg(long = "trusted-peer", value_name = "ENODE", value_delimiter = ',', env = "CAUSEWAY_TRUSTED_PEER")]
    pub(crate) trusted_peers: Vec<String>,
    /// How peers are looked for.
    #[command(flatten)]
    pub(crate) discovery: DiscoveryArgs,
    /// How it is reached.
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Who is let in.
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    /// Where state is kept.
    #[arg(long, value_name = "DIR", env = "CAUSEWAY_DATADIR")]
    pub(crate) datadir: Option<PathBuf>,
    /// Where to listen.
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// Light peers served at once.
    #[arg(long, value_name = "N", default_value_t = 2000, env = "CAUSEWAY_LIMITS__LIGHT_PEERS")]
    pub(crate) light_peers: usize,
    /// Memory for verified answers, MiB.
    #[arg(long = "cache", value_name = "MIB", default_value_t = 64, env = "CAUSEWAY_CACHE_MIB")]
    pub(crate) cache_mib: u64,
}

/// How peers are looked for.
#[derive(Clone, Debug, Args)]
pub(crate) struct DiscoveryArgs {
    /// Where to begin, as node records or enode URLs, in place of the built-in ones; repeat the flag or separate
    /// with commas.
    #[arg(long, value_name = "ENR|ENODE", value_delimiter = ',', env = "CAUSEWAY_BOOTNODES")]
    pub(crate) bootnodes: Vec<String>,
    /// Signed lists of nodes in the DNS, in place of the built-in ones; repeat the flag or separate with commas.
    #[arg(long = "dns", value_name = "enrtree://…", value_delimiter = ',', env = "CAUSEWAY_DNS")]
    pub(crate) lists: Vec<String>,
    /// Name server to ask in place of the system's.
    #[arg(long = "dns.server", value_name = "IP:PORT", env = "CAUSEWAY_DNS__SERVER")]
    pub(crate) name_server: Option<SocketAddr>,
    /// Dial private and loopback addresses that strangers name, too: for closed networks. Switched on by itself
    /// where --addr is such an address, unless the network's built-in bootnodes or lists are used.
    #[arg(long = "discovery.local")]
    pub(crate) local: bool,
    /// How others come to know our address: `any` (what enough peers see, and the router is asked to open our ports:
    /// PCP, NAT-PMP, UPnP in turn), `upnp`, `pmp` or `pcp` (by this protocol only), `none` (only addresses that we
    /// are bound to), or `extip:IP`. What the router opened is closed again at the end.
    #[arg(long, value_name = "any|none|upnp|pmp|pcp|extip:IP", default_value = "any", env = "CAUSEWAY_NAT")]
    pub(crate) nat: Nat,
    /// Sets how many peers are kept and how eagerly they are looked for.
    #[arg(long, value_enum, default_value_t = Profile::Server, env = "CAUSEWAY_PROFILE")]
    pub(crate) profile: Profile,
    /// Advertise and answer by topic in discv5, too (the draft of June 2026, carried in TALKREQ).
    #[arg(long = "discovery.topics")]
    pub(crate) topics: bool,
}

/// Sets of defaults (deploy guide, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// A node that is always on.
    Server,
    /// Eight connections in all, one dial at a time: for phones and small boards.
    Lowpower,
}

/// `causeway peers`
#[derive(Debug, Args)]
pub(crate) struct PeersArgs {
    /// Where status and health listen.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8688", env = "CAUSEWAY_PROBE__ADDR")]
    pub(crate) probe: String,
    /// Those that are not connected, too.
    #[arg(long)]
    pub(crate) all: bool,
    /// Print what happens, one line each, until Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `causeway netcheck`
#[derive(Debug, Args)]
pub(crate) struct NetcheckArgs {
    /// Where status and health listen.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8688", env = "CAUSEWAY_PROBE__ADDR")]
    pub(crate) probe: String,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Which protocols the router is asked in, where no relay runs.
    #[arg(long, value_name = "any|none|upnp|pmp|pcp", default_value = "any", env = "CAUSEWAY_NAT")]
    pub(crate) nat: Nat,
    /// Which ports are looked at, where no relay runs.
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

/// `causeway dev`
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Where the relay listens.
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
    /// End after the light peer has read; exit code 0 only if every answer verified.
    #[arg(long)]
    pub(crate) exit_after_check: bool,
    /// Writes the embedded chain's genesis.json there, for `causeway light --network FILE`.
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis_out: Option<PathBuf>,
}

/// `causeway health`
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Ask whether it can serve, not only whether it lives.
    #[arg(long)]
    pub(crate) ready: bool,
    /// Where status and health listen.
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8688", env = "CAUSEWAY_PROBE__ADDR")]
    pub(crate) probe: String,
}

fn parse_number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is neither `head`, a block number, nor a hash of 64 hex characters"))
}

fn checkpoint(text: &str) -> Result<(u64, B256), String> {
    let (number, hash) = text.split_once(':').ok_or("a checkpoint is NUMBER:HASH")?;
    let hash = hash.parse().map_err(|error| format!("`{hash}` is not a block hash: {error}"))?;
    Ok((parse_number(number)?, hash))
}
