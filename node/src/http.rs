//! Status and health over HTTP, on loopback unless the user says otherwise. Read-only.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State as Extract,
    http::StatusCode,
    response::{
        IntoResponse, Sse,
        sse::{Event, KeepAlive},
    },
    routing::get,
};
use causeway_bridge::{Counts, Follower, FullNodes};
use causeway_discovery::Discovery;
use causeway_pool::PoolEvent;
use causeway_transports::{Connected, Transports, peer_id_text};
use causeway_verify::ChainSpec;
use causeway_wire::Heartbeat;
use futures::{Stream, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::broadcast::error::RecvError};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::reachability::Watched;

/// What status and health are told from.
#[derive(Debug)]
pub(crate) struct State {
    spec: Arc<ChainSpec>,
    nodes: Arc<FullNodes>,
    transports: Transports,
    discovery: Discovery,
    reached: Watched,
    tasks: TaskTracker,
    serving: OnceLock<(Arc<Follower>, Arc<Counts>)>,
    draining: AtomicBool,
    /// No question is answered any more.
    stop: CancellationToken,
}

impl State {
    /// Before anything is served.
    pub(crate) fn new(
        spec: Arc<ChainSpec>,
        nodes: Arc<FullNodes>,
        transports: Transports,
        discovery: Discovery,
        reached: Watched,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let (serving, draining) = (OnceLock::new(), AtomicBool::new(false));
        Self { spec, nodes, transports, discovery, reached, tasks, serving, draining, stop }
    }

    /// The chain is there and light peers are served from now on.
    pub(crate) fn serving(&self, follower: Arc<Follower>, counts: Arc<Counts>) {
        let _ = self.serving.set((follower, counts));
    }

    /// The end has begun: not ready any more.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn status(&self) -> Value {
        let upstreams: Vec<_> = self
            .nodes
            .all()
            .iter()
            .map(|upstream| {
                let tip = upstream.tip().borrow().head;
                let (failures, pending, latency) = upstream.burden();
                json!({
                    "peer": upstream.peer().to_string(),
                    "client": upstream.client(),
                    "relay": upstream.is_relay(),
                    "head": tip.number,
                    "failures": failures,
                    "pending": pending,
                    "latencyMicros": latency,
                })
            })
            .collect();
        let (head, seal, counts) = match self.serving.get() {
            None => (Value::Null, "", None),
            Some((follower, counts)) => {
                let seal = follower.chain().seal_rule();
                let head = follower.heads().borrow().as_ref().map_or(Value::Null, |update| {
                    json!({ "number": update.head.number, "hash": update.head.hash, "totalDifficulty": update.head.td })
                });
                (head, seal, Some(counts))
            }
        };
        let count = |of: fn(&Counts) -> u64| counts.map_or(0, |counts| of(counts));
        json!({
            "schema": 1,
            "client": crate::app::client_id(),
            "network": self.spec.name,
            "genesis": self.spec.genesis_hash,
            "head": head,
            "checkedBy": seal,
            "upstreams": upstreams,
            "sessions": count(Counts::sessions),
            "tickets": count(Counts::tickets),
            "messages": count(Counts::messages),
            "served": count(Counts::served),
            "refused": count(Counts::refused),
            "tasks": self.tasks.len(),
            "connections": self.transports.counts().sessions(),
            "reachability": self.reached.object(),
            "libp2pRestarts": self.transports.restarts(),
        })
    }

    /// Every peer that the pool knows, with counts; and every session, also of light peers whose key their id does
    /// not tell, and which the pool does not know therefore.
    async fn peers(&self) -> Value {
        let view = self.discovery.view().await;
        let record = self.discovery.record().borrow().to_string();
        let sessions = self.transports.connected();
        let (summary, mut peers, udp, topics) = match view {
            Some(view) => (json!(view.summary), json!(view.peers), json!(view.udp), json!(view.topics)),
            None => (Value::Null, json!([]), Value::Null, Value::Null),
        };
        let by_key: HashMap<String, &Connected> =
            sessions.iter().filter_map(|session| Some((session.node_key?.to_string(), session))).collect();
        for peer in peers.as_array_mut().into_iter().flatten() {
            let session = peer["nodeKey"].as_str().and_then(|key| by_key.get(key));
            peer["heartbeat"] = session.map_or(Value::Null, |session| heartbeat_object(&session.heartbeat));
            // The pool heard at the session's beginning, when identify had often not come yet.
            if let Some(session) = session.filter(|session| !session.client.is_empty()) {
                peer["client"] = json!(session.client);
            }
        }
        json!({
            "schema": 1,
            "enr": record,
            "summary": summary,
            "discovery": udp,
            "topics": topics,
            "peers": peers,
            "sessions": sessions.iter().map(session_object).collect::<Vec<_>>(),
        })
    }

    fn is_ready(&self) -> Result<(), &'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("going down");
        }
        let Some((follower, _)) = self.serving.get() else { return Err("the chain's root is not there yet") };
        if self.nodes.count() == 0 {
            return Err("no full node is connected");
        }
        if follower.heads().borrow().is_none() {
            return Err("the chain has not been followed to its head yet");
        }
        Ok(())
    }
}

