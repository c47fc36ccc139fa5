//! Messages over a stream, each within a time.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::message::{MAX_MESSAGE, Malformed, Request, stop_answer};

/// Why a message did not come or go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("the message is malformed")]
    Malformed(#[from] Malformed),
    #[error("the stream broke")]
    Io(#[from] io::Error),
    #[error("it took too long")]
    TimedOut,
    #[error("the destination refused with status {0}")]
    Refused(u64),
}

/// Reads a client's request.
pub(crate) async fn request<S: AsyncRead + Unpin>(
    stream: &mut S,
    patience: Duration,
) -> Result<Request, ExchangeError> {
    within(patience, async { Ok(Request::decode(&message(stream).await?)?) }).await
}

/// Writes a reply.
pub(crate) async fn reply<S: AsyncWrite + Unpin>(
    stream: &mut S,
    reply: &[u8],
    patience: Duration,
) -> Result<(), ExchangeError> {
    within(patience, async {
        stream.write_all(reply).await?;
        Ok(stream.flush().await?)
    })
    .await
}

/// Writes the last reply.
pub(crate) async fn last_reply<S: AsyncWrite + Unpin>(
    stream: &mut S,
    last: &[u8],
    patience: Duration,
) -> Result<(), ExchangeError> {
    within(patience, async {
        stream.write_all(last).await?;
        Ok(stream.close().await?)
    })
    .await
}

/// Asks a destination to take a circuit.
pub(crate) async fn stop<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    connect: &[u8],
    patience: Duration,
) -> Result<(), ExchangeError> {
    within(patience, async {
        stream.write_all(connect).await?;
        stream.flush().await?;
        stop_answer(&message(stream).await?)?.map_err(ExchangeError::Refused)
    })
    .await
}

async fn within<T>(
    patience: Duration,
    exchange: impl Future<Output = Result<T, ExchangeError>>,
) -> Result<T, ExchangeError> {
    tokio::time::timeout(patience, exchange).await.map_err(|_| ExchangeError::TimedOut)?
}

/// One message and not a byte more: what follows belongs to the circuit.
async fn message<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>, ExchangeError> {
    let mut length = 0;
    // Two bytes hold the longest length.
    for shift in [0, 7] {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            break;
        }
        if shift == 7 {
            return Err(Malformed.into());
        }
    }
    if length > MAX_MESSAGE {
        return Err(Malformed.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn what_follows_a_message_stays_in_the_stream() {
        let mut stream = Cursor::new(b"\x02\x08\x00circuit".to_vec());

        let asked = request(&mut stream, PATIENCE).await.expect("a request");

        assert_eq!((asked, stream.position()), (Request::Reserve, 3));
    }

    #[tokio::test]
    async fn longer_messages_than_allowed_are_not_read() {
        for length in [&b"\x81\x20"[..], b"\xff\x7f", b"\x80\x80\x01", b"\xff\xff\xff\xff\xff"] {
            let mut stream = Cursor::new([length, &[0; 20_000]].concat());
            let refused = request(&mut stream, PATIENCE).await;
            assert!(matches!(refused, Err(ExchangeError::Malformed(_))), "{length:?}: {refused:?}");
            assert!(stream.position() <= 2);
        }
    }

    #[tokio::test]
    async fn half_a_message_is_a_broken_stream() {
        for half in [&b""[..], b"\x05", b"\x05\x08\x00", b"\x85"] {
            let refused = request(&mut Cursor::new(half.to_vec()), PATIENCE).await;
            assert!(matches!(refused, Err(ExchangeError::Io(_))), "{half:?}: {refused:?}");
        }
    }
}
