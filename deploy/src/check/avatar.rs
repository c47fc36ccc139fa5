//! The picture in the store.

use std::ops::RangeInclusive;

use super::{Rule, unless};
use crate::Package;

pub(super) const RULES: &[Rule] = &[Rule::new("avatar: a square PNG of 200 to 300 pixels", square)];

/// Width and height in pixels.
const SIDE: RangeInclusive<u32> = 200..=300;

/// The first bytes of a PNG, up to the name of its first chunk (PNG specification, sections 5.2 and 11.2.1).
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

fn square(package: &Package) -> Vec<String> {
    let Some(bytes) = package.files.get("avatar.png") else {
        return vec!["there is no avatar.png".to_owned()];
    };
    let Some((width, height)) = dimensions(bytes) else { return vec!["avatar.png is not a PNG".to_owned()] };
    unless(width == height && SIDE.contains(&width), || {
        format!("avatar.png is {width} x {height}, not a square of {} to {}", SIDE.start(), SIDE.end())
    })
}

fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    let rest = bytes.strip_prefix(SIGNATURE)?;
    let (width, rest) = rest.split_first_chunk()?;
    let (height, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*width), u32::from_be_bytes(*height)))
}
