//! Certificates that browsers take by their hash, the same ones again after a restart.
//!
//! Browsers take an unsigned certificate whose hash they were told if its key is ECDSA on P-256 and it is
//! valid for at most 14 days (W3C WebTransport, `serverCertificateHashes`). An address thus names hashes, and
//! goes stale with its certificates. So that it does not with a restart too, everything in a certificate
//! follows from a secret and the date:
//!
//! ```text
//! time     |-- window n --|-- window n+1 --|-- window n+2 --|      12 days each, begun at a fixed date
//! valid  |--- certificate n ---|                                    a window and a day on both sides
//!                       |--- certificate n+1 ---|
//! address  hashes of n, n+1                                         works in windows n and n+1
//! Noise    hashes of n-1, n, n+1                                    all that a dialled address may name
//! ```
//! The key comes out of HKDF, the serial number too, and the signature is deterministic (RFC 6979). Where
//! windows begin depends on the secret, so that not all nodes roll in the same hour.

mod der;
mod x509;

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use hkdf::Hkdf;
use libp2p_core::multihash::Multihash;
use libp2p_identity::Keypair;
use p256::ecdsa::SigningKey;
use rustls::{pki_types::PrivateKeyDer, sign::CertifiedKey};
use sha2::{Digest, Sha256};

/// How long a certificate is served.
pub const WINDOW: Duration = Duration::from_secs(12 * DAY);

/// How much longer it is valid at either end, for clocks that are wrong. With [`WINDOW`] under 14 days.
pub const SKEW: Duration = Duration::from_secs(DAY - 60);

const DAY: u64 = 24 * 60 * 60;

/// What is derived from the secret of an identity, as a domain of its own.
const DOMAIN: &[u8] = b"libp2p-webtransport certificates v1";

/// The year 9999, the last that a certificate can name.
const LATEST: u64 = 253_370_764_800;

/// Code of SHA-256 among multihashes.
const SHA2_256: u64 = 0x12;

/// A hash of a certificate, as in `/certhash/...`.
pub type Certhash = Multihash<64>;

/// Certificates cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Nothing can be derived from the identity: RSA keys, or a kind of key that is not compiled in.
    #[error("no secret can be derived from this kind of identity; give one of its own")]
    Identity,
    /// The provider of TLS does not take the key.
    #[error("the provider of TLS refuses the certificate's key")]
    Key(#[source] rustls::Error),
}

/// Number of a stretch of time in which one certificate is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(u64);

impl Window {
    /// The one before; the first has itself.
    fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// All certificates of an identity, past and future.
#[derive(Clone)]
pub struct Certificates {
    secret: [u8; 32],
    /// Seconds after 1970 at which the first window begins.
    offset: u64,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("offset", &self.offset).finish_non_exhaustive()
    }
}

impl Certificates {
    /// Those that belong to an identity: the same ones each time.
    ///
    /// # Errors
    /// [`CertificateError::Identity`] for RSA; use [`from_secret`](Self::from_secret) with a stored secret.
    pub fn of_identity(identity: &Keypair) -> Result<Self, CertificateError> {
        identity.derive_secret(DOMAIN).map(Self::from_secret).ok_or(CertificateError::Identity)
    }

    /// Those that belong to a secret, which must be random and remain secret.
    pub fn from_secret(secret: [u8; 32]) -> Self {
        let offset = u64::from_be_bytes(derive(&secret, b"offset", 0, 0)) % WINDOW.as_secs();
        Self { secret, offset }
    }

    /// The window of a time.
    pub fn window(&self, time: SystemTime) -> Window {
        let seconds = since_epoch(time).min(LATEST);
        Window(seconds.saturating_sub(self.offset) / WINDOW.as_secs())
    }

    /// When a window begins.
    pub fn begin(&self, window: Window) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.begin_seconds(window))
    }

    /// The certificate that is served in a window.
    pub fn certificate(&self, window: Window) -> Certificate {
        let begin = self.begin_seconds(window);
        let validity = x509::Validity {
            not_before: begin.saturating_sub(SKEW.as_secs()),
            not_after: (begin + WINDOW.as_secs() + SKEW.as_secs()).min(LATEST),
        };
        let key = self.key(window);
        let der = x509::certificate(&key, derive(&self.secret, b"serial", window.0, 0), validity);
        Certificate { hash: hash(&der), der, key, validity }
    }

    fn begin_seconds(&self, window: Window) -> u64 {
        window.0.saturating_mul(WINDOW.as_secs()).saturating_add(self.offset).min(LATEST)
    }

    fn key(&self, window: Window) -> SigningKey {
        // One in 2^32 candidates is 0 or not below the order of the curve; then the next one is taken.
        (0..)
            .find_map(|attempt| {
                let scalar: [u8; 32] = derive(&self.secret, b"key", window.0, attempt);
                SigningKey::from_slice(&scalar).ok()
            })
            .expect("some candidate is a scalar of the curve")
    }

    /// What a listener serves and says at a time.
    pub(crate) fn rotation(&self, time: SystemTime) -> Result<Rotation, CertificateError> {
        let window = self.window(time);
        let [before, current, next] =
            [window.before(), window, window.after()].map(|window| self.certificate(window));
        Ok(Rotation {
            window,
            ends: self.begin(window.after()),
            served: Arc::new(current.certified_key()?),
            announced: [current.hash, next.hash],
            confirmed: HashSet::from([before.hash, current.hash, next.hash]),
        })
    }
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    key: SigningKey,
    hash: Certhash,
    validity: x509::Validity,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").field("hash", &self.hash).finish_non_exhaustive()
    }
}

impl Certificate {
    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its hash, as it stands in an address.
    pub fn hash(&self) -> Certhash {
        self.hash
    }

    /// From when on it is valid.
    pub fn not_before(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.validity.not_before)
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.validity.not_after)
    }

    fn certified_key(&self) -> Result<CertifiedKey, CertificateError> {
        let key = PrivateKeyDer::Sec1(x509::private_key(&self.key).into());
        let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&key).map_err(CertificateError::Key)?;
        Ok(CertifiedKey::new(vec![self.der.clone().into()], key))
    }
}

/// What holds during one window.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    pub(crate) window: Window,
    /// When the next one begins.
    pub(crate) ends: SystemTime,
    /// The certificate that TLS shows.
    pub(crate) served: Arc<CertifiedKey>,
    /// The hashes in the address: served, and served next.
    pub(crate) announced: [Certhash; 2],
    /// The hashes that Noise confirms. Clients demand all of the address they dialled, which may be the one
    /// from before the last roll.
    pub(crate) confirmed: HashSet<Certhash>,
}

fn hash(der: &[u8]) -> Certhash {
    Multihash::wrap(SHA2_256, &Sha256::digest(der)).expect("32 bytes fit into 64")
}

fn derive<const N: usize>(secret: &[u8; 32], what: &[u8], window: u64, attempt: u32) -> [u8; N] {
    let mut out = [0; N];
    let (window, attempt) = (window.to_be_bytes(), attempt.to_be_bytes());
    Hkdf::<Sha256>::new(None, secret)
        .expand_multi_info(&[DOMAIN, b"/", what, &window, &attempt], &mut out)
        .expect("HKDF gives up to 8,160 bytes");
    out
}

fn since_epoch(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
