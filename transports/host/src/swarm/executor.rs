//! Runs the tasks of connections, and sees when one panics.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use futures::FutureExt;
use libp2p::swarm::Executor;
use tracing::error;

use super::board::Board;

/// The executor of one host's swarms.
pub(super) struct Watched(Arc<Board>);

impl Watched {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self(board)
    }
}

impl Executor for Watched {
    fn exec(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let board = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                error!(reason = text_of(&*panic), "the task of a libp2p connection panicked");
                board.broke();
            }
        });
    }
}

/// What a panic said.
pub(super) fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_panics_is_counted_and_nobody_else_falls() {
        let board = Arc::new(Board::default());
        let executor = Watched::new(board.clone());
        let (sender, receiver) = tokio::sync::oneshot::channel();

        executor.exec(async { panic!("a broken connection") }.boxed());
        while board.broken() == 0 {
            tokio::task::yield_now().await;
        }
        executor.exec(async { sender.send(()).expect("awaited") }.boxed());

        receiver.await.expect("the next one runs");
        assert_eq!(board.broken(), 1);
    }

    #[test]
    fn the_text_of_a_panic_is_kept() {
        for (panic, text) in [
            (Box::new("plain") as Box<dyn Any + Send>, "plain"),
            (Box::new(String::from("made")), "made"),
            (Box::new(7), "without a word"),
        ] {
            assert_eq!(text_of(&*panic), text);
        }
    }
}
