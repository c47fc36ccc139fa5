//! Keeps the full nodes that the user named connected.

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use causeway_bridge::{Follower, FullNodes, Upstream};
use causeway_discovery::{Candidate, DialFailure, FixedNodes};
use causeway_records::Enode;
use causeway_transports::{Address, DialError, Transports};
use causeway_verify::Root;
use causeway_wire::{Answer, HashOrNumber, NodeKey, Query};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, info, warn};

/// Pause between rounds of asking for the checkpoint's header.
const ROOT_RETRY: Duration = Duration::from_secs(2);

/// Outcomes of dials that wait for the loop.
const OUTCOMES: usize = 64;

/// The address of a full node.
fn address(enode: &Enode) -> Option<Address> {
    Some(Address::Devp2p { key: enode.key, addr: enode.tcp_addr()? })
}

/// Dials a full node and greets it.
async fn connect(transports: &Transports, nodes: &FullNodes, enode: &Enode) -> Result<Upstream, DialFailure> {
    let Some(address) = address(enode) else {
        warn!(%enode, "this enode has no address to dial: give an IP address and a TCP port");
        return Err(DialFailure::Refused);
    };
    let incoming = match transports.dial(&address).await {
        Ok(incoming) => incoming,
        Err(error) => {
            let failure = failure(&error);
            info!(%error, "full node not reached");
            return Err(failure);
        }
    };
    nodes.admit(incoming).await.map_err(|error| {
        warn!(%error, "full node refused");
        DialFailure::Refused
    })
}

fn failure(error: &DialError) -> DialFailure {
    match error {
        DialError::Myself => DialFailure::Myself,
        DialError::AlreadyConnected => DialFailure::AlreadyConnected,
        DialError::TooManyPeers | DialError::Useless { .. } => DialFailure::Refused,
        DialError::Unreachable { .. }
        | DialError::Timeout { .. }
        | DialError::WrongKey { .. }
        | DialError::Disconnected { .. }
        | DialError::Fault(_)
        | DialError::Lost { .. }
        | DialError::Libp2p(_)
        | DialError::Closing => DialFailure::Unreachable,
    }
}

/// Dials the full nodes, again and again with back-off, and follows each that agrees with us.
pub(crate) async fn keep_connected(
    transports: Transports,
    enodes: Vec<Enode>,
    nodes: Arc<FullNodes>,
    follower: Arc<Follower>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let mut fixed = FixedNodes::new(enodes);
    let (outcomes, mut finished) = mpsc::channel::<(NodeKey, Outcome)>(OUTCOMES);
    loop {
        while let Some(Candidate { enode, .. }) = fixed.poll_dial(Instant::now().into_std()) {
            let (transports, nodes) = (transports.clone(), Arc::clone(&nodes));
            let (follower, outcomes) = (Arc::clone(&follower), outcomes.clone());
            tasks.spawn(async move {
                let key = enode.key;
                let failure = match connect(&transports, &nodes, &enode).await {
                    Ok(upstream) => {
                        let _ = outcomes.send((key, Outcome::Connected)).await;
                        follower.follow(upstream).await;
                        DialFailure::Unreachable
                    }
                    Err(failure) => failure,
                };
                let _ = outcomes.send((key, Outcome::Failed(failure))).await;
            });
        }
        let due = fixed.poll_timeout().map(Instant::from_std);
        let wait = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some((key, outcome)) = finished.recv() => {
                let now = Instant::now().into_std();
                match outcome {
                    Outcome::Connected => fixed.handle_connected(key, now),
                    Outcome::Failed(failure) => fixed.handle_failure(key, failure, now),
                }
            }
            () = wait => {}
        }
    }
    for upstream in nodes.all() {
        upstream.leave();
    }
}

enum Outcome {
    Connected,
    Failed(DialFailure),
}

/// Asks the full nodes for the header of a trusted block until one shows it.
pub(crate) async fn fetch_root(
    transports: &Transports,
    nodes: &FullNodes,
    enodes: &[Enode],
    number: u64,
    hash: B256,
) -> Root {
    loop {
        for enode in enodes {
            let Ok(upstream) = connect(transports, nodes, enode).await else { continue };
            let root = root_from(&upstream, number, hash).await;
            upstream.leave();
            nodes.dismiss(&upstream);
            match root {
                Some(root) => return root,
                None => debug!("the full node does not show the checkpoint's header"),
            }
        }
        warn!(number, %hash, "no full node shows the checkpoint's header yet");
        tokio::time::sleep(ROOT_RETRY).await;
    }
}

/// The root at a trusted block, if this full node shows its header.
pub(crate) async fn root_from(upstream: &Upstream, number: u64, hash: B256) -> Option<Root> {
    let query = Query::Headers { start: HashOrNumber::Hash(hash), amount: 1, skip: 0, reverse: false };
    let Ok(Answer::Headers(headers)) = upstream.ask(query).await else { return None };
    let rlp = headers.into_iter().next()?;
    let header: alloy_consensus::Header = alloy_rlp::decode_exact(&rlp).ok()?;
    (alloy_primitives::keccak256(&rlp) == hash && header.number == number).then_some(Root::Checkpoint {
        hash,
        rlp,
        td: None,
    })
}
