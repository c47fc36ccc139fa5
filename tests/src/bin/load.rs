//! `cargo run --profile interop -p causeway-tests --bin load`: a load on a LES server, or geth against Causeway.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    causeway_tests::load::main(std::env::args().skip(1).collect()).await
}
