//! Frames: how a message lies on the stream, sealed (rlpx.md section 4).
//!
//! ```text
//! header(16) = be24(size) || C2 80 80 || zeroes
//! frame      = CTR(header) || mac(16) || CTR(data || zeroes to a multiple of 16) || mac(16)
//! data       = RLP(code) || payload, of size bytes
//! ```

use aes::{
    Aes256Enc,
    cipher::{KeyIvInit, StreamCipher},
};
use alloy_rlp::{Decodable, Encodable, Header};
use bytes::BytesMut;
use snap::raw::Encoder;

use crate::{
    Fault,
    mac::{MAC, Mac, equal},
    snappy,
};

type Aes256Ctr = ctr::Ctr128BE<Aes256Enc>;

const BLOCK: usize = 16;
/// A sealed header with its MAC.
const HEAD: usize = BLOCK + MAC;
/// Largest size that a header can tell.
pub(crate) const MAX_SIZE: usize = 0xff_ffff;
/// Most bytes of a message code.
pub(crate) const CODE: usize = 9;
/// Larger frame buffers are given back after their message instead of being kept for the next.
const KEPT_BUFFER: usize = 64 * 1024;

/// How payloads lie in frames.
pub(crate) enum Packing {
    /// As they are: before Hello, and with peers of version 4 or less.
    Plain,
    /// Compressed.
    Snappy(Box<Encoder>),
}

impl Packing {
    /// Starts to compress.
    pub(crate) fn snappy() -> Self {
        Self::Snappy(Box::new(Encoder::new()))
    }
}

/// Seals the frames that we send.
pub(crate) struct Sealer {
    cipher: Aes256Ctr,
    mac: Mac,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32], mac: Mac) -> Self {
        Self { cipher: Aes256Ctr::new(key.into(), &[0; BLOCK].into()), mac }
    }

    /// The room that a message with `payload` bytes needs at most.
    pub(crate) fn room(payload: usize) -> usize {
        HEAD + CODE + snappy::packed_limit(payload) + BLOCK + MAC
    }

    /// Appends the frame of a message to `out`, building and sealing it in place. The caller keeps
    /// payloads so small that the size fits into its three bytes.
    pub(crate) fn seal(&mut self, code: u64, payload: &[u8], packing: &mut Packing, out: &mut BytesMut) {
        let start = out.len();
        out.resize(start + HEAD, 0);
        code.encode(out);
        match packing {
            Packing::Plain => out.extend_from_slice(payload),
            Packing::Snappy(encoder) => snappy::pack(encoder, payload, out),
        }
        let size = out.len() - start - HEAD;
        debug_assert!(size <= MAX_SIZE, "the size of a frame fits into 24 bits");
        let padded = size.next_multiple_of(BLOCK);
        out.resize(start + HEAD + padded + MAC, 0);

        let (head, rest) = out[start..].split_at_mut(HEAD);
        let (body, body_mac) = rest.split_at_mut(padded);
        let mut header = plain_header(size);
        self.cipher.apply_keystream(&mut header);
        head[..BLOCK].copy_from_slice(&header);
        head[BLOCK..].copy_from_slice(&self.mac.header(&header));
        self.cipher.apply_keystream(body);
        self.mac.absorb(body);
        body_mac.copy_from_slice(&self.mac.body());
    }
}

fn plain_header(size: usize) -> [u8; BLOCK] {
    let [.., high, middle, low] = size.to_be_bytes();
    let mut header = [0; BLOCK];
    header[..6].copy_from_slice(&[high, middle, low, 0xc2, 0x80, 0x80]);
    header
}

/// Opens the frames that the peer sends, from a stream cut anywhere.
pub(crate) struct Opener {
    cipher: Aes256Ctr,
    mac: Mac,
    head: [u8; HEAD],
    head_filled: usize,
    /// Size of the frame whose header has been read.
    size: Option<usize>,
    /// The body so far, still sealed, then its MAC. Grows with what comes, not with what was announced.
    body: Vec<u8>,
}

impl Opener {
    pub(crate) fn new(key: &[u8; 32], mac: Mac) -> Self {
        Self {
            cipher: Aes256Ctr::new(key.into(), &[0; BLOCK].into()),
            mac,
            head: [0; HEAD],
            head_filled: 0,
            size: None,
            body: Vec::new(),
        }
    }

