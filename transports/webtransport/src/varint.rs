//! QUIC's integers of variable length.
//!
//! The two highest bits of the first byte say how many bytes there are: 1, 2, 4 or 8. RFC 9000, section 16.

/// Longest encoding in bytes.
pub(crate) const MAX_LEN: usize = 8;

/// Largest value that can be written.
pub(crate) const MAX: u64 = (1 << 62) - 1;

/// Length of the encoding that starts with `first`.
pub(crate) fn len(first: u8) -> usize {
    1 << (first >> 6)
}

/// The value at the start of `input` and how many bytes it took; `None` if it is not whole.
pub(crate) fn read(input: &[u8]) -> Option<(u64, usize)> {
    let (first, _) = input.split_first()?;
    let len = len(*first);
    let (head, rest) = input.get(..len)?.split_first()?;
    let value = rest.iter().fold(u64::from(head & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, len))
}

/// Appends `value` in as few bytes as it takes. Values over [`MAX`] cannot be said and become it.
pub(crate) fn write(out: &mut Vec<u8>, value: u64) {
    let value = value.min(MAX);
    let (len, mark) = match value {
        0..0x40 => (1, 0x00),
        0x40..0x4000 => (2, 0x40),
        0x4000..0x4000_0000 => (4, 0x80),
        _ => (8, 0xc0),
    };
    let start = out.len();
    out.extend_from_slice(value.to_be_bytes().get(8 - len..).unwrap_or_default());
    if let Some(first) = out.get_mut(start) {
        *first |= mark;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 9000, appendix A.1.
    #[test]
    fn vectors_of_the_rfc() {
        let vectors: [(&[u8], u64); 5] = [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ];
        for (bytes, value) in vectors {
            assert_eq!(read(bytes), Some((value, bytes.len())));
        }
    }

    #[test]
    fn a_cut_one_is_not_read() {
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[0xc2, 0x19, 0x7c]), None);
    }

    proptest! {
        #[test]
        fn written_is_read(value in 0..=MAX) {
            let mut bytes = Vec::new();
            write(&mut bytes, value);
            prop_assert_eq!(read(&bytes), Some((value, bytes.len())));
        }
    }
}
