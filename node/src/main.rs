//! The `causeway` binary.
//!
//! Owns: the process: command line, configuration, building and ending everything.
//! Must not know: protocol bytes.
//! Start at: [`cli::Cli`] and [`app::Relay`].  Told by: `tests/tests/command_line.rs` and `cargo interop`.

mod access;
mod app;
mod cli;
mod commands;
mod dialing;
mod http;
mod identity;
mod inbound;
mod light;
mod mapping;
mod network;
mod page;
mod peering;
mod ports;
mod reachability;
mod record;
mod relays;
mod rendezvous;
mod telemetry;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use cli::{Cli, Command};

/// Gives memory back after many peers left, as glibc's allocator does not.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Exit code for a failure (deploy guide, section 4).
const FAILED: u8 = 1;

fn main() -> ExitCode {
    causeway_transports::install_crypto_provider();
    let mut matches = cli::without_empty_variables(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| error.exit());
    telemetry::start(cli.verbosity, cli.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("causeway: the async runtime cannot start: {error}");
            return ExitCode::from(FAILED);
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => commands::run::run(*args).await,
            Command::Dev(args) => commands::dev::run(args).await,
            Command::Light(args) => commands::light::run(args).await,
            Command::Health(args) => commands::health::run(args).await,
            Command::Peers(args) => commands::peers::run(args).await,
            Command::Netcheck(args) => commands::netcheck::run(args).await,
            Command::Enr(command) => commands::enr::run(command),
            Command::Dns(command) => commands::dns::run(command).await,
        }
    });
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("causeway: {}", commands::explain(&error));
            ExitCode::from(FAILED)
        }
    }
}
