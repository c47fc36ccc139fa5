//! Writing of DER, as far as a certificate takes it.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The tag `[number]` around something, or instead of its tag if that is made of parts.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// A tag, the length of `parts`, and `parts`.
pub(super) fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match u8::try_from(len) {
        Ok(short @ 0..0x80) => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            let bytes = (len as u64).to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let bytes = bytes.get(zeros..).unwrap_or_default();
            out.push(0x80 | bytes.len() as u8);
            out.extend_from_slice(bytes);
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A number that is not negative, given by its bytes, highest first.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = bytes.get(zeros..).unwrap_or_default();
    match bytes.first() {
        Some(..=0x7f) => wrap(INTEGER, &[bytes]),
        _ => wrap(INTEGER, &[&[0], bytes]), // the sign; or there is nothing but zeros
    }
}

/// Bits that fill whole bytes.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    wrap(BIT_STRING, &[&[0], bytes])
}

/// A time in seconds since 1970: two digits of year up to 2049, then four. RFC 5280, section 4.1.2.5.
pub(super) fn time(seconds: u64) -> Vec<u8> {
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if year < 2050 {
        wrap(UTC_TIME, &[format!("{:02}", year % 100).as_bytes(), rest.as_bytes()])
    } else {
        wrap(GENERALIZED_TIME, &[format!("{year:04}").as_bytes(), rest.as_bytes()])
    }
}

/// Year, month and day of a number of days since 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so the day that some have more is their last; 400 of them repeat.
    let days = days + 719_468; // since March of year 0
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // since March
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + later, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_few_bytes_as_they_need() {
        assert_eq!(wrap(SEQUENCE, &[]), [0x30, 0]);
        assert_eq!(wrap(SEQUENCE, &[&[7; 127]])[..2], [0x30, 0x7f]);
        assert_eq!(wrap(SEQUENCE, &[&[7; 128]])[..3], [0x30, 0x81, 0x80]);
        assert_eq!(wrap(SEQUENCE, &[&[7; 256]])[..4], [0x30, 0x82, 1, 0]);
        assert_eq!(wrap(SEQUENCE, &[&[7; 256], &[7; 1]])[..4], [0x30, 0x82, 1, 1]);
    }

    #[test]
    fn numbers_are_short_and_not_negative() {
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
    }

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (seconds, text) in [
            (0, "700101000000Z"),
            (951_782_400, "000229000000Z"),
            (1_709_164_799, "240228235959Z"),
            (1_795_292_803, "261121202643Z"),
            (2_524_607_999, "491231235959Z"),
            (2_524_608_000, "20500101000000Z"),
            (4_107_542_400, "21000301000000Z"),
            (253_370_764_800, "99990101000000Z"),
        ] {
            assert_eq!(str::from_utf8(&time(seconds)[2..]), Ok(text));
        }
    }
}
