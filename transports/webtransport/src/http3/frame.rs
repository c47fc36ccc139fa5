//! Frames on the two streams of HTTP/3 that we read: the client's control stream and its CONNECT.

use super::{
    settings::{MAX_SETTINGS, SETTINGS},
    tlv::Take,
};

/// A part of the body.
pub(crate) const DATA: u64 = 0x00;
/// Header fields.
pub(crate) const HEADERS: u64 = 0x01;
const CANCEL_PUSH: u64 = 0x03;
const PUSH_PROMISE: u64 = 0x05;
const GOAWAY: u64 = 0x07;
const MAX_PUSH_ID: u64 = 0x0d;
/// Not a frame but the start of a WebTransport stream; as a frame its session would be taken for a length.
pub(crate) const WT_STREAM: u64 = 0x41;
/// Frames of HTTP/2 that must not be used. RFC 9114, section 7.2.8.
const OF_HTTP2: [u64; 4] = [0x02, 0x06, 0x08, 0x09];

/// A frame that breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It does not belong where it is.
    #[error("frame {0:#x} does not belong here")]
    Unexpected(u64),
    /// Something else came before the settings.
    #[error("frame {0:#x} came before the settings")]
    BeforeSettings(u64),
    /// It is longer than we take.
    #[error("frame {kind:#x} of {length} bytes, at most {max}")]
    TooLong {
        /// Its type.
        kind: u64,
        /// Its length.
        length: u64,
        /// The most that is taken.
        max: u64,
    },
    /// The stream ends within a frame.
    #[error("the stream ends within a frame")]
    Cut,
}

/// Judges frames of the control stream: SETTINGS first and once, then what concerns us not.
pub(crate) fn on_control(kind: u64, length: u64, settings_seen: bool) -> Result<Take, FrameError> {
    match kind {
        SETTINGS if settings_seen => Err(FrameError::Unexpected(kind)),
        SETTINGS if length > MAX_SETTINGS => Err(FrameError::TooLong { kind, length, max: MAX_SETTINGS }),
        SETTINGS => Ok(Take::Whole),
        _ if !settings_seen => Err(FrameError::BeforeSettings(kind)),
        DATA | HEADERS | PUSH_PROMISE | WT_STREAM => Err(FrameError::Unexpected(kind)),
        _ if OF_HTTP2.contains(&kind) => Err(FrameError::Unexpected(kind)),
        _ => Ok(Take::Skip),
    }
}

/// Judges frames of a request: HEADERS first and once, then DATA.
///
/// Trailers would be a second HEADERS; CONNECT has none.
pub(crate) fn on_request(
    kind: u64,
    length: u64,
    headers_seen: bool,
    max_headers: u64,
) -> Result<Take, FrameError> {
    match kind {
        HEADERS if headers_seen => Err(FrameError::Unexpected(kind)),
        HEADERS if length > max_headers => Err(FrameError::TooLong { kind, length, max: max_headers }),
        HEADERS => Ok(Take::Whole),
        DATA if headers_seen => Ok(Take::Pieces),
        DATA | SETTINGS | CANCEL_PUSH | PUSH_PROMISE | GOAWAY | MAX_PUSH_ID | WT_STREAM => {
            Err(FrameError::Unexpected(kind))
        }
        _ if OF_HTTP2.contains(&kind) => Err(FrameError::Unexpected(kind)),
        _ => Ok(Take::Skip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_first_and_once() {
        assert_eq!(on_control(SETTINGS, 40, false), Ok(Take::Whole));
        assert_eq!(on_control(0x21, 4, false), Err(FrameError::BeforeSettings(0x21)));
        assert_eq!(on_control(0x21, 4, true), Ok(Take::Skip));
        assert_eq!(on_control(SETTINGS, 0, true), Err(FrameError::Unexpected(SETTINGS)));
        assert!(matches!(on_control(SETTINGS, 1 << 20, false), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn a_request_is_headers_and_then_data() {
        assert_eq!(on_request(0x21, 4, false, 100), Ok(Take::Skip));
        assert_eq!(on_request(HEADERS, 100, false, 100), Ok(Take::Whole));
        assert_eq!(
            on_request(HEADERS, 101, false, 100),
            Err(FrameError::TooLong { kind: HEADERS, length: 101, max: 100 })
        );
        assert_eq!(on_request(DATA, 1, false, 100), Err(FrameError::Unexpected(DATA)));
        assert_eq!(on_request(DATA, u64::MAX, true, 100), Ok(Take::Pieces));
        for kind in [0x02, 0x04, 0x06, 0x07] {
            assert_eq!(on_request(kind, 1, true, 100), Err(FrameError::Unexpected(kind)));
        }
    }
}
