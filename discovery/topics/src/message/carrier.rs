//! Messages on their way: how much fits, and several of them in one response of another protocol.
//!
//! Topic discovery has message types of its own in discv5. Where a stack does not let them through, the same
//! bodies travel in TALKREQ and TALKRESP under a protocol name of ours: a request is one body, a response all its
//! bodies behind one another. Each body says its own length, so they need nothing between them.

use causeway_wire::rlp::{self, item_header};

use super::{MAX_MESSAGE, Message, MessageError};

/// Most messages in one response.
pub const MAX_CARRIED: usize = 8;

/// How large the answer to one request may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Bytes of one message.
    pub message: usize,
    /// Bytes of all of them.
    pub whole: usize,
    /// How many there may be.
    pub messages: usize,
}

impl Budget {
    /// All in one TALKRESP.
    pub const TALK: Self = Self { message: 1100, whole: 1100, messages: MAX_CARRIED };

    /// A packet for each, as many as geth takes.
    pub const PACKETS: Self = Self { message: 1100, whole: 5 * 1100, messages: 5 };
}

/// Several messages behind one another.
pub fn encode_all(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(Message::encode).collect()
}

/// Reads messages that stand behind one another, of which nothing may be left over.
///
/// # Errors
/// [`MessageError`] of the first that is none, or if they are none or too many.
pub fn decode_all(mut bytes: &[u8]) -> Result<Vec<Message>, MessageError> {
    if bytes.is_empty() {
        return Err(MessageError::Empty);
    }
    if bytes.len() > MAX_MESSAGE {
        return Err(MessageError::TooLarge { length: bytes.len() });
    }
    let mut messages = Vec::new();
    while let Some((_, body)) = bytes.split_first() {
        if messages.len() == MAX_CARRIED {
            return Err(MessageError::TooManyMessages);
        }
        let header = item_header(body)?.ok_or(rlp::Error::Truncated)?;
        let length = header.total_len().saturating_add(1);
        let (message, rest) = bytes.split_at_checked(length).ok_or(rlp::Error::Truncated)?;
        messages.push(Message::decode(message)?);
        bytes = rest;
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        message::{Nodes, RegConfirmation, RequestId},
        tests::record,
    };

    fn answer(count: usize) -> Vec<Message> {
        let id = RequestId::from([7; 8]);
        let total = 2;
        let confirmation = RegConfirmation { id, total, ticket: vec![1; 40], wait: 5 };
        let nodes = Nodes { id, total, records: (0..count).map(|n| record(n as u8)).collect(), refused: 0 };
        vec![Message::RegConfirmation(confirmation), Message::Nodes(nodes)]
    }

    #[test]
    fn messages_behind_one_another_are_read_again() {
        let bytes = encode_all(&answer(4));

        assert_eq!(decode_all(&bytes), Ok(answer(4)));
        assert_eq!(decode_all(&[]), Err(MessageError::Empty));
        assert_eq!(decode_all(&bytes[..bytes.len() - 1]), Err(MessageError::Rlp(rlp::Error::Truncated)));
        assert_eq!(
            decode_all(&[&bytes[..], &[0x08]].concat()),
            Err(MessageError::Rlp(rlp::Error::Truncated))
        );
    }

    #[test]
    fn their_number_and_size_are_bounded() {
        let many: Vec<_> = (0..=MAX_CARRIED).map(|_| answer(0).remove(0)).collect();

        assert_eq!(decode_all(&encode_all(&many)), Err(MessageError::TooManyMessages));
        let length = MAX_MESSAGE + 1;
        assert_eq!(decode_all(&vec![8; length]), Err(MessageError::TooLarge { length }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..MAX_MESSAGE + 10)) {
            let _ = decode_all(&bytes);
        }
    }
}
