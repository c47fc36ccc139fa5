//! QUIC's integers, written.

/// Longer than it must be if `longer` says so, as QUIC allows: 0 is as short as possible, 3 is eight bytes.
pub(crate) fn varint(value: u64, longer: u8) -> Vec<u8> {
    let shortest: u8 = match value {
        0..0x40 => 0,
        0x40..0x4000 => 1,
        0x4000..0x4000_0000 => 2,
        _ => 3,
    };
    let size = shortest.max(longer % 4);
    let mut bytes = value.to_be_bytes()[8 - (1 << size)..].to_vec();
    bytes[0] |= size << 6;
    bytes
}

/// A frame or a capsule: type, length, payload.
pub(crate) fn value(kind: u64, payload: &[u8]) -> Vec<u8> {
    [varint(kind, 0), varint(payload.len() as u64, 0), payload.to_vec()].concat()
}
