//! Huffman's code for the text of header fields. RFC 7541, appendix B.
//!
//! The code is canonical: codes of one length are consecutive and in the order of their bytes, and a longer
//! code begins where the shorter ones end. So the lengths alone say everything.

/// Bits of each byte's code. The end of text, which must not occur, has 30 and is the last of them.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

const LONGEST: usize = 30;

/// The code as it is read: for each length the first code, how many there are, and where their bytes begin.
struct Code {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    start: [u32; LONGEST + 1],
    bytes: [u8; 256],
}

const CODE: Code = code();

const fn code() -> Code {
    let mut code =
        Code { first: [0; LONGEST + 1], count: [0; LONGEST + 1], start: [0; LONGEST + 1], bytes: [0; 256] };
    let (mut next, mut place, mut length) = (0_u32, 0_usize, 1_usize);
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.start[length] = place as u32;
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                code.bytes[place] = byte as u8;
                place += 1;
                next += 1;
            }
            byte += 1;
        }
        code.count[length] = place as u32 - code.start[length];
        length += 1;
    }
    code
}

/// The text of `input`, or `None` if it is longer than `max`, holds the end of text, or is not filled up with
/// fewer than eight ones.
pub(super) fn decode(input: &[u8], max: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut code, mut length) = (0_u32, 0_usize);
    for bit in input.iter().flat_map(|byte| (0..8).rev().map(move |at| u32::from(byte >> at & 1))) {
        code = code << 1 | bit;
        length += 1;
        let nth = code.checked_sub(*CODE.first.get(length)?)?;
        if nth < *CODE.count.get(length)? {
            if out.len() == max {
                return None;
            }
            let place = CODE.start.get(length)?.checked_add(nth)?;
            out.push(*CODE.bytes.get(usize::try_from(place).ok()?)?);
            (code, length) = (0, 0);
        }
    }
    (length < 8 && code == (1 << length) - 1).then_some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(text: &[u8]) -> Vec<u8> {
        let (mut out, mut bits, mut held) = (Vec::new(), 0_u64, 0);
        let mut put = |code: u32, length: usize| {
            bits = bits << length | u64::from(code);
            held += length;
            while held >= 8 {
                held -= 8;
                out.push((bits >> held) as u8);
            }
            held
        };
        let mut held = 0;
        for byte in text {
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let start = CODE.start[length] as usize;
            let nth = CODE.bytes[start..].iter().position(|other| other == byte).expect("has a code");
            held = put(CODE.first[length] + nth as u32, length);
        }
        if held > 0 {
            put((1 << (8 - held)) - 1, 8 - held);
        }
        out
    }

    /// RFC 7541, appendix C.4.1 and C.6.1.
    #[test]
    fn vectors_of_the_rfc() {
        let vectors: [(&[u8], &str); 3] = [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], "www.example.com"),
            (&[0x64, 0x02], "302"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
        ];
        for (bytes, text) in vectors {
            assert_eq!(decode(bytes, 100).as_deref(), Some(text.as_bytes()));
            assert_eq!(encode(text.as_bytes()), bytes);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(decode(&[0xff; 4], 100), None, "the end of text");
        assert_eq!(decode(&[0x64, 0x02, 0xff], 100), None, "eight ones too many");
        assert_eq!(decode(&[0x00], 100), None, "filled up with zeros");
        assert_eq!(decode(&[0x64, 0x02], 2), None, "longer than allowed");
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_it_was_written(text in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&encode(&text), 100), Some(text));
        }

        #[test]
        fn any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes, 1000);
        }
    }
}
