//! `causeway dev`: an embedded full node, a relay before it, and a light peer that reads through the relay.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use alloy_primitives::U256;
use anyhow::{Context, bail};
use causeway_devnet::{Config, DevAccount, DevBackend, genesis};
use causeway_pool::{Named, Source};
use causeway_records::{Enode, Reach};
use causeway_transports::{ReachConfig, Transports};
use causeway_verify::ChainSpec;
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{explain, print_line, stop_signal};
use crate::{
    access::Access,
    app::{self, Relay, RelayConfig},
    cli::{BlockArg, DevArgs, Nat, Profile},
    identity,
    light::{LightConfig, LightPeer, Server, Whereabouts},
    page,
    peering::Peering,
    ports::{self, Ports},
};

/// Light peers that the embedded full node and the relay serve.
const LIGHT_PEERS: usize = 200;

/// How long the light peer may take to read everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the embedded full node's connections may take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// The embedded full node: LES over RLPx from a chain of its own.
struct FullNode {
    backend: Arc<DevBackend>,
    transports: Transports,
    enode: Enode,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl FullNode {
    async fn start(spec: &ChainSpec) -> anyhow::Result<Self> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .context("the clock stands before 1970")?;
        let backend = DevBackend::spawn(Config::at(now.as_secs()), &tasks, stop.clone())
            .context("making the embedded chain")?;
        let secret_key = identity::generate();
        let mut config = ports::transports_config(secret_key, None);
        config.client_id = format!("{}-dev-full-node", app::client_id());
        config.devp2p = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let (transports, incoming) =
            Transports::start(config).await.context("starting the embedded full node")?;
        let addr = transports.devp2p_addr().context("the embedded full node has no address")?;
        let enode = Enode::new(transports.node_key(), addr);
        let server = app::server_config(spec, secret_key, LIGHT_PEERS);
        app::serve_backend(Arc::clone(&backend), server, incoming, &tasks, stop.clone());
        Ok(Self { backend, transports, enode, tasks, stop })
    }

    async fn shutdown(self) {
        self.stop.cancel();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
    }
}

/// Runs the house; ends after the check if told so, else with Ctrl-C.
///
/// # Errors
/// If a part cannot start.
pub(crate) async fn run(args: DevArgs) -> anyhow::Result<ExitCode> {
    let stop = stop_signal()?;
    let text = genesis::genesis_json();
    if let Some(file) = &args.genesis_out {
        std::fs::write(file, &text)
            .with_context(|| format!("writing the genesis to `{}`", file.display()))?;
    }
    let spec = Arc::new(ChainSpec::from_genesis_json(page::CHAIN, &text).context("the embedded genesis")?);
    let full_node = FullNode::start(&spec).await?;
    let secret_key = match &args.listen.nodekey {
        Some(file) => identity::load_or_create(file)?,
        None => identity::generate(),
    };
    let secure_websocket = ports::secure_websocket(&args.listen, IpAddr::V4(Ipv4Addr::LOCALHOST))?;
    let relay = Relay::start(RelayConfig {
        spec: Arc::clone(&spec),
        checkpoint: None,
        peering: Peering {
            named: vec![(Named::Enode(full_node.enode.clone()), Source::Static)],
            look: None,
            reach: Reach::Local,
            nat: Nat::None,
            profile: Profile::Server,
            datadir: None,
        },
        secret_key,
        ports: Ports::new(&args.listen, IpAddr::V4(Ipv4Addr::LOCALHOST)),
        secure_websocket,
        access: Access::default(),
        reach: ReachConfig::default(),
        light_peers: LIGHT_PEERS,
        cache_bytes: 64 * 1024 * 1024,
    })
    .await?;
    print_line(&relay.ready().to_string());

    let checked = tokio::select! {
        good = check_all(&relay, &full_node, &spec) => Some(good),
        () = stop.cancelled() => None,
    };
    if checked.is_some() && !args.exit_after_check {
        invite(&relay, &full_node, &spec);
        stop.cancelled().await;
    }
    // Told to stop before the check was done: no failure, unless the check was what we were asked for.
    let good = checked.unwrap_or(!args.exit_after_check);
    relay.shutdown().await;
    full_node.shutdown().await;
    Ok(ExitCode::from(u8::from(!good)))
}

