//! Light peers that break the framing, the handshake or all measure: their sessions end, others do not notice,
//! and nothing is left of them.

use std::time::Duration;

use bytes::Bytes;
use causeway_host::{Host, HostConfig, ProtocolStream};
use causeway_tests::{
    house::{Chain, FullNode, Relay, RelayOptions, Way, eventually, fresh_key, transports_config},
    light_peer::{Heard, LightPeer, client_status},
    probe::{self, Probe},
};
use causeway_transports::{Address, CloseReason, TransportsConfig};
use causeway_wire::{
    HashOrNumber, NetworkId, Query,
    les::{Message, Version, code, limit},
};
use tokio::time::{Instant, timeout};

/// Longest wait for the end of a session that broke a rule.
const SOON: Duration = Duration::from_secs(20);

/// The ways that carry bare streams.
const STREAMS: [Way; 3] = [Way::Tcp, Way::Quic, Way::WebSocket];

struct House {
    chain: Chain,
    full_node: FullNode,
    relay: Relay,
}

impl House {
    async fn start() -> Self {
        let chain = Chain::new(4);
        let full_node = FullNode::start(&chain).await;
        let relay = Relay::start(RelayOptions::default()).await;
        relay.admit(&full_node.address()).await.expect("it is honest");
        relay.reaches(chain.head().head.hash).await;
        Self { chain, full_node, relay }
    }

    fn multiaddr(&self, way: Way) -> String {
        match self.relay.address(way) {
            Address::Multiaddr(text) => text,
            Address::Devp2p { .. } => panic!("RLPx carries no bare streams"),
        }
    }

    async fn stream(&self, way: Way) -> Raw {
        Raw::open(&self.multiaddr(way), Version::Les4).await
    }

    /// A light peer that keeps the rules is answered meanwhile.
    async fn still_serves(&self) {
        let (mut peer, _) = LightPeer::greet(&self.relay.address(Way::Tcp), Version::Les4).await;
        let answer = peer.ask(Probe::Body.query(&self.chain.backend)).await;
        assert!(probe::same(&answer, &Probe::Body.answer(&self.chain.backend)));
        peer.leave().await;
    }

    /// Nothing is left of anybody.
    async fn stop(self) {
        self.still_serves().await;
        self.relay.is_idle().await;
        self.relay.stop().await;
        self.full_node.stop().await;
    }
}

/// A bare stream to the relay.
struct Raw {
    host: Host,
    stream: ProtocolStream,
}

impl Raw {
    async fn host() -> Host {
        causeway_host::install_crypto_provider();
        let mut config = HostConfig::new(fresh_key().to_secret_bytes(), Vec::new());
        config.item_limits = causeway_host::ItemLimits::all(16 << 20);
        config.limits.streams = 4_000;
        config.limits.outbound_protocol_streams = 4_000;
        Host::start(config).await.expect("nothing has to be bound").0
    }

    async fn open(address: &str, version: Version) -> Self {
        let host = Self::host().await;
        let stream = host.open(address, &[version.capability()]).await.expect("the relay takes streams");
        Self { host, stream }
    }

    async fn greet(&mut self) {
        let status = Message::Status(client_status(Version::Les4)).encode(Version::Les4);
        self.stream.writer.write_item(code::STATUS, &status).await.expect("the stream lives");
        let item = self.stream.reader.read_item(None).await.expect("a status").expect("a status");
        assert_eq!(item.code, code::STATUS);
    }

    /// Sends bytes; the relay may have ended the stream already.
    async fn write(&mut self, bytes: &[u8]) {
        let _ = timeout(SOON, self.stream.writer.write_for_test(bytes)).await;
    }

    /// Reads until the relay ends the stream.
    async fn ends(&mut self) {
        let end = async { while let Ok(Some(_)) = self.stream.reader.read_item(None).await {} };
        timeout(SOON, end).await.expect("the relay ends the stream");
    }

    async fn leave(self) {
        drop(self.stream);
        self.host.shutdown().await;
    }
}

