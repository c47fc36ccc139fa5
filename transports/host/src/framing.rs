//! The stream's framing: one RLP list `[code, payload]` a message, cut by its own header.
//!
//! Pure: bytes in, items out. What is announced is judged before anything is kept for it, and the buffer grows
//! with what arrives.

use std::cmp::Ordering;

use bytes::{Buf, Bytes, BytesMut};
use causeway_wire::rlp::{self, ItemHeader, MAX_HEADER};

/// Largest payloads, as the length of the whole second item (its header included).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemLimits {
    /// Limit of every code that is not named below.
    pub default: usize,
    /// Limits of single codes.
    pub by_code: Vec<(u64, usize)>,
}

/// 128 KiB, enough for any request of a light peer.
impl Default for ItemLimits {
    fn default() -> Self {
        Self::all(128 * 1024)
    }
}

impl ItemLimits {
    /// The same limit for every code.
    pub fn all(limit: usize) -> Self {
        Self { default: limit, by_code: Vec::new() }
    }

    /// The limit of `code`.
    pub fn of(&self, code: u64) -> usize {
        self.by_code.iter().find(|(named, _)| *named == code).map_or(self.default, |(_, limit)| *limit)
    }

    /// The largest of them, which holds as long as the code is not known.
    pub fn largest(&self) -> usize {
        self.by_code.iter().map(|(_, limit)| *limit).max().unwrap_or(0).max(self.default)
    }
}

/// One message of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its code.
    pub code: u64,
    /// The second item of the list, byte for byte, header included.
    pub payload: Bytes,
}

/// What breaks the framing. The stream is unusable afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// The message does not start as a list.
    #[error("first byte {first:#04x} does not start a list")]
    NotAList {
        /// That byte.
        first: u8,
    },
    /// A length that is not written in its shortest form.
    #[error("a length or number is not in its shortest form")]
    NonCanonical,
    /// More than any message may have.
    #[error("message of {announced} bytes is over the limit of {limit}")]
    TooLarge {
        /// Announced length of the list's content.
        announced: usize,
        /// The limit.
        limit: usize,
    },
    /// More than a message of this code may have.
    #[error("payload of {announced} bytes with code {code} is over the limit of {limit}")]
    PayloadTooLarge {
        /// The code.
        code: u64,
        /// Announced length of the payload.
        announced: usize,
        /// The code's limit.
        limit: usize,
    },
    /// The code is a list, or a string that is no number of 64 bits.
    #[error("the code is not a number of 64 bits")]
    Code,
    /// The list ends before its payload does, or has none.
    #[error("the list ends before its payload")]
    PayloadMissing,
    /// The list goes on behind its payload.
    #[error("the list holds {0} bytes behind its payload")]
    Leftover(usize),
}

/// Items up to this length are copied out of the read buffer, so that a small item which is kept does not
/// keep the large buffer in which it arrived.
const COPY_UP_TO: usize = 4096;

/// Room is made for this many times what has arrived of an item, or for all of it if that is less: a peer that only
/// announces a large one pins little.
const AHEAD: usize = 8;

/// Cuts a stream of bytes into items. Feed it with [`ItemCutter::push`], then take items until there is none.
#[derive(Clone, Debug)]
pub struct ItemCutter {
    limits: ItemLimits,
    buffer: BytesMut,
    /// Set once the framing is broken; nothing is cut any more.
    broken: Option<CutError>,
}

impl ItemCutter {
    /// A cutter at the start of a stream.
    pub fn new(limits: ItemLimits) -> Self {
        Self { limits, buffer: BytesMut::new(), broken: None }
    }

    /// Replaces the limits; counts for the item under way too.
    pub fn set_limits(&mut self, limits: ItemLimits) {
        self.limits = limits;
    }

    /// Adds what arrived. Keeps at most the longest item's length and `bytes`, provided the caller takes the
    /// items between two calls. After an error the bytes are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next whole item; `None` until more bytes arrive.
    ///
    /// # Errors
    /// As soon as the bytes at hand break the framing or a limit, and from then on.
    pub fn next_item(&mut self) -> Result<Option<Item>, CutError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let cut = self.cut();
        if let Err(error) = cut {
            self.broken = Some(error);
            self.buffer = BytesMut::new();
        }
        cut
    }

    /// Whether the stream stands between two items: an end is clean here.
    pub fn is_between_items(&self) -> bool {
        self.buffer.is_empty() && self.broken.is_none()
    }

    /// Bytes that wait for the rest of their item.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    fn cut(&mut self) -> Result<Option<Item>, CutError> {
        let Some(frame) = measure(&self.buffer, &self.limits)? else { return Ok(None) };
        let Frame { code, payload_start, end } = frame;
        let arrived = self.buffer.len();
        if arrived < end {
            // Grown at once to what is to come, as far as the peer has shown that it sends: growing chunk by chunk
            // would copy the item over and over.
            self.buffer.reserve((end - arrived).min(AHEAD * arrived));
            return Ok(None);
        }
        let payload = if end <= COPY_UP_TO {
            let payload = Bytes::copy_from_slice(&self.buffer[payload_start..end]);
            self.buffer.advance(end);
            payload
        } else {
            let mut item = self.buffer.split_to(end).freeze();
            item.advance(payload_start);
            item
        };
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new(); // an idle stream keeps no buffer
        }
        Ok(Some(Item { code, payload }))
    }
}

