//! Bounded RLP: items cut by their headers without copying, lists written around raw items.
//!
//! A [`Reader`] borrows; whoever keeps an item slices it out of the `Bytes` that was read
//! (`payload.slice_ref(item.raw)`). Nothing here allocates or recurses while reading.

mod read;
mod write;

pub use self::{
    read::{Item, Reader, single},
    write::{put_list, put_raw_list, put_string, put_string_list, put_uint},
};

/// What is wrong with bytes that should be RLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end within an item, or a list ends before its last field.
    #[error("input ends too early")]
    Truncated,
    /// A list where a string was due, or the other way round.
    #[error("string and list confused")]
    Kind,
    /// A length or integer not written in its shortest form.
    #[error("not in canonical form")]
    NonCanonical,
    /// An integer or length beyond its type.
    #[error("value does not fit its type")]
    Overflow,
    /// Bytes behind the item, or items behind the last field.
    #[error("bytes left over")]
    Leftover,
    /// A string of another length than it must have.
    #[error("wrong length")]
    Length,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
}

/// The most bytes that an item's header takes.
pub const MAX_HEADER: usize = 9;

/// What the first bytes of an item say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemHeader {
    /// A list, not a string.
    pub is_list: bool,
    /// Bytes before the payload; 0 for a single byte that is its own item.
    pub header_len: usize,
    /// Bytes of payload.
    pub payload_len: usize,
}

impl ItemHeader {
    /// The whole item's length; [`item_header`] made sure that it does not overflow.
    pub const fn total_len(&self) -> usize {
        self.header_len + self.payload_len
    }
}

