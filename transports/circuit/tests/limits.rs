//! What the relay refuses and cuts off, as peers see it.

mod kit;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use circuit::{CircuitEnd, Event, Policy, Rate, Refusal};
use futures::{AsyncReadExt, AsyncWriteExt};
use kit::{PATIENCE, RESERVE, Raw, Relay, code, pattern, receive, send};
use libp2p::{Multiaddr, PeerId, Stream};

fn closed(event: &Event) -> Option<(CircuitEnd, circuit::Bytes, Duration)> {
    match event {
        Event::CircuitClosed { why, bytes, time, .. } => Some((*why, *bytes, *time)),
        _ => None,
    }
}

/// A circuit by hand: what the source holds, what the destination holds.
async fn circuit(relay: &Relay) -> (Raw, Raw, Stream, Stream) {
    let (source, mut destination) = (Raw::connect(relay), Raw::connect(relay));
    assert_eq!(destination.reserve().await, 100);
    let whom = destination.id;
    let ((status, here), there) = futures::join!(source.connect_to(whom), destination.take());
    assert_eq!(status, 100);
    (source, destination, here, there)
}

/// Reads until the stream ends or breaks: how much came, and whether it ended well.
async fn drain(stream: &mut Stream) -> (usize, bool) {
    let (mut bytes, mut all) = (vec![0; 64 << 10], 0);
    loop {
        match tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time") {
            Ok(0) => return (all, true),
            Ok(read) => all += read,
            Err(_) => return (all, false),
        }
    }
}

#[tokio::test]
async fn a_circuit_is_cut_off_when_as_much_went_one_way_as_may() {
    const LIMIT: usize = 1 << 20;
    let mut relay = Relay::start(|config| config.limits.circuit.bytes = Some(LIMIT as u64)).await;
    let (_source, _destination, mut here, mut there) = circuit(&relay).await;

    let write = async {
        let bytes = pattern(LIMIT + (256 << 10));
        let _ = here.write_all(&bytes).await; // it breaks somewhere
        let _ = here.flush().await;
    };
    let ((), (came, _)) = futures::join!(write, drain(&mut there));

    assert!(came <= LIMIT, "{came}");
    let (why, bytes, _) = relay.event(closed).await;
    assert_eq!(why, CircuitEnd::ByteLimit);
    assert!(bytes.forth <= LIMIT as u64 && bytes.forth > LIMIT as u64 - (64 << 10), "{bytes:?}");
    assert_eq!(bytes.back, 0);
}

#[tokio::test]
async fn exactly_as_much_as_may_goes_through_each_way() {
    const LIMIT: usize = 1 << 20;
    let mut relay = Relay::start(|config| config.limits.circuit.bytes = Some(LIMIT as u64)).await;
    let (_source, _destination, mut here, mut there) = circuit(&relay).await;
    let bytes = pattern(LIMIT);

    let forth = async {
        here.write_all(&bytes).await.expect("written");
        here.close().await.expect("closed");
        drain(&mut here).await
    };
    let back = async {
        let came = drain(&mut there).await;
        there.write_all(&bytes).await.expect("written");
        there.close().await.expect("closed");
        came
    };
    let (returned, arrived) = futures::join!(forth, back);

    assert_eq!((arrived, returned), ((LIMIT, true), (LIMIT, true)));
    let (why, counted, _) = relay.event(closed).await;
    assert_eq!((why, counted.forth, counted.back), (CircuitEnd::Done, LIMIT as u64, LIMIT as u64));
}

#[tokio::test]
async fn a_saturated_circuit_ends_at_its_time() {
    let time = Duration::from_secs(1);
    let mut relay = Relay::start(|config| {
        config.limits.circuit.time = Some(time);
        config.limits.circuit.bytes = None;
    })
    .await;
    let (_source, _destination, here, there) = circuit(&relay).await;

    let bytes = pattern(256 << 10);
    let (mut reader, mut writer) = here.split();
    let (mut far_reader, mut far_writer) = there.split();
    let pump =
        async |writer: &mut futures::io::WriteHalf<Stream>| while writer.write_all(&bytes).await.is_ok() {};
    let suck = async |reader: &mut futures::io::ReadHalf<Stream>| {
        let mut bytes = vec![0; 64 << 10];
        while reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    };
    let began = Instant::now();
    let all = async {
        futures::join!(pump(&mut writer), pump(&mut far_writer), suck(&mut reader), suck(&mut far_reader));
    };
    tokio::time::timeout(PATIENCE, all).await.expect("it ends");

    assert!(began.elapsed() < time * 3, "{:?}", began.elapsed());
    let (why, bytes, open) = relay.event(closed).await;
    assert_eq!(why, CircuitEnd::TimeLimit);
    assert!(bytes.forth > 1 << 20 && bytes.back > 1 << 20, "{bytes:?}");
    assert!(open >= time && open < time * 2, "{open:?}");
}

