//! What whoever holds a stream does with it: read, write, end, let go.

use std::{
    io,
    task::{Context, Poll},
    time::Instant,
};

use ::bytes::{Buf, BytesMut};
use sctp_proto::{Association, PayloadProtocolIdentifier as Ppi};

use super::{Channels, HANDSHAKE, Key, LINGER, send};
use crate::{
    halves::End,
    message::{self, MAX_PAYLOAD},
};

impl Channels {
    pub(crate) fn poll_read(
        &mut self,
        association: Option<&mut Association>,
        key: Key,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Some(channel) = self.channels.get_mut(&key) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let read = buf.len().min(channel.unread.len());
        let (room, _) = buf.split_at_mut(read);
        channel.unread.copy_to_slice(room);
        if read == 0 && !buf.is_empty() {
            return match channel.halves.end() {
                End::Open => {
                    channel.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
                End::Whole => Poll::Ready(Ok(0)),
                End::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        if let Some(association) = association {
            self.fill(association, key); // there is room again
        }
        Poll::Ready(Ok(read))
    }

    pub(crate) fn poll_write(
        &mut self,
        association: Option<&mut Association>,
        key: Key,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let closed = || Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        let (Some(association), Some(channel)) = (association, self.channels.get(&key)) else {
            return closed();
        };
        let (Some(id), true) = (channel.id, channel.halves.may_send()) else { return closed() };
        if self.buffered(association) >= self.limits.send_buffer {
            if let Some(channel) = self.channels.get_mut(&key) {
                channel.writer = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        let payload = buf.get(..MAX_PAYLOAD).unwrap_or(buf);
        if payload.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let frame = message::data(payload);
        match association.stream(id).and_then(|mut stream| stream.write_with_ppi(&frame, Ppi::Binary)) {
            Ok(_) => Poll::Ready(Ok(payload.len())),
            Err(error) => Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, error))),
        }
    }

    /// Sends that nothing more will come. The channel stays until the peer has confirmed.
    pub(crate) fn end_sending(&mut self, association: Option<&mut Association>, key: Key) -> io::Result<()> {
        let Some(channel) = self.channels.get_mut(&key) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if channel.halves.is_refused() {
            return Ok(()); // the peer has said that it wants no more
        }
        if let (Some(flag), Some(id), Some(association)) =
            (channel.halves.end_sending(), channel.id, association)
        {
            send(association, id, flag);
        }
        Ok(())
    }

    /// Nobody holds the stream any more.
    pub(crate) fn release(&mut self, association: Option<&mut Association>, key: Key, now: Instant) {
        let Some(channel) = self.channels.get_mut(&key) else { return };
        channel.held = false;
        channel.unread = BytesMut::new();
        channel.linger = Some(now + LINGER);
        let (Some(id), Some(association)) = (channel.id, association) else {
            self.channels.remove(&key);
            return;
        };
        // Behind Noise nothing comes, and clients need not be told so.
        let stop = channel.halves.end_receiving().filter(|_| id != HANDSHAKE);
        for flag in [channel.halves.end_sending(), stop].into_iter().flatten() {
            send(association, id, flag);
        }
        self.fill(association, key); // what waited is thrown away, but for its flags
    }
}
