//! Sealed bytes that wait for the socket.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Frames are gathered in buffers of at least this size, so that many small ones make one write.
const BUFFER: usize = 16 * 1024;
/// Larger buffers are given back once they are sent.
const KEPT_BUFFER: usize = 64 * 1024;

/// What is to be sent, in order. Frames are sealed where they lie.
#[derive(Default)]
pub(crate) struct Outbox {
    full: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in `full`.
    waiting: usize,
}

impl Outbox {
    /// The buffer to append a frame of at most `size` bytes to, without moving what is there.
    pub(crate) fn room(&mut self, size: usize) -> &mut BytesMut {
        if self.tail.capacity() - self.tail.len() < size {
            self.set_aside();
            self.tail.reserve(size.max(BUFFER));
        }
        &mut self.tail
    }

    /// Appends bytes that are sealed already.
    pub(crate) fn push(&mut self, packet: &[u8]) {
        self.room(packet.len()).extend_from_slice(packet);
    }

    /// The next bytes to send.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let next = match self.full.pop_front() {
            Some(next) => {
                self.waiting -= next.len();
                next
            }
            None => self.tail.split().freeze(),
        };
        if self.tail.is_empty() && self.tail.capacity() > KEPT_BUFFER {
            self.tail = BytesMut::new();
        }
        (!next.is_empty()).then_some(next)
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting + self.tail.len()
    }

    fn set_aside(&mut self) {
        if !self.tail.is_empty() {
            self.waiting += self.tail.len();
            self.full.push_back(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_in_which_they_came() {
        let mut outbox = Outbox::default();
        let packets = [vec![1; 10], vec![2; 3 * BUFFER], vec![3; 20], vec![4; BUFFER - 10]];
        for packet in &packets {
            outbox.push(packet);
        }
        assert_eq!(outbox.len(), packets.concat().len());

        let sent: Vec<u8> = std::iter::from_fn(|| outbox.pop()).flatten().collect();

        assert_eq!(sent, packets.concat());
        assert_eq!((outbox.len(), outbox.pop()), (0, None));
    }

    #[test]
    fn a_large_buffer_is_given_back_once_it_is_sent() {
        let mut outbox = Outbox::default();
        outbox.room(1024 * 1024).extend_from_slice(&[1; 10]);

        assert_eq!(outbox.pop().as_deref(), Some(&[1; 10][..]));
        assert_eq!(outbox.tail.capacity(), 0);
    }

    #[test]
    fn small_frames_leave_together() {
        let mut outbox = Outbox::default();
        for _ in 0..100 {
            outbox.push(&[7; 64]);
        }

        assert_eq!(outbox.pop().map(|bytes| bytes.len()), Some(6400));
        assert_eq!(outbox.pop(), None);
    }
}
