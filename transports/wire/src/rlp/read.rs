//! Items one after the other, each cut by its header.

use alloy_primitives::{B256, U256};

use super::{Error, item_header};

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
    pub fn list(&mut self) -> Result<Self, Error> {
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