/// A list header for `length` bytes of content.
fn list_header(length: u32) -> Vec<u8> {
    [&[0xfb][..], &length.to_be_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_items_end_the_stream() {
    let house = House::start().await;
    let request_over = limit::REQUEST_BYTES as u32 + 1;
    let table: [(&str, Vec<u8>); 12] = [
        ("a string", vec![0x83, 1, 2, 3]),
        ("zeroes", vec![0; 100]),
        ("text", b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n".to_vec()),
        ("an empty list", vec![0xc0]),
        ("a code alone", vec![0xc1, 0x02]),
        ("a list for a code", vec![0xc2, 0xc0, 0xc0]),
        ("something behind the payload", vec![0xc3, 0x02, 0xc0, 0xc0]),
        ("a length in a longer form", vec![0xf8, 0x02, 0x02, 0xc0]),
        (
            "a request over its limit",
            [list_header(request_over + 5), vec![0x02], list_header(request_over)].concat(),
        ),
        (
            "a transaction over its limit",
            [list_header(1 << 20 | 9), vec![0x13], list_header(1 << 20 | 1)].concat(),
        ),
        ("four gigabytes", vec![0xfb, 0xff, 0xff, 0xff, 0xff, 0x02]),
        ("all there is", vec![0xff; 9]),
    ];
    for (index, (name, bytes)) in table.into_iter().enumerate() {
        let way = STREAMS[index % STREAMS.len()];
        for greeted in [false, true] {
            let mut raw = house.stream(way).await;
            if greeted {
                raw.greet().await;
            }
            raw.write(&bytes).await;
            let begun = Instant::now();
            raw.ends().await;
            // Not by the five seconds for the Status, nor by the thirty for an item.
            assert!(begun.elapsed() < Duration::from_secs(4), "{name} over {way:?}, greeted: {greeted}");
            raw.leave().await;
        }
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_break_the_handshake_end_the_session() {
    let house = House::start().await;
    let status = |alter: fn(&mut causeway_wire::les::Status)| {
        let mut status = client_status(Version::Les4);
        alter(&mut status);
        Message::Status(status)
    };
    let wrong = [
        ("wrong genesis", status(|status| status.genesis.0[0] ^= 1)),
        ("wrong network", status(|status| status.network = NetworkId(1))),
        ("wrong version", status(|status| status.version = 2)),
        ("no fork id", status(|status| status.fork_id = None)),
        (
            "foreign fork id",
            status(|status| {
                status.fork_id = Some(causeway_wire::ForkId { hash: [9; 4], next: 0 });
            }),
        ),
    ];
    let request = Message::Request { id: causeway_wire::RequestId(1), query: Query::Bodies(Vec::new()) };
    for (way, (name, status)) in Way::ALL.into_iter().cycle().zip(wrong) {
        let mut peer = LightPeer::dial(&house.relay.address(way), Version::Les4).await;
        peer.send(&status);
        peer.send(&request);
        loop {
            match peer.hear().await {
                Heard::Message(Message::Status(_)) => {}
                Heard::Message(other) => panic!("{name}: {other:?}"),
                Heard::End(_) => break,
            }
        }
        peer.leave().await;
    }
    for way in Way::ALL {
        let mut early = LightPeer::dial(&house.relay.address(way), Version::Les4).await;
        early.send(&request);
        early.end().await;
        early.leave().await;
        let (mut twice, _) = LightPeer::greet(&house.relay.address(way), Version::Les4).await;
        twice.send(&Message::Status(twice.status()));
        twice.end().await;
        twice.leave().await;
        let (mut garbage, _) = LightPeer::greet(&house.relay.address(way), Version::Les4).await;
        garbage.send_raw(code::GET_BLOCK_BODIES, Bytes::from_static(&[0xc2, 0x01, 0x02]));
        garbage.end().await;
        garbage.leave().await;
    }
    house.stop().await;
}

/// Real time: these are the protocol's own five seconds.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_for_five_seconds_is_left() {
    let house = House::start().await;
    let begun = Instant::now();
    let mut silent = Vec::new();
    for way in STREAMS {
        silent.push(house.stream(way).await);
    }
    // One that begins a Status and drips it.
    let mut dripping = house.stream(Way::Quic).await;
    let status = Message::Status(client_status(Version::Les4)).encode(Version::Les4);
    let item = causeway_host::encode_item(code::STATUS, &status);
    let drip = async {
        for byte in item.chunks(1) {
            if dripping.stream.writer.write_for_test(byte).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        dripping.ends().await;
    };

    let all = async {
        for raw in &mut silent {
            raw.ends().await;
        }
    };
    let both = async { tokio::join!(drip, all) };
    timeout(Duration::from_secs(12), both).await.expect("their time is over");

    assert!(begun.elapsed() >= Duration::from_millis(4_900), "{:?}", begun.elapsed());
    dripping.leave().await;
    for raw in silent {
        raw.leave().await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_of_a_connection_is_ended_and_the_first_lives_on() {
    let house = House::start().await;
    for way in STREAMS {
        let mut first = house.stream(way).await;
        first.greet().await;

        let second = first.host.open(&house.multiaddr(way), &[Version::Les4.capability()]).await;
        if let Ok(mut second) = second {
            let item = timeout(SOON, second.reader.read_item(None)).await.expect("it is ended");
            assert!(!matches!(item, Ok(Some(_))), "a Status on the second stream: {item:?}");
        }

        let query = Query::Headers { start: HashOrNumber::Number(1), amount: 1, skip: 0, reverse: false };
        let request = Message::Request { id: causeway_wire::RequestId(7), query };
        let payload = request.encode(Version::Les4);
        first.stream.writer.write_item(request.code(), &payload).await.expect("the first lives on");
        let item = timeout(SOON, first.stream.reader.read_item(None)).await.expect("answered");
        assert_eq!(item.expect("read").expect("an item").code, code::BLOCK_HEADERS);
        first.leave().await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_connection_replaces_the_older_one() {
    let house = House::start().await;
    let key = fresh_key();
    for (older, newer) in [(Way::Tcp, Way::Quic), (Way::Quic, Way::WebSocket), (Way::WebSocket, Way::Tcp)] {
        let mut old = LightPeer::dial_as(key, &house.relay.address(older), Version::Les4).await;
        old.send(&Message::Status(old.status()));
        old.hear_status().await;

        let mut new = LightPeer::dial_as(key, &house.relay.address(newer), Version::Les4).await;
        new.send(&Message::Status(new.status()));

        old.end().await;
        new.hear_status().await;
        let answer = new.ask(Probe::Code.query(&house.chain.backend)).await;
        assert_eq!(answer, Probe::Code.answer(&house.chain.backend));
        eventually("one session is left", || house.relay.counts().sessions() == 1).await;
        old.leave().await;
        new.leave().await;
        house.relay.is_idle().await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_again_and_again_gets_in_each_time() {
    let house = House::start().await;
    let key = fresh_key();
    let mut left_behind = Vec::new();
    for way in STREAMS.into_iter().cycle().take(9) {
        let mut phone = LightPeer::dial_as(key, &house.relay.address(way), Version::Les4).await;
        phone.send(&Message::Status(phone.status()));
        phone.hear_status().await;
        left_behind.push(phone); // as it was, neither ended nor closed
    }

    eventually("one session is left", || house.relay.counts().sessions() == 1).await;
    for phone in left_behind {
        phone.leave().await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_leave_one_session() {
    let house = House::start().await;
    for way in STREAMS {
        let host = Raw::host().await;
        let address = house.multiaddr(way);
        let mut opening = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let (host, address) = (host.clone(), address.clone());
            opening.spawn(async move { host.open(&address, &[Version::Les4.capability()]).await });
        }
        let mut most = 0;
        let mut opened = Vec::new();
        while let Some(stream) = opening.join_next().await {
            opened.extend(stream.expect("no panic").ok());
            most = most.max(house.relay.counts().sessions());
        }
        // It may open as many connections as one peer is allowed, each replacing the one before.
        assert!(most <= 4, "{most} sessions over {way:?}");
        eventually("one session is left", || house.relay.counts().sessions() <= 1).await;
        assert!(house.relay.transports.counts().sessions() <= 2, "{:?}", house.relay.transports.counts());
        drop(opened);
        host.shutdown().await;
        house.relay.is_idle().await;
    }
    house.stop().await;
}

/// A peer that asks for everything and reads nothing: what waits for it is bounded, and others are served.
#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_is_bounded_by_its_window() {
    let house = House::start().await;
    let mut deaf = Vec::new();
    for way in Way::ALL {
        let mut config = transports_config(fresh_key(), "Deaf");
        config.limits.window = 1;
        let config = TransportsConfig { capabilities: vec![Version::Les4.capability()], ..config };
        let (transports, _) = causeway_transports::Transports::start(config).await.expect("starts");
        let incoming = transports.dial(&house.relay.address(way)).await.expect("taken in");
        let status = Message::Status(client_status(Version::Les4));
        incoming.session.try_send(status.code(), status.encode(Version::Les4).into()).expect("room");
        for id in 0..2_000 {
            let query =
                Query::Headers { start: HashOrNumber::Number(0), amount: 192, skip: 0, reverse: false };
            let request = Message::Request { id: causeway_wire::RequestId(id), query };
            if incoming.session.try_send(request.code(), request.encode(Version::Les4).into()).is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        deaf.push((transports, incoming));
    }

    for _ in 0..20 {
        assert!(house.relay.counts().messages() <= 16 * Way::ALL.len() as u64);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.still_serves().await;

    for (transports, incoming) in deaf {
        drop(incoming);
        transports.shutdown(Duration::from_secs(5)).await;
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_light_peers_than_are_served_are_closed() {
    let chain = Chain::new(2);
    let full_node = FullNode::start(&chain).await;
    let relay = Relay::start(RelayOptions { max_sessions: 2, ..RelayOptions::default() }).await;
    relay.admit(&full_node.address()).await.expect("it is honest");
    relay.reaches(chain.head().head.hash).await;
    let (first, _) = LightPeer::greet(&relay.address(Way::Tcp), Version::Les4).await;
    let (second, _) = LightPeer::greet(&relay.address(Way::Rlpx), Version::Les4).await;

    let mut third = LightPeer::dial(&relay.address(Way::Quic), Version::Les4).await;
    third.send(&Message::Status(third.status()));
    let end = third.end().await;
    assert!(!matches!(end, CloseReason::Local), "{end}");

    second.leave().await;
    eventually("its place is free", || relay.counts().sessions() == 1).await;
    let (fourth, _) = LightPeer::greet(&relay.address(Way::WebSocket), Version::Les4).await;
    for peer in [first, third, fourth] {
        peer.leave().await;
    }
    relay.is_idle().await;
    relay.stop().await;
    full_node.stop().await;
}
