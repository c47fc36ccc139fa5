//! The certificate that DTLS shows, the same one again after a restart.
//!
//! An address names its hash, and clients look at nothing else of it. So it has no dates to speak of and one name for
//! all, and only its key follows from a secret: by HKDF, and its signature is deterministic (RFC 6979).

use hkdf::Hkdf;
use libp2p_core::multihash::Multihash;
use libp2p_identity::Keypair;
use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use sha2::{Digest, Sha256};

/// What is derived from the secret of an identity, as a domain of its own.
const DOMAIN: &[u8] = b"libp2p webrtc-direct certificate 1";

/// Code of SHA-256 among multihashes.
const SHA2_256: u64 = 0x12;

/// Tries at a number that is a key; the first is one but once in 2^32.
const TRIES: u8 = 8;

/// A hash of a certificate, as in `/certhash/...`.
pub type Certhash = Multihash<64>;

/// No certificate can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Nothing can be derived from the identity: RSA keys, or a kind of key that is not compiled in.
    #[error("no secret can be derived from this kind of identity; give one of its own")]
    Identity,
    /// No key came out of the secret.
    #[error("no key comes out of this secret")]
    Key,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    key: Vec<u8>,
    digest: [u8; 32],
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("hash", &self.hash()).finish_non_exhaustive()
    }
}

impl Certificate {
    /// The one that belongs to an identity: the same one each time.
    ///
    /// # Errors
    /// [`CertificateError::Identity`] for RSA; use [`from_secret`](Self::from_secret) with a stored secret.
    pub fn of_identity(identity: &Keypair) -> Result<Self, CertificateError> {
        Self::from_secret(identity.derive_secret(DOMAIN).ok_or(CertificateError::Identity)?)
    }

    /// The one that belongs to a secret, which must be random and remain secret.
    ///
    /// # Errors
    /// Practically never: [`CertificateError::Key`].
    pub fn from_secret(secret: [u8; 32]) -> Result<Self, CertificateError> {
        let expand = Hkdf::<Sha256>::new(None, &secret);
        let key = (0..TRIES).find_map(|number| {
            let mut bytes = [0; 32];
            expand.expand(&[b"key".as_slice(), &[number]].concat(), &mut bytes).ok()?;
            SigningKey::from_slice(&bytes).ok()
        });
        let key = key.ok_or(CertificateError::Key)?;
        let der = certificate(&key);
        let digest = Sha256::digest(&der).into();
        Ok(Self { der, key: private_key(&key), digest })
    }

    /// The certificate itself, X.509 in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its hash, as addresses name it.
    pub fn hash(&self) -> Certhash {
        multihash(&self.digest)
    }

    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    pub(crate) fn dtls(&self) -> dimpl::DtlsCertificate {
        dimpl::DtlsCertificate { certificate: self.der.clone(), private_key: self.key.clone() }
    }
}

fn multihash(digest: &[u8; 32]) -> Certhash {
    Multihash::wrap(SHA2_256, digest).unwrap_or_default() // 32 bytes fit into 64
}