fn session_object(session: &Connected) -> Value {
    json!({
        "peer": peer_id_text(&session.peer),
        "nodeKey": session.node_key.map(|key| key.to_string()),
        "transport": session.transport,
        "inbound": session.inbound,
        "client": session.client,
        "heartbeat": heartbeat_object(&session.heartbeat),
    })
}

/// Round trips are `null` before the first; fractions of a millisecond count on a LAN.
fn heartbeat_object(heartbeat: &Heartbeat) -> Value {
    let millis = |trip: Duration| (trip.as_secs_f64() * 1e6).round() / 1e3;
    json!({
        "intervalSeconds": heartbeat.interval.as_secs(),
        "rttMillis": heartbeat.round_trip.map(|trip| millis(trip.smoothed)),
        "lastMillis": heartbeat.round_trip.map(|trip| millis(trip.last)),
        "shortestMillis": heartbeat.round_trip.map(|trip| millis(trip.shortest)),
        "missed": heartbeat.missed,
        "missedEver": heartbeat.missed_ever,
    })
}

/// Serves until `stop`.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>) {
    let stop = state.stop.clone();
    let router = Router::new()
        .route("/status", get(|Extract(state): Extract<Arc<State>>| async move { Json(state.status()) }))
        .route("/peers", get(|Extract(state): Extract<Arc<State>>| async move { Json(state.peers().await) }))
        .route(
            "/reachability",
            get(|Extract(state): Extract<Arc<State>>| async move { Json(state.reached.object()) }),
        )
        .route("/events", get(events))
        .route("/livez", get(|| async { Json(json!({ "ok": true })) }))
        .route("/startupz", get(|| async { Json(json!({ "ok": true })) }))
        .route("/readyz", get(ready))
        .merge(crate::page::routes(&state.spec))
        .with_state(state);
    let serve = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = serve.await {
        warn!(%error, "status and health ended");
    }
}

async fn ready(Extract(state): Extract<Arc<State>>) -> impl IntoResponse {
    match state.is_ready() {
        Ok(()) => (StatusCode::OK, Json(json!({ "ok": true }))),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "ok": false, "reason": reason }))),
    }
}

/// Who comes and goes, as server-sent events. A listener that falls behind is told how many it missed.
async fn events(
    Extract(state): Extract<Arc<State>>,
) -> Sse<impl Stream<Item = Result<Event, std::convert::Infallible>>> {
    let begin = (state.discovery.events(), state.stop.clone());
    let stream = stream::unfold(begin, |(mut events, stop)| async move {
        let event = tokio::select! {
            () = stop.cancelled() => return None,
            event = events.recv() => event,
        };
        let event = match event {
            Ok(event) => event_object(&event),
            Err(RecvError::Lagged(missed)) => json!({ "event": "missed", "events": missed }),
            Err(RecvError::Closed) => return None,
        };
        Some((Ok(Event::default().data(event.to_string())), (events, stop)))
    });
    Sse::new(stream).keep_alive(KeepAlive::default())
}

fn event_object(event: &PoolEvent) -> Value {
    match event {
        PoolEvent::Connected { key, role, stack, inbound, source } => json!({
            "event": "connected",
            "nodeKey": key.to_string(),
            "role": role,
            "stack": stack.to_string(),
            "inbound": inbound,
            "source": source,
        }),
        PoolEvent::Disconnected { key, role, why, lasted } => json!({
            "event": "disconnected",
            "nodeKey": key.to_string(),
            "role": role,
            "why": why,
            "seconds": lasted.as_secs(),
        }),
        PoolEvent::Summary(summary) => json!({ "event": "summary", "summary": summary }),
    }
}
