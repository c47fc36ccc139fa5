//! The arguments of `causeway enr` and `causeway dns`.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::parse_number;

/// `causeway enr`
#[derive(Debug, Subcommand)]
pub(crate) enum EnrCommand {
    /// The record that the relay of this data directory last published.
    Show {
        /// Where the relay keeps its state.
        #[arg(long, value_name = "DIR", env = "CAUSEWAY_DATADIR")]
        datadir: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// What a record says, once its signature was checked.
    Decode {
        /// enr:…
        record: String,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Signs a record with the node key and prints it.
    New(EnrNewArgs),
}

/// `causeway enr new`
#[derive(Debug, Args)]
pub(crate) struct EnrNewArgs {
    /// File with the node key; made if it is not there.
    #[arg(long, value_name = "FILE", env = "CAUSEWAY_NODEKEY")]
    pub(crate) nodekey: PathBuf,
    /// Sequence number; the UNIX time in milliseconds unless said otherwise.
    #[arg(long, value_name = "N")]
    pub(crate) seq: Option<u64>,
    /// Address; give an IPv4 and an IPv6 one by repeating the flag.
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub(crate) ip: Vec<IpAddr>,
    /// Port of RLPx.
    #[arg(long, value_name = "PORT")]
    pub(crate) tcp: Option<u16>,
    /// Port of discovery.
    #[arg(long, value_name = "PORT")]
    pub(crate) udp: Option<u16>,
    /// Port of libp2p over QUIC.
    #[arg(long, value_name = "PORT")]
    pub(crate) quic: Option<u16>,
    /// Further libp2p addresses, the most useful first.
    #[arg(long = "multiaddr", value_name = "MULTIADDR", value_delimiter = ',')]
    pub(crate) multiaddrs: Vec<String>,
    /// Say that LES is served.
    #[arg(long)]
    pub(crate) les: bool,
    /// Say that snap is served.
    #[arg(long)]
    pub(crate) snap: bool,
    /// Name this chain's fork id, as of its genesis or of --at.
    #[arg(long, visible_alias = "chain", value_name = "NAME|FILE")]
    pub(crate) network: Option<String>,
    /// The head at which the fork id is taken.
    #[arg(long, value_name = "NUMBER[:TIME]", value_parser = head, requires = "network")]
    pub(crate) at: Option<(u64, u64)>,
}

/// `causeway dns`
#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// Signs a list of records and prints it as a zone file, or with --json as name and text.
    Sign(DnsSignArgs),
    /// The root of a list: its number, and whether its key signed it.
    Show(DnsReadArgs),
    /// Reads a list to its end, checks every entry and prints its records; exit code 1 if any list cannot be
    /// read.
    Sync(DnsReadArgs),
}

/// `causeway dns sign`
#[derive(Debug, Args)]
pub(crate) struct DnsSignArgs {
    /// The name that the list is published under.
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: String,
    /// File with the key that signs, which becomes a part of the list's URL; made if it is not there.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Sequence number: higher than that of the list before.
    #[arg(long, value_name = "N")]
    pub(crate) seq: u64,
    /// Another list that this one links to; repeat the flag or separate with commas.
    #[arg(long = "link", value_name = "enrtree://…", value_delimiter = ',')]
    pub(crate) links: Vec<String>,
    /// Records, or files with one in each line; - is stdin.
    #[arg(value_name = "ENR|FILE")]
    pub(crate) records: Vec<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `causeway dns show` and `causeway dns sync`
#[derive(Debug, Args)]
pub(crate) struct DnsReadArgs {
    /// enrtree://KEY@NAME
    pub(crate) url: String,
    /// Name server to ask in place of the system's.
    #[arg(long, value_name = "IP:PORT", env = "CAUSEWAY_DNS__SERVER")]
    pub(crate) server: Option<SocketAddr>,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

fn head(text: &str) -> Result<(u64, u64), String> {
    let (number, time) = text.split_once(':').unwrap_or((text, "0"));
    Ok((parse_number(number)?, parse_number(time)?))
}
