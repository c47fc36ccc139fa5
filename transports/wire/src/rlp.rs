//! Bounded RLP: items cut by their headers without copying, lists written around raw items.
//!
//! A [`Reader`] borrows; whoever keeps an item slices it out of the `Bytes` that was read
//! (`payload.slice_ref(item.raw)`). Nothing here allocates or recurses while reading.

use alloy_primitives::{B256, U256};
use alloy_rlp::{BufMut, Encodable, Header};

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

/// One item, cut out of what it stood in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// A list, not a string.
    pub is_list: bool,
    /// The item with its header.
    pub raw: &'a [u8],
    /// The item without its header.
    pub payload: &'a [u8],
}

impl<'a> Item<'a> {
    /// Its items.
    ///
    /// # Errors
    /// If it is a string.
    pub fn list(self) -> Result<Reader<'a>, Error> {
        if self.is_list { Ok(Reader::new(self.payload)) } else { Err(Error::Kind) }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If it is a list.
    pub fn string(self) -> Result<&'a [u8], Error> {
        if self.is_list { Err(Error::Kind) } else { Ok(self.payload) }
    }

    /// Its bytes as text.
    ///
    /// # Errors
    /// If it is a list, or not UTF-8.
    pub fn text(self) -> Result<&'a str, Error> {
        std::str::from_utf8(self.string()?).map_err(|_| Error::Text)
    }

    /// Its bytes, of which there must be `N`.
    ///
    /// # Errors
    /// If it is a list or a string of another length.
    pub fn fixed<const N: usize>(self) -> Result<[u8; N], Error> {
        self.string()?.try_into().map_err(|_| Error::Length)
    }

    /// A 32-byte hash.
    ///
    /// # Errors
    /// As [`Self::fixed`].
    pub fn hash(self) -> Result<B256, Error> {
        self.fixed().map(B256::new)
    }

    /// An integer in its shortest form.
    ///
    /// # Errors
    /// If it is a list, has leading zeroes or more than 64 bits.
    pub fn uint(self) -> Result<u64, Error> {
        let bytes = self.integer()?;
        if bytes.len() > size_of::<u64>() {
            return Err(Error::Overflow);
        }
        Ok(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// An integer for which zero may also be the byte `00`, as EthereumJS writes it in places.
    ///
    /// # Errors
    /// As [`Self::uint`].
    pub fn loose_uint(self) -> Result<u64, Error> {
        if self.raw == [0] { Ok(0) } else { self.uint() }
    }

    /// A large integer in its shortest form.
    ///
    /// # Errors
    /// If it is a list, has leading zeroes or more than 256 bits.
    pub fn u256(self) -> Result<U256, Error> {
        U256::try_from_be_slice(self.integer()?).ok_or(Error::Overflow)
    }

    /// A large integer for which zero may also be the byte `00`.
    ///
    /// # Errors
    /// As [`Self::u256`].
    pub fn loose_u256(self) -> Result<U256, Error> {
        if self.raw == [0] { Ok(U256::ZERO) } else { self.u256() }
    }

    fn integer(self) -> Result<&'a [u8], Error> {
        let bytes = self.string()?;
        if bytes.first() == Some(&0) { Err(Error::NonCanonical) } else { Ok(bytes) }
    }
}

/// Reads items one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads the items that `bytes` consist of.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all items were read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next item, of either kind.
    ///
    /// # Errors
    /// If it is not complete or not canonical.
    pub fn item(&mut self) -> Result<Item<'a>, Error> {
        let header = item_header(self.rest)?.ok_or(Error::Truncated)?;
        let (raw, rest) = self.rest.split_at_checked(header.total_len()).ok_or(Error::Truncated)?;
        let payload = raw.get(header.header_len..).ok_or(Error::Truncated)?;
        if raw.len() == 2 && matches!(raw, [0x81, 0..=0x7f]) {
            return Err(Error::NonCanonical);
        }
        self.rest = rest;
        Ok(Item { is_list: header.is_list, raw, payload })
    }

    /// The next item, a list. See [`Item::list`].
    ///
    /// # Errors
    /// As [`Self::item`] and [`Item::list`].
    pub fn list(&mut self) -> Result<Reader<'a>, Error> {
        self.item()?.list()
    }

    /// The next item, a string.
    ///
    /// # Errors
    /// As [`Self::item`] and [`Item::string`].
    pub fn string(&mut self) -> Result<&'a [u8], Error> {
        self.item()?.string()
    }

    /// The next item, a string of `N` bytes.
    ///
    /// # Errors
    /// As [`Self::item`] and [`Item::fixed`].
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.item()?.fixed()
    }

    /// The next item, a 32-byte hash.
    ///
    /// # Errors
    /// As [`Self::item`] and [`Item::hash`].
    pub fn hash(&mut self) -> Result<B256, Error> {
        self.item()?.hash()
    }

    /// The next item, an integer.
    ///
    /// # Errors
    /// As [`Self::item`] and [`Item::uint`].
    pub fn uint(&mut self) -> Result<u64, Error> {
        self.item()?.uint()
    }

    /// The next item, an integer for which zero may also be the byte `00`.
    ///
    /// # Errors
    /// As [`Self::item`] and [`Item::loose_uint`].
    pub fn loose_uint(&mut self) -> Result<u64, Error> {
        self.item()?.loose_uint()
    }

    /// The next item, a large integer.
    ///
    /// # Errors
    /// As [`Self::item`] and [`Item::u256`].
    pub fn u256(&mut self) -> Result<U256, Error> {
        self.item()?.u256()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If anything is left.
    pub fn finish(self) -> Result<(), Error> {
        if self.is_empty() { Ok(()) } else { Err(Error::Leftover) }
    }
}

/// The one item that `bytes` consist of.
///
/// # Errors
/// If it is not complete, not canonical, or not all.
pub fn single(bytes: &[u8]) -> Result<Item<'_>, Error> {
    let mut reader = Reader::new(bytes);
    let item = reader.item()?;
    reader.finish()?;
    Ok(item)
}

/// Writes a list of what `content` writes.
pub fn put_list(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    content(out);
    let payload_length = out.len() - start;
    let mut header = Vec::with_capacity(MAX_HEADER);
    Header { list: true, payload_length }.encode(&mut header);
    out.splice(start..start, header);
}

/// Writes a byte string.
pub fn put_string(out: &mut dyn BufMut, bytes: &[u8]) {
    bytes.encode(out);
}

/// Writes an integer in its shortest form.
pub fn put_uint(out: &mut dyn BufMut, value: u64) {
    value.encode(out);
}

/// Writes a list of items that are RLP already.
pub fn put_raw_list<T: AsRef<[u8]>>(out: &mut Vec<u8>, items: &[T]) {
    put_list(out, |out| items.iter().for_each(|item| out.extend_from_slice(item.as_ref())));
}

/// Writes a list of byte strings.
pub fn put_string_list<T: AsRef<[u8]>>(out: &mut Vec<u8>, items: &[T]) {
    put_list(out, |out| items.iter().for_each(|item| put_string(out, item.as_ref())));
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
