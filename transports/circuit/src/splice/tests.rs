//! Circuits between streams in memory, moved step by step.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

use futures::task::noop_waker_ref;

use super::{buffer::BUFFER, *};

/// What a stream has to give, and what it takes.
#[derive(Debug, Default)]
struct State {
    incoming: VecDeque<u8>,
    ended: bool,
    taken: Vec<u8>,
    /// How much it takes until it is full.
    room: usize,
    closed: bool,
    reader: Option<Waker>,
}

/// A stream whose other side is in the test's hands.
#[derive(Clone, Debug, Default)]
struct Hand(Arc<Mutex<State>>);

impl Hand {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().expect("not poisoned"))
    }
}

impl AsyncRead for Hand {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        self.with(|state| {
            let length = bytes.len().min(state.incoming.len());
            for (to, from) in bytes.iter_mut().zip(state.incoming.drain(..length)) {
                *to = from;
            }
            if length == 0 && !state.ended {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(length))
        })
    }
}

impl AsyncWrite for Hand {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|state| {
            let length = bytes.len().min(state.room);
            if length == 0 {
                return Poll::Pending;
            }
            state.room -= length;
            state.taken.extend(&bytes[..length]);
            Poll::Ready(Ok(length))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|state| state.closed = true);
        Poll::Ready(Ok(()))
    }
}

struct Scene {
    source: Hand,
    destination: Hand,
    meter: Arc<Meter>,
    splice: Splice<Hand>,
}

fn scene(limit: CircuitLimit, idle: Duration) -> Scene {
    let (source, destination, meter) = (Hand::default(), Hand::default(), Arc::new(Meter::default()));
    let terms = Terms { limit, idle, pacer: None };
    let splice = Splice::new(source.clone(), destination.clone(), &terms, meter.clone());
    Scene { source, destination, meter, splice }
}

const LONG: Duration = Duration::from_secs(600);

impl Scene {
    fn poll(&mut self) -> Poll<CircuitEnd> {
        self.splice.poll_unpin(&mut Context::from_waker(noop_waker_ref()))
    }
}

#[tokio::test]
async fn what_a_side_does_not_take_waits_and_stays_in_order() {
    let mut scene = scene(CircuitLimit::NONE, LONG);
    let bytes: Vec<u8> = (0..3 * BUFFER).map(|at| (at % 251) as u8).collect();
    scene.source.with(|state| state.incoming.extend(&bytes));

    let mut steps = 0;
    while scene.destination.with(|state| state.taken.len()) < bytes.len() {
        scene.destination.with(|state| state.room = 1000);
        assert_eq!(scene.poll(), Poll::Pending);
        steps += 1;
        let (read, taken) = (
            bytes.len() - scene.source.with(|state| state.incoming.len()),
            scene.destination.with(|state| state.taken.len()),
        );
        assert!(read - taken <= BUFFER, "no more is held than one buffer");
        assert_eq!(scene.meter.read().forth, taken as u64);
    }

    assert_eq!(steps, bytes.len().div_ceil(1000));
    assert!(scene.destination.with(|state| state.taken == bytes));
}

#[tokio::test]
async fn one_way_may_end_while_the_other_goes_on() {
    let mut scene = scene(CircuitLimit::NONE, LONG);
    scene.source.with(|state| state.ended = true);
    assert_eq!(scene.poll(), Poll::Pending);
    assert!(scene.destination.with(|state| state.closed));

    scene.source.with(|state| state.room = 10);
    scene.destination.with(|state| state.incoming.extend(b"answer"));
    assert_eq!(scene.poll(), Poll::Pending);
    scene.destination.with(|state| state.ended = true);

    assert_eq!(scene.poll(), Poll::Ready(CircuitEnd::Done));
    assert_eq!(scene.source.with(|state| (state.taken.clone(), state.closed)), (b"answer".to_vec(), true));
    assert_eq!(scene.meter.read(), crate::Bytes { forth: 0, back: 6 });
}

#[tokio::test]
async fn the_limit_is_of_one_way_and_to_the_byte() {
    for (sent, ended, expected) in [
        (100, false, Poll::Pending),
        (100, true, Poll::Pending),
        (101, false, Poll::Ready(CircuitEnd::ByteLimit)),
    ] {
        let mut scene = scene(CircuitLimit { bytes: Some(100), time: None }, LONG);
        scene.source.with(|state| {
            state.incoming.extend(vec![7; sent]);
            state.ended = ended;
            state.room = 100;
        });
        scene.destination.with(|state| {
            state.incoming.extend([8; 100]);
            state.room = 1000;
        });

        assert_eq!(scene.poll(), expected, "{sent} {ended}");
        assert_eq!(scene.destination.with(|state| (state.taken.len(), state.closed)), (100, ended));
    }
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_always_has_bytes_ends_at_its_time() {
    let time = Duration::from_secs(60);
    let mut scene = scene(CircuitLimit { bytes: None, time: Some(time) }, LONG);
    let began = Instant::now();
    let end = loop {
        scene.source.with(|state| state.incoming.extend([1; 1000]));
        scene.destination.with(|state| state.room = 1000);
        if let Poll::Ready(end) = scene.poll() {
            break end;
        }
        tokio::time::advance(Duration::from_millis(10)).await;
    };
    assert_eq!(end, CircuitEnd::TimeLimit);
    assert!(began.elapsed() >= time && began.elapsed() < time + Duration::from_millis(50));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_circuit_is_idle_and_one_that_trickles_is_not() {
    let idle = Duration::from_secs(10);
    let mut scene = scene(CircuitLimit::NONE, idle);
    scene.source.with(|state| state.incoming.extend([1; 1000]));
    for _ in 0..20 {
        scene.destination.with(|state| state.room = 1);
        assert_eq!(scene.poll(), Poll::Pending);
        tokio::time::advance(idle * 9 / 10).await;
    }
    let stalled = Instant::now();

    let end = (&mut scene.splice).await;

    assert_eq!(end, CircuitEnd::Idle);
    assert!(stalled.elapsed() <= idle * 2);
}

#[tokio::test]
async fn a_flood_leaves_others_of_the_task_their_turn() {
    static WOKEN: AtomicUsize = AtomicUsize::new(0);
    struct Count;
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            WOKEN.fetch_add(1, Ordering::Relaxed);
        }
    }
    let mut scene = scene(CircuitLimit::NONE, LONG);
    scene.source.with(|state| state.incoming.extend(vec![1; 4 << 20]));
    scene.destination.with(|state| state.room = usize::MAX);

    let waker = Waker::from(Arc::new(Count));
    assert_eq!(scene.splice.poll_unpin(&mut Context::from_waker(&waker)), Poll::Pending);

    let taken = scene.destination.with(|state| state.taken.len());
    assert!(taken < 1 << 20, "{taken} bytes at once");
    assert_eq!(WOKEN.load(Ordering::Relaxed), 1, "it comes again");
}
