//! libp2p's own relay client against the relay.

mod kit;

use std::time::Duration;

use circuit::{CircuitEnd, Event, HOP, ReservationEnd};
use kit::{Peer, Relay, Saw, pattern};

#[tokio::test]
async fn a_client_is_told_its_addresses_and_limits() {
    let mut relay = Relay::start(|config| config.limits.circuit.bytes = Some(12_345)).await;

    let mut peer = Peer::start();
    peer.listen(&relay);

    let (mut listed, mut reserved) = (None, None);
    while listed.is_none() || reserved.is_none() {
        match peer.wait(|saw| Some(saw.clone())).await {
            Saw::Address(address) => listed = Some(address),
            Saw::Reserved { renewal, seconds, bytes } => reserved = Some((renewal, seconds, bytes)),
            _ => {}
        }
    }
    assert_eq!(listed, Some(relay.circuit_to(peer.id)));
    assert_eq!(reserved, Some((false, Some(7200), Some(12_345))));
    let (who, renewed) = relay
        .event(|event| match event {
            Event::Reserved { peer, renewed } => Some((*peer, *renewed)),
            _ => None,
        })
        .await;
    assert_eq!((who, renewed), (peer.id, false));
}

#[tokio::test]
async fn eight_mebibytes_come_back_through_a_circuit_and_are_accounted_for() {
    let mut relay = Relay::start(|_| {}).await;
    let destination = Peer::reserved_at(&relay).await;
    let mut source = Peer::start();

    source.reach(&relay, destination.id).await.expect("a circuit");
    source.echo(destination.id, &pattern(8 << 20)).await.expect("all bytes");

    let open = relay.accounts.of(&source.id).expect("an account");
    assert_eq!((open.circuits_out, open.circuits_in, open.circuits), (1, 0, 1));
    assert!(open.bytes_from > 8 << 20 && open.bytes_to > 8 << 20, "{open:?}");
    let mirror = relay.accounts.of(&destination.id).expect("an account");
    assert_eq!((mirror.circuits_out, mirror.circuits_in, mirror.reserved), (0, 1, 1));
    source.disconnect(destination.id);
    let (bytes, why) = relay
        .event(|event| match event {
            Event::CircuitClosed { source: from, destination: to, bytes, why, .. } => {
                assert_eq!((*from, *to), (source.id, destination.id));
                Some((*bytes, *why))
            }
            _ => None,
        })
        .await;
    assert!(matches!(why, CircuitEnd::Done | CircuitEnd::Broken), "{why:?}");
    let closed = relay.accounts.of(&source.id).expect("an account");
    assert_eq!((closed.circuits_out, closed.bytes_from, closed.bytes_to), (0, bytes.forth, bytes.back));
    assert_eq!(relay.accounts.total().bytes_from, bytes.total());
}

#[tokio::test]
async fn a_reservation_is_renewed_and_keeps_its_connection() {
    let mut relay = Relay::start(|config| config.limits.reservation_time = Duration::from_secs(4)).await;
    let mut destination = Peer::reserved_at(&relay).await;

    destination.wait(|saw| matches!(saw, Saw::Reserved { renewal: true, .. }).then_some(())).await;

    let mut source = Peer::start();
    source.reach(&relay, destination.id).await.expect("a circuit");
    source.echo(destination.id, b"still here").await.expect("an echo");
    let events = relay.seen();
    assert!(!events.iter().any(|event| matches!(event, Event::ReservationEnded { .. })), "{events:?}");
    assert_eq!(relay.accounts.total().reserved, 1);
}

#[tokio::test]
async fn a_connection_without_reservation_is_let_go() {
    let relay = Relay::start(|config| config.limits.reservation_time = Duration::from_secs(600)).await;
    let mut stays = Peer::reserved_at(&relay).await;
    let mut goes = Peer::start();
    goes.dial(relay.address.clone());

    goes.wait(|saw| (*saw == Saw::Disconnected(relay.peer, false)).then_some(())).await;

    let mut source = Peer::start();
    source.reach(&relay, stays.id).await.expect("who has one stays");
    let stayed = stays.wait(|saw| match saw {
        Saw::Connected(peer, true) => Some(*peer == source.id),
        Saw::Disconnected(..) => Some(false),
        _ => None,
    });
    assert!(stayed.await);
}

#[tokio::test]
async fn a_reservation_ends_with_its_connection() {
    let mut relay = Relay::start(|_| {}).await;
    let destination = Peer::reserved_at(&relay).await;
    let gone = destination.id;

    drop(destination);

    let why = relay
        .event(|event| match event {
            Event::ReservationEnded { peer, why } => Some((*peer, *why)),
            _ => None,
        })
        .await;
    assert_eq!(why, (gone, ReservationEnd::Disconnected));
    let mut source = Peer::start();
    let refused = source.reach(&relay, gone).await.expect_err("nobody is there");
    assert!(refused.contains("NoReservation"), "{refused}");
}

#[tokio::test]
async fn switched_off_the_protocol_is_not_offered_and_peers_learn_so() {
    let mut relay = Relay::start(|_| {}).await;
    let mut peer = Peer::start();
    peer.listen(&relay);
    let relay_id = relay.peer;
    let offered = move |saw: &Saw| match saw {
        Saw::Protocols(peer, protocols) if *peer == relay_id => Some(protocols.contains(&HOP)),
        _ => None,
    };
    assert!(peer.wait(offered).await);
    relay.event(|event| matches!(event, Event::Reserved { .. }).then_some(())).await;

    relay.with(|behaviour| behaviour.set_enabled(false)).await;

    let off = relay.event(|event| match event {
        Event::ReservationEnded { why, .. } => Some(*why),
        _ => None,
    });
    assert_eq!(off.await, ReservationEnd::Off);
    peer.wait(|saw| offered(saw).filter(|offered| !offered)).await;
    let mut late = Peer::start();
    late.listen(&relay);
    let closed = late.wait(|saw| match saw {
        Saw::ListenerClosed(why) => Some(why.clone()),
        _ => None,
    });
    assert!(closed.await.contains("Unsupported"));

    relay.with(|behaviour| behaviour.set_enabled(true)).await;
    Peer::reserved_at(&relay).await;
}
