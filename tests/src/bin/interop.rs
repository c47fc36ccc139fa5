//! `cargo interop`: Causeway among the real peers of `tests/peers/`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    causeway_tests::interop::main(std::env::args().skip(1).collect()).await
}
