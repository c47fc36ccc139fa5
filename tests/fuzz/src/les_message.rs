//! LES messages of every version and code.

use alloy_primitives::Bytes;
use causeway_wire::les::{Message, RequestCost, Version};

use crate::pieces::Pieces;

/// Bytes that decoding may hold for each byte of input: the smallest item is one byte, what is kept of it
/// is a slice of 32 bytes, and a list that grows holds its old and its new place for a moment.
const MOST_PER_BYTE: u64 = 96;
/// And for a message of any size.
const MOST_AT_ALL: u64 = 4096;

/// ```text
/// version(1) code(1) payload
/// ```
/// What decodes is written and read again to the same message, and costs memory as its size says.
pub fn les_message(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let version = Version::ALL[usize::from(pieces.byte()) % Version::ALL.len()];
    let code = u64::from(pieces.byte()) % 0x20;
    let payload = Bytes::copy_from_slice(pieces.rest());

    let mut decoded = None;
    let cost = allocation_counter::measure(|| decoded = Some(Message::decode(version, code, &payload)));

    let most = MOST_AT_ALL + MOST_PER_BYTE * payload.len() as u64;
    assert!(cost.bytes_max <= most, "{} bytes held for {}", cost.bytes_max, payload.len());
    let Some(Ok(message)) = decoded else { return };
    assert_eq!(message.code(), code);
    let written = message.encode(version);
    let again = Message::decode(version, code, &written);
    assert_eq!(
        again.map(|again| as_written(again, version)),
        Ok(as_written(message, version)),
        "{written:x}"
    );
}

/// A message without what decoding takes in and encoding leaves out: the size of an Announce's list, the
/// order of cost tables, and what older versions do not have but EthereumJS sends in them.
fn as_written(mut message: Message, version: Version) -> Message {
    let sort = |costs: &mut Vec<RequestCost>| costs.sort_by_key(|cost| cost.code);
    match &mut message {
        Message::Announce(announce) => {
            announce.update_bytes = 0;
            sort(&mut announce.costs);
        }
        Message::Status(status) => {
            if version != Version::Les4 {
                (status.fork_id, status.recent_tx_lookup) = (None, None);
            }
            if let Some(flow) = &mut status.flow_control {
                sort(&mut flow.costs);
            }
        }
        Message::Request { .. } | Message::Response { .. } | Message::Stop | Message::Resume { .. } => {}
    }
    message
}
