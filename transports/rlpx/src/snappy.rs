//! Snappy's raw block format around payloads (EIP-706), with the length checked before inflating.

use bytes::BytesMut;
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// No element of the format yields more than 64 bytes out of 3 (a copy with a two-byte offset), so a
/// payload that claims to grow beyond this factor is a lie, told to make us reserve memory.
const MAX_GROWTH: usize = 22;

/// Why a payload was not decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It claims to be larger than its limit.
    TooLarge {
        /// The size that it claims.
        size: usize,
    },
    /// It is not what it claims to be.
    Corrupt,
}

/// The most bytes that a payload of `size` bytes takes when compressed.
pub(crate) fn packed_limit(size: usize) -> usize {
    match max_compress_len(size) {
        // The format ends at 4 GiB; a larger limit is no limit.
        0 => usize::MAX,
        limit => limit,
    }
}

/// Appends `payload`, compressed, to `out`. `payload` is below the format's 4 GiB.
pub(crate) fn pack(encoder: &mut Encoder, payload: &[u8], out: &mut BytesMut) {
    let start = out.len();
    out.resize(start + max_compress_len(payload.len()), 0);
    let size = encoder.compress(payload, &mut out[start..]).expect("there is room for any payload");
    out.truncate(start + size);
}

/// The payload in `packed`, if it is at most `limit` bytes.
pub(crate) fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, Refused> {
    let size = decompress_len(packed).map_err(|_| Refused::Corrupt)?;
    if size > limit {
        return Err(Refused::TooLarge { size });
    }
    if size > packed.len().saturating_mul(MAX_GROWTH) {
        return Err(Refused::Corrupt);
    }
    let mut payload = vec![0; size];
    Decoder::new().decompress(packed, &mut payload).map_err(|_| Refused::Corrupt)?;
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        pack(&mut Encoder::new(), payload, &mut out);
        out
    }

    #[test]
    fn an_empty_list_is_three_bytes() {
        assert_eq!(&packed(&[0xc0])[..], [1, 0, 0xc0]);
        assert_eq!(unpack(&[1, 0, 0xc0], 1), Ok(vec![0xc0]));
    }

    #[test]
    fn a_payload_over_its_limit_is_refused_by_its_length_alone() {
        let mut bomb = vec![0x80, 0x80, 0x80, 0x08];
        assert_eq!(unpack(&bomb, 16 * 1024 * 1024 - 1), Err(Refused::TooLarge { size: 16 * 1024 * 1024 }));

        bomb.extend([0xff; 100]);
        assert_eq!(unpack(&bomb, 1024), Err(Refused::TooLarge { size: 16 * 1024 * 1024 }));
    }

    #[test]
    fn a_length_that_the_format_cannot_reach_reserves_nothing() {
        assert_eq!(unpack(&[0x80, 0x80, 0x80, 0x04, 0, 0], 16 * 1024 * 1024), Err(Refused::Corrupt));
    }

    #[test]
    fn the_most_repetitive_payload_stays_below_the_greatest_growth() {
        for size in [100, 70_000, 10 * 1024 * 1024] {
            let payload = vec![7; size];
            assert_eq!(unpack(&packed(&payload), size), Ok(payload));
        }
    }

    #[test]
    fn nothing_is_not_a_compressed_payload() {
        assert_eq!(unpack(&[], 10), Err(Refused::Corrupt));
        assert_eq!(unpack(&[0], 0), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_was_packed_unpacks(payload in proptest::collection::vec(0_u8..4, 0..5000)) {
            let packed = packed(&payload);
            prop_assert!(packed.len() <= packed_limit(payload.len()));
            prop_assert_eq!(unpack(&packed, payload.len()), Ok(payload));
        }

        #[test]
        fn any_bytes_unpack_to_at_most_the_limit(bytes: Vec<u8>, limit in 0_usize..300) {
            if let Ok(payload) = unpack(&bytes, limit) {
                prop_assert!(payload.len() <= limit);
            }
        }
    }
}