/// Reads the header of the item that begins with `prefix`; `None` if more bytes are needed.
///
/// For streams: at most [`MAX_HEADER`] bytes decide, and the caller compares the announced length with
/// its limit before it waits for the rest.
///
/// # Errors
/// A length that is not canonical, or that no memory could hold.
pub fn item_header(prefix: &[u8]) -> Result<Option<ItemHeader>, Error> {
    let Some((&first, rest)) = prefix.split_first() else { return Ok(None) };
    let is_list = first >= 0xc0;
    let (header_len, payload_len) = match first {
        0x00..=0x7f => (0, 1),
        0x80..=0xb7 => (1, usize::from(first - 0x80)),
        0xc0..=0xf7 => (1, usize::from(first - 0xc0)),
        0xb8..=0xbf | 0xf8..=0xff => {
            let length_len = usize::from(first - if is_list { 0xf7 } else { 0xb7 });
            if rest.first() == Some(&0) {
                return Err(Error::NonCanonical);
            }
            let Some(length) = rest.get(..length_len) else { return Ok(None) };
            let length = length.iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte));
            if length < 56 {
                return Err(Error::NonCanonical);
            }
            (1 + length_len, usize::try_from(length).map_err(|_| Error::Overflow)?)
        }
    };
    header_len.checked_add(payload_len).ok_or(Error::Overflow)?;
    Ok(Some(ItemHeader { is_list, header_len, payload_len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_needs_all_its_length_bytes() {
        let incomplete: [&[u8]; 4] = [&[], &[0xb8], &[0xf9, 0x01], &[0xff, 1, 0, 0, 0, 0, 0, 0]];

        for prefix in incomplete {
            assert_eq!(item_header(prefix), Ok(None), "{prefix:02x?}");
        }
    }

    #[test]
    fn header_tells_kind_and_lengths() {
        let header =
            |is_list, header_len, payload_len| Ok(Some(ItemHeader { is_list, header_len, payload_len }));

        assert_eq!(item_header(&[0x00]), header(false, 0, 1));
        assert_eq!(item_header(&[0x7f]), header(false, 0, 1));
        assert_eq!(item_header(&[0x80]), header(false, 1, 0));
        assert_eq!(item_header(&[0xb7]), header(false, 1, 55));
        assert_eq!(item_header(&[0xb8, 56]), header(false, 2, 56));
        assert_eq!(item_header(&[0xc0]), header(true, 1, 0));
        assert_eq!(item_header(&[0xf7]), header(true, 1, 55));
        assert_eq!(item_header(&[0xfa, 0xa0, 0, 0]), header(true, 4, 10 * 1024 * 1024));
    }

    #[test]
    fn header_refuses_lengths_that_are_not_canonical() {
        let wrong: [&[u8]; 5] = [&[0xb8, 55], &[0xf8, 0], &[0xb9, 0], &[0xf9, 0, 200], &[0xff, 0]];

        for prefix in wrong {
            assert_eq!(item_header(prefix), Err(Error::NonCanonical), "{prefix:02x?}");
        }
    }

    #[test]
    fn header_refuses_lengths_beyond_memory() {
        assert_eq!(item_header(&[0xff; 9]), Err(Error::Overflow));
        assert_eq!(
            item_header(&[0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf7]),
            Err(Error::Overflow)
        );
    }

    #[test]
    fn announced_length_is_compared_with_what_is_there() {
        assert_eq!(single(&[0xbb, 0xff, 0xff, 0xff, 0xff, 1]), Err(Error::Truncated));
        assert_eq!(single(&[0x83, 1, 2]), Err(Error::Truncated));
        assert_eq!(
            Reader::new(&[0xc2, 0x82, 1]).list().and_then(|mut list| list.string()),
            Err(Error::Truncated)
        );
        assert_eq!(single(&[]), Err(Error::Truncated));
    }

    #[test]
    fn leftover_bytes_are_an_error() {
        assert_eq!(single(&[0x80, 0x80]), Err(Error::Leftover));
        assert_eq!(Reader::new(&[1]).finish(), Err(Error::Leftover));
    }

    #[test]
    fn single_byte_has_one_form() {
        assert_eq!(single(&[0x81, 0x7f]), Err(Error::NonCanonical));
        assert_eq!(single(&[0x81, 0x80]).and_then(Item::uint), Ok(128));
        assert_eq!(single(&[0x7f]).and_then(Item::uint), Ok(127));
    }

    #[test]
    fn integers_are_shortest_and_fit() {
        assert_eq!(single(&[0x80]).and_then(Item::uint), Ok(0));
        assert_eq!(single(&[0]).and_then(Item::uint), Err(Error::NonCanonical));
        assert_eq!(single(&[0x82, 0, 1]).and_then(Item::uint), Err(Error::NonCanonical));
        assert_eq!(
            single(&[0x88, 255, 255, 255, 255, 255, 255, 255, 255]).and_then(Item::uint),
            Ok(u64::MAX)
        );
        assert_eq!(single(&[0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0]).and_then(Item::uint), Err(Error::Overflow));
        assert_eq!(single(&[0xc0]).and_then(Item::uint), Err(Error::Kind));
        let mut long = vec![0xa1];
        long.extend([1; 33]);
        assert_eq!(single(&long).and_then(Item::u256), Err(Error::Overflow));
    }

    #[test]
    fn loose_integer_takes_a_zero_byte_only_for_zero() {
        assert_eq!(single(&[0]).and_then(Item::loose_uint), Ok(0));
        assert_eq!(single(&[0x80]).and_then(Item::loose_uint), Ok(0));
        assert_eq!(single(&[5]).and_then(Item::loose_uint), Ok(5));
        assert_eq!(single(&[0x82, 0, 1]).and_then(Item::loose_uint), Err(Error::NonCanonical));
    }

    #[test]
    fn kinds_are_not_confused() {
        assert_eq!(single(&[0xc0]).and_then(Item::string), Err(Error::Kind));
        assert!(matches!(single(&[0x80]).and_then(Item::list), Err(Error::Kind)));
        assert_eq!(single(&[0x82, 1, 2]).and_then(Item::fixed::<3>), Err(Error::Length));
        assert_eq!(single(&[0x81, 0xff]).and_then(Item::text), Err(Error::Text));
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let mut bytes = Vec::new();
        for _ in 0..2_000 {
            let inner = std::mem::take(&mut bytes);
            put_raw_list(&mut bytes, &[inner]);
        }

        let mut reader = single(&bytes).and_then(Item::list);
        let mut depth = 0;
        while let Ok(mut list) = reader {
            depth += 1;
            reader = list.list();
        }

        assert_eq!(depth, 2_000);
    }

    #[test]
    fn written_lists_are_read_again() {
        let mut out = Vec::new();
        put_list(&mut out, |out| {
            put_uint(out, 1024);
            put_string_list(out, &[vec![7u8; 60], vec![]]);
            put_raw_list(out, &[[0xc0u8]]);
        });

        let mut fields = single(&out).and_then(Item::list).expect("a list");
        assert_eq!(fields.uint(), Ok(1024));
        let mut strings = fields.list().expect("a list");
        assert_eq!(strings.string(), Ok(&[7u8; 60][..]));
        assert_eq!(strings.string(), Ok(&[][..]));
        assert_eq!(strings.finish(), Ok(()));
        assert_eq!(fields.item().map(|item| item.raw), Ok(&[0xc1, 0xc0][..]));
        assert_eq!(fields.finish(), Ok(()));
    }
}
