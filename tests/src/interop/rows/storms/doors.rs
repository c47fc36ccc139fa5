//! Where a relay listens, as storms need it.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;

use crate::interop::{
    Stage,
    geth::Geth,
    relay::{Relay, Way},
};

/// Every door of a relay.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) stage: Stage,
    pub(super) tcp: SocketAddr,
    pub(super) ws: SocketAddr,
    pub(super) wss: SocketAddr,
    pub(super) quic: SocketAddr,
    pub(super) webtransport: SocketAddr,
    pub(super) devp2p: SocketAddr,
    /// Multiaddrs of TCP, WebSocket, QUIC and WebTransport.
    pub(super) multiaddrs: Vec<(&'static str, String)>,
    /// The full node behind it.
    pub(super) geth: Arc<Geth>,
}

impl Doors {
    pub(super) fn of(stage: &Stage, geth: &Arc<Geth>, relay: &Relay) -> anyhow::Result<Self> {
        let socket = |way| socket_of(&relay.address(way)?);
        let named = |way: Way| anyhow::Ok((way.name(), relay.address(way)?));
        let enode = relay.address(Way::Devp2p)?;
        let devp2p = enode.split('@').nth(1).and_then(|rest| rest.split('?').next());
        Ok(Self {
            stage: stage.clone(),
            tcp: socket(Way::Tcp)?,
            ws: socket(Way::WebSocket)?,
            wss: socket(Way::SecureWebSocket)?,
            quic: socket(Way::Quic)?,
            webtransport: socket(Way::WebTransport)?,
            devp2p: devp2p.context("the enode has an address")?.parse()?,
            multiaddrs: [Way::Tcp, Way::WebSocket, Way::Quic, Way::WebTransport]
                .into_iter()
                .map(named)
                .collect::<Result<_, _>>()?,
            geth: Arc::clone(geth),
        })
    }
}

fn socket_of(multiaddr: &str) -> anyhow::Result<SocketAddr> {
    let mut parts = multiaddr.split('/').skip(2);
    let ip = parts.next().with_context(|| format!("an address in {multiaddr}"))?;
    let port = parts.nth(1).with_context(|| format!("a port in {multiaddr}"))?;
    Ok(SocketAddr::new(ip.parse()?, port.parse()?))
}
