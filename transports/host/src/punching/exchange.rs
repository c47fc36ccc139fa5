//! How two peers agree on when to meet: who was called tells its addresses, hears the caller's, and says when.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncWrite};
use libp2p::Multiaddr;
use tokio::time::{Instant, sleep, timeout};

use super::message::{MAX_MESSAGE, Message};
use crate::{
    Malformed,
    frame::{self, FrameError},
};

/// Time for the whole.
pub(super) const EXCHANGE: Duration = Duration::from_secs(10);

/// Why no time was agreed on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("the peer does not know how to punch holes")]
    Unsupported,
    #[error("it took longer than {EXCHANGE:?}")]
    Timeout,
    #[error("the stream ended early")]
    Ended,
    #[error("another message was expected")]
    Unexpected,
    #[error("no message: {0}")]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The part of who was called: it begins. Returns the caller's addresses when it is time to dial them.
pub(super) async fn begin(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ours: Vec<Multiaddr>,
) -> Result<Vec<Multiaddr>, Failed> {
    let exchange = async {
        frame::write(stream, &Message::Connect(ours).encode()).await?;
        let sent = Instant::now();
        let Message::Connect(theirs) = read(stream).await? else { return Err(Failed::Unexpected) };
        let round_trip = sent.elapsed();
        frame::write(stream, &Message::Sync.encode()).await?;
        // They dial when this arrives, half a round trip from now.
        sleep(round_trip / 2).await;
        Ok(theirs)
    };
    timeout(EXCHANGE, exchange).await.map_err(|_elapsed| Failed::Timeout)?
}

/// The caller's part. Returns the addresses of who was called when it is time to dial them.
pub(super) async fn answer(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ours: impl FnOnce() -> Vec<Multiaddr>,
) -> Result<Vec<Multiaddr>, Failed> {
    let exchange = async {
        let Message::Connect(theirs) = read(stream).await? else { return Err(Failed::Unexpected) };
        frame::write(stream, &Message::Connect(ours()).encode()).await?;
        match read(stream).await? {
            Message::Sync => Ok(theirs),
            Message::Connect(_) => Err(Failed::Unexpected),
        }
    };
    timeout(EXCHANGE, exchange).await.map_err(|_elapsed| Failed::Timeout)?
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Message, Failed> {
    let bytes = frame::read(stream, MAX_MESSAGE).await?.ok_or(Failed::Ended)?;
    Ok(Message::decode(&bytes)?)
}

#[cfg(test)]
mod tests {
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    use super::*;

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/192.0.2.1/tcp/{port}").parse().expect("address")
    }

    #[tokio::test(start_paused = true)]
    async fn both_learn_where_the_other_is() {
        let (near, far) = tokio::io::duplex(4096);
        let (mut near, mut far) = (near.compat(), far.compat());

        let (theirs, ours) =
            tokio::join!(begin(&mut near, vec![address(1)]), answer(&mut far, || vec![address(2)]));

        assert_eq!(theirs.expect("agreed"), [address(2)]);
        assert_eq!(ours.expect("agreed"), [address(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_the_wrong_thing_is_given_up() {
        for bytes in [None, Some([3, 8, 172, 2].as_slice()), Some(&[0xff; 8]), Some(&[1, 7])] {
            let (near, far) = tokio::io::duplex(4096);
            let (mut near, mut far) = (near.compat(), far.compat());
            if let Some(bytes) = bytes {
                futures::AsyncWriteExt::write_all(&mut far, bytes).await.expect("sent");
            }

            let began = begin(&mut near, Vec::new()).await.expect_err("no peer");

            match bytes {
                None => assert!(matches!(began, Failed::Timeout)),
                Some([3, ..]) => assert!(matches!(began, Failed::Unexpected)),
                Some(_) => assert!(matches!(began, Failed::Frame(_) | Failed::Malformed(_)), "{began}"),
            }
        }
    }
}
