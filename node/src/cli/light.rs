//! The arguments of `causeway light`.

use std::{net::SocketAddr, path::PathBuf};

use alloy_primitives::{Address, B256, Bytes, U256};
use clap::{Args, Subcommand};

use super::{NetworkArgs, parse_number};

/// `causeway light`
#[derive(Debug, Args)]
pub(crate) struct LightArgs {
    /// A multiaddr (/ip4/…/p2p/…), an enode (enode://…), a node record (enr:…), a list of them in the DNS
    /// (enrtree://…), or the PeerId of a node that is to be looked for (16Uiu2…).
    pub(crate) address: String,
    /// What to read.
    #[command(subcommand)]
    pub(crate) command: LightCommand,
    /// The chain.
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    /// The block at which state is read: a number, a hash, or `head`.
    #[arg(long, global = true, value_name = "BLOCK", default_value = "head")]
    pub(crate) at: BlockArg,
    /// Full nodes whose signed announcements you trust (node keys or enodes); the head is then the one that
    /// enough of them signed.
    #[arg(long, global = true, value_name = "KEY", value_delimiter = ',')]
    pub(crate) trusted: Vec<String>,
    /// Where to begin to look for a PeerId, as node records or enode URLs; the network's own unless given.
    #[arg(long, global = true, value_name = "ENR|ENODE", value_delimiter = ',')]
    pub(crate) bootnodes: Vec<String>,
    /// Lists of node records in the DNS in which a PeerId is looked for; the network's own unless given.
    #[arg(long = "dns", global = true, value_name = "ENRTREE", value_delimiter = ',')]
    pub(crate) lists: Vec<String>,
    /// Name server to ask in place of the system's, for enrtree://….
    #[arg(long = "dns.server", global = true, value_name = "IP:PORT", env = "CAUSEWAY_DNS__SERVER")]
    pub(crate) name_server: Option<SocketAddr>,
    /// Dial private and loopback addresses that others name, too.
    #[arg(long = "discovery.local", global = true)]
    pub(crate) local: bool,
    /// Percent of the trusted full nodes that must agree.
    #[arg(long, global = true, value_name = "PERCENT", default_value_t = 75, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) fraction: u8,
    /// Ask the server for so many seconds between two pings, 5 to 600: the more, the longer a phone's radio sleeps,
    /// and the later it is noticed that the server is gone.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=600))]
    pub(crate) heartbeat: u64,
    /// Certificates that are trusted for WebSocket over TLS beside those of the web, as a PEM file: for a relay
    /// with a certificate of its own making.
    #[arg(long = "tls.root", global = true, value_name = "FILE")]
    pub(crate) tls_root: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Give up after so many seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
}

/// What a light peer reads.
#[derive(Debug, Subcommand)]
pub(crate) enum LightCommand {
    /// The head.
    Head,
    /// A header.
    Header {
        /// Number or hash.
        block: BlockArg,
    },
    /// A block's transactions, uncles and withdrawals.
    Body {
        /// Number or hash; --at unless given.
        block: Option<BlockArg>,
    },
    /// A block's receipts.
    Receipts {
        /// Number or hash; --at unless given.
        block: Option<BlockArg>,
    },
    /// An account with its proof, and slots of its storage.
    Account {
        /// The account.
        address: Address,
        /// Slots to prove; repeat the flag or separate with commas.
        #[arg(long = "slot", value_name = "SLOT", value_delimiter = ',', value_parser = slot)]
        slots: Vec<U256>,
    },
    /// An account's code.
    Code {
        /// The account.
        address: Address,
    },
    /// What became of a transaction.
    Tx {
        /// Its hash.
        hash: B256,
    },
    /// Sends a signed transaction.
    Send {
        /// Its bytes, hex.
        raw: Bytes,
    },
    /// Prints each new head until Ctrl-C; with --json also how the session goes, whenever that changes. A session
    /// that is lost is sought until there is one again.
    Watch,
    /// A header by number with a proof from the canonical hash trie.
    Cht {
        /// The block's number.
        number: u64,
    },
}

/// A block as a user names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockArg {
    /// The head.
    Head,
    /// By number.
    Number(u64),
    /// By hash.
    Hash(B256),
}

impl std::str::FromStr for BlockArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if matches!(text, "head" | "latest") {
            return Ok(Self::Head);
        }
        if text.len() == 66 || (text.len() == 64 && !text.starts_with("0x")) {
            return text.parse().map(Self::Hash).map_err(|error| format!("not a block hash: {error}"));
        }
        parse_number(text).map(Self::Number)
    }
}

fn slot(text: &str) -> Result<U256, String> {
    text.parse().map_err(|error| format!("`{text}` is not a slot (a number or 0x and hex): {error}"))
}
