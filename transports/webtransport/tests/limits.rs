//! Clients that break the rules or want too much, and what it costs them; others notice nothing.

mod kit;

use std::time::Duration;

use bytes::Bytes;
use kit::{Client, Node, PATH, PATIENCE, capsule, frame, request, varint};
use libp2p_core::Multiaddr;
use libp2p_identity::Keypair;
use webtransport::{Error, FrameError, HandshakeError, QpackError, RequestError, SessionError};

/// Codes of RFC 9114, section 8.1, and of the drafts of WebTransport.
const STREAM_CREATION_ERROR: u64 = 0x103;
const CLOSED_CRITICAL_STREAM: u64 = 0x104;
const FRAME_UNEXPECTED: u64 = 0x105;
const EXCESSIVE_LOAD: u64 = 0x107;
const MISSING_SETTINGS: u64 = 0x10a;
const MESSAGE_ERROR: u64 = 0x10e;
const DECOMPRESSION_FAILED: u64 = 0x200;
const BUFFERED_STREAM_REJECTED: u64 = 0x3994_bd84;

const SHORT: Duration = Duration::from_millis(300);

fn handshake(error: Error) -> HandshakeError {
    match error {
        Error::Handshake(error) => error,
        other => panic!("{other:?}"),
    }
}

async fn session(address: &Multiaddr) -> Client {
    let (client, _) = Client::session(address, &Keypair::generate_ed25519()).await.expect("a session");
    client
}

#[tokio::test]
async fn who_falls_silent_on_the_way_is_dropped() {
    let (mut node, address) = Node::start(|config| config.limits.handshake_time = SHORT).await;

    let silent = Client::dial(&address).await.expect("a connection");
    assert!(matches!(handshake(node.failed().await), HandshakeError::Timeout(SHORT)));
    assert_eq!(silent.closed().await, EXCESSIVE_LOAD);

    let mut without_settings = Client::dial(&address).await.expect("a connection");
    without_settings.send_request(&request(PATH)).await;
    assert!(matches!(handshake(node.failed().await), HandshakeError::Timeout(SHORT)));
    assert!(without_settings.status().await.is_err(), "no answer before the settings");

    let mut without_noise = Client::dial(&address).await.expect("a connection");
    without_noise.send_settings().await;
    without_noise.send_request(&request(PATH)).await;
    assert_eq!(without_noise.status().await, Ok(vec![0, 0, 0xd9]));
    assert!(matches!(handshake(node.failed().await), HandshakeError::Timeout(SHORT)));

    let report = node.handle.report();
    assert_eq!((report.connections, report.handshakes), (0, 0));
}

