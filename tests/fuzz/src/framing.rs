//! The framing of libp2p streams.

use causeway_host::{CutError, Item, ItemCutter, ItemLimits, encode_item};

use crate::pieces::{Pieces, cut};

/// A list's header, a code and a payload's header.
const HEADERS: usize = 32;

/// ```text
/// limit(2) code(1) limit of that code(2) cuts(3) stream
/// ```
/// However the stream is cut, the items and the error are the same; none is over its limit, and no more is
/// held than one item and one piece.
pub fn framing(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let default = usize::from(u16::from_be_bytes(pieces.array()));
    let code = u64::from(pieces.byte());
    let of_code = usize::from(u16::from_be_bytes(pieces.array()));
    let cuts: [u8; 3] = pieces.array();
    let limits = ItemLimits { default, by_code: vec![(code, of_code)] };
    let stream = pieces.rest();

    let whole = items(&limits, &[stream]);
    let in_pieces = items(&limits, &cut(stream, &cuts));

    assert_eq!(whole, in_pieces, "the outcome depends on where the stream is cut");
    for item in &whole.0 {
        assert!(
            item.payload.len() <= limits.of(item.code),
            "{} bytes, code {}",
            item.payload.len(),
            item.code
        );
        let written = encode_item(item.code, &item.payload);
        let again = items(&limits, &[&written]);
        assert_eq!(again, (vec![item.clone()], None), "written as {written:x}");
    }
}

fn items(limits: &ItemLimits, pieces: &[&[u8]]) -> (Vec<Item>, Option<CutError>) {
    let mut cutter = ItemCutter::new(limits.clone());
    let mut items = Vec::new();
    for piece in pieces {
        cutter.push(piece);
        loop {
            match cutter.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(cutter.buffered(), 0, "a broken stream keeps its bytes");
                    assert_eq!(cutter.next_item(), Err(error), "a broken stream is mended");
                    return (items, Some(error));
                }
            }
        }
        assert!(cutter.buffered() <= limits.largest() + HEADERS, "{} bytes are held", cutter.buffered());
    }
    (items, None)
}
