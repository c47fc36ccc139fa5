//! `cargo run --release -p causeway-tests --bin measure`: time, CPU and memory of the host beside others.

use std::process::ExitCode;

/// The product's: memory is compared.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    causeway_tests::measure::main(std::env::args().skip(1).collect()).await
}
