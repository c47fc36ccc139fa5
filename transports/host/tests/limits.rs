//! What a host does not let in, and what it survives.

mod pair;

use std::time::Duration;

use causeway_host::{Host, HostConfig, HostError, Listen, MemoryBudget, OpenError};
use causeway_wire::Capability;
use tokio::time::timeout;

use pair::{LES, Pair, Transport, client, next, string};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_refused_and_their_place_is_given_again() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket] {
        let mut pair = Pair::with(transport, |config| config.limits.connections = 2).await;
        let address = pair.address();
        let _first = pair.open().await;
        let second_client = client(3).await;
        let _second = second_client.open(&address, &LES).await.expect("second");
        drop((next(&mut pair.streams).await, next(&mut pair.streams).await));
        // A stream can be there before its connection is counted.
        let counted = async {
            while pair.server.connections() != 2 {
                tokio::task::yield_now().await;
            }
        };
        timeout(SOON, counted).await.expect("both connections are counted");

        let third_client = client(4).await;
        let refused = match third_client.open(&address, &LES).await {
            Err(_) => true,
            // A dialer may learn of the refusal only after its own side of the handshake.
            Ok(mut stream) => !matches!(stream.reader.read_item(None).await, Ok(Some(_))),
        };
        assert!(refused);
        assert!(pair.streams.try_recv().is_err());

        second_client.shutdown().await;
        let opened = async {
            loop {
                if let Ok(mut stream) = third_client.open(&address, &LES).await
                    && stream.writer.write_item(1, &string(1)).await.is_ok()
                    && let Ok(mut served) = timeout(Duration::from_secs(2), next(&mut pair.streams)).await
                    && matches!(served.reader.read_item(None).await, Ok(Some(_)))
                {
                    return;
                }
            }
        };
        timeout(SOON, opened).await.expect("the place of the second is given to the third");
        third_client.shutdown().await;
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_streams_are_counted_and_their_places_come_back() {
    let pair = Pair::with(Transport::Quic, |_| {}).await;
    let mut config = HostConfig::new([5; 32], Vec::new());
    config.limits.outbound_protocol_streams = 2;
    let (dialer, _) = Host::start(config).await.expect("dialer");
    let first = dialer.open(&pair.address(), &LES).await.expect("first");
    let _second = dialer.open(&pair.address(), &LES).await.expect("second");

    let third = dialer.open(&pair.address(), &LES).await;
    assert_eq!(third.expect_err("full"), OpenError::TooManyStreams { limit: 2 });

    drop(first);
    dialer.open(&pair.address(), &LES).await.expect("a place is free");
    dialer.shutdown().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn nobody_is_let_in_or_dialed_while_memory_is_short() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket] {
        let mut pair =
            Pair::with(transport, |config| config.limits.memory = Some(MemoryBudget::new(1 << 20))).await;
        let elsewhere = Pair::start(transport).await;

        let refused = match pair.client.open(&pair.address(), &LES).await {
            Err(_) => true,
            // A dialer may learn of the refusal only after its own side of the handshake.
            Ok(mut stream) => !matches!(stream.reader.read_item(None).await, Ok(Some(_))),
        };
        assert!(refused);
        assert!(pair.streams.try_recv().is_err());
        let dialed = pair.server.open(&elsewhere.address(), &LES).await.expect_err("refused");
        assert!(matches!(dialed, OpenError::Refused(_)), "{dialed}");
        elsewhere.shutdown().await;
        pair.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_wait_while_the_owner_is_slow() {
    let mut pair = Pair::with(Transport::Tcp, |config| config.limits.untaken_streams = 1).await;
    let address = pair.address();
    let _first = pair.open().await;
    let others = client(3).await;
    let mut waiting = others.open(&address, &LES).await.expect("opened");
    waiting.writer.write_item(4, &string(1)).await.expect("sent");

    drop(next(&mut pair.streams).await);
    let mut served = next(&mut pair.streams).await;

    assert_eq!(served.peer, others.peer_id());
    assert_eq!(served.reader.read_item(None).await.expect("read").expect("an item").code, 4);
    others.shutdown().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connection_is_closed_and_one_with_a_stream_is_kept() {
    let mut pair =
        Pair::with(Transport::Tcp, |config| config.limits.idle_timeout = Duration::from_millis(300)).await;
    let ours = pair.open().await;
    let served = next(&mut pair.streams).await;
    tokio::time::sleep(Duration::from_millis(900)).await; // three times what an idle one is given
    assert_eq!(pair.server.connections(), 1);

    drop((ours, served));

    let gone = async {
        while pair.server.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(SOON, gone).await.expect("closed");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_without_protocols_takes_no_streams() {
    let mut pair = Pair::with(Transport::Tcp, |config| config.protocols.clear()).await;

    let refused = pair.client.open(&pair.address(), &LES).await;

    assert!(matches!(refused, Err(OpenError::NoSharedProtocol { .. })), "{refused:?}");
    assert!(pair.streams.try_recv().is_err());
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_is_learned_by_identify() {
    let mut pair = Pair::start(Transport::Tcp).await;
    // Identify runs beside the first stream, which hears of it, too.
    let agent = {
        let _ours = pair.open().await;
        next(&mut pair.streams).await.agent
    };
    let known = async {
        while agent.read().is_empty() {
            let _ours = pair.open().await;
            next(&mut pair.streams).await;
        }
        agent.read()
    };

    let agent = timeout(SOON, known).await.expect("in time");

    assert_eq!(agent, concat!("causeway/", env!("CARGO_PKG_VERSION")));
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_listeners_are_named_with_their_ports() {
    let pair = Pair::with(Transport::Tcp, |config| {
        config.listen = vec![
            Transport::Tcp.listen(),
            Transport::Quic.listen(),
            Transport::WebSocket.listen(),
            Listen::Tcp(([0, 0, 0, 0], 0).into()),
        ];
    })
    .await;

    let addresses = pair.server.addresses();

    let suffix = format!("/p2p/{}", pair.server.peer_id_text());
    assert!(addresses.len() >= 4, "{addresses:?}");
    for address in &addresses {
        assert!(
            address.ends_with(&suffix) && !address.contains("0.0.0.0") && !address.contains("/0/"),
            "{address}"
        );
    }
    assert!(addresses[1].contains("/quic-v1/") && addresses[2].contains("/ws/"), "{addresses:?}");
    for address in &addresses {
        if address.starts_with("/ip4/127.0.0.1/") {
            pair.client.open(address, &LES).await.expect("dialable as it stands");
        }
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_port_is_named() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let mut config = HostConfig::new([6; 32], Vec::new());
    let address = holder.local_addr().expect("bound");
    config.listen = vec![Listen::Tcp(address)];

    let failed = Host::start(config).await.expect_err("taken");

    assert!(
        matches!(&failed, HostError::Bind { address: text, .. } if text.contains(&address.port().to_string()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_is_judged_before_anything_is_bound() {
    let failed = Host::start(HostConfig::new([0; 32], Vec::new())).await.expect_err("no key");
    assert!(matches!(failed, HostError::Key(_)));
    let failed =
        Host::start(HostConfig::new([1; 32], vec![Capability::new("a b", 1)])).await.expect_err("name");
    assert!(matches!(failed, HostError::Protocol(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_frees_the_port_and_ends_the_streams() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket] {
        let mut pair = Pair::start(transport).await;
        let mut ours = pair.open().await;
        let served = next(&mut pair.streams).await;

        pair.server.shutdown().await;

        timeout(SOON, served.ended.cancelled()).await.expect("told");
        let end = timeout(SOON, ours.reader.read_item(None)).await.expect("seen by the other end");
        assert!(!matches!(end, Ok(Some(_))), "{end:?}");
        assert!(pair.streams.recv().await.is_none());
        pair.client.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn host_ends_with_its_last_handle() {
    let mut pair = Pair::start(Transport::Tcp).await;

    drop(pair.server);

    assert!(timeout(SOON, pair.streams.recv()).await.expect("ended").is_none());
    pair.client.shutdown().await;
}

/// A peer that opens streams as fast as it can, without waiting for anything.
#[tokio::test(flavor = "multi_thread")]
async fn flood_of_streams_is_survived_and_bothers_nobody_else() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket] {
        let mut pair = Pair::start(transport).await;
        let address = pair.address();
        let mut bystander = pair.open().await;
        let mut served = next(&mut pair.streams).await;
        let mut config = HostConfig::new([7; 32], Vec::new());
        config.limits.streams = 4000;
        config.limits.outbound_protocol_streams = 4000;
        let (flooder, _) = Host::start(config).await.expect("flooder");
        drop(flooder.open(&address, &LES).await.expect("connected"));
        drop(next(&mut pair.streams).await);

        let mut flood = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let (flooder, address) = (flooder.clone(), address.clone());
            flood.spawn(async move { flooder.open(&address, &LES).await });
        }
        let mut opened = Vec::new();
        while let Some(stream) = flood.join_next().await {
            opened.extend(stream.expect("no panic").ok());
        }

        // At most one of a connection's streams is handed out at a time.
        let mut handed_out = Vec::new();
        while let Ok(stream) = pair.streams.try_recv() {
            assert!(handed_out.iter().all(|(key, _)| *key != stream.connection));
            handed_out.push((stream.connection, stream));
        }
        bystander.writer.write_item(1, &string(1)).await.expect("sent");
        let item = timeout(SOON, served.reader.read_item(None)).await.expect("soon");
        assert_eq!(item.expect("read").expect("an item").code, 1);
        drop(opened);
        flooder.shutdown().await;
        pair.shutdown().await;
    }
}

/// A peer that resets one stream after the other harms nobody else, and is served once it behaves.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_resets_in_a_row_harm_nobody_else_and_the_peer_is_served_again() {
    for transport in [Transport::Tcp, Transport::Quic, Transport::WebSocket] {
        let mut pair = Pair::start(transport).await;
        let address = pair.address();
        let others = client(3).await;
        let mut bystander = others.open(&address, &LES).await.expect("opened");
        bystander.writer.write_item(1, &string(1)).await.expect("sent");
        let mut served = next(&mut pair.streams).await;
        assert_eq!(served.reader.read_item(None).await.expect("read").expect("an item").code, 1);

        for _ in 0..20 {
            // The connection itself may be lost over it, and is dialed anew then.
            let Ok(mut reset) = pair.client.open(&address, &LES).await else { continue };
            let _ = reset.writer.write_item(2, &string(100_000)).await;
            drop(reset); // both halves, unread and unclosed: a reset
        }
        let behaved = async {
            loop {
                let Ok(mut stream) = pair.client.open(&address, &LES).await else { continue };
                let sent = stream.writer.write_item(9, &string(1)).await;
                if sent.is_ok() {
                    let _ = stream.reader.read_item(None).await; // until it is dropped by the other end
                }
            }
        };
        let taken = async {
            loop {
                let mut stream = next(&mut pair.streams).await;
                while let Ok(Some(item)) = stream.reader.read_item(None).await {
                    if item.code == 9 {
                        return stream.connection;
                    }
                }
            }
        };
        let connection = tokio::select! {
            () = behaved => unreachable!("it goes on"),
            connection = timeout(SOON, taken) => connection.expect("served again"),
        };

        assert_ne!(connection, served.connection);
        bystander.writer.write_item(3, &string(1)).await.expect("sent");
        let item = timeout(SOON, served.reader.read_item(None)).await.expect("soon");
        assert_eq!(item.expect("read").expect("an item").code, 3);
        others.shutdown().await;
        pair.shutdown().await;
    }
}
