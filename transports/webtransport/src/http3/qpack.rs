//! Header fields as HTTP/3 packs them, read without a dynamic table: we allow the client none.
//!
//! ```text
//! prefix   required insert count (8+) | sign, base (7+)
//! field    1 T index(6+)                                       indexed; T: static table
//!          01 N T index(4+)  H length(7+) value                name from a table
//!          001 N H length(3+) name  H length(7+) value         name spelt out
//! ```
//! N may be ignored, H says that the text is in Huffman's code. RFC 9204, section 4.5.

mod huffman;
mod static_table;

/// Most fields of a request; browsers send some ten.
pub(crate) const MAX_FIELDS: usize = 64;

/// What each field counts beside its text. RFC 9114, section 4.2.2.
const OVERHEAD: usize = 32;

/// One header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Header fields that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QpackError {
    /// They end within a field.
    #[error("header fields end in the middle")]
    Cut,
    /// A field is taken from the dynamic table, which may not hold any.
    #[error("a header field refers to the dynamic table, which has no room")]
    Dynamic,
    /// There is no such field in the static table.
    #[error("no entry {0} in the static table")]
    NoEntry(u64),
    /// A number is too large.
    #[error("a number is too large")]
    Number,
    /// Text in Huffman's code that it does not have.
    #[error("text is not in Huffman's code, or too long")]
    Huffman,
    /// Text that is no UTF-8.
    #[error("a header field is no UTF-8")]
    Text,
    /// There are too many fields.
    #[error("more than {MAX_FIELDS} header fields")]
    TooMany,
    /// The fields take more room than is allowed.
    #[error("header fields take more than {0} bytes")]
    TooLarge(usize),
}

/// All fields of a block. `max` bounds their size as RFC 9114 counts it.
pub(crate) fn decode(mut block: &[u8], max: usize) -> Result<Vec<Field>, QpackError> {
    let input = &mut block;
    let (_, required) = number(input, 8)?;
    if required != 0 {
        return Err(QpackError::Dynamic);
    }
    number(input, 7)?;
    let (mut fields, mut size) = (Vec::new(), 0_usize);
    while !input.is_empty() {
        if fields.len() == MAX_FIELDS {
            return Err(QpackError::TooMany);
        }
        let field = field(input, max)?;
        size = size.saturating_add(OVERHEAD + field.name.len() + field.value.len());
        if size > max {
            return Err(QpackError::TooLarge(max));
        }
        fields.push(field);
    }
    Ok(fields)
}

fn field(input: &mut &[u8], max: usize) -> Result<Field, QpackError> {
    let first = *input.first().ok_or(QpackError::Cut)?;
    if first & 0x80 != 0 {
        let (flags, index) = number(input, 6)?;
        let (name, value) = entry(flags & 0x40 != 0, index)?;
        return Ok(Field { name: name.to_owned(), value: value.to_owned() });
    }
    if first & 0x40 != 0 {
        let (flags, index) = number(input, 4)?;
        let (name, _) = entry(flags & 0x10 != 0, index)?;
        return Ok(Field { name: name.to_owned(), value: text(input, 7, max)? });
    }
    if first & 0x20 != 0 {
        return Ok(Field { name: text(input, 3, max)?, value: text(input, 7, max)? });
    }
    Err(QpackError::Dynamic) // both kinds that count from the other end of the dynamic table
}

fn entry(is_static: bool, index: u64) -> Result<(&'static str, &'static str), QpackError> {
    if !is_static {
        return Err(QpackError::Dynamic);
    }
    static_table::entry(index).ok_or(QpackError::NoEntry(index))
}

/// Text whose length has `bits` bits in its first byte, with Huffman's flag above them.
fn text(input: &mut &[u8], bits: u32, max: usize) -> Result<String, QpackError> {
    let (flags, length) = number(input, bits)?;
    let length = usize::try_from(length).map_err(|_| QpackError::Number)?;
    let (text, rest) = input.split_at_checked(length).ok_or(QpackError::Cut)?;
    *input = rest;
    let text = if flags >> bits & 1 == 1 {
        huffman::decode(text, max).ok_or(QpackError::Huffman)?
    } else {
        text.to_vec()
    };
    String::from_utf8(text).map_err(|_| QpackError::Text)
}

