//! As much of protobuf as the messages need. Reading is total: any bytes give fields or an error.

use crate::Malformed;

/// Reads a protobuf message field by field.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

/// A field's value.
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a kind that no known field has.
    Other,
}

impl<'a> Fields<'a> {
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Truncated)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Other)?,
            _ => return Err(Malformed::Field),
        };
        match key >> 3 {
            0 => Err(Malformed::Field),
            number => Ok(Some((number, value))),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(Malformed::Truncated)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed::Varint);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }
}

impl<'a> Value<'a> {
    pub(crate) fn number(&self, field: u64) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Bytes(_) | Self::Other => Err(Malformed::Kind(field)),
        }
    }

    pub(crate) fn bytes(&self, field: u64) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Other => Err(Malformed::Kind(field)),
        }
    }

    pub(crate) fn text(&self, field: u64) -> Result<String, Malformed> {
        String::from_utf8(self.bytes(field)?.to_vec()).map_err(|_| Malformed::Text)
    }
}

/// Writes a protobuf message.
#[derive(Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn number(&mut self, field: u64, value: u64) {
        put_varint(&mut self.0, field << 3);
        put_varint(&mut self.0, value);
    }

    pub(crate) fn bytes(&mut self, field: u64, value: &[u8]) {
        put_varint(&mut self.0, field << 3 | 2);
        put_varint(&mut self.0, value.len() as u64);
        self.0.extend_from_slice(value);
    }
}

/// Appends `value` as a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
