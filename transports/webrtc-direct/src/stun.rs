//! STUN, as far as the passive side of ICE takes it: binding requests are checked and answered.
//!
//! ```text
//! type (u16) | length (u16) | magic cookie (u32) | transaction (12 bytes) | attributes
//! attribute: type (u16) | length (u16) | value, padded to four bytes
//! USERNAME = our fragment ":" theirs      MESSAGE-INTEGRITY = HMAC-SHA1 under our password
//! ```
//! RFC 8489, RFC 8445. In WebRTC-direct nobody told us the client's fragment before: it makes up ours, and our
//! password is the same string (libp2p/specs, webrtc/webrtc-direct.md). So a request that is made well proves
//! nothing of who sent it; it only shows that the sender means this protocol.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

/// Longest request that is looked at. Browsers send some 150 bytes.
pub(crate) const MAX_REQUEST: usize = 548;

/// Longest fragment, RFC 8839 section 5.4.
const MAX_FRAGMENT: usize = 256;

/// The versions of the protocol. In the second one, the client's own password hides behind the prefix; we need
/// it as little as the client's own fragment, for we never send a check.
const PREFIXES: [&str; 2] = ["libp2p+webrtc+v1/", "libp2p+webrtc+v2/"];

const HEADER: usize = 20;
const COOKIE: u32 = 0x2112_a442;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_RESPONSE: u16 = 0x0101;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const FINGERPRINT_XOR: u32 = 0x5354_554e;

/// Length of an attribute's value.
const INTEGRITY_LEN: usize = 20;
const FINGERPRINT_LEN: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

/// A binding request that is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StunError {
    /// It ends too early, its lengths do not fit, or it is longer than any client's.
    #[error("malformed")]
    Malformed,
    /// It is something else than a binding request.
    #[error("not a binding request")]
    NotRequest,
    /// There is no user name, or it does not name this protocol.
    #[error("the user name is not of this protocol")]
    Username,
    /// The check sums are not there or do not fit.
    #[error("its integrity does not hold")]
    Integrity,
}

/// A binding request whose integrity holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    transaction: [u8; 12],
    /// Our fragment, which is our password too, and names the connection.
    pub(crate) fragment: String,
    /// The client has chosen the path that this came on.
    pub(crate) nominated: bool,
}

/// Whether a datagram is STUN, by its first byte. RFC 7983.
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}

/// Whether a datagram is DTLS, by its first byte. RFC 7983.
pub(crate) fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

impl Request {
    /// Reads a request and checks its integrity.
    pub(crate) fn read(datagram: &[u8]) -> Result<Self, StunError> {
        if datagram.len() > MAX_REQUEST {
            return Err(StunError::Malformed);
        }
        let (header, attributes) = datagram.split_at_checked(HEADER).ok_or(StunError::Malformed)?;
        let length = usize::from(u16_at(header, 2)?);
        if length != attributes.len() || !length.is_multiple_of(4) || u32_at(header, 4)? != COOKIE {
            return Err(StunError::Malformed);
        }
        if u16_at(header, 0)? != BINDING_REQUEST {
            return Err(StunError::NotRequest);
        }
        let transaction = header.get(8..).and_then(|id| id.try_into().ok()).ok_or(StunError::Malformed)?;
        let (mut username, mut nominated, mut sealed, mut at) = (None, false, None, HEADER);
        while at < datagram.len() {
            let (kind, value, next) = attribute(datagram, at)?;
            match kind {
                MESSAGE_INTEGRITY if sealed.is_none() => sealed = Some((at, value)),
                // What follows the seal is not sealed, but for the check sum.
                FINGERPRINT if next == datagram.len() => check_sum(datagram, at, value)?,
                _ if sealed.is_some() => {}
                USERNAME => username = username.or(Some(value)),
                USE_CANDIDATE => nominated = true,
                _ => {}
            }
            at = next;
        }
        let fragment = username.and_then(fragment).ok_or(StunError::Username)?;
        let (at, seal) = sealed.ok_or(StunError::Integrity)?;
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, fragment.as_bytes());
        hmac::verify(&key, &covered(datagram, at, INTEGRITY_LEN)?, seal).map_err(|_| StunError::Integrity)?;
        Ok(Self { transaction, fragment: fragment.to_owned(), nominated })
    }

    /// The answer for a client that was seen at `from`. Never longer than the request.
    pub(crate) fn answer(&self, from: SocketAddr) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + 60);
        out.extend(BINDING_RESPONSE.to_be_bytes());
        out.extend(0_u16.to_be_bytes());
        out.extend(COOKIE.to_be_bytes());
        out.extend(self.transaction);
        push(&mut out, XOR_MAPPED_ADDRESS, &self.mapped(from));
        set_length(&mut out, ATTRIBUTE_HEADER + INTEGRITY_LEN);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.fragment.as_bytes());
        let seal = hmac::sign(&key, &out);
        push(&mut out, MESSAGE_INTEGRITY, seal.as_ref());
        set_length(&mut out, ATTRIBUTE_HEADER + FINGERPRINT_LEN);
        let sum = crc32(&out) ^ FINGERPRINT_XOR;
        push(&mut out, FINGERPRINT, &sum.to_be_bytes());
        out
    }

    fn mapped(&self, from: SocketAddr) -> Vec<u8> {
        let mask: Vec<u8> = COOKIE.to_be_bytes().into_iter().chain(self.transaction).collect();
        let (family, ip) = match from.ip().to_canonical() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let port = from.port() ^ (COOKIE >> 16) as u16;
        let mut out = vec![0, family];
        out.extend(port.to_be_bytes());
        out.extend(ip.iter().zip(&mask).map(|(byte, mask)| byte ^ mask));
        out
    }
}

