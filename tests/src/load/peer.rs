//! A light peer that only asks: one connection, one session, the server's credit respected.

use std::{str::FromStr, time::Duration};

use anyhow::Context;
use causeway_bridge::Upstream;
use causeway_records::Enode;
use causeway_translate::{AccountKeyForm, AskError, ChainIdentity, ClientConfig};
use causeway_transports::{Address, Limits, Transports, TransportsConfig};
use causeway_verify::ChainSpec;
use causeway_wire::{Answer, Query, les::Version};
use secp256k1::SecretKey;
use tokio_util::task::TaskTracker;

use super::PATIENCE;

/// How long the goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connected light peer with a key of its own.
#[derive(Clone, Debug)]
pub struct LightPeer {
    transports: Transports,
    upstream: Upstream,
    tasks: TaskTracker,
}

impl LightPeer {
    /// Connects to an enode URL or a multiaddr.
    ///
    /// # Errors
    /// If nobody is there, or the server is on another chain.
    pub async fn connect(address: &str, spec: &ChainSpec) -> anyhow::Result<Self> {
        let config = TransportsConfig {
            secret_key: random_key(),
            client_id: concat!("CausewayLoad/v", env!("CARGO_PKG_VERSION"), "/rust").to_owned(),
            capabilities: Version::ALL.into_iter().map(Version::capability).collect(),
            devp2p: None,
            libp2p_tcp: None,
            libp2p_quic: None,
            websocket: None,
            secure_websocket: None,
            webtransport: None,
            webrtc_direct: None,
            trusted_roots: Vec::new(),
            external_addresses: Vec::new(),
            dial_guard: causeway_transports::DialGuard::Any,
            rendezvous_server: None,
            reach: causeway_transports::ReachConfig::default(),
            limits: Limits::default(),
            lists: causeway_transports::Lists::default(),
        };
        let (transports, _) = Transports::start(config).await?;
        let tasks = TaskTracker::new();
        let incoming =
            transports.dial(&parse(address)?).await.with_context(|| format!("dialing {address}"))?;
        let upstream = Upstream::greet(incoming, client_config(spec), rand::random(), &tasks).await?;
        Ok(Self { transports, upstream, tasks })
    }

    /// Asks; the answer is not verified.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn ask(&self, query: Query) -> Result<Answer, AskError> {
        self.upstream.ask(query).await
    }

    /// The number of the server's head, by its Status.
    pub fn head(&self) -> u64 {
        self.upstream.status().head.number
    }

    /// Ends the session and everything behind it.
    pub async fn leave(self) {
        self.upstream.leave();
        self.transports.shutdown(FAREWELL).await;
        self.tasks.close();
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
    }
}

fn client_config(spec: &ChainSpec) -> ClientConfig {
    ClientConfig {
        chain: ChainIdentity {
            network: spec.network,
            genesis: spec.genesis_hash,
            genesis_td: spec.genesis.difficulty,
            forks: spec.fork_filter(0, spec.genesis.timestamp),
        },
        signed: false,
        origins: false,
        heartbeat: None,
        patience: PATIENCE,
        max_queue: 4096,
        account_key: AccountKeyForm::Hash,
    }
}

fn parse(address: &str) -> anyhow::Result<Address> {
    if address.starts_with('/') {
        return Ok(Address::Multiaddr(address.to_owned()));
    }
    let enode = Enode::from_str(address).with_context(|| format!("{address} is no enode URL"))?;
    let addr = enode.tcp_addr().context("the enode URL has no IP address and TCP port")?;
    Ok(Address::Devp2p { key: enode.key, addr })
}

/// A key that nobody else has.
fn random_key() -> SecretKey {
    loop {
        if let Ok(key) = SecretKey::from_secret_bytes(rand::random()) {
            return key;
        }
    }
}