#[tokio::test]
async fn an_idle_circuit_ends_and_a_busy_one_does_not() {
    let mut relay = Relay::start(|config| config.limits.circuit_idle = Duration::from_millis(400)).await;
    let (source, mut destination, mut busy, mut far) = circuit(&relay).await;
    let whom = destination.id;
    let ((_, _idle), _far_idle) = futures::join!(source.connect_to(whom), destination.take());

    let ended = relay.event(closed);
    tokio::pin!(ended);
    let mut byte = [0];
    let (why, bytes, _) = loop {
        busy.write_all(b".").await.expect("open");
        busy.flush().await.expect("open");
        far.read_exact(&mut byte).await.expect("open");
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(50), &mut ended).await {
            break ended;
        }
    };

    assert_eq!((why, bytes.total()), (CircuitEnd::Idle, 0));
    busy.write_all(b".").await.expect("still open");
    busy.flush().await.expect("still open");
    far.read_exact(&mut byte).await.expect("still open");
}

#[tokio::test]
async fn all_circuits_together_keep_to_the_rate() {
    let relay = Relay::start(|config| config.bytes_per_second = std::num::NonZeroU64::new(2 << 20)).await;
    let (_source, _destination, mut here, mut there) = circuit(&relay).await;

    let began = Instant::now();
    let write = async {
        here.write_all(&pattern(4 << 20)).await.expect("written");
        here.close().await.expect("closed");
    };
    let ((), came) = futures::join!(write, drain(&mut there));

    assert_eq!(came, (4 << 20, true));
    assert!(began.elapsed() > Duration::from_millis(1700), "{:?}", began.elapsed());
}

#[tokio::test]
async fn refusals_say_why() {
    let relay = Relay::start(|config| {
        config.limits.circuits_per_source = 1;
        config.limits.reservations = 2;
        config.limits.reservations_kept = 0;
    })
    .await;
    let (source, destination, _here, _there) = circuit(&relay).await;

    let (nobody, _) = source.connect_to(PeerId::random()).await;
    let (too_many, _) = source.connect_to(destination.id).await;
    assert_eq!((nobody, too_many), (204, 201));
    assert_eq!(source.reserve().await, 100);
    let third = Raw::connect(&relay);
    assert_eq!(third.reserve().await, 200, "two are there");
    assert_eq!(destination.reserve().await, 100, "a renewal at capacity");
    for (message, status) in [
        (&b"\x08\x02\x28\x64"[..], 401), // STATUS
        (b"\x08\x07", 400),
        (b"", 400),
        (b"\x08\x01", 400), // CONNECT to nobody
        (b"\x08\x01\x12\x00", 400),
        (b"\x08\x01\x12\x03\x0a\x01\x00", 400),
        (b"\xff\xff\xff", 400),
    ] {
        assert_eq!(code(&third.ask(message).await), status, "{message:?}");
    }
    assert_eq!(relay.accounts.of(&third.id).expect("there is room for it").refusals, 8);
}

#[tokio::test]
async fn a_reply_longer_than_a_message_may_be_is_never_sent() {
    let relay = Relay::start(|config| config.vouchers = true).await;
    let long = |at: usize| -> Multiaddr {
        format!("/dns4/{}.example.org/tcp/{at}", "x".repeat(60)).parse().expect("an address")
    };
    relay.with(move |behaviour| behaviour.set_addresses((1..500).map(long))).await;
    let peer = Raw::connect(&relay);

    let reply = peer.ask(RESERVE).await;

    assert!(reply.len() <= 4096 && reply.len() > 1000, "{}", reply.len());
    assert_eq!(code(&reply), 100);
}

