//! Our behaviour against a peer that opens ping streams by hand, and takes pings or not. In memory, with time
//! that jumps to the next timer once nothing else is to do.

use std::{future::pending, time::Duration};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Stream, Swarm, SwarmBuilder, Transport,
    core::{transport::MemoryTransport, upgrade::Version},
    noise,
    swarm::{Config, NetworkBehaviour, SwarmEvent},
    yamux,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::{compat::TokioAsyncReadCompatExt, sync::CancellationToken};

use super::{
    Behaviour, Event, Finding,
    by_hand::{ByHand, Made, Pingable},
    handler::{MAX_STREAMS, PAYLOAD, STALL, answer},
};
use crate::heart::{Heart, Hearts};

#[tokio::test(start_paused = true)]
async fn peer_that_refuses_our_pings_is_answered_and_kept() {
    let mut pair = Pair::start(Pingable::No).await;
    assert_eq!(pair.finding().await, Finding::Unsupported);

    // As js-libp2p pings: a stream for each.
    for number in 0..12 {
        let mut stream = pair.open().await;
        assert_eq!(ping(&mut stream, number).await, Some(number));
        stream.close().await.expect("closed");
        assert_eq!(stream.read(&mut [0]).await.expect("ended in order"), 0);
        sleep(Duration::from_secs(10)).await;
    }
    // As rust-libp2p does: one stream for all.
    let mut stream = pair.open().await;
    for number in 0..12 {
        assert_eq!(ping(&mut stream, number).await, Some(number));
        sleep(Duration::from_secs(15)).await;
    }

    assert!(pair.findings.try_recv().is_err(), "reported once");
}

#[tokio::test(start_paused = true)]
async fn one_ping_stream_too_many_ends_the_oldest() {
    let mut pair = Pair::start(Pingable::No).await;
    let mut streams = Vec::new();
    for number in 0..=MAX_STREAMS as u8 {
        let mut stream = pair.open().await;
        assert_eq!(ping(&mut stream, number).await, Some(number));
        streams.push(stream);
    }

    assert_eq!(ping(&mut streams[0], 10).await, None);
    for stream in &mut streams[1..] {
        assert_eq!(ping(stream, 11).await, Some(11));
    }
}

