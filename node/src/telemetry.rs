//! Logs to stderr.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging. `RUST_LOG` wins over the verbosity.
pub(crate) fn start(verbosity: u8, format: LogFormat) {
    let ours = match verbosity {
        0 => "off",
        1 => "error",
        2 => "warn",
        3 => "info",
        4 => "debug",
        _ => "trace",
    };
    // The libraries below us log a line for each stranger's mistake; theirs are for their own authors.
    let crates = [
        "causeway",
        "causeway_bridge",
        "causeway_devnet",
        "causeway_discovery",
        "causeway_discv4",
        "causeway_host",
        "causeway_pool",
        "causeway_rlpx",
        "causeway_topics",
        "causeway_translate",
        "causeway_transports",
    ];
    let default = crates.iter().fold("error".to_owned(), |filter, name| format!("{filter},{name}={ours}"));
    let default = if verbosity == 0 { "off".to_owned() } else { default };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_target(false);
    match format {
        LogFormat::Text => builder.with_ansi(stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}
