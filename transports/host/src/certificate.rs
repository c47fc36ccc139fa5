//! The certificate of secure WebSockets: read from PEM files, and read again when they change.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// How often the files are looked at.
const POLL: Duration = Duration::from_millis(250);

/// Largest file that is read; a chain of certificates is a few kilobytes long.
const MAX_FILE: u64 = 1024 * 1024;

/// Certificates of one chain.
const MAX_CHAIN: usize = 16;

/// Names of a certificate that are told to others.
const MAX_NAMES: usize = 8;

/// Longest DNS name.
const MAX_NAME: usize = 253;

/// Where the certificate of secure WebSockets is, as PEM files. They are looked at every second: a new
/// certificate is shown to who connects from then on, and open connections stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, and after it those that lead to a root (`fullchain.pem`).
    pub cert: PathBuf,
    /// Its private key, not encrypted: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}; check the path, and that this user may read it", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file that is too large to be a certificate or a key.
    #[error("{} is over {limit} bytes long; is it the right file?", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// A file that is not PEM.
    #[error("{} is not PEM: {reason}; convert it with `openssl x509` or `openssl pkey`", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No certificate in its file.
    #[error("no certificate in {}; it must hold a section BEGIN CERTIFICATE, the server's own first", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// More certificates than a chain has.
    #[error("more than {limit} certificates in {}; it must hold only the server's own and its chain", file.display())]
    TooManyCertificates {
        /// The file.
        file: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// No private key in its file.
    #[error(
        "no private key in {}; it must hold a section BEGIN PRIVATE KEY (decrypt an encrypted one with \
         `openssl pkey`)", file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The first certificate cannot be read.
    #[error("the first certificate in {} cannot be read: {reason}; have it made anew", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key of a kind that is not known.
    #[error("the key in {} cannot be used: {reason}; make an ECDSA P-256, Ed25519 or RSA key", file.display())]
    UnusableKey {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The key is another certificate's.
    #[error("the key in {} does not belong to the certificate in {}; name the two that were made together",
        key.display(), cert.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

/// The certificate in use.
pub(crate) struct Identity {
    files: CertificateFiles,
    current: RwLock<Loaded>,
}

/// What was read last and could be used; `seen` is how the files looked when they were last tried.
struct Loaded {
    certified: Arc<CertifiedKey>,
    names: Vec<String>,
    seen: Option<Stamp>,
}

/// What changes when a file does: when each was written, and how long it is.
type Stamp = [(Option<SystemTime>, u64); 2];

impl Identity {
    pub(crate) fn load(files: CertificateFiles) -> Result<Self, CertificateError> {
        let seen = stamp(&files);
        let (certified, names) = read(&files)?;
        Ok(Self { files, current: RwLock::new(Loaded { certified, names, seen }) })
    }

    /// Reads the files again; if they cannot be used, what was read before stays in use.
    pub(crate) fn reload(&self) -> Result<(), CertificateError> {
        // Before reading: what is written meanwhile is then read again.
        let seen = stamp(&self.files);
        let result = read(&self.files);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.seen = seen;
        (current.certified, current.names) = result?;
        Ok(())
    }

    /// Reads the files again if they changed since the last time.
    fn look(&self) -> Option<Result<(), CertificateError>> {
        let changed = stamp(&self.files) != self.current.read().unwrap_or_else(PoisonError::into_inner).seen;
        changed.then(|| self.reload())
    }

    /// The DNS names that it is for, without wildcards and names that mean something only on one machine.
    pub(crate) fn names(&self) -> Vec<String> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).names.clone()
    }

    /// Follows the files until the host is `done`.
    pub(crate) async fn watch(self: Arc<Self>, done: CancellationToken) {
        loop {
            tokio::select! {
                () = done.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            let identity = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || identity.look()).await {
                Ok(Some(Ok(()))) => info!(file = %self.files.cert.display(), "certificate read again"),
                Ok(Some(Err(error))) => warn!(%error, "the certificate of before stays in use"),
                Ok(None) => {}
                Err(_ended) => return, // the runtime goes down
            }
        }
    }
}

/// Without keys.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).certified))
    }
}

/// The process's TLS provider.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default().cloned().unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

fn stamp(files: &CertificateFiles) -> Option<Stamp> {
    let of = |path: &Path| fs::metadata(path).ok().map(|data| (data.modified().ok(), data.len()));
    Some([of(&files.cert)?, of(&files.key)?])
}

fn read(files: &CertificateFiles) -> Result<(Arc<CertifiedKey>, Vec<String>), CertificateError> {
    let CertificateFiles { cert, key } = files;
    let chain = chain(cert, &content(cert)?)?;
    let malformed = |reason| CertificateError::Malformed { file: cert.clone(), reason };
    let own = chain.first().ok_or_else(|| CertificateError::NoCertificate { file: cert.clone() })?;
    let names = parsed(own, cert).map_err(malformed)?;
    let private = PrivateKeyDer::from_pem_slice(&content(key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey { file: key.clone() },
        error => CertificateError::Pem { file: key.clone(), reason: error.to_string() },
    })?;
    let unusable =
        |error: rustls::Error| CertificateError::UnusableKey { file: key.clone(), reason: error.to_string() };
    let signing = provider().key_provider.load_private_key(private).map_err(unusable)?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // What cannot be compared will show itself in a handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(CertificateError::Mismatch { cert: cert.clone(), key: key.clone() });
        }
        Err(error) => return Err(malformed(error.to_string())),
    }
    Ok((Arc::new(certified), names))
}

