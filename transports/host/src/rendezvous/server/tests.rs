//! Peers at a rendezvous point's streams: honest ones, forgers, and those who send nothing or too much.

use futures::{AsyncReadExt as _, executor::block_on};
use libp2p::identity::Keypair;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

use super::*;
use crate::rendezvous::{
    message::Page,
    record::{self, Form},
};

fn point() -> Server {
    Server::new(RendezvousLimits { namespaces: vec!["les/".into()], ..RendezvousLimits::default() })
}

fn asker(keypair: &Keypair) -> Asker {
    Asker { peer: keypair.public().to_peer_id(), origin: None }
}

fn signed(keypair: &Keypair, addresses: usize) -> Vec<u8> {
    let address = "/ip4/192.0.2.1/tcp/30314".parse().expect("multiaddr");
    record::sign(keypair, vec![address; addresses], Form::Standard).expect("signed")
}

fn register(record: Vec<u8>, ttl: u64) -> Request {
    Request::Register { namespace: "les/1".into(), record, ttl: Some(ttl) }
}

fn discover(limit: Option<u64>) -> Request {
    Request::Discover { namespace: Some("les/1".into()), limit, cookie: Vec::new() }
}

fn refused(response: Option<Response>) -> RendezvousStatus {
    match response {
        Some(Response::Registered(Err(refusal)) | Response::Discovered(Err(refusal))) => refusal.status,
        other => panic!("{other:?}"),
    }
}

fn page(response: Option<Response>) -> Page {
    match response {
        Some(Response::Discovered(Ok(page))) => page,
        other => panic!("{other:?}"),
    }
}

/// A stream, and what the server does on it.
struct Visit {
    stream: Compat<tokio::io::DuplexStream>,
    served: tokio::task::JoinHandle<Result<(), ServeError>>,
}

fn visit(keypair: &Keypair) -> Visit {
    let (near, far) = tokio::io::duplex(1024);
    let asker = asker(keypair);
    let served = tokio::spawn(async move { point().serve(asker, far.compat()).await });
    Visit { stream: near.compat(), served }
}

#[tokio::test]
async fn registrations_expire_while_time_passes() {
    tokio::time::pause();
    let (point, keypair) = (point(), Keypair::generate_ed25519());
    let asker = asker(&keypair);
    let granted = point.answer(asker, register(signed(&keypair, 2), 120), Instant::now());
    assert_eq!(granted, Some(Response::Registered(Ok(Some(120)))));

    tokio::time::advance(Duration::from_secs(119)).await;
    assert_eq!(page(point.answer(asker, discover(None), Instant::now())).registrations.len(), 1);
    assert_eq!(point.registrations(), 1);

    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(point.registrations(), 0);
    assert_eq!(page(point.answer(asker, discover(None), Instant::now())).registrations.len(), 0);
}

#[test]
fn records_of_others_and_forged_ones_have_their_codes() {
    let (point, own, other) = (point(), Keypair::generate_ed25519(), Keypair::generate_secp256k1());
    let answer = |record| point.answer(asker(&own), register(record, 7200), Instant::now());

    assert_eq!(refused(answer(signed(&other, 1))), RendezvousStatus::NotAuthorized);
    let mut forged = signed(&own, 1);
    *forged.last_mut().expect("bytes") ^= 1;
    for record in [forged, Vec::new(), vec![0xff; 100], signed(&own, 0), signed(&own, 33), vec![0; 4097]] {
        assert_eq!(refused(answer(record)), RendezvousStatus::InvalidSignedPeerRecord);
    }
    assert!(matches!(answer(signed(&own, 32)), Some(Response::Registered(Ok(_)))));
}

#[test]
fn hostile_questions_are_answered_within_bounds() {
    let (point, keypair) = (point(), Keypair::generate_ed25519());
    let asker = asker(&keypair);
    let answer = |request| point.answer(asker, request, Instant::now());

    assert_eq!(refused(answer(register(signed(&keypair, 1), 1_000_000))), RendezvousStatus::InvalidTtl);
    assert!(page(answer(discover(Some(u64::MAX)))).registrations.is_empty());
    let garbage = Request::Discover { namespace: None, limit: None, cookie: vec![0xff; 900] };
    assert_eq!(refused(answer(garbage)), RendezvousStatus::InvalidCookie);

    let answered =
        (0..10_000).filter(|_| matches!(answer(discover(None)), Some(Response::Discovered(Ok(_))))).count();
    assert!(answered < 60, "{answered} of one peer's requests in a minute");
    assert_eq!(refused(answer(discover(None))), RendezvousStatus::Unavailable);
}

