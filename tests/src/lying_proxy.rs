//! A man in the middle on RLPx: takes a LES client in, asks a real full node, and alters what it chooses.
//!
//! It ends RLPx on both sides with keys of its own, so the client is pointed at the proxy's enode. Lengths and
//! nesting of what it alters stay as they are: only the meaning is false.

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_primitives::B256;
use anyhow::Context;
use bytes::Bytes;
use causeway_translate::sign_head;
use causeway_transports::{
    Address, CloseReason, Incoming, Limits, SendError, Session, SessionEvent, Transports, TransportsConfig,
};
use causeway_wire::{
    NodeKey,
    les::{Message, Version, code},
};
use secp256k1::SecretKey;
use tokio::sync::{mpsc, watch};

/// How long the proxy waits for room in a side's outbox, and how often it looks.
const OUTBOX_PATIENCE: Duration = Duration::from_secs(10);
const OUTBOX_LOOK: Duration = Duration::from_millis(2);

/// How long its ends may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Devp2p reason "client quitting".
const QUITTING: u8 = 0x08;

/// A shorter string is left alone in headers, bodies, receipts and trie nodes.
const SHORTEST: usize = 20;

/// What the proxy lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Nothing: everything passes as it is.
    Nothing,
    /// One byte of a header.
    Headers,
    /// One byte of a body.
    Bodies,
    /// One byte of a receipt.
    Receipts,
    /// One byte of a trie node.
    Proofs,
    /// One byte of a code.
    Codes,
    /// A transaction's status, or where it is said to be.
    TransactionStatus,
    /// The hash of an announced head, signed by the proxy if the client wants signatures.
    Announce,
}

impl Lie {
    /// Every lie.
    pub const ALL: [Self; 7] = [
        Self::Headers,
        Self::Bodies,
        Self::Receipts,
        Self::Proofs,
        Self::Codes,
        Self::TransactionStatus,
        Self::Announce,
    ];

    /// Its name for tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Headers => "headers",
            Self::Bodies => "bodies",
            Self::Receipts => "receipts",
            Self::Proofs => "proofs",
            Self::Codes => "codes",
            Self::TransactionStatus => "tx-status",
            Self::Announce => "announce",
        }
    }

    fn code(self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Headers => Some(code::BLOCK_HEADERS),
            Self::Bodies => Some(code::BLOCK_BODIES),
            Self::Receipts => Some(code::RECEIPTS),
            Self::Proofs => Some(code::PROOFS_V2),
            Self::Codes => Some(code::CONTRACT_CODES),
            Self::TransactionStatus => Some(code::TX_STATUS),
            Self::Announce => Some(code::ANNOUNCE),
        }
    }
}

/// A running proxy; it ends with [`LyingProxy::stop`].
#[derive(Debug)]
pub struct LyingProxy {
    transports: Transports,
    addr: SocketAddr,
    told: Arc<Told>,
    /// How many clients have left, and why the last did.
    left: watch::Receiver<(usize, Option<CloseReason>)>,
}

/// What the sessions of a proxy share.
#[derive(Debug)]
struct Told {
    lie: Lie,
    /// Which of the places that could be altered is.
    place: usize,
    key: SecretKey,
    upstream: Address,
    altered: AtomicU64,
    left: watch::Sender<(usize, Option<CloseReason>)>,
}

impl LyingProxy {
    /// Listens on a free port of loopback, before the full node with this key.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start(lie: Lie, place: usize, key: NodeKey, addr: SocketAddr) -> anyhow::Result<Self> {
        let secret = random_key()?;
        let config = config(secret, Version::ALL.map(Version::capability).to_vec(), true);
        let (transports, clients) = Transports::start(config).await.context("the proxy's listener")?;
        let own = transports.devp2p_addr().context("the proxy has an address")?;
        let (gone, left) = watch::channel((0, None));
        let upstream = Address::Devp2p { key, addr };
        let altered = AtomicU64::new(0);
        let told = Arc::new(Told { lie, place, key: secret, upstream, altered, left: gone });
        tokio::spawn(serve(Arc::clone(&told), clients));
        Ok(Self { transports, addr: own, told, left })
    }

    /// The URL that clients dial.
    pub fn enode(&self) -> String {
        format!("enode://{}@{}", self.transports.node_key(), self.addr)
    }

    /// Answers altered so far.
    pub fn altered(&self) -> u64 {
        self.told.altered.load(Ordering::Relaxed)
    }

    /// Waits until a client has left after it was lied to; says how.
    pub async fn left(&self) -> Option<CloseReason> {
        let mut left = self.left.clone();
        left.wait_for(|(count, _)| *count > 0 && self.altered() > 0)
            .await
            .ok()
            .and_then(|left| left.1.clone())
    }

    /// Ends it.
    pub async fn stop(self) {
        self.transports.shutdown(FAREWELL).await;
    }
}

