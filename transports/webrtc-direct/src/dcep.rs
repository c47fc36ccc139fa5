//! How a data channel is opened within its own stream. RFC 8832.
//!
//! ```text
//! OPEN  3 | kind (u8) | priority (u16) | reliability (u32) | lengths (2 * u16) | label | protocol
//! ACK   2
//! ```

const OPEN: u8 = 3;

/// Confirms that a channel was opened.
pub(crate) const ACK: [u8; 1] = [2];

/// The kind in which every byte comes, in its order.
const RELIABLE: u8 = 0;
const HEADER: usize = 12;

/// A channel that a stream of libp2p cannot run on, or no channel at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChannelError {
    /// Something else came before the channel was opened.
    #[error("the channel was not opened first")]
    NotOpened,
    /// The request ends too early.
    #[error("malformed request to open a channel")]
    Malformed,
    /// It may lose bytes, or give them in another order.
    #[error("channel of kind {0:#x}, not a reliable one")]
    Unreliable(u8),
}

/// What comes within a channel that is not data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Open,
    Ack,
}

pub(crate) fn read(bytes: &[u8]) -> Result<Control, ChannelError> {
    match bytes.first() {
        Some(&OPEN) => {}
        Some(&first) if first == ACK[0] => return Ok(Control::Ack),
        _ => return Err(ChannelError::NotOpened),
    }
    let (header, names) = bytes.split_at_checked(HEADER).ok_or(ChannelError::Malformed)?;
    let &[_, kind, _, _, _, _, _, _, label_high, label_low, protocol_high, protocol_low] = header else {
        return Err(ChannelError::Malformed);
    };
    let label = usize::from(u16::from_be_bytes([label_high, label_low]));
    let protocol = usize::from(u16::from_be_bytes([protocol_high, protocol_low]));
    if names.len() != label + protocol {
        return Err(ChannelError::Malformed);
    }
    // The label and the protocol are for a later version of the specification.
    if kind == RELIABLE { Ok(Control::Open) } else { Err(ChannelError::Unreliable(kind)) }
}

/// Opens a reliable channel that has no label.
pub(crate) fn open() -> [u8; HEADER] {
    [OPEN, RELIABLE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_opened_and_confirmed() {
        assert_eq!(read(&open()), Ok(Control::Open));
        assert_eq!(read(&ACK), Ok(Control::Ack));
        let mut labelled = open().to_vec();
        (labelled[9], labelled[11]) = (2, 1);
        labelled.extend(b"abc");
        assert_eq!(read(&labelled), Ok(Control::Open));
    }

    #[test]
    fn channels_that_a_stream_cannot_run_on_are_refused() {
        assert_eq!(read(&[]), Err(ChannelError::NotOpened));
        assert_eq!(read(b"hello"), Err(ChannelError::NotOpened));
        assert_eq!(read(&open()[..11]), Err(ChannelError::Malformed));
        let mut long = open();
        long[8] = 1;
        assert_eq!(read(&long), Err(ChannelError::Malformed));
        let mut unordered = open();
        unordered[1] = 0x80;
        assert_eq!(read(&unordered), Err(ChannelError::Unreliable(0x80)));
    }
}