#[tokio::test]
async fn several_requests_are_answered_on_one_stream() {
    let keypair = Keypair::generate_ed25519();
    let Visit { mut stream, served } = visit(&keypair);

    for (request, expected) in [
        (register(signed(&keypair, 1), 7200), Some(1)),
        (discover(Some(10)), Some(1)),
        (Request::Unregister { namespace: "les/1".into() }, None),
        (discover(Some(10)), Some(0)),
    ] {
        frame::write(&mut stream, &request.encode()).await.expect("sent");
        let Some(expected) = expected else { continue };
        let bytes = frame::read(&mut stream, 10_000).await.expect("read").expect("answer");
        match Response::decode(&bytes, 10).expect("response") {
            Response::Discovered(Ok(page)) => assert_eq!(page.registrations.len(), expected),
            Response::Registered(Ok(ttl)) => assert_eq!(ttl, Some(7200)),
            other => panic!("{other:?}"),
        }
    }
    stream.close().await.expect("closed");
    served.await.expect("no panic").expect("served");
}

#[tokio::test]
async fn a_stream_of_endless_requests_is_ended() {
    let Visit { mut stream, served } = visit(&Keypair::generate_ed25519());

    let mut answered = 0;
    loop {
        if frame::write(&mut stream, &discover(None).encode()).await.is_err() {
            break;
        }
        match frame::read(&mut stream, 10_000).await {
            Ok(Some(_)) => answered += 1,
            _ => break,
        }
    }

    assert_eq!(answered, REQUESTS_PER_STREAM);
    served.await.expect("no panic").expect("served");
}

#[tokio::test]
async fn oversized_and_malformed_messages_end_the_stream() {
    for (bytes, large) in [
        (vec![0xff, 0xff, 0x7f], true), // announces 2 MiB
        (vec![4, 0x08, 0x09, 0x08, 0x09], false),
        (vec![5, 0xff, 0xff, 0xff, 0xff, 0xff], false),
    ] {
        let Visit { mut stream, served } = visit(&Keypair::generate_ed25519());

        stream.write_all(&bytes).await.expect("sent");

        let end = served.await.expect("no panic").expect_err("given up");
        match end {
            ServeError::Frame(FrameError::TooLarge { limit, .. }) => {
                assert!(large);
                assert_eq!(limit, 5120);
            }
            ServeError::Malformed(_) => assert!(!large),
            other => panic!("{other:?}"),
        }
        assert_eq!(stream.read(&mut [0; 10]).await.expect("ended"), 0, "nothing is answered");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_stream() {
    let Visit { mut stream, served } = visit(&Keypair::generate_ed25519());
    let begun = Instant::now();

    stream.write_all(&[100, 1, 2]).await.expect("sent"); // and never the rest

    assert!(matches!(served.await.expect("no panic"), Err(ServeError::Timeout)));
    assert_eq!(begun.elapsed(), STEP_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_given_up() {
    let keypair = Keypair::generate_ed25519();
    let point = std::sync::Arc::new(Server::new(RendezvousLimits::default()));
    for _ in 0..100 {
        let other = Keypair::generate_ed25519();
        let answer = point.answer(asker(&other), register(signed(&other, 8), 7200), Instant::now());
        assert!(matches!(answer, Some(Response::Registered(Ok(_)))));
    }
    let (near, far) = tokio::io::duplex(1024);
    let asker = asker(&keypair);
    let served = tokio::spawn(async move { point.serve(asker, far.compat()).await });
    let mut stream = near.compat();

    frame::write(&mut stream, &discover(Some(100)).encode()).await.expect("sent");

    assert!(matches!(served.await.expect("no panic"), Err(ServeError::Timeout)));
}

#[test]
fn garbage_on_the_wire_never_panics() {
    let (point, asker) = (point(), asker(&Keypair::generate_ed25519()));
    for seed in 0..500_u32 {
        let bytes: Vec<u8> =
            (0..seed % 64).map(|index| (seed.wrapping_mul(2_654_435_761) >> (index % 24)) as u8).collect();
        if let Ok(request) = Request::decode(&bytes) {
            let _ = point.answer(asker, request, Instant::now());
        }
        let _ = block_on(frame::read(&mut futures::io::Cursor::new(bytes), 100));
    }
}
