//! What a peer can make a node hold: windows, outboxes, handshakes.

mod kit;

use std::time::Duration;

use causeway_transports::{CloseReason, Limits, TransportsConfig};
use kit::{any, base_limits, config, connect, connect_devp2p, dialer, end, fill, message, noise, start};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What sockets, muxers and sealed frames between two nodes may hold besides an outbox.
const ON_THE_WAY: usize = 8 * 1024 * 1024;

#[tokio::test]
async fn a_peer_is_not_read_beyond_its_window() {
    let limits = Limits { window: 4, ..base_limits() };
    let mut server = start(TransportsConfig { devp2p: any(), libp2p_tcp: any(), limits, ..config(1) }).await;
    for address in [server.devp2p_address(), server.multiaddr("/tcp/")] {
        let client = dialer(2).await;
        let (dialed, mut accepted) = connect(&client, &mut server, &address).await;
        for _ in 0..20 {
            dialed.session.try_send(2, noise(100)).expect("room");
        }

        let mut slots = Vec::new();
        for _ in 0..4 {
            slots.push(message(&mut accepted).await.2);
        }
        tokio::time::sleep(Duration::from_millis(200)).await; // nothing is to happen, so nothing to wait for
        assert!(accepted.events.try_recv().is_err(), "a fifth message was read");

        for _ in 4..20 {
            slots.remove(0);
            slots.push(message(&mut accepted).await.2);
        }
        assert!(accepted.events.try_recv().is_err());
        drop(slots);
        client.stop().await;
        let reason = end(&mut accepted).await;
        assert!(matches!(reason, CloseReason::Remote(_)), "{reason}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_fills_its_outbox_and_no_more() {
    let outbox = 4 * 1024 * 1024;
    let limits = Limits { outbox_bytes: outbox, ..base_limits() };
    let mut server = start(TransportsConfig { devp2p: any(), libp2p_tcp: any(), limits, ..config(1) }).await;
    for address in [server.devp2p_address(), server.multiaddr("/tcp/")] {
        let limits = Limits { window: 1, ..base_limits() };
        let client = start(TransportsConfig { limits, ..config(2) }).await;
        let (mut dialed, mut accepted) = connect(&client, &mut server, &address).await;
        dialed.session.try_send(2, noise(100)).expect("room");
        message(&mut accepted).await;

        let sent = fill(&accepted.session, 100_000).await;

        assert!(sent * 100_000 >= outbox - 100_000, "{sent} messages");
        assert!(sent * 100_000 <= outbox + ON_THE_WAY, "{sent} messages");
        for _ in 0..sent {
            message(&mut dialed).await; // nothing was lost
        }
        accepted.session.try_send(2, noise(100_000)).expect("room again");
        client.stop().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_dead_reader_is_given_up() {
    let limits = Limits { write: Duration::from_millis(500), ..base_limits() };
    let mut server = start(TransportsConfig { devp2p: any(), limits, ..config(1) }).await;
    let limits = Limits { window: 1, ..base_limits() };
    let client = start(TransportsConfig { limits, ..config(2) }).await;
    let (_dialed, mut accepted) = connect_devp2p(&client, &mut server).await;

    for _ in 0..100 {
        let _ = accepted.session.try_send(2, noise(160_000));
    }

    let reason = end(&mut accepted).await;
    assert!(matches!(&reason, CloseReason::Lost(text) if text.contains("not taken in time")), "{reason}");
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_shown_out() {
    let limits = Limits { first_message: Duration::from_millis(300), ..base_limits() };
    let mut server = start(TransportsConfig { devp2p: any(), libp2p_tcp: any(), limits, ..config(1) }).await;
    for address in [server.devp2p_address(), server.multiaddr("/tcp/")] {
        let client = dialer(2).await;
        let (_dialed, mut accepted) = connect(&client, &mut server, &address).await;

        let reason = end(&mut accepted).await;

        assert!(matches!(&reason, CloseReason::Fault(text) if text.contains("no message")), "{reason}");
        client.stop().await;
    }
    server.stop().await;
}

/// Time moves as soon as nobody has anything to do, so the handshakes' seconds pass at once.
#[tokio::test(start_paused = true)]
async fn half_open_connections_are_bounded_and_end() {
    let limits = Limits { pending_handshakes: 20, ..base_limits() };
    let server = start(TransportsConfig { devp2p: any(), limits, ..config(1) }).await;
    let listeners = server.transports.counts().tasks;
    let addr = server.transports.devp2p_addr().expect("listens");

    let mut streams = Vec::new();
    for _ in 0..100 {
        streams.push(TcpStream::connect(addr).await.expect("connects"));
        assert!(server.transports.counts().tasks <= listeners + 20);
    }
    for stream in &mut streams {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
        assert!(server.transports.counts().tasks <= listeners + 20);
    }

    while server.transports.counts().tasks > listeners {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_peer_that_does_not_read() {
    let limits = Limits { farewell: Duration::from_secs(1), window: 1, ..Limits::default() };
    let mut server = start(TransportsConfig { devp2p: any(), limits: limits.clone(), ..config(1) }).await;
    let client = start(TransportsConfig { limits, ..config(2) }).await;
    let (dialed, mut accepted) = connect_devp2p(&client, &mut server).await;
    dialed.session.try_send(2, noise(100)).expect("room");
    message(&mut accepted).await;
    fill(&accepted.session, 100_000).await;

    server.stop().await;

    client.stop().await;
}
