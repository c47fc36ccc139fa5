//! Tells discovery which peers came by themselves, so that nobody is dialed who is here already.

use std::collections::BTreeSet;

use causeway_discovery::{Discovery, Report};
use causeway_pool::{Connected, Failure, Role};
use causeway_transports::Transports;
use causeway_wire::{NodeKey, PeerId, Stack};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Runs until `stop`. Peers whose key cannot be known from their id (ed25519) are nobody that is dialed.
pub(crate) async fn tell(transports: Transports, discovery: Discovery, stop: CancellationToken) {
    let mut changes = transports.changes();
    let mut told: BTreeSet<(NodeKey, Stack)> = BTreeSet::new();
    loop {
        changes.borrow_and_update();
        let mut here = BTreeSet::new();
        for peer in transports.connected() {
            let Some(key) = peer.node_key.filter(|_| peer.inbound) else { continue };
            here.insert((key, peer.stack));
            if told.contains(&(key, peer.stack)) {
                continue;
            }
            let connected =
                Connected { stack: peer.stack, inbound: true, role: Role::LightPeer, client: peer.client };
            discovery.report(Report::Connected(key, connected)).await;
        }
        for (key, stack) in told.difference(&here) {
            discovery.report(Report::Disconnected(*key, *stack, true, Failure::Left)).await;
        }
        told = here;
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}

/// Tells discovery which full nodes came, so that they are dialed. Runs until `stop`.
pub(crate) async fn offer(
    mut full_nodes: mpsc::Receiver<PeerId>,
    discovery: Discovery,
    stop: CancellationToken,
) {
    loop {
        let peer = tokio::select! {
            () = stop.cancelled() => return,
            peer = full_nodes.recv() => peer,
        };
        let Some(peer) = peer else { return };
        if let Some(key) = causeway_transports::node_key(&peer) {
            discovery.report(Report::Offer(key)).await;
        }
    }
}
