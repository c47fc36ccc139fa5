//! Many peers, and peers that break off in the midst of everything.

mod kit;

use std::time::{Duration, Instant};

use circuit::Event;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt, stream::FuturesUnordered};
use kit::{Peer, RESERVE, Raw, Relay, connect, pattern, receive, send};
use libp2p::PeerId;

/// Twenty clients whose reservations run out all the time; another one serves echoes meanwhile.
async fn renew_across_expiry(how_long: Duration) {
    let mut relay = Relay::start(|config| config.limits.reservation_time = Duration::from_millis(250)).await;
    let mut clients: Vec<_> = (0..20).map(|_| Peer::start()).collect();
    for client in &clients {
        client.listen(&relay);
    }
    let began = Instant::now();
    let (mut echoes, mut renewals, mut ends, mut at) = (0, 0, 0, 0);
    while began.elapsed() < how_long {
        // Its reservation may have just run out; then it comes again.
        at = (at + 1) % clients.len();
        let mut source = Peer::start();
        if source.reach(&relay, clients[at].id).await.is_ok() {
            source.echo(clients[at].id, &pattern(100_000)).await.expect("an open circuit works");
            echoes += 1;
        }
        for event in relay.seen() {
            match event {
                Event::Reserved { renewed: true, .. } => renewals += 1,
                Event::ReservationEnded { .. } => ends += 1,
                _ => {}
            }
        }
        for client in &mut clients {
            client.listen_again(&relay);
        }
    }
    eprintln!("{echoes} echoes, {renewals} renewals, {ends} reservations ended");
    assert!(relay.runs(), "no panic");
    assert!(echoes > 0 && renewals > 0, "{echoes} echoes, {renewals} renewals");
    drop(clients);
    relay.is_empty().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_that_cross_the_expiry_do_no_harm() {
    renew_across_expiry(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn renewals_that_cross_the_expiry_do_no_harm_for_a_minute() {
    renew_across_expiry(Duration::from_secs(60)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_that_opens_circuits_without_end_takes_no_more_than_its_share() {
    let relay = Relay::start(|config| config.limits.circuits_per_source = 3).await;
    let destination = Peer::reserved_at(&relay).await;
    let greedy = Raw::connect(&relay);

    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..30 {
        match greedy.connect_to(destination.id).await {
            (100, stream) => held.push(stream),
            (201, _) => refused += 1,
            (status, _) => panic!("{status}"),
        }
    }

    assert_eq!((held.len(), refused), (3, 27));
    let mut other = Peer::start();
    other.reach(&relay, destination.id).await.expect("others have their own");
    other.echo(destination.id, &pattern(1 << 20)).await.expect("an echo");
    drop(held);
    drop(other);
    relay.is_empty().await;
}

/// What a peer does before it hangs up.
async fn break_off(relay: &Relay, how: usize, target: PeerId) {
    let mut peer = Raw::connect(relay);
    match how % 8 {
        0 => {
            let mut stream = peer.hop().await;
            let _ = stream.write_all(b"\x02\x08").await;
            let _ = stream.flush().await;
        }
        1 => {
            let mut stream = peer.hop().await;
            send(&mut stream, RESERVE).await;
        }
        2 => {
            let mut stream = peer.hop().await;
            send(&mut stream, &connect(target)).await;
        }
        // A destination that leaves while it is asked, and one that leaves when it agreed.
        how @ (3 | 4) => {
            peer.reserve().await;
            let source = Raw::connect(relay);
            let mut asking = source.hop().await;
            send(&mut asking, &connect(peer.id)).await;
            if how == 3 {
                drop(peer.offered().await)
            } else {
                drop(peer.take().await)
            }
            drop(peer);
            receive(&mut asking).await;
        }
        // A source that leaves while the destination is asked.
        5 => {
            peer.reserve().await;
            let source = Raw::connect(relay);
            let mut asking = source.hop().await;
            send(&mut asking, &connect(peer.id)).await;
            let stop = peer.offered().await;
            drop((asking, source));
            drop(stop);
        }
        // In the midst of bytes, with a half that is closed.
        6 => {
            if let (100, mut stream) = peer.connect_to(target).await {
                let _ = stream.write_all(&pattern(500_000)).await;
                let _ = stream.close().await;
            }
        }
        _ => {
            if let (100, mut stream) = peer.connect_to(target).await {
                let _ = stream.write_all(&pattern(100_000)).await;
                let mut some = [0; 10];
                let _ = tokio::time::timeout(Duration::from_millis(50), stream.read(&mut some)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_breaks_off_wherever_leaves_nothing_behind() {
    let relay = Relay::start(|config| config.limits.handshake = Duration::from_secs(10)).await;
    let destination = Peer::reserved_at(&relay).await;
    let (relay_ref, target) = (&relay, destination.id);

    let mut storm: FuturesUnordered<_> = (0..64).map(|how| break_off(relay_ref, how, target)).collect();
    while storm.next().await.is_some() {}
    drop(storm);

    let mut source = Peer::start();
    source.reach(&relay, destination.id).await.expect("honest peers are served");
    source.echo(destination.id, &pattern(1 << 20)).await.expect("an echo");
    drop((source, destination));
    relay.is_empty().await;
    let nobody = async {
        while relay.with(|behaviour| behaviour.reservations().count()).await > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(kit::PATIENCE, nobody).await.expect("reservations end with connections");
    assert_eq!(relay.accounts.total().reserved, 0);
    assert!(relay.runs());
}