fn content(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| CertificateError::Read { file: path.to_owned(), source })?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CertificateError::TooLarge { file: path.to_owned(), limit: MAX_FILE });
    }
    Ok(bytes)
}

fn chain(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(bytes)
        .take(MAX_CHAIN + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CertificateError::Pem { file: file.to_owned(), reason: error.to_string() })?;
    if chain.len() > MAX_CHAIN {
        return Err(CertificateError::TooManyCertificates { file: file.to_owned(), limit: MAX_CHAIN });
    }
    Ok(chain)
}

/// The certificates in a PEM file, DER: who shows one of them, or one signed by it, is trusted.
///
/// # Errors
/// If the file cannot be read, is not PEM, or holds no certificate or more than 16.
pub fn read_roots(file: &Path) -> Result<Vec<Vec<u8>>, CertificateError> {
    let roots = chain(file, &content(file)?)?;
    if roots.is_empty() {
        return Err(CertificateError::NoCertificate { file: file.to_owned() });
    }
    Ok(roots.iter().map(|root| root.to_vec()).collect())
}

/// The certificate's names; warns if dialers will refuse it for its dates.
fn parsed(certificate: &CertificateDer<'_>, file: &Path) -> Result<Vec<String>, String> {
    let (_rest, certificate) = parse_x509_certificate(certificate).map_err(|error| error.to_string())?;
    let validity = certificate.validity();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    if now > validity.not_after.timestamp() {
        warn!(file = %file.display(), since = %validity.not_after, "the certificate has expired: nobody will connect; renew it");
    } else if now < validity.not_before.timestamp() {
        warn!(file = %file.display(), from = %validity.not_before, "the certificate is not valid yet; is the clock right?");
    }
    let alternatives = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = alternatives.iter().flat_map(|extension| &extension.value.general_names);
    let dns = names.filter_map(|name| match name {
        GeneralName::DNSName(name) if is_public(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Ok(dns.take(MAX_NAMES).collect())
}

/// Whether others could look the name up.
fn is_public(name: &str) -> bool {
    is_dns_name(name)
        && name.rsplit_once('.').is_some_and(|(_, last)| !matches!(last, "local" | "localhost" | "internal"))
}

/// Whether it can stand in `/dns4/…` and in a certificate: letters, digits and hyphens between dots.
pub fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= MAX_NAME && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Made, generate_simple_self_signed};

    use super::*;

    /// Reads `cert` and `key` as files.
    fn loaded(cert: &[u8], key: &[u8]) -> Result<Identity, CertificateError> {
        static MADE: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("causeway-identity-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("directory");
        let files = CertificateFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&files.cert, cert).expect("written");
        fs::write(&files.key, key).expect("written");
        let result = Identity::load(files);
        fs::remove_dir_all(&dir).expect("removed");
        result
    }

    fn made(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let Made { cert, key_pair } = generate_simple_self_signed(names).expect("certificate");
        (cert.pem(), key_pair.serialize_pem())
    }

    #[test]
    fn each_bad_file_is_named_with_what_is_wrong() {
        let (cert, key) = made(&["relay.example.org"]);
        let (_, other_key) = made(&["relay.example.org"]);
        let bad = |cert: &str, key: &str| loaded(cert.as_bytes(), key.as_bytes()).expect_err("bad");

        assert!(matches!(bad("", &key), CertificateError::NoCertificate { .. }));
        assert!(matches!(bad(&key, &key), CertificateError::NoCertificate { .. }));
        assert!(matches!(bad(&cert, &cert), CertificateError::NoKey { .. }));
        assert!(matches!(bad(&cert, ""), CertificateError::NoKey { .. }));
        assert!(matches!(bad(&cert, &other_key), CertificateError::Mismatch { .. }));
        let cut = "-----BEGIN CERTIFICATE-----\nMIIB";
        assert!(matches!(bad(cut, &key), CertificateError::Pem { .. }));
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(bad(empty, &key), CertificateError::Malformed { .. }));
        let odd = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert!(matches!(bad(&cert, odd), CertificateError::UnusableKey { .. }));
        assert!(matches!(
            bad(&cert.repeat(17), &key),
            CertificateError::TooManyCertificates { limit: 16, .. }
        ));
        let large = " ".repeat(MAX_FILE as usize + 1);
        assert!(matches!(bad(&large, &key), CertificateError::TooLarge { .. }));
        assert!(bad(&cert, "").to_string().contains("key.pem"), "{}", bad(&cert, ""));
    }

    #[test]
    fn only_names_that_others_can_look_up_are_told() {
        let (cert, key) =
            made(&["Relay.example.org", "*.example.org", "localhost", "nas.local", "127.0.0.1"]);

        let identity = loaded(cert.as_bytes(), key.as_bytes()).expect("good");

        assert_eq!(identity.names(), ["relay.example.org"]);
        assert!(!format!("{identity:?}").contains("BEGIN"));
    }

    #[test]
    fn names_are_letters_digits_and_hyphens() {
        for good in ["localhost", "a.b", "xn--bcher-kva.example", "1.example"] {
            assert!(is_dns_name(good), "{good}");
        }
        for bad in ["", ".", "a..b", "-a.b", "a-.b", "a/b", "*.a", "ä.de", &"a".repeat(64), &"a.".repeat(200)]
        {
            assert!(!is_dns_name(bad), "{bad}");
        }
    }
}