/// Our fragment in a user name, if it is of a version we know.
fn fragment(username: &[u8]) -> Option<&str> {
    let (ours, _) = std::str::from_utf8(username).ok()?.split_once(':')?;
    let known = PREFIXES.iter().any(|prefix| ours.starts_with(prefix));
    let plain = ours.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
    (known && plain && ours.len() <= MAX_FRAGMENT).then_some(ours)
}

/// Type and value of the attribute at an offset, and the offset of the next.
fn attribute(datagram: &[u8], at: usize) -> Result<(u16, &[u8], usize), StunError> {
    let kind = u16_at(datagram, at)?;
    let length = usize::from(u16_at(datagram, at + 2)?);
    let begin = at + ATTRIBUTE_HEADER;
    let value = datagram.get(begin..begin + length).ok_or(StunError::Malformed)?;
    let next = begin + length.next_multiple_of(4);
    if next > datagram.len() {
        return Err(StunError::Malformed);
    }
    Ok((kind, value, next))
}

/// What a check of `len` bytes at an offset covers: all before it, with the length as if it were the last.
fn covered(datagram: &[u8], at: usize, len: usize) -> Result<Vec<u8>, StunError> {
    let mut bytes = datagram.get(..at).ok_or(StunError::Malformed)?.to_vec();
    set_length(&mut bytes, ATTRIBUTE_HEADER + len);
    Ok(bytes)
}

fn check_sum(datagram: &[u8], at: usize, value: &[u8]) -> Result<(), StunError> {
    let sum = crc32(&covered(datagram, at, FINGERPRINT_LEN)?) ^ FINGERPRINT_XOR;
    if value == sum.to_be_bytes() { Ok(()) } else { Err(StunError::Integrity) }
}

fn push(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend(kind.to_be_bytes());
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
}

/// Writes the length of a message that will grow by so much.
fn set_length(message: &mut [u8], more: usize) {
    let length = (message.len() + more - HEADER) as u16;
    if let Some(field) = message.get_mut(2..4) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, StunError> {
    let bytes = bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u16::from_be_bytes).ok_or(StunError::Malformed)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, StunError> {
    let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or(StunError::Malformed)
}

/// The check sum of ITU V.42, bit by bit: it runs over some hundred bytes a few times in a connection's life.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg()))
    })
}

