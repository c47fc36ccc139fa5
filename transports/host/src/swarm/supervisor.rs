//! Keeps a swarm running: one that panicked, or that cannot be heard any more, is built anew at the same ports.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures::FutureExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::{error, info};

use super::{Failed, Order, Task, executor::text_of, factory::Factory};
use crate::{HostError, Listen, OpenError};

/// Pause before the second restart in a row; the first comes at once, and the pause doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest pause before a restart.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A swarm that ran for so long begins a new row of restarts.
const HEALTHY: Duration = Duration::from_secs(60);

/// What outlives the swarms of a host.
#[derive(Debug)]
pub(crate) struct Supervisor {
    factory: Factory,
    orders: mpsc::Receiver<Order>,
}

/// How far apart restarts are.
#[derive(Debug, Default)]
struct Backoff {
    /// Restarts in a row.
    row: u32,
}

impl Backoff {
    /// The pause after a swarm that `lived` for so long.
    fn next(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY {
            self.row = 0;
        }
        let doubled = self.row.checked_sub(1).map(|doublings| 2_u32.saturating_pow(doublings));
        self.row = self.row.saturating_add(1);
        doubled.map_or(Duration::ZERO, |factor| FIRST_PAUSE.saturating_mul(factor)).min(LONGEST_PAUSE)
    }
}

/// Why a swarm did not go on.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Build(#[from] HostError),
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl Supervisor {
    pub(crate) fn new(factory: Factory, orders: mpsc::Receiver<Order>) -> Self {
        Self { factory, orders }
    }

    /// Builds the first swarm and binds all of its listeners.
    pub(crate) async fn start(&self) -> Result<Task, HostError> {
        let mut task = self.build()?;
        task.bind(&self.factory.listen).await?;
        Ok(task)
    }

    /// Runs until the host is stopped or every handle is gone; then marks it as ended.
    pub(crate) async fn run(mut self, first: Task) {
        let board = self.factory.board.clone();
        let _ended = board.done.clone().drop_guard();
        let sockets = first.sockets();
        let mut task = Some(first);
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let life = AssertUnwindSafe(self.live(&mut task, &sockets)).catch_unwind().await;
            discard(task.take());
            board.clear();
            let reason = match life {
                Ok(Ok(())) => return,
                Ok(Err(end)) => end.to_string(),
                Err(panic) => format!("panic: {}", text_of(&*panic)),
            };
            let restarts = board.count_restart();
            let pause = backoff.next(began.elapsed());
            error!(reason, ?pause, restarts, "the libp2p host failed and is built anew");
            if !pause.is_zero() && self.pause(pause).await.is_err() {
                return;
            }
        }
    }

    /// The life of one swarm, built unless it is there; whatever is left of it stays in `task`.
    async fn live(&mut self, task: &mut Option<Task>, sockets: &[Listen]) -> Result<(), End> {
        let task = match task {
            Some(task) => task,
            None => {
                let task = task.insert(self.build()?);
                task.bind_again(sockets.to_vec());
                info!("the libp2p host is built anew");
                task
            }
        };
        Ok(task.run(&mut self.orders).await?)
    }

    fn build(&self) -> Result<Task, HostError> {
        let (swarm, naming) = self.factory.build()?;
        let Factory { board, terms, .. } = &self.factory;
        Ok(Task::new(swarm, naming, board.clone(), terms.limits.memory, &self.factory.reach))
    }

    /// Waits without a swarm, and says so to whoever asks something of it.
    async fn pause(&mut self, pause: Duration) -> Result<(), Stopped> {
        let over = Instant::now() + pause;
        loop {
            tokio::select! {
                biased;
                () = self.factory.board.stop.cancelled() => return Err(Stopped),
                () = sleep_until(over) => return Ok(()),
                order = self.orders.recv() => match order {
                    Some(Order::Open(open)) => open.job.fail(OpenError::ConnectionLost),
                    Some(Order::Lists(rules, reply)) => {
                        self.factory.doorman.rules.set(rules);
                        let _ = reply.send(0); // no connection is there to be closed
                    }
                    // The next swarm is told what the board says.
                    Some(Order::Announce(addresses)) => self.factory.board.set_external(addresses),
                    Some(Order::Direct(_, request)) => {
                        let _ = request.reply.send(Err(OpenError::ConnectionLost)); // who asked may have gone
                    }
                    // The next swarm begins with what the board says.
                    Some(Order::Relays(_) | Order::Candidates(_) | Order::Panic) => {}
                    None => return Err(Stopped),
                },
            }
        }
    }
}

/// The host is to end.
#[derive(Debug)]
struct Stopped;

/// Lets go of what is left of a swarm. A panic may have left it in any state, so its end may panic too.
fn discard(task: Option<Task>) {
    let dropped: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(|| drop(task)));
    if let Err(panic) = dropped {
        error!(reason = text_of(&*panic), "what was left of the libp2p host panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_come_later_and_later_until_one_lives_long() {
        let mut backoff = Backoff::default();
        let row: Vec<u64> = (0..40).map(|_| backoff.next(Duration::from_secs(59)).as_secs()).collect();
        assert_eq!(row.get(..8), Some([0, 1, 2, 4, 8, 16, 30, 30].as_slice()));
        assert_eq!(row.last(), Some(&30));

        assert_eq!(backoff.next(HEALTHY), Duration::ZERO);
        assert_eq!(backoff.next(Duration::ZERO), FIRST_PAUSE);
    }
}