/// What Noise binds the connection to: the client's certificate and ours. Bytes of the two multihashes.
pub(crate) fn prologue(client: &[u8; 32], server: &[u8; 32]) -> Vec<u8> {
    let mut out = b"libp2p-webrtc-noise:".to_vec();
    for digest in [client, server] {
        out.extend(multihash(digest).to_bytes());
    }
    out
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;

/// ecdsa-with-SHA256, id-ecPublicKey, prime256v1, id-at-commonName.
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// RFC 5280, section 4.1.2.5: no end that could be named.
const DATES: [&[u8]; 2] = [b"20200101000000Z", b"99991231235959Z"];

/// A tag, the length of `parts`, and `parts`.
fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match u8::try_from(len) {
        Ok(short @ 0..0x80) => out.push(short),
        Ok(long) => out.extend([0x81, long]),
        Err(_) => {
            out.push(0x82); // what is written here has far less than 2^16 bytes
            out.extend((len as u16).to_be_bytes());
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A number that is not negative, highest byte first.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    match bytes.get(zeros..) {
        Some(bytes @ [..=0x7f, ..]) => wrap(INTEGER, &[bytes]),
        Some(bytes) => wrap(INTEGER, &[&[0], bytes]), // the sign; or there is nothing but zeros
        None => wrap(INTEGER, &[&[0]]),
    }
}

fn public_key(key: &SigningKey) -> Vec<u8> {
    wrap(BIT_STRING, &[&[0], key.verifying_key().to_encoded_point(false).as_bytes()])
}

/// X.509, RFC 5280, signed by its own key.
fn certificate(key: &SigningKey) -> Vec<u8> {
    let algorithm = wrap(SEQUENCE, &[&wrap(OBJECT, &[ECDSA_SHA256])]);
    let name = wrap(SEQUENCE, &[&wrap(OBJECT, &[COMMON_NAME]), &wrap(UTF8_STRING, &[b"WebRTC"])]);
    let name = wrap(SEQUENCE, &[&wrap(SET, &[&name])]);
    let [from, until] = DATES.map(|date| wrap(GENERALIZED_TIME, &[date]));
    let kind = wrap(SEQUENCE, &[&wrap(OBJECT, &[EC_KEY]), &wrap(OBJECT, &[P256])]);
    let body = wrap(
        SEQUENCE,
        &[
            &wrap(CONTEXT_0, &[&integer(&[2])]), // version 3
            &integer(&[1]),                      // its number
            &algorithm,
            &name,
            &wrap(SEQUENCE, &[&from, &until]),
            &name,
            &wrap(SEQUENCE, &[&kind, &public_key(key)]),
        ],
    );
    let signature: Signature = key.sign(&body); // RFC 6979: the same one each time
    let (r, s) = signature.split_bytes();
    let signature = wrap(SEQUENCE, &[&integer(&r), &integer(&s)]);
    wrap(SEQUENCE, &[&body, &algorithm, &wrap(BIT_STRING, &[&[0], &signature])])
}

/// The private key. RFC 5915.
fn private_key(key: &SigningKey) -> Vec<u8> {
    wrap(
        SEQUENCE,
        &[
            &integer(&[1]),
            &wrap(OCTET_STRING, &[&key.to_bytes()]),
            &wrap(CONTEXT_0, &[&wrap(OBJECT, &[P256])]),
            &wrap(CONTEXT_1, &[&public_key(key)]),
        ],
    )
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::Verifier;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    /// If this fails, addresses printed by an older version no longer work: make it a new domain on purpose.
    #[test]
    fn a_secret_gives_this_certificate_forever() {
        let hash = Certificate::from_secret([7; 32]).expect("a certificate").digest;
        let text: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, GOLDEN);
    }

    const GOLDEN: &str = "067da5c35bbf510c91c88989d63c51e4ad16b838d8b3b994f523483d1d62ccb8";

    #[test]
    fn it_is_a_certificate_signed_by_its_own_key() {
        for secret in 0..32 {
            let certificate = Certificate::from_secret([secret; 32]).expect("a certificate");
            let (rest, parsed) = X509Certificate::from_der(certificate.der()).expect("a certificate");
            assert!(rest.is_empty());
            let point = &parsed.public_key().subject_public_key.data;
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).expect("a key on P-256");
            let signature = Signature::from_der(&parsed.signature_value.data).expect("a signature");
            key.verify(parsed.tbs_certificate.as_ref(), &signature).expect("signed by its own key");
            assert!(parsed.validity().is_valid());
        }
    }

    #[test]
    fn an_identity_has_the_same_certificate_when_it_is_loaded_again() {
        let identity = Keypair::generate_ed25519();
        let again = Keypair::from_protobuf_encoding(&identity.to_protobuf_encoding().expect("bytes"));
        let [first, second] = [identity, again.expect("a key")]
            .map(|identity| Certificate::of_identity(&identity).expect("a certificate").hash());
        assert_eq!(first, second);
    }

    /// The test vector of libp2p/specs, webrtc/webrtc-direct.md.
    #[test]
    fn the_prologue_is_that_of_the_specification() {
        let client = hex("3e79af40d6059617a0d83b83a52ce73b0c1f37a72c6043ad2969e2351bdca870");
        let server = hex("30fc9f469c207419dfdd0aab5f27a86c973c94e40548db9375cca2e915973b99");
        let whole = "6c69627032702d7765627274632d6e6f6973653a12203e79af40d6059617a0d83b83a52ce73b0c1f37a72c6043ad2969e2351bdca870122030fc9f469c207419dfdd0aab5f27a86c973c94e40548db9375cca2e915973b99";
        let digest = |bytes: Vec<u8>| bytes.try_into().expect("32 bytes");
        assert_eq!(prologue(&digest(client), &digest(server)), hex(whole));
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("digits");
        (0..text.len()).step_by(2).map(digits).collect()
    }
}