    /// Takes from `input` until a frame is whole and gives its data; `None` if more input is needed.
    /// A frame whose header says more than `limit` is refused before its body is taken in.
    pub(crate) fn open(&mut self, input: &mut &[u8], limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        let size = match self.size {
            Some(size) => size,
            None => {
                let part = take(input, HEAD - self.head_filled);
                self.head[self.head_filled..self.head_filled + part.len()].copy_from_slice(part);
                self.head_filled += part.len();
                if self.head_filled < HEAD {
                    return Ok(None);
                }
                let size = self.open_head(limit)?;
                self.head_filled = 0;
                self.size = Some(size);
                size
            }
        };
        let padded = size.next_multiple_of(BLOCK);
        let before = self.body.len();
        self.body.extend_from_slice(take(input, padded + MAC - before));
        // Absorbed as it comes, while it is in the cache. The data is decrypted only after the MAC.
        self.mac.absorb(&self.body[before.min(padded)..self.body.len().min(padded)]);
        if self.body.len() < padded + MAC {
            return Ok(None);
        }
        self.open_body(size, padded).map(Some)
    }

    /// Takes back the buffer of a frame that is done with.
    pub(crate) fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BUFFER {
            buffer.clear();
            self.body = buffer;
        }
    }

    /// Bytes held of a frame that is not whole yet.
    pub(crate) fn buffered(&self) -> usize {
        self.head_filled + self.body.len()
    }

    fn open_head(&mut self, limit: usize) -> Result<usize, Fault> {
        let (header, mac) =
            self.head.split_first_chunk_mut::<BLOCK>().expect("a head is longer than a block");
        let expected = self.mac.header(header);
        if !equal(expected, mac.try_into().expect("a head ends with a MAC")) {
            return Err(Fault::HeaderMac);
        }
        self.cipher.apply_keystream(header);
        let [high, middle, low, data @ ..] = header;
        let size = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        if is_part(data) {
            return Err(Fault::Chunked);
        }
        if size == 0 {
            return Err(Fault::NoCode);
        }
        if size > limit {
            return Err(Fault::FrameTooLarge { size, limit });
        }
        Ok(size)
    }

    fn open_body(&mut self, size: usize, padded: usize) -> Result<Vec<u8>, Fault> {
        let mut body = std::mem::take(&mut self.body);
        self.size = None;
        let expected = self.mac.body();
        let mac = body[padded..].try_into().expect("a whole body ends with a MAC");
        if !equal(expected, mac) {
            return Err(Fault::BodyMac);
        }
        body.truncate(padded);
        self.cipher.apply_keystream(&mut body);
        body.truncate(size);
        Ok(body)
    }
}

/// Whether the list behind a frame's size says that the frame is a part of a message:
/// `[capability, context]` with a context other than 0, or `[capability, context, total size]`.
/// Like geth we do not mind anything else that stands there, nor the capability.
fn is_part(mut data: &[u8]) -> bool {
    let Ok(mut items) = Header::decode_bytes(&mut data, true) else { return false };
    let mut item = || Header::decode_bytes(&mut items, false).ok();
    let (_, context, total) = (item(), item(), item());
    total.is_some() || context.is_some_and(|context| context.iter().any(|byte| *byte != 0))
}

/// The message code at the beginning of a frame's data, and how many bytes it takes.
pub(crate) fn read_code(data: &[u8]) -> Result<(u64, usize), Fault> {
    let mut rest = data;
    let code = u64::decode(&mut rest).map_err(|_| Fault::NoCode)?;
    Ok((code, data.len() - rest.len()))
}

/// Cuts at most `count` bytes off the beginning of `input`.
pub(crate) fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
impl Sealer {
    /// Seals any header, and any data behind it.
    pub(crate) fn seal_raw(&mut self, mut header: [u8; BLOCK], data: Option<&[u8]>) -> Vec<u8> {
        self.cipher.apply_keystream(&mut header);
        let mut frame = header.to_vec();
        frame.extend_from_slice(&self.mac.header(&header));
        if let Some(data) = data {
            let mut body = data.to_vec();
            body.resize(data.len().next_multiple_of(BLOCK), 0);
            self.cipher.apply_keystream(&mut body);
            self.mac.absorb(&body);
            frame.extend_from_slice(&body);
            frame.extend_from_slice(&self.mac.body());
        }
        frame
    }
}

#[cfg(test)]
impl Opener {
    /// Memory that the body's buffer holds.
    pub(crate) fn reserved(&self) -> usize {
        self.body.capacity()
    }
}
