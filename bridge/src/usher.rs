//! Tells those who serve from those who ask, among the peers that come by themselves over RLPx.
//!
//! A full node that looks for peers dials us as it dials any node. Its Status says that it serves; told ours, that
//! of a server, it would only hold the connection (les.md 3.1). So who comes over RLPx speaks first here: stock
//! peers send their Status at once, and who stays silent is greeted as a light peer after a moment. A session of a
//! full node is ended, for it has the narrow limits of one that asks, and the full node is to be dialed instead.

use std::time::Duration;

use causeway_transports::{Incoming, SessionEvent};
use causeway_wire::{
    PeerId, Stack,
    les::{Message, Version, code},
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug};

/// How long a peer may take for its Status before it is sent ours.
const SPEAKS_FIRST: Duration = Duration::from_secs(1);

/// Full nodes that came and wait to be taken note of; further ones come again.
const FULL_NODES: usize = 64;

/// Disconnect reason for a full node: we are none of its kind.
const REASON_USELESS: u8 = 0x03;

/// Where peers are shown to.
#[derive(Debug)]
pub struct Ushered {
    /// Light peers, for the [`Service`](crate::Service).
    pub light_peers: mpsc::Receiver<Incoming>,
    /// Full nodes whose sessions were ended, to be dialed.
    pub full_nodes: mpsc::Receiver<PeerId>,
}

/// Looks at each of `incoming` until `stop`. The sessions that are looked at are bounded by the transports' limits.
pub fn usher(
    mut incoming: mpsc::Receiver<Incoming>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Ushered {
    let (light, light_peers) = mpsc::channel(incoming.max_capacity());
    let (servers, full_nodes) = mpsc::channel(FULL_NODES);
    let looking = tasks.clone();
    let usher = async move {
        loop {
            let new = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                new = incoming.recv() => new,
            };
            let Some(new) = new else { return };
            let version = Version::of(new.session.capability());
            let (Stack::Devp2p, Some(version)) = (new.session.peer().stack(), version) else {
                if light.send(new).await.is_err() {
                    return;
                }
                continue;
            };
            let look = look(new, version, light.clone(), servers.clone(), stop.clone());
            looking.spawn(look.in_current_span());
        }
    };
    tasks.spawn(usher.in_current_span());
    Ushered { light_peers, full_nodes }
}

async fn look(
    mut new: Incoming,
    version: Version,
    light: mpsc::Sender<Incoming>,
    servers: mpsc::Sender<PeerId>,
    stop: CancellationToken,
) {
    let first = tokio::time::timeout(SPEAKS_FIRST, new.events.recv());
    new.early = tokio::select! {
        first = first => first.ok().flatten(),
        () = stop.cancelled() => return,
    };
    if !new.early.as_ref().is_some_and(|event| is_servers_status(event, version)) {
        // An error says that we are going down.
        let _ = light.send(new).await;
        return;
    }
    let peer = new.session.peer();
    debug!(%peer, client = new.session.client(), "a full node came: to be dialed instead");
    new.session.close(REASON_USELESS);
    let _ = servers.try_send(peer);
}

/// Whether this is a Status that promises to answer. One that cannot be read is for the service to refuse.
fn is_servers_status(event: &SessionEvent, version: Version) -> bool {
    match event {
        SessionEvent::Message { code: code::STATUS, payload, .. } => {
            let status = Message::decode(version, code::STATUS, &payload.clone().into());
            matches!(status, Ok(Message::Status(status)) if status.flow_control.is_some())
        }
        SessionEvent::Message { .. } | SessionEvent::Closed(_) => false,
    }
}
