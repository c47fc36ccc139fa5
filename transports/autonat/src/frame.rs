//! Messages on a stream, each behind its length.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::message::{Malformed, put_varint};

/// What can go wrong on a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("message of {size} bytes, {limit} are taken")]
    TooLarge { size: u64, limit: usize },
    #[error("the length of a message is no number")]
    Length,
    #[error("the stream ended")]
    Ended,
    #[error("malformed message")]
    Malformed(#[from] Malformed),
    #[error("another message was due")]
    Unexpected,
    #[error("no end of it within {0:?}")]
    Timeout(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Bytes of the longest length: nobody takes messages of 2^21 bytes.
const MAX_LENGTH: usize = 3;

/// Bytes read and thrown away while the other side says goodbye.
const MAX_FAREWELL: u64 = 16 * 1024;

/// Time for both sides to say goodbye.
pub(crate) const FAREWELL: Duration = Duration::from_secs(5);

/// The next message's bytes.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Vec<u8>, StreamError> {
    let mut size = 0_u64;
    for index in 0..MAX_LENGTH {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Err(StreamError::Ended);
        }
        let [byte] = byte;
        size |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return match usize::try_from(size) {
                Ok(length) if length <= limit => read_exactly(stream, length).await,
                _ => Err(StreamError::TooLarge { size, limit }),
            };
        }
    }
    Err(StreamError::Length)
}

/// Grows with what arrives: the length is only a claim.
async fn read_exactly(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Vec<u8>, StreamError> {
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() == length { Ok(bytes) } else { Err(StreamError::Ended) }
}

/// Writes and flushes.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Result<(), StreamError> {
    let mut framed = Vec::with_capacity(message.len() + MAX_LENGTH);
    put_varint(&mut framed, message.len() as u64);
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    Ok(stream.flush().await?)
}

/// Ends our side and waits for the end of the other: who drops a stream before may take back what was written last.
pub(crate) async fn finish(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let farewell = async {
        stream.close().await?;
        let mut rest = (&mut stream).take(MAX_FAREWELL);
        let mut thrown_away = [0; 512];
        while rest.read(&mut thrown_away).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(FAREWELL, farewell).await; // whatever comes of it, the stream is dropped now
}

/// Gives `work` so much time.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StreamError>>,
) -> Result<T, StreamError> {
    timeout(limit, work).await.map_err(|_| StreamError::Timeout(limit))?
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, io::Cursor};

    use super::*;

    #[test]
    fn messages_come_back_as_they_went() {
        let mut wire = Cursor::new(Vec::new());
        for length in [0, 1, 127, 128, 5000] {
            block_on(write(&mut wire, &vec![7; length])).expect("written");
        }
        wire.set_position(0);
        for length in [0, 1, 127, 128, 5000] {
            assert_eq!(block_on(read(&mut wire, 5000)).expect("read"), vec![7; length]);
        }
        assert!(matches!(block_on(read(&mut wire, 5000)), Err(StreamError::Ended)));
    }

    #[test]
    fn lengths_are_claims() {
        let read = |bytes: &[u8]| block_on(read(&mut Cursor::new(bytes.to_vec()), 100));

        assert!(matches!(read(&[101, 0]), Err(StreamError::TooLarge { size: 101, limit: 100 })));
        assert!(matches!(read(&[0xff, 0xff, 0x7f]), Err(StreamError::TooLarge { .. })));
        assert!(matches!(read(&[0xff, 0xff, 0xff, 0x7f]), Err(StreamError::Length)));
        assert!(matches!(read(&[5, 1, 2]), Err(StreamError::Ended)));
        assert!(matches!(read(&[0x80]), Err(StreamError::Ended)));
    }
}
