//! Writes the development chain for other programs: `genesis.json`, `chain.rlp` (200 blocks) and
//! `branch.rlp` (the same chain after a reorganisation of 5 blocks), into the directory given.
//!
//! `geth init genesis.json && geth import chain.rlp branch.rlp` executes and accepts them.

use std::path::PathBuf;

use causeway_devnet::{Config, DevChain, genesis, genesis_json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("name a directory")?);
    let now = genesis::TIMESTAMP + 10_000;
    let mut chain = DevChain::new(Config { history: 199, ..Config::at(now) })?;
    chain.advance(now + 7)?;
    std::fs::write(directory.join("genesis.json"), genesis_json())?;
    std::fs::write(directory.join("chain.rlp"), chain.export_rlp()?)?;
    chain.reorg(5, now + 20)?;
    std::fs::write(directory.join("branch.rlp"), chain.export_rlp()?)?;
    Ok(())
}