/// Reads over each transport and prints what came of it; whether every answer verified.
async fn check_all(relay: &Relay, full_node: &FullNode, spec: &Arc<ChainSpec>) -> bool {
    let mut good = true;
    for (name, marker) in [("QUIC", "/quic-v1/"), ("WebSocket", "/ws/")] {
        let checked = tokio::time::timeout(PATIENCE, check(relay, full_node, spec, name, marker)).await;
        let checked = checked.unwrap_or_else(|_| bail!("nothing within {} s", PATIENCE.as_secs()));
        if let Err(error) = checked {
            print_line(&format!("{name}: NOT VERIFIED: {}", explain(&error)));
            good = false;
        }
    }
    print_line(if good { "every answer verified" } else { "not every answer verified" });
    good
}

/// Reads one of each kind over one transport and prints what was verified and how long it took.
async fn check(
    relay: &Relay,
    full_node: &FullNode,
    spec: &Arc<ChainSpec>,
    name: &str,
    marker: &str,
) -> anyhow::Result<()> {
    let multiaddr = relay
        .multiaddrs()
        .into_iter()
        .find(|address| address.contains(marker))
        .with_context(|| format!("the relay does not listen on {name}"))?;
    let sample = full_node.backend.sample().context("the embedded chain has no transaction yet")?;
    print_line(&format!("light peer over {name}: {multiaddr}"));
    let begun = Instant::now();
    let server = Server::parse(&multiaddr, Whereabouts::default(), Reach::Local)?;
    let peer = LightPeer::connect(&server, LightConfig::new(Arc::clone(spec))).await?;
    let line = |what: &str, begun: Instant, object: &Value, told: String| {
        let took = begun.elapsed().as_secs_f64() * 1000.0;
        let by = object["by"].as_str().unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
        print_line(&format!("  {what:<9} {took:>8.1} ms  {told}  [verified: {by}]"));
    };

    let head = peer.head_object().await?;
    line("head", begun, &head, format!("block {} {}", head["number"], short(&head["hash"])));
    let block = BlockArg::Hash(sample.block);

    let begun = Instant::now();
    let header = peer.header(block).await?;
    line("header", begun, &header, format!("block {} {}", header["number"], short(&header["hash"])));

    let begun = Instant::now();
    let body = peer.body(block).await?;
    line("body", begun, &body, format!("{} transactions", length(&body["transactions"])));

    let begun = Instant::now();
    let receipts = peer.receipts(block).await?;
    line("receipts", begun, &receipts, format!("{} receipts", length(&receipts["receipts"])));

    let begun = Instant::now();
    let slots = [sample.slot, genesis::GENESIS_SLOT, U256::ZERO];
    let account = peer.account(genesis::CONTRACT, &slots, BlockArg::Head).await?;
    let slot = &account["storageProof"][0]["value"];
    line(
        "account",
        begun,
        &account,
        format!("balance {}, slot {:#x} = {slot}", account["balance"], slots[0]),
    );

    let begun = Instant::now();
    let code = peer.code(genesis::CONTRACT, BlockArg::Head).await?;
    line(
        "code",
        begun,
        &code,
        format!("{} bytes", code["code"].as_str().map_or(0, |text| text.len() / 2 - 1)),
    );

    let begun = Instant::now();
    let transaction = peer.transaction(sample.transaction).await?;
    line(
        "tx",
        begun,
        &transaction,
        format!("{} in block {}", transaction["status"], transaction["blockNumber"]),
    );
    let unverified = [&head, &header, &body, &receipts, &account, &code, &transaction]
        .into_iter()
        .filter(|object| object["verified"] != json!(true))
        .count();
    peer.leave().await;
    if unverified > 0 {
        bail!("{unverified} answers were not verified");
    }
    Ok(())
}

/// How to look around while it stays up.
fn invite(relay: &Relay, full_node: &FullNode, spec: &ChainSpec) {
    print_line("");
    print_line(
        "The house stays up until Ctrl-C. `--genesis-out FILE` writes its genesis.json for other light peers.",
    );
    for address in relay.multiaddrs() {
        print_line(&format!("  {address}"));
    }
    let [alice, ..] = DevAccount::funded();
    print_line(&format!("  full node: {}", full_node.enode));
    print_line(&format!("  funded account: {}   contract: {}", alice.address, genesis::CONTRACT));
    let ready = relay.ready();
    let accounts = [alice.address, genesis::CONTRACT];
    let link = ready["http"].as_str().and_then(|http| page::link(http, &relay.multiaddrs(), spec, &accounts));
    if let Some(link) = link {
        print_line(&format!("  in a browser: {link}"));
    }
}

fn short(value: &Value) -> String {
    value.as_str().map_or_else(String::new, |text| text.chars().take(12).collect())
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}
