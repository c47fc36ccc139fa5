//! A connection: the machine and its channels behind a lock, and the task that moves them.
//!
//! Whoever reads or writes a stream works on the machine himself; the task hears of it, sends what came of it, takes
//! in what arrives, and keeps the time. So nothing is queued between a stream and SCTP.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use tokio::{
    net::UdpSocket,
    sync::{Notify, mpsc},
};

use crate::{
    channels::{Channels, Key},
    config::Limits,
    error::SessionError,
    gate::Place,
    machine::{Machine, Terms},
};

/// Datagrams of a connection that wait for its task: twice as many as the peer may send
/// unconfirmed, when they are full. More are lost, as in any router, and sent again by SCTP.
pub(crate) const QUEUE: usize = 1_024;

/// Datagrams that are taken in before something is sent.
const BATCH: usize = 32;

/// What the socket has for a connection.
#[derive(Debug)]
pub(crate) enum Input {
    /// A record of DTLS.
    Datagram(Vec<u8>),
    /// The client has checked a path, and maybe chosen it.
    Checked {
        /// Where it came from.
        from: SocketAddr,
        /// It chose this path.
        nominated: bool,
    },
}

struct State {
    machine: Machine,
    channels: Channels,
    /// Where the client is now.
    remote: SocketAddr,
    /// The task has stopped, or will at once.
    ended: bool,
    place: Option<Place>,
    accepting: Option<Waker>,
    opening: Option<Waker>,
    watching: Option<Waker>,
    establishing: Option<Waker>,
}

/// What the task, the session and its streams share.
pub(crate) struct Connection {
    state: Mutex<State>,
    /// Tells the task that there is something to send.
    changed: Notify,
    limits: Limits,
}

