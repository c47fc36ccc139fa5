//! The one certificate and the one key that are ever written.
//!
//! They are written byte by byte here, not by a library: with another version of one the bytes might change,
//! and with them every address.

use p256::ecdsa::{Signature, SigningKey, signature::Signer};

use super::der::{self, SEQUENCE, wrap};

/// Seconds since 1970, both valid themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

/// id-ecPublicKey, 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// prime256v1, 1.2.840.10045.3.1.7
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
/// ecdsa-with-SHA256, 1.2.840.10045.4.3.2
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-at-commonName, 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
/// Extensions: 2.5.29.15, .17, .19, .37
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 17];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
/// id-kp-serverAuth, 1.3.6.1.5.5.7.3.1
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

const NAME: &[u8] = b"libp2p";
/// Nobody compares it: the hash is what is checked.
const HOST: &[u8] = b"localhost";

/// A certificate in DER, signed with its own key. RFC 5280, section 4.1.
pub(super) fn certificate(key: &SigningKey, mut serial: [u8; 16], validity: Validity) -> Vec<u8> {
    let [first, ..] = &mut serial;
    *first = *first & 0x3f | 0x40; // always as long, never negative, never 0
    let algorithm = wrap(SEQUENCE, &[&object(ECDSA_SHA256)]);
    let name = wrap(
        SEQUENCE,
        &[&wrap(der::SET, &[&wrap(SEQUENCE, &[&object(COMMON_NAME), &wrap(der::UTF8_STRING, &[NAME])])])],
    );
    let body = wrap(
        SEQUENCE,
        &[
            &wrap(der::context(0), &[&der::integer(&[2])]), // version 3
            &der::integer(&serial),
            &algorithm,
            &name,
            &wrap(SEQUENCE, &[&der::time(validity.not_before), &der::time(validity.not_after)]),
            &name,
            &wrap(
                SEQUENCE,
                &[
                    &wrap(SEQUENCE, &[&object(EC_PUBLIC_KEY), &object(P256)]),
                    &der::bits(key.verifying_key().to_encoded_point(false).as_bytes()),
                ],
            ),
            &wrap(der::context(3), &[&extensions()]),
        ],
    );
    let signature: Signature = key.sign(&body); // RFC 6979: the same one each time
    let (r, s) = signature.split_bytes();
    let signature = wrap(SEQUENCE, &[&der::integer(&r), &der::integer(&s)]);
    wrap(SEQUENCE, &[&body, &algorithm, &der::bits(&signature)])
}

fn extensions() -> Vec<u8> {
    let digital_signature = wrap(der::BIT_STRING, &[&[7, 0x80]]);
    let host = wrap(SEQUENCE, &[&wrap(0x82, &[HOST])]); // [2]: a name in the DNS
    wrap(
        SEQUENCE,
        &[
            &extension(BASIC_CONSTRAINTS, true, &wrap(SEQUENCE, &[])),
            &extension(KEY_USAGE, true, &digital_signature),
            &extension(EXTENDED_KEY_USAGE, false, &wrap(SEQUENCE, &[&object(SERVER_AUTH)])),
            &extension(ALTERNATIVE_NAME, false, &host),
        ],
    )
}

fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { wrap(der::BOOLEAN, &[&[0xff]]) } else { Vec::new() };
    wrap(SEQUENCE, &[&object(id), &critical, &wrap(der::OCTET_STRING, &[value])])
}

fn object(id: &[u8]) -> Vec<u8> {
    wrap(der::OBJECT, &[id])
}

/// The private key, as TLS libraries read it. RFC 5915.
pub(super) fn private_key(key: &SigningKey) -> Vec<u8> {
    wrap(
        SEQUENCE,
        &[
            &der::integer(&[1]),
            &wrap(der::OCTET_STRING, &[&key.to_bytes()]),
            &wrap(der::context(0), &[&object(P256)]),
            &wrap(der::context(1), &[&der::bits(key.verifying_key().to_encoded_point(false).as_bytes())]),
        ],
    )
}