fn random_key() -> anyhow::Result<SecretKey> {
    SecretKey::from_secret_bytes(rand::random()).context("a random key is valid but for one in 2^128")
}

fn config(
    secret_key: SecretKey,
    capabilities: Vec<causeway_wire::Capability>,
    listens: bool,
) -> TransportsConfig {
    TransportsConfig {
        secret_key,
        client_id: "lying-proxy".to_owned(),
        capabilities,
        devp2p: listens.then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
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
    }
}

async fn serve(told: Arc<Told>, mut clients: mpsc::Receiver<Incoming>) {
    while let Some(client) = clients.recv().await {
        let told = Arc::clone(&told);
        tokio::spawn(async move {
            let reason = match between(&told, client).await {
                Ok(reason) => reason,
                Err(error) => Some(CloseReason::Lost(format!("{error:#}"))),
            };
            if let Some(reason) = reason {
                told.left.send_modify(|left| *left = (left.0 + 1, Some(reason)));
            }
        });
    }
}

/// Carries messages both ways; says how the client left, or nothing if the full node did.
async fn between(told: &Told, mut client: Incoming) -> anyhow::Result<Option<CloseReason>> {
    let capability = client.session.capability().clone();
    let version = Version::of(&capability).context("a LES session")?;
    // A key of its own: the full node takes each key once.
    let (outward, _) = Transports::start(config(random_key()?, vec![capability], false)).await?;
    let mut server = outward.dial(&told.upstream).await.context("dialing the full node")?;
    let reason = loop {
        tokio::select! {
            event = client.events.recv() => match event {
                Some(SessionEvent::Message { code, payload, slot }) => {
                    pass(&server.session, code, payload).await?;
                    drop(slot);
                }
                Some(SessionEvent::Closed(reason)) => break Some(reason),
                None => break Some(CloseReason::Local),
            },
            event = server.events.recv() => match event {
                Some(SessionEvent::Message { code, payload, slot }) => {
                    let payload = told.alter(version, code, payload);
                    pass(&client.session, code, payload).await?;
                    drop(slot);
                }
                Some(SessionEvent::Closed(_)) | None => break None,
            },
        }
    };
    client.session.close(QUITTING);
    server.session.close(QUITTING);
    outward.shutdown(FAREWELL).await;
    Ok(reason)
}

/// Sends a message once there is room for it. A side that has gone is noticed by its events.
async fn pass(session: &Session, code: u64, payload: Bytes) -> anyhow::Result<()> {
    let room = async {
        while session.try_send(code, payload.clone()) == Err(SendError::Full) {
            tokio::time::sleep(OUTBOX_LOOK).await;
        }
    };
    tokio::time::timeout(OUTBOX_PATIENCE, room).await.context("a side does not read")
}

impl Told {
    fn alter(&self, version: Version, message: u64, payload: Bytes) -> Bytes {
        if message == code::ANNOUNCE {
            return self.announce(version, payload);
        }
        if self.lie.code() != Some(message) {
            return payload;
        }
        let Some(altered) = alter_answer(&payload, self.lie, self.place) else { return payload };
        self.altered.fetch_add(1, Ordering::Relaxed);
        altered
    }

