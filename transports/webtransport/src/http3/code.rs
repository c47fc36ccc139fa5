//! Codes that a connection or a stream is ended with.

use quinn::VarInt;

/// Nothing is wrong. RFC 9114, section 8.1, as all that begin with `H3`.
pub(crate) const H3_NO_ERROR: u64 = 0x100;
/// Rules of HTTP/3 were broken and no other code says how.
pub(crate) const H3_GENERAL_PROTOCOL_ERROR: u64 = 0x101;
/// We are at fault.
pub(crate) const H3_INTERNAL_ERROR: u64 = 0x102;
/// A stream of a kind the client must not open, or a second one of a kind there is one of.
pub(crate) const H3_STREAM_CREATION_ERROR: u64 = 0x103;
/// A stream that must stay open was ended.
pub(crate) const H3_CLOSED_CRITICAL_STREAM: u64 = 0x104;
/// A frame that does not belong on its stream.
pub(crate) const H3_FRAME_UNEXPECTED: u64 = 0x105;
/// A frame that is too long, or does not hold what it should.
pub(crate) const H3_FRAME_ERROR: u64 = 0x106;
/// The peer does more than is allowed.
pub(crate) const H3_EXCESSIVE_LOAD: u64 = 0x107;
/// Settings that cannot be.
pub(crate) const H3_SETTINGS_ERROR: u64 = 0x109;
/// Something came before the settings.
pub(crate) const H3_MISSING_SETTINGS: u64 = 0x10a;
/// A request that was not looked at.
pub(crate) const H3_REQUEST_REJECTED: u64 = 0x10b;
/// A request that breaks the rules of HTTP.
pub(crate) const H3_MESSAGE_ERROR: u64 = 0x10e;
/// Header fields that cannot be read. RFC 9204, section 6.
pub(crate) const QPACK_DECOMPRESSION_FAILED: u64 = 0x200;
/// A stream of no session of ours. draft-ietf-webtrans-http3-15, section 9.5.
pub(crate) const WT_BUFFERED_STREAM_REJECTED: u64 = 0x3994_bd84;
/// WebTransport's stream code 0 in HTTP/3's space. Receivers cannot convert a code outside of it.
pub(crate) const WT_ZERO: u64 = 0x52e4_a40f_a8db;

/// For quinn. All codes here are below 2^62.
pub(crate) fn quic(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}