/// A number that has `bits` bits in its first byte and goes on if they are all ones; the first byte, too.
/// RFC 7541, section 5.1.
fn number(input: &mut &[u8], bits: u32) -> Result<(u8, u64), QpackError> {
    let mut next = || {
        let (byte, rest) = input.split_first().ok_or(QpackError::Cut)?;
        *input = rest;
        Ok(*byte)
    };
    let first = next()?;
    let full = (1_u64 << bits) - 1;
    let mut value = u64::from(first) & full;
    if value < full {
        return Ok((first, value));
    }
    for shift in (0..32).step_by(7) {
        let byte = next()?;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((first, value));
        }
    }
    Err(QpackError::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1 << 12;

    fn field(name: &str, value: &str) -> Field {
        Field { name: name.to_owned(), value: value.to_owned() }
    }

    /// RFC 9204, appendix B.1.
    #[test]
    fn the_rfcs_example_without_a_dynamic_table() {
        let block = b"\0\0\x51\x0b/index.html";
        assert_eq!(decode(block, MAX), Ok(vec![field(":path", "/index.html")]));
    }

    #[test]
    fn every_form_of_a_field_is_read() {
        let mut block = vec![0, 0];
        block.push(0xc0 | 15); // :method CONNECT
        block.extend(b"\xff\x1b"); // static entry 63 + 27 = 90: origin, empty
        block.extend(b"\x50\x03a:1"); // :authority, name from entry 0
        block.extend(b"\x37\x02:protocol\x07chatter"); // name spelt out, 7 + 2 bytes
        block.extend(b"\x2a\xf1\xe3"); // name in Huffman's code: "ww" is cut off below
        block.truncate(block.len() - 3);
        assert_eq!(
            decode(&block, MAX),
            Ok(vec![
                field(":method", "CONNECT"),
                field("origin", ""),
                field(":authority", "a:1"),
                field(":protocol", "chatter"),
            ])
        );
    }

    #[test]
    fn huffmans_code_is_read_in_names_and_values() {
        let block = b"\0\0\x2b\x64\x02\xff\x85\xae\xc3\x77\x1a\x4b";
        assert_eq!(decode(block, MAX), Err(QpackError::Huffman));
        let block = b"\0\0\x2a\x64\x02\x85\xae\xc3\x77\x1a\x4b";
        assert_eq!(decode(block, MAX), Ok(vec![field("302", "private")]));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        assert_eq!(decode(b"", MAX), Err(QpackError::Cut));
        assert_eq!(decode(b"\x01\0", MAX), Err(QpackError::Dynamic));
        assert_eq!(decode(b"\0\0\x80", MAX), Err(QpackError::Dynamic));
        assert_eq!(decode(b"\0\0\x40\x01a", MAX), Err(QpackError::Dynamic));
        assert_eq!(decode(b"\0\0\x10", MAX), Err(QpackError::Dynamic));
        assert_eq!(decode(b"\0\0\x00", MAX), Err(QpackError::Dynamic));
        assert_eq!(decode(b"\0\0\xff\x24", MAX), Err(QpackError::NoEntry(99)));
        assert_eq!(decode(b"\0\0\xff\xff\xff\xff\xff\xff\x7f", MAX), Err(QpackError::Number));
        assert_eq!(decode(b"\0\0\x51\x0b/index", MAX), Err(QpackError::Cut));
        assert_eq!(decode(b"\0\0\x51\x01\xff", MAX), Err(QpackError::Text));
    }

    #[test]
    fn fields_are_bounded_in_number_and_size() {
        let block = |fields: usize| [vec![0, 0], vec![0xd1; fields]].concat(); // :method GET
        assert_eq!(decode(&block(MAX_FIELDS), MAX).map(|fields| fields.len()), Ok(MAX_FIELDS));
        assert_eq!(decode(&block(MAX_FIELDS + 1), MAX), Err(QpackError::TooMany));
        assert_eq!(decode(&block(3), 3 * 42), Ok(vec![field(":method", "GET"); 3]));
        assert_eq!(decode(&block(3), 3 * 42 - 1), Err(QpackError::TooLarge(125)));
    }

    proptest! {
        #[test]
        fn any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes, MAX);
            let _ = decode(&[&[0, 0], bytes.as_slice()].concat(), MAX);
        }
    }
}
