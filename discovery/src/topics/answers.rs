//! The side that others register with and ask.

use std::{
    future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use causeway_topics::{
    Budget, Message, MessageError, Parameters, Registrar, RequestFault, Secret, Sender, encode_all,
};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::sync::watch;
use tracing::debug;

use super::{TopicStats, Topics};
use crate::udp::{TalkHandler, TalkPeer};

/// Why a request gets the empty answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("it cannot be read")]
    Message(#[from] MessageError),
    #[error(transparent)]
    Request(#[from] RequestFault),
}

/// A registrar behind TALKREQ, and the numbers that everybody adds to.
pub(super) struct Answers {
    registrar: Mutex<Registrar>,
    topics: Topics,
    stats: watch::Sender<TopicStats>,
}

impl Answers {
    pub(super) fn new(
        parameters: Parameters,
        secret: Secret,
        topics: Topics,
        stats: watch::Sender<TopicStats>,
        now: Instant,
    ) -> Self {
        Self { registrar: Mutex::new(Registrar::new(parameters, secret, now)), topics, stats }
    }

    /// Never held across an await.
    pub(super) fn registrar(&self) -> MutexGuard<'_, Registrar> {
        self.registrar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the numbers; whoever watches hears of it if they did change.
    pub(super) fn count(&self, change: impl FnOnce(&mut TopicStats)) {
        self.stats.send_if_modified(|stats| {
            let before = stats.clone();
            change(stats);
            *stats != before
        });
    }

    fn reply(&self, from: TalkPeer, request: &[u8], now: Instant) -> Result<Vec<u8>, Refusal> {
        let request = Message::decode(request)?;
        let sender = Sender { node: from.node_id, ip: from.addr.ip().to_canonical() };
        let (reply, held) = {
            let mut registrar = self.registrar();
            let reply = registrar.handle_request(sender, &request, Budget::TALK, now)?;
            (reply, registrar.advertisements().len())
        };
        self.count(|stats| stats.registrations = held);
        if let Message::RegTopic(request) = &request {
            debug!(node = %from.node_id, topic = %request.topic, became = ?reply.registration, "asks to be registered");
            // Who advertises is a registrar, too.
            self.topics.offer(&request.record);
        }
        Ok(encode_all(&reply.messages))
    }
}

impl TalkHandler for Answers {
    fn answer(&self, from: TalkPeer, request: &[u8]) -> BoxFuture<'static, Vec<u8>> {
        let reply = self.reply(from, request, Instant::now());
        if let Err(refusal) = &reply {
            debug!(node = %from.node_id, addr = %from.addr, %refusal, "no answer to a request of topics");
        }
        self.count(|stats| match &reply {
            Ok(_) => stats.answered += 1,
            Err(_) => stats.refused += 1,
        });
        future::ready(reply.unwrap_or_default()).boxed()
    }
}
