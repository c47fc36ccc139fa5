//! Messages on a stream, each behind its length.

use std::io;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::protobuf::put_varint;

/// Why no message came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("message of {size} bytes, {limit} are taken")]
    TooLarge { size: u64, limit: usize },
    #[error("the length of a message is no number")]
    Length,
    #[error("the stream ended within a message")]
    Truncated,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Bytes of the longest length: nobody takes messages of 2^28 bytes.
const MAX_LENGTH: usize = 4;

/// The next message, or `None` at the stream's end.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> Result<Option<Vec<u8>>, FrameError> {
    let mut size = 0_u64;
    for index in 0..MAX_LENGTH {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return if index == 0 { Ok(None) } else { Err(FrameError::Truncated) };
        }
        let [byte] = byte;
        size |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return match usize::try_from(size) {
                Ok(length) if length <= limit => read_exactly(stream, length).await.map(Some),
                _ => Err(FrameError::TooLarge { size, limit }),
            };
        }
    }
    Err(FrameError::Length)
}

/// Grows with what arrives: the length is only a claim.
async fn read_exactly(stream: &mut (impl AsyncRead + Unpin), length: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    stream.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() == length { Ok(bytes) } else { Err(FrameError::Truncated) }
}

/// Writes and flushes.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let mut framed = Vec::with_capacity(message.len() + MAX_LENGTH);
    put_varint(&mut framed, message.len() as u64);
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    stream.flush().await
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
            assert_eq!(block_on(read(&mut wire, 5000)).expect("read"), Some(vec![7; length]));
        }
        assert_eq!(block_on(read(&mut wire, 5000)).expect("read"), None);
    }

    #[test]
    fn lengths_are_claims() {
        let read = |bytes: &[u8]| block_on(read(&mut Cursor::new(bytes.to_vec()), 100));

        assert!(matches!(read(&[101, 0]), Err(FrameError::TooLarge { size: 101, limit: 100 })));
        assert!(matches!(read(&[0xff, 0xff, 0xff, 0x7f]), Err(FrameError::TooLarge { .. })));
        assert!(matches!(read(&[0xff, 0xff, 0xff, 0xff, 0x7f]), Err(FrameError::Length)));
        assert!(matches!(read(&[5, 1, 2]), Err(FrameError::Truncated)));
        assert!(matches!(read(&[0x80]), Err(FrameError::Truncated)));
    }
}
