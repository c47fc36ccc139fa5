//! Things on a stream that say their type, their length and then themselves: frames and capsules alike.
//!
//! ```text
//! type (varint) | length (varint) | value
//! ```

use crate::varint;

/// What is to become of a value, judged by its type and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// It is kept until it is whole. Who says so has looked at the length.
    Whole,
    /// It is handed on as it comes.
    Pieces,
    /// It is passed over.
    Skip,
}

/// What was found in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A value of this type, whole.
    Whole(u64, Vec<u8>),
    /// Part of a value that is taken in pieces.
    Piece(&'a [u8]),
    /// A value of this type is being passed over.
    Skipped(u64),
}

#[derive(Debug)]
enum State {
    Head { bytes: [u8; 2 * varint::MAX_LEN], len: usize },
    Whole { kind: u64, left: usize, value: Vec<u8> },
    Pieces { left: u64 },
    Skip { left: u64 },
}

const START: State = State::Head { bytes: [0; 2 * varint::MAX_LEN], len: 0 };

/// Cuts a stream into values, however its bytes arrive.
#[derive(Debug)]
pub(crate) struct Decoder(State);

impl Decoder {
    pub(crate) fn new() -> Self {
        Self(START)
    }

    /// Whether the stream may end here: not within a value.
    pub(crate) fn is_between(&self) -> bool {
        matches!(self.0, State::Head { len: 0, .. })
    }

    /// Takes bytes from `input` until something is found; `None` once they are used up.
    ///
    /// `judge` is asked once for each value, with its type and length.
    pub(crate) fn next<'a, E>(
        &mut self,
        input: &mut &'a [u8],
        mut judge: impl FnMut(u64, u64) -> Result<Take, E>,
    ) -> Result<Option<Item<'a>>, E> {
        loop {
            match &mut self.0 {
                State::Head { bytes, len } => {
                    let Some((byte, rest)) = input.split_first() else { return Ok(None) };
                    *input = rest;
                    if let Some(place) = bytes.get_mut(*len) {
                        *place = *byte;
                        *len += 1;
                    }
                    let Some((kind, length)) = head(bytes, *len) else { continue };
                    let take = judge(kind, length)?;
                    self.0 = match (take, usize::try_from(length)) {
                        (Take::Whole, Ok(0)) => {
                            self.0 = START;
                            return Ok(Some(Item::Whole(kind, Vec::new())));
                        }
                        (Take::Whole, Ok(left)) => State::Whole { kind, left, value: Vec::new() },
                        (Take::Pieces, _) if length > 0 => State::Pieces { left: length },
                        (Take::Pieces, _) => START,
                        (Take::Skip | Take::Whole, _) => {
                            self.0 = if length > 0 { State::Skip { left: length } } else { START };
                            return Ok(Some(Item::Skipped(kind)));
                        }
                    };
                }
                State::Whole { kind, left, value } => {
                    let piece = cut(input, *left as u64);
                    value.extend_from_slice(piece);
                    *left -= piece.len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    let item = Item::Whole(*kind, std::mem::take(value));
                    self.0 = START;
                    return Ok(Some(item));
                }
                State::Pieces { left } => {
                    let piece = cut(input, *left);
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    *left -= piece.len() as u64;
                    if *left == 0 {
                        self.0 = START;
                    }
                    return Ok(Some(Item::Piece(piece)));
                }
                State::Skip { left } => {
                    *left -= cut(input, *left).len() as u64;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.0 = START;
                }
            }
        }
    }
}

/// Type and length, if the first `len` bytes say both.
fn head(bytes: &[u8], len: usize) -> Option<(u64, u64)> {
    let bytes = bytes.get(..len)?;
    let (kind, taken) = varint::read(bytes)?;
    let (length, _) = varint::read(bytes.get(taken..)?)?;
    Some((kind, length))
}

/// Takes at most `most` bytes off `input`.
fn cut<'a>(input: &mut &'a [u8], most: u64) -> &'a [u8] {
    let len = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    let (piece, rest) = input.split_at(len);
    *input = rest;
    piece
}

/// Appends one value.
pub(crate) fn write(out: &mut Vec<u8>, kind: u64, value: &[u8]) {
    varint::write(out, kind);
    varint::write(out, value.len() as u64);
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn judge(kind: u64, _: u64) -> Result<Take, Infallible> {
        Ok([Take::Whole, Take::Pieces, Take::Skip][usize::try_from(kind % 3).expect("small")])
    }

    type Values = Vec<(u64, Vec<u8>)>;

    /// Everything found in `bytes`, fed in pieces of `step`, with the pieces of one value joined.
    fn read(bytes: &[u8], step: usize) -> (Values, Vec<u8>, bool) {
        let (mut whole, mut pieces, mut decoder) = (Vec::new(), Vec::new(), Decoder::new());
        for mut input in bytes.chunks(step) {
            while let Some(item) = decoder.next(&mut input, judge).expect("infallible") {
                match item {
                    Item::Whole(kind, value) => whole.push((kind, value)),
                    Item::Piece(piece) => pieces.extend_from_slice(piece),
                    Item::Skipped(kind) => whole.push((kind, Vec::new())),
                }
            }
            assert!(input.is_empty());
        }
        (whole, pieces, decoder.is_between())
    }

    #[test]
    fn values_are_found_in_their_order() {
        let mut bytes = Vec::new();
        for (kind, value) in [(3, "whole"), (1, "pieces"), (0x4007, "skipped"), (0, ""), (1, ""), (2, "")] {
            write(&mut bytes, kind, value.as_bytes());
        }
        let (whole, pieces, between) = read(&bytes, bytes.len());
        assert_eq!(
            whole,
            [(3, b"whole".to_vec()), (0x4007, vec![]), (0, vec![]), (2, vec![])].map(|(k, v)| (k, v))
        );
        assert_eq!(pieces, b"pieces");
        assert!(between);
    }

    #[test]
    fn a_long_length_takes_no_memory_before_its_bytes_came() {
        let mut bytes = Vec::new();
        varint::write(&mut bytes, 0);
        varint::write(&mut bytes, varint::MAX);
        let mut decoder = Decoder::new();
        assert_eq!(decoder.next(&mut bytes.as_slice(), judge), Ok(None));
        assert!(matches!(&decoder.0, State::Whole { value, .. } if value.capacity() == 0));
    }

    proptest! {
        #[test]
        fn any_bytes_read_the_same_however_they_are_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            step in 1..20_usize,
        ) {
            prop_assert_eq!(read(&bytes, step), read(&bytes, 400));
        }
    }
}
