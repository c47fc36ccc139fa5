//! Reading `genesis.json` by hand: Go's leniency (case of keys, numbers in three forms), errors that name the key.
//!
//! `serde_json::Value` would turn a terminal total difficulty written as a bare number into a float.

use std::collections::BTreeMap;

use alloy_primitives::{Bytes, U256};
use serde_json::value::RawValue;

use super::ChainSpecError;

/// A JSON object whose keys are compared as Go does, without regard to case.
#[derive(Debug)]
pub(super) struct Object<'a> {
    path: String,
    keys: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    pub(super) fn parse(path: &str, text: &'a str) -> Result<Self, ChainSpecError> {
        let keys: BTreeMap<String, &'a RawValue> = serde_json::from_str(text).map_err(|error| {
            let place = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
            ChainSpecError::Json { reason: format!("{place}{error}") }
        })?;
        let keys = keys.into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect();
        Ok(Self { path: path.to_owned(), keys })
    }

    /// The value at a key; `null` counts as absent.
    pub(super) fn find(&self, key: &str) -> Option<Field<'a>> {
        let raw = self.keys.get(&key.to_ascii_lowercase())?;
        (raw.get() != "null").then(|| Field { path: self.path_of(key), raw: raw.get() })
    }

    pub(super) fn need(&self, key: &str) -> Result<Field<'a>, ChainSpecError> {
        self.find(key).ok_or_else(|| ChainSpecError::Missing { key: self.path_of(key) })
    }

    pub(super) fn u64(&self, key: &str) -> Result<Option<u64>, ChainSpecError> {
        self.find(key).map(|field| field.u64()).transpose()
    }

    pub(super) fn fixed<const N: usize>(&self, key: &str) -> Result<Option<[u8; N]>, ChainSpecError> {
        self.find(key).map(|field| field.fixed()).transpose()
    }

    /// All fields; the keys in lower case.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, Field<'a>)> {
        self.keys.iter().map(|(key, raw)| (key.as_str(), Field { path: self.path_of(key), raw: raw.get() }))
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// One value with the path of keys that leads to it.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) path: String,
    raw: &'a str,
}

impl<'a> Field<'a> {
    pub(super) fn object(&self) -> Result<Object<'a>, ChainSpecError> {
        Object::parse(&self.path, self.raw)
    }

    pub(super) fn bool(&self) -> Result<bool, ChainSpecError> {
        match self.raw {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// A decimal number, bare or quoted, or a quoted hexadecimal one.
    pub(super) fn u256(&self) -> Result<U256, ChainSpecError> {
        let wrong = || self.wrong("a number, decimal or \"0x...\"");
        let text = if self.raw.starts_with('"') { self.text()? } else { self.raw.to_owned() };
        match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some("") => Err(wrong()),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                U256::from_str_radix(digits, 16).map_err(|_| wrong())
            }
            None if text.is_empty() => Ok(U256::ZERO), // as geth's HexOrDecimal
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                U256::from_str_radix(&text, 10).map_err(|_| wrong())
            }
            _ => Err(wrong()),
        }
    }

    pub(super) fn u64(&self) -> Result<u64, ChainSpecError> {
        u64::try_from(self.u256()?).map_err(|_| self.wrong("a number below 2^64"))
    }

    pub(super) fn bytes(&self) -> Result<Bytes, ChainSpecError> {
        decode_hex(&self.text()?).ok_or_else(|| self.wrong("bytes, \"0x...\" with two digits each"))
    }

    pub(super) fn fixed<const N: usize>(&self) -> Result<[u8; N], ChainSpecError> {
        fixed(&self.text()?).ok_or_else(|| self.wrong(width(N)))
    }

    /// A storage value: 32 bytes, the leading ones left out at will.
    pub(super) fn word(&self) -> Result<[u8; 32], ChainSpecError> {
        word(&self.text()?).ok_or_else(|| self.wrong("at most 32 bytes, \"0x...\""))
    }

    pub(super) fn wrong(&self, expected: &'static str) -> ChainSpecError {
        /// Longest piece of the file that an error repeats.
        const SHOWN: usize = 80;
        let mut value: String = self.raw.chars().take(SHOWN).collect();
        if value.len() < self.raw.len() {
            value.push_str("...");
        }
        ChainSpecError::Value { key: self.path.clone(), value, expected }
    }

    fn text(&self) -> Result<String, ChainSpecError> {
        serde_json::from_str(self.raw).map_err(|_| self.wrong("a string"))
    }
}

/// Exactly `N` bytes in hexadecimal, with or without `0x`.
pub(super) fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode_hex(text)?.as_ref().try_into().ok()
}

/// At most 32 bytes, filled up on the left.
pub(super) fn word(text: &str) -> Option<[u8; 32]> {
    let bytes = decode_hex(text)?;
    let mut word = [0; 32];
    word.get_mut(32_usize.checked_sub(bytes.len())?..)?.copy_from_slice(&bytes);
    Some(word)
}

fn decode_hex(text: &str) -> Option<Bytes> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    alloy_primitives::hex::decode(digits).ok().map(Bytes::from)
}

fn width(bytes: usize) -> &'static str {
    match bytes {
        20 => "an address of 20 bytes",
        32 => "32 bytes, \"0x...\"",
        _ => "bytes of the right length, \"0x...\"",
    }
}
