//! Memory that bytes pass through, lent by the thread.

use std::cell::Cell;

/// Bytes that are read at once. Two frames of yamux, ten packets and more of QUIC.
pub(crate) const BUFFER: usize = 32 << 10;

thread_local! {
    /// The one buffer that a thread keeps. Nothing in it is read by who takes it next.
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// A buffer, back with its thread when dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
}

impl Buffer {
    pub(super) fn lend() -> Self {
        let spare = SPARE.with(Cell::take);
        Self { bytes: spare.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice()) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // The thread may be going down.
        let _ = SPARE.try_with(|spare| spare.set(Some(bytes)));
    }
}