#[tokio::test(start_paused = true)]
async fn peer_that_answers_is_asked_every_15_s_on_one_stream() {
    let mut pair = Pair::start(Pingable::Yes).await;
    let mut stream = pair.taken().await;
    echo(&mut stream).await;
    let start = Instant::now();

    for _ in 0..4 {
        echo(&mut stream).await;
    }

    let passed = start.elapsed();
    assert!((Duration::from_secs(60)..Duration::from_secs(62)).contains(&passed), "{passed:?}");
    assert!(pair.findings.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn peer_that_ends_its_stream_after_each_ping_is_kept() {
    let mut pair = Pair::start(Pingable::Yes).await;

    let start = Instant::now();
    for _ in 0..6 {
        let mut stream = pair.taken().await;
        echo(&mut stream).await;
        stream.close().await.expect("closed");
    }

    let passed = start.elapsed();
    assert!((Duration::from_secs(75)..Duration::from_secs(76)).contains(&passed), "{passed:?}");
    let heartbeat = pair.heart().read();
    assert_eq!((heartbeat.missed, heartbeat.missed_ever), (0, 0));
    assert!(pair.findings.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn peer_that_takes_no_ping_after_all_is_not_asked_again_and_again() {
    let mut pair = Pair::start(Pingable::Yes).await;
    let start = Instant::now();

    for _ in 0..4 {
        drop(pair.taken().await);
    }

    assert!(start.elapsed() >= Duration::from_secs(45), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn round_trips_and_misses_are_told() {
    let mut pair = Pair::start(Pingable::Yes).await;
    let mut stream = pair.taken().await;
    assert_eq!(pair.heart().read().round_trip, None);
    sleep(Duration::from_secs(3)).await;
    echo(&mut stream).await;
    sleep(Duration::from_secs(1)).await;
    let round_trip = pair.heart().read().round_trip.expect("answered");
    assert!(
        (Duration::from_secs(3)..Duration::from_millis(3100)).contains(&round_trip.last),
        "{round_trip:?}"
    );

    // The next one goes unanswered.
    let mut next = pair.taken().await;
    let heartbeat = pair.heart().read();
    assert_eq!((heartbeat.missed, heartbeat.missed_ever), (1, 1));
    echo(&mut next).await;
    sleep(Duration::from_secs(1)).await;

    let heartbeat = pair.heart().read();
    assert_eq!((heartbeat.missed, heartbeat.missed_ever), (0, 1));
    assert!(heartbeat.round_trip.expect("answered").shortest < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn peer_that_asked_for_quiet_is_left_alone_between_its_pings() {
    let mut pair = Pair::start(Pingable::Yes).await;
    let mut stream = pair.taken().await;
    echo(&mut stream).await;
    let start = Instant::now();
    pair.heart().set_interval(Duration::from_secs(600));

    for number in 1..=3 {
        // The stream before is used once more, if it was opened before the interval was known.
        let mut byte = [0; PAYLOAD];
        if number > 1 || timeout(SOON * 6, stream.read_exact(&mut byte)).await.is_ok_and(|read| read.is_err())
        {
            stream = timeout(SOON * 6, pair.taken.recv()).await.expect("in time").expect("a living swarm");
            stream.read_exact(&mut byte).await.expect("a ping");
        }
        let passed = start.elapsed();
        let due = Duration::from_secs(600) * number;
        assert!((due..due + Duration::from_secs(1)).contains(&passed), "{passed:?}");
        stream.write_all(&byte).await.expect("sent");
        stream.flush().await.expect("flushed");
        assert_eq!(stream.read(&mut byte).await.expect("ended in order"), 0, "no stream rests for so long");
    }

    let heartbeat = pair.heart().read();
    assert_eq!((heartbeat.interval, heartbeat.missed_ever), (Duration::from_secs(600), 0));
    assert!(pair.findings.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn shorter_interval_counts_at_once_and_finds_the_silent_sooner() {
    let mut pair = Pair::start(Pingable::Yes).await;
    let mut stream = pair.taken().await;
    echo(&mut stream).await;
    let start = Instant::now();

    pair.heart().set_interval(Duration::from_secs(5));

    assert_eq!(pair.finding().await, Finding::Silent);
    let passed = start.elapsed();
    assert!((Duration::from_secs(25)..Duration::from_secs(26)).contains(&passed), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn peer_that_answers_with_something_else_is_asked_again() {
    let mut pair = Pair::start(Pingable::Yes).await;
    let mut stream = pair.taken().await;
    stream.read_exact(&mut [0; PAYLOAD]).await.expect("a ping");
    stream.write_all(&[0; PAYLOAD]).await.expect("sent");
    stream.flush().await.expect("flushed");

    echo(&mut pair.taken().await).await;

    assert!(pair.findings.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn one_late_answer_is_forgiven() {
    let mut pair = Pair::start(Pingable::Yes).await;

    for _ in 0..3 {
        let _unanswered = pair.taken().await;
        let mut next = pair.taken().await;
        echo(&mut next).await;
    }

    assert!(pair.findings.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn peer_that_takes_pings_and_never_answers_is_silent() {
    let mut pair = Pair::start(Pingable::Yes).await;
    let start = Instant::now();

    let _unanswered = (pair.taken().await, pair.taken().await);

    assert_eq!(pair.finding().await, Finding::Silent);
    let passed = start.elapsed();
    assert!((Duration::from_secs(40)..Duration::from_secs(42)).contains(&passed), "{passed:?}");
}

/// Nothing at all comes from it, so no stream for the second ping is agreed on either.
#[tokio::test(start_paused = true)]
async fn peer_that_is_gone_without_a_word_is_silent() {
    let mut pair = Pair::start(Pingable::Yes).await;
    let mut stream = pair.taken().await;
    echo(&mut stream).await;
    let start = Instant::now();

    sleep(Duration::from_secs(1)).await; // the answer gets through
    pair.frozen.cancel();

    assert_eq!(pair.finding().await, Finding::Silent);

    let passed = start.elapsed();
    assert!((Duration::from_secs(55)..Duration::from_secs(56)).contains(&passed), "{passed:?}");
}

#[tokio::test(start_paused = true)]
async fn ping_stream_that_stalls_is_ended() {
    let (ours, theirs) = tokio::io::duplex(PAYLOAD);
    let answering = tokio::spawn(answer(ours.compat()));
    let mut theirs = theirs.compat();
    for number in 0..3 {
        sleep(STALL - Duration::from_secs(1)).await;
        theirs.write_all(&[number; PAYLOAD]).await.expect("written");
        theirs.read_exact(&mut [0; PAYLOAD]).await.expect("answered");
    }

    // Half a ping, a byte at a time, does not prolong it.
    let start = Instant::now();
    for _ in 0..3 {
        theirs.write_all(&[0]).await.expect("written");
        sleep(Duration::from_secs(19)).await;
    }
    assert_eq!(theirs.read(&mut [0]).await.expect("ended"), 0);
    answering.await.expect("no panic");

    assert!(start.elapsed() <= STALL + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn peer_that_does_not_read_its_answers_is_not_answered_for_ever() {
    let (ours, theirs) = tokio::io::duplex(PAYLOAD / 2);
    let answering = tokio::spawn(answer(ours.compat()));
    let mut theirs = theirs.compat();
    theirs.write_all(&[0; PAYLOAD]).await.expect("written");

    timeout(STALL * 2, answering).await.expect("in time").expect("no panic");
}

const SOON: Duration = Duration::from_secs(120);

/// Sends a ping; what came back, if the stream lives.
async fn ping(stream: &mut Stream, number: u8) -> Option<u8> {
    let round = async {
        stream.write_all(&[number; PAYLOAD]).await.ok()?;
        stream.flush().await.ok()?;
        let mut answer = [0; PAYLOAD];
        stream.read_exact(&mut answer).await.ok()?;
        assert_eq!(answer, [answer[0]; PAYLOAD]);
        Some(answer[0])
    };
    timeout(SOON, round).await.expect("an answer in time")
}

async fn echo(stream: &mut Stream) {
    let mut payload = [0; PAYLOAD];
    timeout(SOON, stream.read_exact(&mut payload)).await.expect("in time").expect("a ping");
    stream.write_all(&payload).await.expect("sent");
    stream.flush().await.expect("flushed");
}

/// Our behaviour alone, and a peer by hand that has dialed it.
struct Pair {
    findings: mpsc::Receiver<Finding>,
    asked: mpsc::Sender<()>,
    opened: mpsc::Receiver<Stream>,
    taken: mpsc::Receiver<Stream>,
    hearts: Hearts,
    /// The peer does nothing any more, and keeps its end of the connection.
    frozen: CancellationToken,
}

impl Pair {
    async fn start(pingable: Pingable) -> Self {
        let hearts = Hearts::default();
        let mut ours = swarm(Behaviour::new(hearts.clone()));
        ours.listen_on("/memory/0".parse().expect("address")).expect("bound");
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = ours.select_next_some().await {
                break address;
            }
        };
        let (report, findings) = mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                if let SwarmEvent::Behaviour(Event { finding, .. }) = ours.select_next_some().await {
                    report.send(finding).await.expect("the test listens");
                }
            }
        });

        let mut theirs = swarm(ByHand::new(pingable));
        theirs.dial(address).expect("dialed");
        let peer = loop {
            if let SwarmEvent::ConnectionEstablished { peer_id, .. } = theirs.select_next_some().await {
                break peer_id;
            }
        };
        let (asked, mut asks) = mpsc::channel(64);
        let (give_opened, opened) = mpsc::channel(64);
        let (give_taken, taken) = mpsc::channel(64);
        let frozen = CancellationToken::new();
        let freeze = frozen.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    biased;
                    () = freeze.cancelled() => pending().await,
                    Some(()) = asks.recv() => theirs.behaviour_mut().open(peer),
                    event = theirs.select_next_some() => match event {
                        SwarmEvent::Behaviour(Made::Opened(stream)) => {
                            give_opened.send(stream).await.expect("the test listens");
                        }
                        SwarmEvent::Behaviour(Made::Taken(stream)) => {
                            give_taken.send(stream).await.expect("the test listens");
                        }
                        SwarmEvent::ConnectionClosed { cause, .. } => panic!("connection lost: {cause:?}"),
                        _ => {}
                    }
                }
            }
        });
        Self { findings, asked, opened, taken, hearts, frozen }
    }

    fn heart(&self) -> Heart {
        self.hearts.only()
    }

    async fn finding(&mut self) -> Finding {
        timeout(SOON, self.findings.recv()).await.expect("in time").expect("a living swarm")
    }

    /// A ping stream of the peer's.
    async fn open(&mut self) -> Stream {
        self.asked.send(()).await.expect("a living swarm");
        timeout(SOON, self.opened.recv()).await.expect("in time").expect("a living swarm")
    }

    /// A ping stream of ours.
    async fn taken(&mut self) -> Stream {
        timeout(SOON, self.taken.recv()).await.expect("in time").expect("a living swarm")
    }
}

fn swarm<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| {
            MemoryTransport::default()
                .upgrade(Version::V1)
                .authenticate(noise::Config::new(key).expect("noise"))
                .multiplex(yamux::Config::default())
        })
        .expect("transport")
        .with_behaviour(|_| behaviour)
        .expect("behaviour")
        // Connections live in the swarm, so that they stop with it.
        .with_swarm_config(|_| {
            Config::without_executor().with_idle_connection_timeout(Duration::from_secs(3600))
        })
        .build()
}
