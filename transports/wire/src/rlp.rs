//! Bounded RLP reading: items cut by their headers, lengths checked before anything is allocated.

/// What is wrong with bytes that should be RLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end within an item.
    #[error("input ends within an item")]
    Truncated,
    /// A list where a string was due, or the other way round.
    #[error("string and list confused")]
    Kind,
    /// A length or integer not written in its shortest form.
    #[error("not in canonical form")]
    NonCanonical,
    /// An integer or byte string longer than its type.
    #[error("value does not fit its type")]
    Overflow,
    /// Bytes behind the item, or items behind the last field.
    #[error("bytes left over")]
    Leftover,
    /// A string of another length than the fixed one.
    #[error("wrong length")]
    Length,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
}
