//! The arguments that say who is let in.

use std::path::PathBuf;

use causeway_transports::Listed;
use clap::Args;

/// Who is let in, and dialed, on both stacks.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AccessArgs {
    /// Peers (16Uiu2…, 12D3Koo…, or a node key of 128 hex characters) and networks (203.0.113.0/24) with which no
    /// connection is kept; repeat the flag or separate with commas.
    #[arg(long, value_name = "PEER|NETWORK", value_delimiter = ',', env = "CAUSEWAY_DENY")]
    pub(crate) deny: Vec<Listed>,
    /// Networks that are exceptions to denied ones and to the limits per address; peers, for --only-allowed.
    #[arg(long, value_name = "PEER|NETWORK", value_delimiter = ',', env = "CAUSEWAY_ALLOW")]
    pub(crate) allow: Vec<Listed>,
    /// Let nobody else in than those allowed.
    #[arg(long, env = "CAUSEWAY_ONLY_ALLOWED")]
    pub(crate) only_allowed: bool,
    /// File with more of these, one a line: `deny WHO`, `allow WHO` or `only-allowed`; # begins a comment. Read
    /// again when it changes, and at SIGHUP.
    #[arg(long = "lists", value_name = "FILE", env = "CAUSEWAY_LISTS")]
    pub(crate) list_file: Option<PathBuf>,
}
