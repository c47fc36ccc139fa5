//! The capsules on a WebTransport session's CONNECT.

use webtransport::fuzzing::{Found, capsules};

use crate::{
    pieces::Pieces,
    varint::{value, varint},
    webtransport_headers::same_however_cut,
};

/// Types of capsules.
const CLOSE: u64 = 0x2843;
const DRAIN: u64 = 0x78ae;
/// Longest value of the closing one: a code and a reason.
const MAX_CLOSE: usize = 4 + 1024;

/// ```text
/// form(1) cuts(3), then
/// 0: bytes   1: capsules: kind(1) value(sized)
/// ```
/// However they are cut, the same capsules are found: those of a session, up to the first that breaks the rules.
pub fn webtransport_capsules(data: &[u8]) {
    let mut pieces = Pieces::of(data);
    let form = pieces.byte() % 2;
    let cuts = pieces.array();
    if form == 0 {
        same_however_cut(capsules, pieces.rest(), cuts);
        return;
    }
    let (mut stream, mut expected, mut broken) = (Vec::new(), Found::default(), false);
    while !pieces.is_empty() {
        let (kind, payload) = (pieces.byte(), pieces.sized());
        stream.extend(match kind {
            0..100 => value(CLOSE, payload),
            100..120 => value(DRAIN, payload),
            // Others, with their type and length as long as can be.
            _ => {
                [varint(kind.into(), kind), varint(payload.len() as u64, kind / 4), payload.to_vec()].concat()
            }
        });
        if !broken {
            match read(kind, payload) {
                Ok(item) => expected.items.extend(item),
                Err(()) => broken = true,
            }
        }
    }
    let found = same_however_cut(capsules, &stream, cuts);
    assert_eq!((found.items, found.error.is_some()), (expected.items, broken));
}

/// What is to be found, by the draft's rules.
fn read(kind: u8, payload: &[u8]) -> Result<Option<String>, ()> {
    match kind {
        0..100 if payload.len() <= MAX_CLOSE => {
            let (code, reason) = payload.split_first_chunk().ok_or(())?;
            let (code, reason) = (u32::from_be_bytes(*code), str::from_utf8(reason).map_err(drop)?);
            Ok(Some(format!("Close {{ code: {code}, reason: {reason:?} }}")))
        }
        100..120 if payload.is_empty() => Ok(Some("Drain".to_owned())),
        0..120 => Err(()),
        _ => Ok(None),
    }
}
