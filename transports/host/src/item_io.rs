//! The two halves of a protocol stream: whole items in, whole items out, each with its deadlines.

use std::{future::poll_fn, io, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

use crate::{CutError, Item, ItemCutter, ItemLimits, channel::Half, encode_item};

/// An item is complete this long after its first byte, or the stream ends.
pub const ITEM_TIMEOUT: Duration = Duration::from_secs(30);

/// A message is taken by the transport this long after it was begun, and a second more for each
/// [`SLOWEST_READER`] bytes of it: a phone on a slow line may take a large answer slowly, a dead reader may not
/// hold it for ever.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes a second below which a peer does not read.
pub const SLOWEST_READER: usize = 64 * 1024;

/// Time for the end of a stream to be handed to the transport.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why no further item can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer broke the framing or a limit.
    #[error("framing broken")]
    Framing(#[from] CutError),
    /// The stream ended within an item.
    #[error("the stream ended within an item, {buffered} bytes of which had come")]
    Truncated {
        /// What had come of it.
        buffered: usize,
    },
    /// No item had begun by the caller's deadline.
    #[error("no item began in time")]
    Silent,
    /// An item was not complete in time.
    #[error("an item was not complete {limit:?} after its first byte")]
    Stalled {
        /// The limit.
        limit: Duration,
    },
    /// The stream was reset, or its connection lost.
    #[error("the stream was lost")]
    Lost(#[from] io::Error),
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The peer does not read.
    #[error("a message of {size} bytes was not taken within {limit:?}")]
    Stalled {
        /// The message's length.
        size: usize,
        /// The limit.
        limit: Duration,
    },
    /// The stream was reset or closed, or its connection lost.
    #[error("the stream was lost")]
    Lost(#[from] io::Error),
}

/// Reads items. Dropping both halves ends the stream.
#[derive(Debug)]
pub struct ItemReader {
    half: Half,
    cutter: ItemCutter,
    /// When the item under way must be complete.
    complete_by: Option<Instant>,
}

impl ItemReader {
    pub(crate) fn new(half: Half, limits: ItemLimits) -> Self {
        Self { half, cutter: ItemCutter::new(limits), complete_by: None }
    }

    /// Replaces the limits that the stream came with.
    pub fn set_limits(&mut self, limits: ItemLimits) {
        self.cutter.set_limits(limits);
    }

    /// The next item; `None` at the clean end of the stream. `deadline` is for the item's first byte; from
    /// there it has [`ITEM_TIMEOUT`]. Cancel-safe.
    ///
    /// # Errors
    /// See [`ReadError`]; the stream is over after any of them but [`ReadError::Silent`].
    pub async fn read_item(&mut self, deadline: Option<Instant>) -> Result<Option<Item>, ReadError> {
        loop {
            if let Some(item) = self.cutter.next_item()? {
                self.complete_by = None;
                return Ok(Some(item));
            }
            let under_way = !self.cutter.is_between_items();
            let limit = if under_way {
                Some(*self.complete_by.get_or_insert_with(|| Instant::now() + ITEM_TIMEOUT))
            } else {
                deadline
            };
            let count = match limit {
                None => self.read_chunk().await?,
                Some(limit) => match timeout_at(limit, self.read_chunk()).await {
                    Ok(result) => result?,
                    Err(_elapsed) if under_way => return Err(ReadError::Stalled { limit: ITEM_TIMEOUT }),
                    Err(_elapsed) => return Err(ReadError::Silent),
                },
            };
            if count == 0 {
                return match self.cutter.buffered() {
                    0 => Ok(None),
                    buffered => Err(ReadError::Truncated { buffered }),
                };
            }
        }
    }

    async fn read_chunk(&mut self) -> io::Result<usize> {
        let Self { half, cutter, .. } = self;
        poll_fn(|cx| half.poll_chunk(cx, |bytes| cutter.push(bytes))).await
    }
}

/// Writes items. Dropping both halves ends the stream.
#[derive(Debug)]
pub struct ItemWriter {
    half: Half,
    /// A message was begun and not finished: nothing can follow it.
    torn: bool,
}

impl ItemWriter {
    pub(crate) fn new(half: Half) -> Self {
        Self { half, torn: false }
    }

    /// Sends one message in one write and flushes it. `payload` is exactly one RLP item.
    ///
    /// Not cancel-safe: after a call that was dropped half way the next one fails.
    ///
    /// # Errors
    /// See [`WriteError`]; the stream is over after any of them.
    pub async fn write_item(&mut self, code: u64, payload: &[u8]) -> Result<(), WriteError> {
        if self.torn {
            return Err(WriteError::Lost(io::ErrorKind::BrokenPipe.into()));
        }
        self.torn = true;
        let message = encode_item(code, payload);
        let limit = write_limit(message.len());
        timeout(limit, self.send(&message))
            .await
            .map_err(|_elapsed| WriteError::Stalled { size: message.len(), limit })??;
        self.torn = false;
        Ok(())
    }

    /// Ends our direction cleanly (FIN), so that what was sent before is read by the peer. Bounded in time.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn close(&mut self) -> Result<(), WriteError> {
        self.torn = true;
        let Self { half, .. } = self;
        timeout(CLOSE_TIMEOUT, poll_fn(|cx| half.poll_close(cx)))
            .await
            .map_err(|_elapsed| WriteError::Stalled { size: 0, limit: CLOSE_TIMEOUT })??;
        Ok(())
    }

    /// Sends bytes that need not be whole items, as a peer does that breaks the rules.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write_for_test(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        Ok(self.send(bytes).await?)
    }

    async fn send(&self, message: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = message.get(sent..).filter(|rest| !rest.is_empty()) {
            match poll_fn(|cx| self.half.poll_write(cx, rest)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => sent += count,
            }
        }
        poll_fn(|cx| self.half.poll_flush(cx)).await
    }
}

/// How long a message of `size` bytes may take to be handed to the transport.
fn write_limit(size: usize) -> Duration {
    WRITE_TIMEOUT + Duration::from_secs((size / SLOWEST_READER) as u64)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
        time::advance,
    };
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;
    use crate::channel::Channel;

    /// Halves over memory, and the peer's end.
    fn halves(room: usize) -> (ItemReader, ItemWriter, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(room);
        let (_, reader, writer) = Channel::share(ours.compat(), Default::default());
        (ItemReader::new(reader, ItemLimits::default()), ItemWriter::new(writer), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn item_that_does_not_go_on_ends_the_stream() {
        let (mut reader, _writer, mut peer) = halves(1000);
        peer.write_all(&[0xcb, 0x01, 0x89]).await.expect("room");
        let begun = Instant::now();

        let result = reader.read_item(None).await;

        assert!(matches!(result, Err(ReadError::Stalled { limit: ITEM_TIMEOUT })), "{result:?}");
        assert_eq!(begun.elapsed().as_secs(), ITEM_TIMEOUT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn dripping_does_not_prolong_an_item() {
        let (mut reader, _writer, mut peer) = halves(1000);
        tokio::spawn(async move {
            peer.write_all(&[0xf8, 0x80, 0x01, 0xb8, 0x7d]).await.expect("room");
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                if peer.write_all(&[0]).await.is_err() {
                    return;
                }
            }
        });
        let begun = Instant::now();

        let result = reader.read_item(None).await;

        assert!(matches!(result, Err(ReadError::Stalled { .. })), "{result:?}");
        assert!(begun.elapsed() <= ITEM_TIMEOUT + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn clock_of_an_item_starts_with_the_item() {
        let (mut reader, _writer, mut peer) = halves(1000);
        peer.write_all(&[0xc2, 0x01, 0xc0, 0xc2]).await.expect("room");
        assert!(reader.read_item(None).await.expect("read").is_some());
        advance(ITEM_TIMEOUT * 2).await; // the owner is busy

        peer.write_all(&[0x02, 0xc0]).await.expect("room");

        assert_eq!(reader.read_item(None).await.expect("read").expect("an item").code, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_leaves_the_stream_usable() {
        let (mut reader, _writer, mut peer) = halves(1000);

        let silent = reader.read_item(Some(Instant::now() + Duration::from_secs(5))).await;
        assert!(matches!(silent, Err(ReadError::Silent)), "{silent:?}");

        peer.write_all(&[0xc2, 0x01, 0xc0]).await.expect("room");
        assert!(reader.read_item(None).await.expect("read").is_some());
        drop(peer);
        assert!(reader.read_item(None).await.expect("clean").is_none());
        assert!(reader.read_item(None).await.expect("and stays so").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn cancelled_read_loses_nothing() {
        let (mut reader, _writer, mut peer) = halves(1000);
        for byte in [0xc4, 0x01, 0x82, 0xaa] {
            peer.write_all(&[byte]).await.expect("room");
            assert!(timeout(Duration::from_millis(1), reader.read_item(None)).await.is_err());
        }
        peer.write_all(&[0xbb]).await.expect("room");

        let item = reader.read_item(None).await.expect("read").expect("an item");

        assert_eq!(item.payload[..], [0x82, 0xaa, 0xbb]);
    }

    #[tokio::test(start_paused = true)]
    async fn dead_reader_does_not_hold_a_message() {
        let (_reader, mut writer, _peer) = halves(10);
        let begun = Instant::now();

        let result = writer.write_item(1, &[0; 100]).await;

        assert!(matches!(result, Err(WriteError::Stalled { limit: WRITE_TIMEOUT, .. })), "{result:?}");
        assert_eq!(begun.elapsed().as_secs(), WRITE_TIMEOUT.as_secs());
        assert!(writer.write_item(1, &[0xc0]).await.is_err(), "nothing follows half a message");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_reader_gets_a_large_message_in_time() {
        let (_reader, mut writer, mut peer) = halves(16 * 1024);
        let reading = tokio::spawn(async move {
            let mut chunk = [0; 8 * 1024];
            let mut count = 0;
            while let Ok(read @ 1..) = peer.read(&mut chunk).await {
                count += read;
                tokio::time::sleep(Duration::from_millis(100)).await; // at most 80 KiB a second
            }
            count
        });

        writer
            .write_item(1, &vec![0xc0; 4 * 1024 * 1024])
            .await
            .expect("slower than 20 s, faster than the limit");

        drop((_reader, writer));
        assert!(reading.await.expect("read") > 4 * 1024 * 1024);
    }
}
