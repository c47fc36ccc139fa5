//! A host that panics goes on where it was, without its connections.

mod pair;

use std::{net::SocketAddr, time::Duration};

use causeway_host::{Host, HostConfig, Listed, Listen, Lists, OpenError, ProtocolStream};
use tokio::time::timeout;

use pair::{LES, Pair, Transport, certificate::Certificate, client, next, string};

const SOON: Duration = Duration::from_secs(30);

/// The host panics, and stands again.
async fn fall(host: &Host) {
    let before = host.restarts();
    let listening = host.addresses();
    host.panic_for_test().await;
    let stands = async {
        while host.restarts() == before || host.addresses() != listening {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, stands).await.expect("stands again at the same addresses");
}

async fn until_over(stream: ProtocolStream) {
    stream.ended.cancelled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_address_takes_connections_after_a_panic_and_old_streams_are_over() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket, Transport::SecureWebSocket] {
        let mut pair = Pair::start(transport).await;
        let address = pair.address();
        let mut ours = pair.open().await;
        ours.writer.write_item(1, &string(1)).await.expect("written");
        let served = next(&mut pair.streams).await;
        let old = served.connection;
        // Who has it lets go of it when told: a stream of QUIC keeps its socket.
        let told = tokio::spawn(until_over(served));

        fall(&pair.server).await;

        assert_eq!(pair.server.restarts(), 1);
        assert_eq!(pair.address(), address);
        timeout(SOON, told).await.expect("told").expect("no panic");
        let end = timeout(SOON, ours.reader.read_item(None)).await.expect("seen by the other end");
        assert!(!matches!(end, Ok(Some(_))), "{end:?}");
        let mut again = client(3).await;
        if let Some(certificate) = &pair.certificate {
            let mut config = HostConfig::new([3; 32], Vec::new());
            config.trusted_roots = vec![certificate.der()];
            again = Host::start(config).await.expect("client").0;
        }
        let mut opened = again.open(&address, &LES).await.expect("opened");
        opened.writer.write_item(7, &string(1)).await.expect("written");
        let mut taken = next(&mut pair.streams).await;
        assert_eq!(taken.reader.read_item(None).await.expect("read").expect("an item").code, 7);
        assert!(taken.connection > old, "keys are never given again");
        assert_eq!(pair.server.connections(), 1);
        again.shutdown().await;
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listener_comes_back_with_port_certificate_rules_and_what_is_told() {
    let certificate = Certificate::localhost();
    let every = SocketAddr::from(([0_u16; 8], 0));
    let mut pair = Pair::with(Transport::Tcp, |config| {
        config.certificate = Some(certificate.files());
        config.external_addresses = vec!["/dns4/relay.example.org/tcp/1".to_owned()];
        config.listen.extend([
            Listen::Quic(every),
            Transport::WebSocket.listen(),
            Transport::SecureWebSocket.listen(),
            Listen::WebTransport(SocketAddr::from(([127, 0, 0, 1], 0))),
        ]);
    })
    .await;
    let told = vec!["/dns4/relay.example.org/tcp/2".to_owned()];
    pair.server.set_external_addresses(told.clone()).await.expect("lives");
    let lists = Lists { deny: vec![Listed::Peer(client(3).await.peer_id())], ..Lists::default() };
    pair.server.set_lists(&lists).await.expect("lives");

    fall(&pair.server).await; // to the same addresses, with the hashes of certificates in them

    assert_eq!(pair.server.external_addresses(), told);
    if let Ok(mut stream) = client(3).await.open(&pair.address(), &LES).await {
        assert!(!matches!(stream.reader.read_item(None).await, Ok(Some(_))), "a denied peer is served");
    }
    let mut opened = pair.open().await;
    opened.writer.write_item(1, &string(1)).await.expect("written");
    next(&mut pair.streams).await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_under_way_fails_as_lost_and_the_host_can_be_shut_down_between_restarts() {
    // Nobody greets there: the dial waits.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().expect("bound").port());
    let pair = Pair::start(Transport::Tcp).await;
    let dialing = tokio::spawn({
        let (dialer, address) = (pair.client.clone(), address.clone());
        async move { dialer.open(&address, &LES).await }
    });
    let _first = silent.accept().await.expect("dialed");

    pair.client.panic_for_test().await;
    // It is tried once more, as over any connection that is lost.
    let _second = timeout(SOON, silent.accept()).await.expect("in time").expect("dialed again");
    pair.client.panic_for_test().await;

    let failed = timeout(SOON, dialing).await.expect("in time").expect("no panic");
    assert_eq!(failed.expect_err("lost"), OpenError::ConnectionLost);
    assert_eq!(pair.client.open(&address, &LES).await.expect_err("paused"), OpenError::ConnectionLost);
    timeout(Duration::from_millis(900), pair.client.clone().shutdown()).await.expect("without waiting");
    assert_eq!(pair.client.restarts(), 2);
    assert_eq!(pair.client.open(&address, &LES).await.expect_err("ended"), OpenError::HostClosed);
    pair.server.shutdown().await;
}
