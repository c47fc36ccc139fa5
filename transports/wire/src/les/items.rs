//! The items of answers, sliced out of the payload; only their kind and count are looked at.

use alloy_primitives::Bytes;

use super::DecodeFlaw;
use crate::rlp::{Error, Reader};

/// What may stand in an answer's list, and how often.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// The items' name in errors.
    pub(super) what: &'static str,
    /// No request within its own limit has more of them in its answer.
    pub(super) limit: u64,
}

impl Bound {
    fn admit(self, count: usize) -> Result<(), DecodeFlaw> {
        if count as u64 >= self.limit {
            return Err(DecodeFlaw::over(self.what, self.limit + 1, self.limit));
        }
        Ok(())
    }

    /// Items that are lists, with their headers.
    pub(super) fn lists(self, payload: &Bytes, mut items: Reader<'_>) -> Result<Vec<Bytes>, DecodeFlaw> {
        let mut lists = Vec::new();
        while !items.is_empty() {
            self.admit(lists.len())?;
            let item = items.item()?;
            if !item.is_list {
                return Err(Error::Kind.into());
            }
            lists.push(payload.slice_ref(item.raw));
        }
        Ok(lists)
    }

    /// Items that are strings, without their headers.
    pub(super) fn strings(self, payload: &Bytes, mut items: Reader<'_>) -> Result<Vec<Bytes>, DecodeFlaw> {
        let mut strings = Vec::new();
        while !items.is_empty() {
            self.admit(strings.len())?;
            strings.push(payload.slice_ref(items.string()?));
        }
        Ok(strings)
    }

    /// Items that `read` makes sense of.
    pub(super) fn each<T>(
        self,
        mut items: Reader<'_>,
        read: impl Fn(Reader<'_>) -> Result<T, DecodeFlaw>,
    ) -> Result<Vec<T>, DecodeFlaw> {
        let mut values = Vec::new();
        while !items.is_empty() {
            self.admit(values.len())?;
            values.push(read(items.list()?)?);
        }
        Ok(values)
    }
}