    /// An announcement is signed by who sends it, so that is the proxy, whether it lies or not.
    fn announce(&self, version: Version, payload: Bytes) -> Bytes {
        let Ok(Message::Announce(mut announce)) =
            Message::decode(version, code::ANNOUNCE, &payload.clone().into())
        else {
            return payload;
        };
        let Some(head) = &mut announce.head else { return payload };
        if self.lie == Lie::Announce {
            head.hash = flipped(head.hash);
            self.altered.fetch_add(1, Ordering::Relaxed);
        }
        announce.signature = announce.signature.is_some().then(|| sign_head(head, &self.key));
        Message::Announce(announce).encode(version).into()
    }
}

fn flipped(mut hash: B256) -> B256 {
    hash.0[31] ^= 1;
    hash
}

/// Flips one bit in one string among an answer's items; nothing if there is none that could be altered.
fn alter_answer(payload: &[u8], lie: Lie, place: usize) -> Option<Bytes> {
    let shortest = match lie {
        Lie::Codes | Lie::TransactionStatus => 1,
        _ => SHORTEST,
    };
    let answer = children(payload, item(payload, 0)?.inner)?;
    let items = answer.get(2)?; // behind the request's id and the buffer
    let mut strings = Vec::new();
    collect(payload, items, &mut strings)?;
    strings.retain(|string| string.len() >= shortest);
    let string = strings.get(place % strings.len().max(1))?;
    let mut altered = payload.to_vec();
    *altered.get_mut(string.end - 1)? ^= 1;
    Some(altered.into())
}

/// An RLP item: all of it, and what is in it.
struct Item {
    whole: Range<usize>,
    inner: Range<usize>,
    is_list: bool,
}

fn item(bytes: &[u8], at: usize) -> Option<Item> {
    let first = *bytes.get(at)?;
    let (is_list, head, length) = match first {
        ..0x80 => (false, 0, 1),
        0x80..0xb8 => (false, 1, usize::from(first - 0x80)),
        0xb8..0xc0 => long(bytes, at, first - 0xb7, false)?,
        0xc0..0xf8 => (true, 1, usize::from(first - 0xc0)),
        0xf8.. => long(bytes, at, first - 0xf7, true)?,
    };
    let inner = at + head..at.checked_add(head)?.checked_add(length)?;
    (inner.end <= bytes.len()).then_some(Item { whole: at..inner.end, inner, is_list })
}

fn long(bytes: &[u8], at: usize, size: u8, is_list: bool) -> Option<(bool, usize, usize)> {
    let size = usize::from(size);
    let digits = bytes.get(at + 1..at + 1 + size)?;
    let length = digits
        .iter()
        .try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add(usize::from(*digit)))?;
    Some((is_list, 1 + size, length))
}

fn children(bytes: &[u8], range: Range<usize>) -> Option<Vec<Item>> {
    let mut children = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let child = item(bytes, at)?;
        at = child.whole.end;
        children.push(child);
    }
    Some(children)
}

/// The contents of every string in an item, in order.
fn collect(bytes: &[u8], item: &Item, strings: &mut Vec<Range<usize>>) -> Option<()> {
    if !item.is_list {
        strings.push(item.inner.clone());
        return Some(());
    }
    for child in children(bytes, item.inner.clone())? {
        collect(bytes, &child, strings)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use causeway_wire::{Answer, RequestId};

    use super::*;

    fn codes(code: &[u8]) -> Bytes {
        let answer = Answer::Codes(vec![Bytes::copy_from_slice(code).into()]);
        Message::Response { id: RequestId(7), buffer: 9, answer }.encode(Version::Les4).into()
    }

    #[test]
    fn one_bit_of_the_chosen_kind_is_altered_and_the_rest_stays_readable() {
        let honest = codes(&[0x60; 40]);

        let altered = alter_answer(&honest, Lie::Codes, 3).expect("something to alter");

        let differing: u32 = honest.iter().zip(&altered).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(differing, 1);
        assert_eq!(honest.len(), altered.len());
        assert!(Message::decode(Version::Les4, code::CONTRACT_CODES, &altered.into()).is_ok());
    }

    #[test]
    fn an_answer_without_items_is_left_alone() {
        let empty = Message::Response { id: RequestId(7), buffer: 9, answer: Answer::Bodies(Vec::new()) };

        assert_eq!(alter_answer(&empty.encode(Version::Les4), Lie::Bodies, 0), None);
    }
}
