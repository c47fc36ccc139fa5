//! What both sides say of themselves before anything else, on their control streams.
//!
//! ```text
//! SETTINGS (frame 0x4): [identifier (varint) | value (varint)]*
//! ```
//! RFC 9114, section 7.2.4.

use std::collections::BTreeMap;

use super::tlv;
use crate::varint;

/// Type of the frame.
pub(crate) const SETTINGS: u64 = 0x04;

/// Longest payload that is read; browsers send some 40 bytes.
pub(crate) const MAX_SETTINGS: u64 = 1 << 10;

/// Most bytes of dynamic table for header fields; 0 here, so a header block can be read by itself.
const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;
/// Most bytes of header fields, counted as RFC 9114 section 4.2.2 does.
const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
/// Extended CONNECT, RFC 9220.
const ENABLE_CONNECT_PROTOCOL: u64 = 0x08;
/// HTTP datagrams, RFC 9297. Both sides of libp2p leave them unused, yet clients insist on them.
const H3_DATAGRAM: u64 = 0x33;
/// WebTransport up to draft 6: Chromium 156, go-libp2p v0.39.
const ENABLE_WEBTRANSPORT: u64 = 0x2b60_3742;
/// WebTransport drafts 13 and 14: how many sessions a connection may have.
const WT_MAX_SESSIONS: u64 = 0x14e9_cd29;
/// WebTransport since draft 15: go-libp2p v0.51.
const WT_ENABLED: u64 = 0x2c7c_f000;
/// Identifiers of HTTP/2 that must not be used.
const OF_HTTP2: [u64; 4] = [0x02, 0x03, 0x04, 0x05];

/// Settings that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The payload ends within an identifier or a value.
    #[error("settings end in the middle")]
    Cut,
    /// An identifier is there twice.
    #[error("setting {0:#x} is there twice")]
    Twice(u64),
    /// An identifier that only HTTP/2 has.
    #[error("setting {0:#x} belongs to HTTP/2")]
    Http2(u64),
    /// A setting that is 0 or 1 has another value.
    #[error("setting {id:#x} is {value}, not 0 or 1")]
    NotBoolean {
        /// Which.
        id: u64,
        /// Its value.
        value: u64,
    },
}

/// The client's settings. What we do depends on none of them: we open no dynamic table, send no datagrams,
/// and its CONNECT says by itself that it speaks WebTransport. They are waited for because the drafts say
/// so, and kept for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings(BTreeMap<u64, u64>);

impl Settings {
    /// Reads a payload of at most [`MAX_SETTINGS`] bytes.
    pub(crate) fn read(mut payload: &[u8]) -> Result<Self, SettingsError> {
        let mut settings = BTreeMap::new();
        while !payload.is_empty() {
            let id = take(&mut payload)?;
            let value = take(&mut payload)?;
            if OF_HTTP2.contains(&id) {
                return Err(SettingsError::Http2(id));
            }
            if [ENABLE_CONNECT_PROTOCOL, H3_DATAGRAM].contains(&id) && value > 1 {
                return Err(SettingsError::NotBoolean { id, value });
            }
            if settings.insert(id, value).is_some() {
                return Err(SettingsError::Twice(id));
            }
        }
        Ok(Self(settings))
    }

    /// The drafts of WebTransport it says it speaks, by the setting that each has; for the log.
    pub(crate) fn drafts(&self) -> Vec<&'static str> {
        [(ENABLE_WEBTRANSPORT, "2-6"), (WT_MAX_SESSIONS, "13-14"), (WT_ENABLED, "15")]
            .into_iter()
            .filter(|(id, _)| self.0.get(id).is_some_and(|value| *value > 0))
            .map(|(_, drafts)| drafts)
            .collect()
    }
}

fn take(payload: &mut &[u8]) -> Result<u64, SettingsError> {
    let (value, len) = varint::read(payload).ok_or(SettingsError::Cut)?;
    *payload = payload.get(len..).ok_or(SettingsError::Cut)?;
    Ok(value)
}

/// Our frame. Each draft has a setting of its own, and clients look for theirs.
pub(crate) fn ours(max_fields: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in [
        (QPACK_MAX_TABLE_CAPACITY, 0),
        (MAX_FIELD_SECTION_SIZE, max_fields),
        (ENABLE_CONNECT_PROTOCOL, 1),
        (H3_DATAGRAM, 1),
        (ENABLE_WEBTRANSPORT, 1),
        (WT_MAX_SESSIONS, 1),
        (WT_ENABLED, 1),
    ] {
        varint::write(&mut payload, id);
        varint::write(&mut payload, value);
    }
    let mut frame = Vec::new();
    tlv::write(&mut frame, SETTINGS, &payload);
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn payload(settings: &[(u64, u64)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (id, value) in settings {
            varint::write(&mut out, *id);
            varint::write(&mut out, *value);
        }
        out
    }

    #[test]
    fn ours_name_every_draft() {
        let frame = ours(1 << 14);
        assert_eq!(usize::from(frame[1]), frame.len() - 2);
        let settings = Settings::read(&frame[2..]).expect("ours");
        assert_eq!(settings.drafts(), ["2-6", "13-14", "15"]);
    }

    #[test]
    fn settings_that_cannot_be_are_refused() {
        assert_eq!(Settings::read(&payload(&[(9, 9), (9, 9)])), Err(SettingsError::Twice(9)));
        assert_eq!(Settings::read(&payload(&[(4, 100)])), Err(SettingsError::Http2(4)));
        assert_eq!(
            Settings::read(&payload(&[(0x33, 2)])),
            Err(SettingsError::NotBoolean { id: 0x33, value: 2 })
        );
        assert_eq!(Settings::read(&[0x33]), Err(SettingsError::Cut));
        assert_eq!(Settings::read(&[0x33, 0x40]), Err(SettingsError::Cut));
    }

    proptest! {
        #[test]
        fn any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Settings::read(&bytes);
        }
    }
}