/// A request, as clients make it; for tests.
pub(crate) fn request(fragment: &str, nominated: bool) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(BINDING_REQUEST.to_be_bytes());
    out.extend(0_u16.to_be_bytes());
    out.extend(COOKIE.to_be_bytes());
    out.extend(*b"transaction!");
    let username = format!("{fragment}:{fragment}");
    push(&mut out, USERNAME, username.as_bytes());
    out.resize(out.len().next_multiple_of(4), 0);
    if nominated {
        push(&mut out, USE_CANDIDATE, &[]);
    }
    set_length(&mut out, ATTRIBUTE_HEADER + INTEGRITY_LEN);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, fragment.as_bytes());
    let seal = hmac::sign(&key, &out);
    push(&mut out, MESSAGE_INTEGRITY, seal.as_ref());
    set_length(&mut out, ATTRIBUTE_HEADER + FINGERPRINT_LEN);
    let sum = crc32(&out) ^ FINGERPRINT_XOR;
    push(&mut out, FINGERPRINT, &sum.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAGMENT: &str = "libp2p+webrtc+v1/aaaabbbbccccdddd";

    #[test]
    fn the_check_sum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_request_is_read_and_answered() {
        let bytes = request(FRAGMENT, true);
        let read = Request::read(&bytes).expect("a request");
        assert_eq!((read.fragment.as_str(), read.nominated), (FRAGMENT, true));
        assert!(!Request::read(&request(FRAGMENT, false)).expect("a request").nominated);

        for from in ["192.0.2.7:4001", "[2001:db8::7]:4001"] {
            let answer = read.answer(from.parse().expect("an address"));
            assert!(answer.len() <= bytes.len(), "no amplification");
            assert_eq!(answer[..2], BINDING_RESPONSE.to_be_bytes());
            assert_eq!(usize::from(u16_at(&answer, 2).expect("length")), answer.len() - HEADER);
            assert_eq!(answer[8..HEADER], *b"transaction!");
            let (kind, value, next) = attribute(&answer, HEADER).expect("an attribute");
            assert_eq!(kind, XOR_MAPPED_ADDRESS);
            assert_eq!(u16_at(value, 2).expect("port") ^ 0x2112, 4001);
            let (kind, seal, last) = attribute(&answer, next).expect("an attribute");
            assert_eq!(kind, MESSAGE_INTEGRITY);
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, FRAGMENT.as_bytes());
            hmac::verify(&key, &covered(&answer, next, INTEGRITY_LEN).expect("bytes"), seal).expect("sealed");
            let (kind, sum, end) = attribute(&answer, last).expect("an attribute");
            assert_eq!((kind, end), (FINGERPRINT, answer.len()));
            check_sum(&answer, last, sum).expect("summed");
        }
    }

    #[test]
    fn a_mapped_address_is_masked_as_the_rfc_has_it() {
        // RFC 5769, section 2.2: 192.0.2.1 port 32853.
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let read = Request { transaction, fragment: String::new(), nominated: false };
        let mapped = read.mapped("192.0.2.1:32853".parse().expect("an address"));
        assert_eq!(mapped, [0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
    }

    #[test]
    fn what_is_not_of_this_protocol_is_refused() {
        let stranger = request("somebody", false);
        assert_eq!(Request::read(&stranger), Err(StunError::Username));
        assert_eq!(Request::read(&request("libp2p+webrtc+v1/a\"b", false)), Err(StunError::Username));
        let long = format!("libp2p+webrtc+v1/{}", "a".repeat(MAX_FRAGMENT));
        assert!(Request::read(&request(&long, false)).is_err());
        let response = Request::read(&request(FRAGMENT, false)).expect("a request");
        let response = response.answer("192.0.2.7:1".parse().expect("an address"));
        assert_eq!(Request::read(&response), Err(StunError::NotRequest));
        assert_eq!(Request::read(&[0; MAX_REQUEST + 1]), Err(StunError::Malformed));
        assert!(Request::read(&request("libp2p+webrtc+v2/aaaabbbbccccdddd", false)).is_ok());
    }

    #[test]
    fn each_changed_bit_is_noticed() {
        let bytes = request(FRAGMENT, true);
        // Behind the seal, an attribute of another type says nothing.
        for at in 0..bytes.len() - ATTRIBUTE_HEADER - FINGERPRINT_LEN {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(Request::read(&changed).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::read(&bytes);
            let mut framed = request(FRAGMENT, false);
            framed.truncate(HEADER);
            framed.extend(&bytes);
            let length = (bytes.len() as u16).to_be_bytes();
            framed[2..4].copy_from_slice(&length);
            let _ = Request::read(&framed);
        }
    }
}
