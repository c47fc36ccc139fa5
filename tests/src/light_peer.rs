//! A light peer that checks nothing by itself: sends what a story wants and tells what came.

use std::time::Duration;

use bytes::Bytes;
use causeway_transports::{
    Address, CloseReason, Incoming, MessageLimits, SessionEvent, Transports, TransportsConfig,
};
use causeway_wire::{
    Answer, Head, Query, RequestId,
    les::{AnnounceKind, Message, Serving, Status, Version},
};
use secp256k1::SecretKey;
use tokio::time::timeout;

use crate::house::{FAREWELL, PATIENCE, chain_identity, fresh_key, transports_config};

/// What a light peer heard.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "few of them live at once")]
pub enum Heard {
    /// A message.
    Message(Message),
    /// The session's end.
    End(CloseReason),
}

/// A light peer on one session.
#[derive(Debug)]
pub struct LightPeer {
    transports: Transports,
    /// The session.
    pub incoming: Incoming,
    /// What is spoken.
    pub version: Version,
    next_id: u64,
}

impl LightPeer {
    /// Dials with a key of its own; nothing is sent yet.
    pub async fn dial(address: &Address, version: Version) -> Self {
        Self::dial_as(fresh_key(), address, version).await
    }

    /// Dials with this key.
    pub async fn dial_as(key: SecretKey, address: &Address, version: Version) -> Self {
        let config = TransportsConfig {
            capabilities: vec![version.capability()],
            ..transports_config(key, "LightPeer")
        };
        Self::dial_with(config, address, version).await
    }

    /// Dials with these transports.
    pub async fn dial_with(mut config: TransportsConfig, address: &Address, version: Version) -> Self {
        // Whatever a server sends is let through to the story.
        config.limits.messages = MessageLimits { dialed: 16 * 1024 * 1024, ..MessageLimits::default() };
        config.limits.window = 256;
        let (transports, _) = Transports::start(config).await.expect("nothing has to be bound");
        let incoming = transports.dial(address).await.expect("the relay takes light peers");
        Self { transports, incoming, version, next_id: 1 }
    }

    /// Dials and greets; gives the server's Status too.
    pub async fn greet(address: &Address, version: Version) -> (Self, Status) {
        let mut peer = Self::dial(address, version).await;
        peer.send(&Message::Status(peer.status()));
        let status = peer.hear_status().await;
        (peer, status)
    }

    /// The Status of a client of the development chain.
    pub fn status(&self) -> Status {
        client_status(self.version)
    }

    /// Sends a message.
    pub fn send(&self, message: &Message) {
        self.send_raw(message.code(), message.encode(self.version).into());
    }

    /// Sends any payload; nothing if the session has ended.
    pub fn send_raw(&self, code: u64, payload: Bytes) {
        let _ = self.incoming.session.try_send(code, payload);
    }

    /// Sends a request; gives its id.
    pub fn request(&mut self, query: Query) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.send(&Message::Request { id, query });
        id
    }

    /// What comes next.
    pub async fn hear(&mut self) -> Heard {
        self.hear_within(PATIENCE).await.expect("something is heard in time")
    }

    /// What comes next, if anything comes in time.
    pub async fn hear_within(&mut self, limit: Duration) -> Option<Heard> {
        match timeout(limit, self.incoming.events.recv()).await.ok()? {
            Some(SessionEvent::Message { code, payload, .. }) => {
                let message = Message::decode(self.version, code, &payload.into());
                Some(Heard::Message(message.expect("the relay's messages can be read")))
            }
            Some(SessionEvent::Closed(reason)) => Some(Heard::End(reason)),
            None => Some(Heard::End(CloseReason::Local)),
        }
    }

    /// The next message.
    ///
    /// # Panics
    /// If the session ends.
    pub async fn message(&mut self) -> Message {
        match self.hear().await {
            Heard::Message(message) => message,
            Heard::End(reason) => panic!("the session ended: {reason}"),
        }
    }

    /// The server's Status, which comes first.
    pub async fn hear_status(&mut self) -> Status {
        match self.message().await {
            Message::Status(status) => status,
            other => panic!("not a status: {other:?}"),
        }
    }

    /// The next answer, with its id and the buffer; announcements before it are passed over.
    pub async fn response(&mut self) -> (RequestId, u64, Answer) {
        loop {
            match self.message().await {
                Message::Response { id, buffer, answer } => return (id, buffer, answer),
                Message::Announce(_) => {}
                other => panic!("not an answer: {other:?}"),
            }
        }
    }

    /// The session's end; whatever comes before it is passed over.
    pub async fn end(&mut self) -> CloseReason {
        loop {
            if let Heard::End(reason) = self.hear().await {
                return reason;
            }
        }
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&mut self, query: Query) -> Answer {
        let asked = self.request(query);
        let (id, _, answer) = self.response().await;
        assert_eq!(id, asked, "the answer to another question");
        answer
    }

    /// Says goodbye.
    pub async fn leave(self) {
        self.transports.shutdown(FAREWELL).await;
    }
}

/// The Status of a client of the development chain.
pub fn client_status(version: Version) -> Status {
    let chain = chain_identity();
    let forks = chain.forks.current();
    Status {
        version: version.number(),
        network: chain.network,
        head: Head { hash: Default::default(), number: 0, td: Default::default() },
        genesis: chain.genesis,
        fork_id: (version == Version::Les4)
            .then_some(causeway_wire::ForkId { hash: forks.hash.0, next: forks.next }),
        announce: Some(AnnounceKind::Simple),
        serving: Serving::default(),
        recent_tx_lookup: None,
        flow_control: None,
        checkpoint: None,
        checkpoint_height: None,
        origins: false,
        heartbeat: None,
    }
}