#[tokio::test]
async fn requests_for_something_else_are_told_so() {
    let (mut node, address) = Node::start(|_| ()).await;
    for (path, status, expected) in [
        ("/", vec![0, 0, 0xdb], RequestError::Path),
        ("/.well-known/libp2p-webtransport", vec![0, 0, 0xff, 4], RequestError::Security),
    ] {
        let mut client = Client::dial(&address).await.expect("a connection");
        client.send_settings().await;
        client.send_request(&request(path)).await;

        assert_eq!(client.status().await, Ok(status));
        let HandshakeError::Request(error) = handshake(node.failed().await) else { panic!("{path}") };
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn broken_requests_cost_the_connection() {
    let (mut node, address) = Node::start(|config| config.limits.headers = 1000).await;
    let too_long = [varint(1), varint(1001)].concat();
    let cases: [(&[u8], u64); 5] = [
        (&too_long, EXCESSIVE_LOAD),
        (&frame(0, b"data first"), FRAME_UNEXPECTED),
        (&frame(1, &[0, 0, 0x80]), DECOMPRESSION_FAILED),
        (&frame(1, &[&[0, 0][..], &[0xd1; 40]].concat()), DECOMPRESSION_FAILED),
        (&[varint(0x41), varint(0)].concat(), FRAME_UNEXPECTED),
    ];
    for (bytes, code) in cases {
        let mut client = Client::dial(&address).await.expect("a connection");
        client.send_settings().await;
        client.send_request(bytes).await;

        assert_eq!(client.closed().await, code);
        let error = handshake(node.failed().await);
        assert!(
            matches!(
                error,
                HandshakeError::Session(SessionError::Frame(
                    FrameError::TooLong { kind: 1, length: 1001, max: 1000 } | FrameError::Unexpected(_)
                )) | HandshakeError::Fields(QpackError::Dynamic | QpackError::TooLarge(1000))
            ),
            "{error:?}"
        );
    }
    let _honest = session(&address).await;
}

#[tokio::test]
async fn broken_control_streams_cost_the_connection() {
    let (mut node, address) = Node::start(|_| ()).await;
    let cases: [(&[u8], u64); 5] = [
        (&[vec![0], frame(0x21, b"grease before settings")].concat(), MISSING_SETTINGS),
        (&[vec![0], frame(4, &[]), frame(4, &[])].concat(), FRAME_UNEXPECTED),
        (&[vec![0], varint(4), varint(1 << 20)].concat(), EXCESSIVE_LOAD),
        (&[1], STREAM_CREATION_ERROR),
        (&[vec![2], vec![0x20; 5000]].concat(), EXCESSIVE_LOAD),
    ];
    for (bytes, code) in cases {
        let client = Client::dial(&address).await.expect("a connection");
        let _stream = client.unidirectional(bytes).await;

        assert_eq!(client.closed().await, code);
        assert!(matches!(handshake(node.failed().await), HandshakeError::Session(_)));
    }
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let (mut node, address) = Node::start(|config| config.limits.connections_of_one = 2).await;
    let first = session(&address).await;
    node.session().await;
    let second = session(&address).await;
    node.session().await;

    let refused = Client::dial(&address).await.err().expect("refused");

    assert!(matches!(refused, quinn::ConnectionError::ConnectionClosed(_)), "{refused:?}");
    assert_eq!(node.handle.report().refused, 1);
    assert!(second.echoes(b"unharmed").await);

    first.connection.close(0_u32.into(), b"");
    node.ended().await;
    session(&address).await;
}

#[tokio::test]
async fn under_load_clients_show_their_address_first() {
    let (node, address) = Node::start(|config| config.limits.retry_from = 0).await;

    let client = session(&address).await;

    assert!(client.echoes(b"a round trip later").await);
    assert_eq!(node.handle.report().retried, 1);
}

#[tokio::test]
async fn so_many_streams_are_open_at_once() {
    let (_node, address) = Node::start(|config| config.limits.streams = 4).await;
    let client = session(&address).await;
    let mut streams = Vec::new();

    while let Ok(stream) = tokio::time::timeout(SHORT, client.open(client.id())).await {
        streams.push(stream);
        assert!(streams.len() <= 6);
    }
    assert!(streams.len() >= 4);

    drop(streams);
    let echoes = tokio::time::timeout(PATIENCE, client.echoes(b"room again")).await;
    assert_eq!(echoes, Ok(true));
}

#[tokio::test]
async fn the_client_ends_the_session_with_a_capsule_or_the_stream() {
    let (mut node, address) = Node::start(|_| ()).await;

    let mut client = session(&address).await;
    node.session().await;
    client.say(&capsule(0x190b_4d3d, &[1])).await; // of flow control, which is not in use
    client.say(&capsule(0x78ae, &[])).await;
    assert!(client.echoes(b"draining is not the end").await);
    client.say(&capsule(0x2843, b"\0\0\0\x07bye")).await;
    let SessionError::Closed { code, reason } = node.ended().await else { panic!("not closed") };
    assert_eq!((code, reason.as_str()), (7, "bye"));

    let mut client = session(&address).await;
    node.session().await;
    let (send, _) = client.connect.as_mut().expect("a request");
    send.finish().expect("open");
    assert!(matches!(node.ended().await, SessionError::Closed { code: 0, .. }));
}

#[tokio::test]
async fn sessions_that_break_the_rules_are_over() {
    let (mut node, address) = Node::start(|_| ()).await;
    for (bytes, expected) in [
        (capsule(0x2843, &[0; 3]), MESSAGE_ERROR),
        (frame(1, &[0, 0, 0xd1]), FRAME_UNEXPECTED),
        (frame(0x21, &vec![0; 70_000]), EXCESSIVE_LOAD),
    ] {
        let mut client = session(&address).await;
        node.session().await;
        client.say(&bytes).await;
        assert_eq!(client.closed().await, expected);
        node.ended().await;
    }

    let client = session(&address).await;
    node.session().await;
    let _second_control = client.unidirectional(&[0]).await;
    assert_eq!(client.closed().await, STREAM_CREATION_ERROR);
    assert!(matches!(node.ended().await, SessionError::StreamCreation(0)));

    let mut client = session(&address).await;
    node.session().await;
    client.end_control();
    assert_eq!(client.closed().await, CLOSED_CRITICAL_STREAM);
    assert!(matches!(node.ended().await, SessionError::CriticalStream("control")));
}

#[tokio::test]
async fn what_is_not_for_us_is_refused_and_does_no_harm() {
    let (_node, address) = Node::start(|_| ()).await;
    let client = session(&address).await;

    for _ in 0..100 {
        // An error only if our own buffer is full.
        let _ = client.connection.send_datagram(Bytes::from_static(&[0; 1000]));
    }
    let unidirectional = client.unidirectional(&[varint(0x54), varint(client.id())].concat()).await;
    assert_eq!(
        unidirectional.stopped().await,
        Ok(Some(quinn::VarInt::from_u32(BUFFERED_STREAM_REJECTED as u32)))
    );
    for _ in 0..20 {
        client.unidirectional(&varint(0x21 + 0x1f * 1000)).await;
    }
    let mut other_session = client.open(client.id() + 4).await;
    let refused = other_session.recv.read_to_end(10).await;
    assert!(
        matches!(&refused, Err(quinn::ReadToEndError::Read(quinn::ReadError::Reset(code)))
            if u64::from(*code) == BUFFERED_STREAM_REJECTED),
        "{refused:?}"
    );
    for _ in 0..20 {
        let mut reset = client.open(client.id()).await;
        reset.send.reset(0x52e4_a40f_a8db_u64.try_into().expect("small")).expect("open");
    }

    assert!(client.echoes(&vec![3; 100_000]).await);
}
