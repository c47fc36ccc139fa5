//! What is said of a session on the stream of its CONNECT: its end, and that the end is near.
//!
//! ```text
//! CLOSE_WEBTRANSPORT_SESSION (0x2843): code (4 bytes) | reason (UTF-8, at most 1,024 bytes)
//! DRAIN_WEBTRANSPORT_SESSION (0x78ae): empty
//! ```
//! Capsules are values in the DATA frames of the stream (RFC 9297, section 3.2); those above are of
//! draft-ietf-webtrans-http3, sections 5 and 6. Others are passed over: they grant credit to flow control
//! that is only in use where both sides announce it, which we do not.

use super::{
    frame::DATA,
    tlv::{self, Item, Take},
};

const CLOSE: u64 = 0x2843;
const DRAIN: u64 = 0x78ae;

/// Longest reason, in bytes.
pub(crate) const MAX_REASON: usize = 1024;

/// A capsule that is about the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Capsule {
    /// The session is over.
    Close {
        /// The application's code.
        code: u32,
        /// Why, in words for people.
        reason: String,
    },
    /// No new streams are wanted; the session will end soon.
    Drain,
}

/// A capsule that breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapsuleError {
    /// The closing one is too short for its code or its reason is too long.
    #[error("closing capsule of {0} bytes")]
    CloseLength(u64),
    /// The closing one gives a reason that is no text.
    #[error("the reason in the closing capsule is no UTF-8")]
    Reason,
    /// The draining one is not empty.
    #[error("draining capsule of {0} bytes")]
    DrainLength(u64),
}

/// Finds the capsules in the payloads of DATA frames.
#[derive(Debug)]
pub(crate) struct Capsules(tlv::Decoder);

impl Capsules {
    pub(crate) fn new() -> Self {
        Self(tlv::Decoder::new())
    }

    /// The next one in `input`; `None` once it is used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Capsule>, CapsuleError> {
        loop {
            match self.0.next(input, judge)? {
                None => return Ok(None),
                Some(Item::Whole(DRAIN, _)) => return Ok(Some(Capsule::Drain)),
                Some(Item::Whole(_, value)) => return close(&value).map(Some),
                Some(Item::Piece(_) | Item::Skipped(_)) => {}
            }
        }
    }
}

fn judge(kind: u64, length: u64) -> Result<Take, CapsuleError> {
    match kind {
        CLOSE if !(4..=4 + MAX_REASON as u64).contains(&length) => Err(CapsuleError::CloseLength(length)),
        DRAIN if length > 0 => Err(CapsuleError::DrainLength(length)),
        CLOSE | DRAIN => Ok(Take::Whole),
        _ => Ok(Take::Skip),
    }
}

fn close(value: &[u8]) -> Result<Capsule, CapsuleError> {
    let (code, reason) = value.split_first_chunk().ok_or(CapsuleError::CloseLength(value.len() as u64))?;
    let reason = str::from_utf8(reason).map_err(|_| CapsuleError::Reason)?;
    Ok(Capsule::Close { code: u32::from_be_bytes(*code), reason: reason.to_owned() })
}

/// The capsule in a DATA frame of its own. A reason that is too long is cut.
pub(crate) fn write(capsule: &Capsule) -> Vec<u8> {
    let mut bytes = Vec::new();
    match capsule {
        Capsule::Close { code, reason } => {
            let cut = (0..=reason.len().min(MAX_REASON)).rev().find(|at| reason.is_char_boundary(*at));
            let reason = reason.get(..cut.unwrap_or_default()).unwrap_or_default();
            tlv::write(&mut bytes, CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat());
        }
        Capsule::Drain => tlv::write(&mut bytes, DRAIN, &[]),
    }
    let mut frame = Vec::new();
    tlv::write(&mut frame, DATA, &bytes);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(mut bytes: &[u8]) -> Result<Vec<Capsule>, CapsuleError> {
        let (mut capsules, mut found) = (Capsules::new(), Vec::new());
        while let Some(capsule) = capsules.next(&mut bytes)? {
            found.push(capsule);
        }
        Ok(found)
    }

    fn close(code: u32, reason: &str) -> Capsule {
        Capsule::Close { code, reason: reason.to_owned() }
    }

    #[test]
    fn the_end_is_read_behind_what_is_not_known() {
        let mut bytes = Vec::new();
        tlv::write(&mut bytes, 0x190b_4d3d, &[1]);
        tlv::write(&mut bytes, DRAIN, &[]);
        tlv::write(&mut bytes, CLOSE, b"\0\0\x01\x02bye");
        assert_eq!(read(&bytes), Ok(vec![Capsule::Drain, close(0x102, "bye")]));
    }

    #[test]
    fn bytes_of_a_capsule_are_those_of_the_draft() {
        assert_eq!(write(&Capsule::Drain), [0, 5, 0x80, 0, 0x78, 0xae, 0]);
        assert_eq!(write(&close(7, "x")), [0, 8, 0x68, 0x43, 5, 0, 0, 0, 7, b'x']);
    }

    #[test]
    fn capsules_that_break_the_rules_are_refused() {
        let value = |kind, value: &[u8]| {
            let mut out = Vec::new();
            tlv::write(&mut out, kind, value);
            out
        };
        assert_eq!(read(&value(CLOSE, &[0; 3])), Err(CapsuleError::CloseLength(3)));
        assert_eq!(read(&value(CLOSE, &[0; 1029])), Err(CapsuleError::CloseLength(1029)));
        assert_eq!(read(&value(CLOSE, &[0, 0, 0, 0, 0xff])), Err(CapsuleError::Reason));
        assert_eq!(read(&value(DRAIN, &[0])), Err(CapsuleError::DrainLength(1)));
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let frame = write(&close(0, &"ä".repeat(600)));
        let mut frames = tlv::Decoder::new();
        let mut input = frame.as_slice();
        let Ok(Some(Item::Piece(payload))) = frames.next::<()>(&mut input, |_, _| Ok(Take::Pieces)) else {
            panic!("no DATA frame");
        };
        assert_eq!(read(payload), Ok(vec![close(0, &"ä".repeat(512))]));
    }

    proptest! {
        #[test]
        fn any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }
    }
}