#[tokio::test]
async fn a_destination_that_refuses_is_a_failed_connection() {
    let mut relay = Relay::start(|config| config.limits.handshake = Duration::from_millis(300)).await;
    let (source, mut destination) = (Raw::connect(&relay), Raw::connect(&relay));
    assert_eq!(destination.reserve().await, 100);
    let whom = destination.id;

    // It says no, says rubbish, hangs up, says nothing.
    for answer in [Some(&b"\x08\x01\x20\xca\x01"[..]), Some(b"\x08\x00"), Some(b""), None] {
        let refuse = async {
            let mut stream = destination.offered().await;
            match answer {
                Some(b"") => drop(stream),
                Some(answer) => send(&mut stream, answer).await,
                None => return Some(stream),
            }
            None
        };
        let ((status, _), _silent) = futures::join!(source.connect_to(whom), refuse);
        assert_eq!(status, 203, "{answer:?}");
    }

    relay.is_empty().await;
    let refused = relay.seen().into_iter().filter(|event| {
        matches!(event, Event::Refused { why: Refusal::DestinationFailed, destination: Some(_), .. })
    });
    assert_eq!(refused.count(), 4);
}

#[derive(Debug)]
struct Only(PeerId);

impl Policy for Only {
    fn may_reserve(&self, peer: PeerId, _: &Multiaddr) -> bool {
        peer == self.0
    }

    fn may_connect(&self, source: PeerId, destination: PeerId, _: &Multiaddr) -> bool {
        source == self.0 || destination != self.0
    }
}

#[tokio::test]
async fn whom_the_policy_refuses_is_told_permission_denied() {
    // A peer's id is known once it runs; the policy looks at a cell.
    #[derive(Debug, Default)]
    struct Later(std::sync::OnceLock<Only>);
    impl Policy for Later {
        fn may_reserve(&self, peer: PeerId, address: &Multiaddr) -> bool {
            self.0.get().is_none_or(|only| only.may_reserve(peer, address))
        }
        fn may_connect(&self, source: PeerId, destination: PeerId, address: &Multiaddr) -> bool {
            self.0.get().is_none_or(|only| only.may_connect(source, destination, address))
        }
    }
    let policy = Arc::new(Later::default());
    let relay = Relay::with_policy(|_| {}, policy.clone()).await;
    let (friend, stranger) = (Raw::connect(&relay), Raw::connect(&relay));
    policy.0.set(Only(friend.id)).expect("once");

    assert_eq!(friend.reserve().await, 100);
    assert_eq!(stranger.reserve().await, 202);
    assert_eq!(stranger.connect_to(friend.id).await.0, 202);
}

#[tokio::test]
async fn rates_hold_for_each_peer() {
    let rate = Rate { burst: 3, every: Duration::from_secs(600) };
    let relay = Relay::start(|config| {
        config.limits.reserve_rate = rate;
        config.limits.connect_rate = rate;
    })
    .await;
    let (busy, other) = (Raw::connect(&relay), Raw::connect(&relay));

    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push((busy.reserve().await, busy.connect_to(other.id).await.0));
    }

    assert_eq!(statuses, [(100, 204), (100, 204), (100, 204), (200, 201), (200, 201)]);
    assert_eq!(other.reserve().await, 100);
}

#[tokio::test]
async fn requests_that_do_not_end_are_ended() {
    let relay = Relay::start(|config| {
        config.limits.handshake = Duration::from_millis(400);
        config.limits.requests_per_connection = 4;
    })
    .await;
    let peer = Raw::connect(&relay);

    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = peer.hop().await;
        stream.write_all(b"\x05").await.expect("written");
        stream.flush().await.expect("flushed");
        slow.push(stream);
    }
    let mut fifth = peer.hop().await;
    let _ = fifth.write_all(&[&[2], RESERVE].concat()).await;
    let _ = fifth.flush().await;
    assert_eq!(receive(&mut fifth).await, None, "one more than may be");

    for mut stream in slow {
        assert_eq!(drain(&mut stream).await.0, 0);
    }
    assert_eq!(peer.reserve().await, 100, "there is room again");
}
