//! Light peers that read slowly: who reads at all gets everything it asked for.

use std::{sync::Arc, time::Duration};

use alloy_primitives::B256;
use causeway_bridge::{Backend, BackendError, Service};
use causeway_tests::{
    house::{any_port, devp2p_address, fresh_key, server_config, spec, transports_config},
    light_peer::client_status,
};
use causeway_transports::{Address, SessionEvent, Transports, TransportsConfig};
use causeway_wire::{
    Answer, Head, HeadUpdate, Query, RequestId,
    les::{Message, Version, code, limit},
};
use futures::{FutureExt, future::BoxFuture};
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Questions under way at once: a whole window.
const WINDOW: u64 = 16;

/// A backend whose every body has two megabytes, as full blocks of a busy chain do together.
#[derive(Debug)]
struct Fat(watch::Sender<Option<Arc<HeadUpdate>>>);

impl Backend for Fat {
    fn answer(&self, query: Query) -> BoxFuture<'_, Result<Answer, BackendError>> {
        let body = |_| {
            let mut body = Vec::new();
            causeway_wire::rlp::put_list(&mut body, |out| out.extend(vec![0x80; limit::SOFT_ANSWER_BYTES]));
            body.into()
        };
        let answer = match query {
            Query::Bodies(blocks) => Ok(Answer::Bodies(blocks.iter().map(body).collect())),
            _ => Err(BackendError::NotServed),
        };
        std::future::ready(answer).boxed()
    }

    fn heads(&self) -> watch::Receiver<Option<Arc<HeadUpdate>>> {
        self.0.subscribe()
    }
}

fn genesis_head() -> HeadUpdate {
    let spec = spec();
    let head = Head { hash: spec.genesis_hash, number: 0, td: spec.genesis.difficulty };
    HeadUpdate { head, timestamp: 0, lineage: Arc::new([head.hash]), origins: Arc::new([]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_of_large_answers_waits_for_its_reader() {
    let key = fresh_key();
    let config = TransportsConfig {
        devp2p: Some(any_port()),
        libp2p_tcp: Some(any_port()),
        ..transports_config(key, "Fat")
    };
    let (server, incoming) = Transports::start(config).await.expect("ports are free");
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let backend = Arc::new(Fat(watch::Sender::new(Some(Arc::new(genesis_head())))));
    let service = Service::new(backend, server_config(key, Duration::from_secs(20)), tasks.clone());
    let counts = service.counts();
    tasks.spawn(service.run(incoming, stop.clone()));
    let libp2p = Address::Multiaddr(server.multiaddrs().first().expect("it listens").clone());

    for address in [devp2p_address(&server), libp2p] {
        let mut config = transports_config(fresh_key(), "Slow");
        config.limits.window = 1;
        let (transports, _) = Transports::start(config).await.expect("starts");
        let mut peer = transports.dial(&address).await.expect("taken in");
        let send = |message: &Message| {
            let payload = message.encode(Version::Les4).into();
            peer.session.try_send(message.code(), payload).expect("room");
        };
        send(&Message::Status(client_status(Version::Les4)));
        for id in 0..WINDOW {
            let query = Query::Bodies(vec![B256::with_last_byte(id as u8)]);
            send(&Message::Request { id: RequestId(id), query });
        }
        tokio::time::sleep(Duration::from_millis(500)).await; // all answers are ready, none is read

        let mut answered = 0;
        while answered < WINDOW {
            let event = timeout(Duration::from_secs(20), peer.events.recv()).await.expect("in time");
            match event.expect("the session lives") {
                SessionEvent::Message { code: code::BLOCK_BODIES, payload, .. } => {
                    assert!(payload.len() > limit::SOFT_ANSWER_BYTES);
                    answered += 1;
                }
                SessionEvent::Message { .. } => {}
                SessionEvent::Closed(reason) => panic!("{reason} after {answered} answers"),
            }
        }
        drop(peer);
        transports.shutdown(Duration::from_secs(5)).await;
    }

    stop.cancel();
    server.shutdown(Duration::from_secs(5)).await;
    tasks.close();
    tasks.wait().await;
    assert_eq!((counts.sessions(), counts.messages()), (0, 0));
}
