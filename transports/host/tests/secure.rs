//! Secure WebSockets: who gets in, how certificates are exchanged, what strangers can hold up.

mod pair;

use std::{net::SocketAddr, time::Duration};

use causeway_host::{CertificateError, Host, HostConfig, HostError, Listen, OpenError, ProtocolStream};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, timeout},
};

use pair::{
    LES, Pair, Transport,
    certificate::{Certificate, replace},
    client, next, string,
};

const SOON: Duration = Duration::from_secs(30);

async fn trusting(key: u8, certificate: &Certificate) -> Host {
    let mut config = HostConfig::new([key; 32], Vec::new());
    config.trusted_roots = vec![certificate.der()];
    Host::start(config).await.expect("client").0
}

/// One item from one end to the other.
async fn carries(from: &mut ProtocolStream, to: &mut ProtocolStream) {
    from.writer.write_item(1, &string(100)).await.expect("written");
    let item = timeout(SOON, to.reader.read_item(None)).await.expect("in time").expect("read");
    assert_eq!(item.expect("an item").code, 1);
}

fn port(pair: &Pair) -> u16 {
    let address = pair.address();
    let mut parts = address.split('/').skip_while(|part| *part != "tcp");
    parts.nth(1).expect("port").parse().expect("number")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_the_address_leads_to_a_stream() {
    let mut pair = Pair::start(Transport::SecureWebSocket).await;
    let (address, port) = (pair.address(), port(&pair));
    assert!(address.starts_with(&format!("/ip4/127.0.0.1/tcp/{port}/tls/ws/p2p/16Uiu2")), "{address}");
    for address in [
        address,
        format!("/ip4/127.0.0.1/tcp/{port}/wss"),
        format!("/dns4/localhost/tcp/{port}/tls/ws"),
        format!("/dns/localhost/tcp/{port}/wss"),
        format!("/ip4/127.0.0.1/tcp/{port}/tls/sni/localhost/ws"),
    ] {
        let dialer = trusting(3, pair.certificate.as_ref().expect("secure")).await;
        let mut opened = dialer.open(&address, &LES).await.expect(&address);
        opened.writer.write_item(1, &string(1)).await.expect("written");
        let mut taken = next(&mut pair.streams).await;

        carries(&mut opened, &mut taken).await;
        assert_eq!((opened.transport, taken.transport), ("wss", "wss"));
        dialer.shutdown().await;
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_trust_the_certificate_does_not_connect() {
    let pair = Pair::start(Transport::SecureWebSocket).await;
    let stranger = client(3).await;

    let refused = stranger.open(&pair.address(), &LES).await;
    assert!(matches!(refused, Err(OpenError::Unreachable { .. })), "{refused:?}");
    let plain = pair.address().replacen("/tls/ws", "/ws", 1);
    let refused = pair.client.open(&plain, &LES).await;
    assert!(matches!(refused, Err(OpenError::Unreachable { .. })), "without TLS: {refused:?}");
    stranger.shutdown().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_within_seconds_and_sessions_stay() {
    let mut pair = Pair::start(Transport::SecureWebSocket).await;
    let address = pair.address();
    let mut opened = pair.open().await;
    opened.writer.write_item(1, &string(1)).await.expect("written");
    let mut taken = next(&mut pair.streams).await;

    let mut certificate = pair.certificate.take().expect("secure");
    certificate.renew(&["localhost", "127.0.0.1", "relay.example.org"]);
    let renewed = Instant::now();
    let newcomer = trusting(3, &certificate).await;
    while newcomer.open(&address, &LES).await.is_err() {
        assert!(renewed.elapsed() < SOON, "the new certificate is not shown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = renewed.elapsed();

    assert!(took < Duration::from_secs(10), "shown only after {took:?}");
    assert_eq!(pair.server.certificate_names(), ["relay.example.org"], "names of one machine are not told");
    carries(&mut opened, &mut taken).await;
    carries(&mut taken, &mut opened).await;
    newcomer.shutdown().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_files_keep_the_certificate_of_before() {
    let pair = Pair::start(Transport::SecureWebSocket).await;
    let files = pair.certificate.as_ref().expect("secure").files();
    let other = Certificate::localhost();

    replace(&files.cert, &std::fs::read(other.files().cert).expect("read"));
    let result = pair.server.reload_certificate().await;
    assert!(
        matches!(result, Err(HostError::Certificate(CertificateError::Mismatch { .. }))),
        "half of a renewal: {result:?}"
    );
    replace(&files.cert, b"nothing");
    let result = pair.server.reload_certificate().await;
    assert!(
        matches!(result, Err(HostError::Certificate(CertificateError::NoCertificate { .. }))),
        "{result:?}"
    );
    pair.open().await;

    replace(&files.cert, &std::fs::read(other.files().cert).expect("read"));
    replace(&files.key, &std::fs::read(other.files().key).expect("read"));
    pair.server.reload_certificate().await.expect("both halves");
    let newcomer = trusting(3, &other).await;
    newcomer.open(&pair.address(), &LES).await.expect("the new one is shown at once");
    newcomer.shutdown().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secure_listener_needs_a_certificate() {
    let mut config = HostConfig::new([1; 32], LES.to_vec());
    config.listen = vec![Transport::SecureWebSocket.listen()];
    assert!(matches!(Host::start(config.clone()).await, Err(HostError::NoCertificate)));

    let mut files = Certificate::localhost().files();
    files.key = files.key.with_file_name("missing.pem");
    config.certificate = Some(files);
    let result = Host::start(config).await.map(drop);
    assert!(matches!(result, Err(HostError::Certificate(CertificateError::Read { .. }))), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_strangers_hold_up_others_no_longer_than_a_handshake() {
    let pair = Pair::with(Transport::SecureWebSocket, |config| {
        config.limits.pending_incoming = 8;
        config.limits.handshake_timeout = Duration::from_secs(6);
    })
    .await;
    let address = SocketAddr::from(([127, 0, 0, 1], port(&pair)));
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(address).await.expect("connected"));
    }
    // All places are taken: what comes now is hung up on at once.
    let mut ninth = TcpStream::connect(address).await.expect("connected");
    let early = timeout(Duration::from_secs(5), ninth.read(&mut [0; 1])).await;
    assert!(matches!(early, Ok(Ok(0) | Err(_))), "{early:?}");

    for mut silent in silent {
        let end = timeout(SOON, silent.read(&mut [0; 1])).await.expect("hung up on");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    pair.open().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_are_heard_on_one_port_of_every_transport() {
    let every = SocketAddr::from(([0_u16; 8], 0));
    for (transport, listen) in [
        (Transport::Tcp, Listen::Tcp(every)),
        (Transport::Quic, Listen::Quic(every)),
        (Transport::WebSocket, Listen::WebSocket(every)),
        (Transport::SecureWebSocket, Listen::SecureWebSocket(every)),
    ] {
        let pair = Pair::with(transport, |config| config.listen = vec![listen]).await;
        let addresses = pair.server.addresses();
        let v4 = addresses.iter().find(|address| address.starts_with("/ip4/127.0.0.1/")).expect("IPv4");
        let v6 = v4.replacen("/ip4/127.0.0.1", "/ip6/::1", 1);
        assert!(addresses.contains(&v6), "the same port on both: {addresses:?}");
        for address in [
            v4.clone(),
            v6.clone(),
            v4.replacen("/ip4/127.0.0.1", "/dns4/localhost", 1),
            v6.replacen("/ip6/::1", "/dns6/localhost", 1),
        ] {
            let mut config = HostConfig::new([3; 32], Vec::new());
            config.trusted_roots = pair.certificate.iter().map(Certificate::der).collect();
            let (dialer, _) = Host::start(config).await.expect("dialer");
            dialer.open(&address, &LES).await.expect(&address);
            dialer.shutdown().await;
        }
        pair.shutdown().await;
    }
}