impl Connection {
    pub(crate) fn new(terms: &Terms, limits: Limits, remote: SocketAddr, place: Place) -> Arc<Self> {
        let state = State {
            machine: Machine::new(terms, Instant::now()),
            channels: Channels::new(limits),
            remote,
            ended: false,
            place: Some(place),
            accepting: None,
            opening: None,
            watching: None,
            establishing: None,
        };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), limits })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.lock().remote
    }

    /// The digest of the client's certificate.
    pub(crate) fn fingerprint(&self) -> Option<[u8; 32]> {
        self.lock().machine.fingerprint()
    }

    /// The channel for Noise, once SCTP is there.
    pub(crate) fn poll_established(&self, cx: &mut Context<'_>) -> Poll<Result<Key, SessionError>> {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(error) = state.machine.end() {
            return Poll::Ready(Err(error.clone()));
        }
        match state.machine.association() {
            Some(association) if state.channels.is_established() => {
                Poll::Ready(Ok(state.channels.open_handshake(association)))
            }
            _ => {
                state.establishing = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The client has shown who it is.
    pub(crate) fn establish(&self) {
        if let Some(place) = &mut self.lock().place {
            place.establish();
        }
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Result<Key, SessionError>> {
        let mut state = self.lock();
        if let Some(key) = state.channels.accept() {
            return Poll::Ready(Ok(key));
        }
        if let Some(error) = state.machine.end() {
            return Poll::Ready(Err(error.clone()));
        }
        state.accepting = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<Result<Key, SessionError>> {
        let mut state = self.lock();
        let state = &mut *state;
        if let Some(error) = state.machine.end() {
            return Poll::Ready(Err(error.clone()));
        }
        let opened = state.machine.association().and_then(|association| state.channels.open(association));
        match opened {
            Some(key) => {
                self.changed.notify_one();
                Poll::Ready(Ok(key))
            }
            None => {
                state.opening = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Ready when the connection has ended.
    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<SessionError> {
        let mut state = self.lock();
        if let Some(error) = state.machine.end() {
            return Poll::Ready(error.clone());
        }
        state.watching = Some(cx.waker().clone());
        Poll::Pending
    }

    pub(crate) fn close(&self) {
        let mut state = self.lock();
        if state.machine.end().is_none() {
            state.machine.close(Instant::now(), SessionError::ClosedHere);
            state.wake();
            self.changed.notify_one();
        }
    }

    pub(crate) fn poll_read(
        &self,
        key: Key,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let state = &mut *state;
        let read = state.channels.poll_read(state.machine.association(), key, cx, buf);
        if read.is_ready() {
            self.changed.notify_one(); // a flag may have been answered
        }
        read
    }

    pub(crate) fn poll_write(&self, key: Key, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.lock();
        let state = &mut *state;
        let written = state.channels.poll_write(state.machine.association(), key, cx, buf);
        if written.is_ready() {
            self.changed.notify_one();
        }
        written
    }

    pub(crate) fn end_sending(&self, key: Key) -> io::Result<()> {
        let mut state = self.lock();
        let state = &mut *state;
        let result = state.channels.end_sending(state.machine.association(), key);
        self.changed.notify_one();
        result
    }

    /// Nobody holds this stream any more.
    pub(crate) fn release(&self, key: Key) {
        let mut state = self.lock();
        let state = &mut *state;
        state.channels.release(state.machine.association(), key, Instant::now());
        state.wake_opening();
        self.changed.notify_one();
    }

    /// Moves the connection until it ends, and sends the last word.
    pub(crate) async fn drive(self: Arc<Self>, socket: Arc<UdpSocket>, mut inputs: mpsc::Receiver<Input>) {
        let running = Running(self);
        let connection = &running.0;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let step = connection.step(&mut batch);
            for datagram in step.datagrams {
                if let Err(error) = socket.send_to(&datagram, step.remote).await {
                    tracing::trace!(%error, "datagram not sent"); // as if it were lost on its way
                }
            }
            let Some(deadline) = step.deadline else { return };
            tokio::select! {
                count = inputs.recv_many(&mut batch, BATCH) => if count == 0 {
                    return; // the socket is gone
                },
                () = connection.changed.notified() => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }

    fn step(&self, inputs: &mut Vec<Input>) -> Step {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        for input in inputs.drain(..) {
            match input {
                Input::Datagram(datagram) => state.machine.handle_datagram(now, &datagram),
                Input::Checked { from, nominated } => {
                    state.machine.hear(now);
                    // To another address nothing is sent that did not ask for it: whoever has a connection could
                    // name somebody else's. Clients hear us where they began, too.
                    if nominated && from.ip() == state.remote.ip() {
                        state.remote = from;
                    }
                }
            }
            state.settle(now);
        }
        state.machine.handle_timeout(now);
        if let Some(association) = state.machine.association() {
            state.channels.handle_timeout(association, now);
        }
        state.settle(now);
        let idle = state.machine.heard() + self.limits.idle;
        if idle <= now {
            state.machine.close(now, SessionError::Idle(self.limits.idle));
        }
        state.machine.pump(now);
        state.wake();
        let timers = state.machine.next_timeout().into_iter().chain(state.channels.next_timeout());
        let deadline = timers.fold(idle, Instant::min);
        Step {
            datagrams: state.machine.take_datagrams(),
            remote: state.remote,
            deadline: state.machine.end().is_none().then_some(deadline),
        }
    }
}

struct Step {
    datagrams: VecDeque<Vec<u8>>,
    remote: SocketAddr,
    /// When something is due; nothing if the connection has ended.
    deadline: Option<Instant>,
}

impl State {
    fn settle(&mut self, now: Instant) {
        if let Err(error) = self.channels.handle_events(&mut self.machine, now) {
            self.machine.close(now, error);
        }
    }

    /// Wakes those who may go on.
    fn wake(&mut self) {
        let ended = self.machine.end().is_some();
        if ended && !std::mem::replace(&mut self.ended, true) {
            self.channels.end();
        }
        let mut wakers = Vec::new();
        if ended {
            wakers.extend(self.watching.take());
        }
        if ended || self.channels.has_incoming() {
            wakers.extend(self.accepting.take());
        }
        if ended || self.channels.is_established() {
            wakers.extend(self.establishing.take());
        }
        if ended || self.channels.has_room() {
            wakers.extend(self.opening.take());
        }
        wakers.into_iter().for_each(Waker::wake);
    }

    fn wake_opening(&mut self) {
        if let Some(waker) = self.opening.take() {
            waker.wake();
        }
    }
}

/// The task of a connection. However it stops, everyone hears of it and its place is free.
struct Running(Arc<Connection>);

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.machine.abandon();
        state.wake();
        state.place = None;
    }
}
