//! Items written behind one another; lists also around items that are RLP already.

use alloy_rlp::{BufMut, Encodable, Header};

use super::MAX_HEADER;

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