/// Where a message lies in the buffer.
struct Frame {
    code: u64,
    payload_start: usize,
    end: usize,
}

/// Judges what is visible of the message at the start of `bytes`; `None` while its headers are incomplete.
fn measure(bytes: &[u8], limits: &ItemLimits) -> Result<Option<Frame>, CutError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first < 0xc0 {
        return Err(CutError::NotAList { first });
    }
    let limit = limits.largest().saturating_add(MAX_HEADER);
    let Some(list) = header(bytes, limit)? else { return Ok(None) };
    let content = list.payload_len;
    if content > limit {
        return Err(CutError::TooLarge { announced: content, limit });
    }
    let end = list.total_len();
    let visible = bytes.get(list.header_len..end.min(bytes.len())).unwrap_or_default();

    let Some((code, code_len)) = read_code(visible)? else {
        return if visible.len() == content { Err(CutError::PayloadMissing) } else { Ok(None) };
    };
    let announced = content.checked_sub(code_len).filter(|left| *left > 0).ok_or(CutError::PayloadMissing)?;
    let limit = limits.of(code);
    if announced > limit {
        return Err(CutError::PayloadTooLarge { code, announced, limit });
    }

    let visible = visible.get(code_len..).unwrap_or_default();
    let Some(payload) = header(visible, limit)? else {
        return if visible.len() == announced { Err(CutError::PayloadMissing) } else { Ok(None) };
    };
    match payload.total_len().cmp(&announced) {
        Ordering::Greater => Err(CutError::PayloadMissing),
        Ordering::Less => Err(CutError::Leftover(announced - payload.total_len())),
        Ordering::Equal => Ok(Some(Frame { code, payload_start: list.header_len + code_len, end })),
    }
}

/// Reads the header of the item at the start of `bytes`; `None` while it is incomplete.
fn header(bytes: &[u8], limit: usize) -> Result<Option<ItemHeader>, CutError> {
    rlp::item_header(bytes).map_err(|error| match error {
        rlp::Error::Overflow => CutError::TooLarge { announced: usize::MAX, limit },
        _ => CutError::NonCanonical,
    })
}

/// Reads the code at the start of a list's content, with the length of its item; `None` while it is incomplete.
///
/// 0 may be written as 0x80 or as 0x00 (EthereumJS before 0.6).
fn read_code(bytes: &[u8]) -> Result<Option<(u64, usize)>, CutError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    match first {
        0x00..=0x7f => Ok(Some((u64::from(first), 1))),
        0x80 => Ok(Some((0, 1))),
        0x81..=0x88 => {
            let length = 1 + usize::from(first - 0x80);
            if bytes.get(1) == Some(&0) {
                return Err(CutError::NonCanonical);
            }
            let Some(digits) = bytes.get(1..length) else { return Ok(None) };
            let code = digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit));
            if code < 0x80 {
                return Err(CutError::NonCanonical);
            }
            Ok(Some((code, length)))
        }
        0x89..=0xff => Err(CutError::Code),
    }
}

/// Writes a message: the list's header, the code (0 as 0x80), the payload as it is.
///
/// `payload` must be exactly one RLP item, else the other end refuses it.
pub fn encode_item(code: u64, payload: &[u8]) -> Bytes {
    let mut code_bytes = [0; MAX_HEADER];
    let code_length = write_number(code, 0x80, &mut code_bytes);
    let content = code_length + payload.len();
    let mut out = BytesMut::with_capacity(MAX_HEADER + content);
    match u8::try_from(content) {
        Ok(short @ 0..=55) => out.extend_from_slice(&[0xc0 + short]),
        _ => {
            let mut length_bytes = [0; MAX_HEADER];
            let width = write_digits(content as u64, 0xf7, &mut length_bytes);
            out.extend_from_slice(&length_bytes[..width]);
        }
    }
    out.extend_from_slice(&code_bytes[..code_length]);
    out.extend_from_slice(payload);
    out.freeze()
}

fn write_number(number: u64, base: u8, out: &mut [u8; MAX_HEADER]) -> usize {
    match u8::try_from(number) {
        Ok(0) => {
            out[0] = base;
            1
        }
        Ok(small @ 1..=0x7f) => {
            out[0] = small;
            1
        }
        _ => write_digits(number, base, out),
    }
}

/// `base` plus the count of digits, then the digits; `number` is not 0.
fn write_digits(number: u64, base: u8, out: &mut [u8; MAX_HEADER]) -> usize {
    let digits = number.to_be_bytes();
    let zeros = (number.leading_zeros() / 8) as usize;
    let width = digits.len() - zeros;
    out[0] = base + width as u8;
    out[1..=width].copy_from_slice(&digits[zeros..]);
    1 + width
}

#[cfg(test)]
mod tests;
