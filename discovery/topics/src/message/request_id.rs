//! The id that a response mirrors.

use super::MessageError;

/// Longest request id (devp2p `discv5/discv5-wire.md`, "Protocol Messages").
pub const MAX_REQUEST_ID: usize = 8;

/// Up to [`MAX_REQUEST_ID`] bytes that the requester chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    bytes: [u8; MAX_REQUEST_ID],
    length: u8,
}

impl RequestId {
    /// The id that consists of `bytes`.
    ///
    /// # Errors
    /// [`MessageError::RequestId`] if they are too many.
    pub fn new(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut padded = [0; MAX_REQUEST_ID];
        let too_long = MessageError::RequestId { length: bytes.len() };
        padded.get_mut(..bytes.len()).ok_or(too_long)?.copy_from_slice(bytes);
        Ok(Self { bytes: padded, length: u8::try_from(bytes.len()).unwrap_or_default() })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl From<[u8; MAX_REQUEST_ID]> for RequestId {
    fn from(bytes: [u8; MAX_REQUEST_ID]) -> Self {
        Self { bytes, length: 8 }
    }
}
