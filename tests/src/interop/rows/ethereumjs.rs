//! Causeway before EthereumJS, which serves headers only and words some messages in its own way.

use anyhow::ensure;

use crate::interop::{
    Stage,
    geth::{Geth, Options},
    light,
    process::{GONE, PATIENCE, Peer},
    relay::{self, Relay, Way},
};

pub(super) async fn run(stage: Stage) -> anyhow::Result<String> {
    // geth makes the chain; EthereumJS serves it.
    let geth = Geth::start(&stage, "geth", Options::default()).await?;
    let datadir = stage.dir.join("ethereumjs-data");
    std::fs::create_dir_all(&datadir)?;
    let script = stage.workshop.ethereumjs.join("server.mjs");
    let arguments = [&script, &geth.genesis_file, &geth.chain_file, &datadir];
    let ethereumjs = Peer::start(&stage, "ethereumjs", "node".as_ref(), arguments)?;
    let enode = ethereumjs.ready().await?["enode"].as_str().unwrap_or_default().to_owned();

    let relay = Relay::start(&stage, "relay", &geth.genesis_file, &[enode]).await?;
    relay.at_head(geth.number()).await?;
    let addresses = relay.addresses(&Way::LIBP2P)?;
    let mut js = light::js(&stage, "js", &geth, &addresses, &["--headers-only".to_owned()])?;
    light::checked(&js, &addresses).await?;
    js.end(PATIENCE).await?;
    for way in Way::ALL {
        let address = relay.address(way)?;
        let read = relay::light(&stage, &geth.genesis_file, &address, &["header", "50"], PATIENCE).await?;
        ensure!(
            read.verified && read.object["number"] == "0x32",
            "header 50 over {}: {}",
            way.name(),
            read.object
        );
    }

    // What EthereumJS does not serve is not served by us either, and nobody hangs.
    let address = relay.address(Way::Tcp)?;
    let body = relay::light(
        &stage,
        &geth.genesis_file,
        &address,
        &["body", "--at", "6", "--timeout", "5"],
        PATIENCE,
    );
    ensure!(!body.await?.verified, "a body from a server without bodies");
    relay.idle(GONE).await?;
    relay.stop().await?;
    Ok("headers verified on four transports".to_owned())
}
