//! A self-signed certificate in files that go away with it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use causeway_host::CertificateFiles;
use rcgen::{CertifiedKey, generate_simple_self_signed};

static MADE: AtomicUsize = AtomicUsize::new(0);

pub struct Certificate {
    dir: PathBuf,
    der: Vec<u8>,
}

impl Certificate {
    pub fn localhost() -> Self {
        Self::of(&["localhost", "127.0.0.1", "::1"])
    }

    pub fn of(names: &[&str]) -> Self {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("causeway-certificate-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("directory");
        let mut certificate = Self { dir, der: Vec::new() };
        certificate.renew(names);
        certificate
    }

    /// Another certificate with another key in the same files.
    pub fn renew(&mut self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let CertifiedKey { cert, key_pair } = generate_simple_self_signed(names).expect("certificate");
        let files = self.files();
        replace(&files.cert, cert.pem().as_bytes());
        replace(&files.key, key_pair.serialize_pem().as_bytes());
        self.der = cert.der().to_vec();
    }

    pub fn files(&self) -> CertificateFiles {
        CertificateFiles { cert: self.dir.join("fullchain.pem"), key: self.dir.join("key.pem") }
    }

    pub fn der(&self) -> Vec<u8> {
        self.der.clone()
    }
}

/// At once, as those do who renew certificates.
pub fn replace(file: &Path, content: &[u8]) {
    let new = file.with_extension("new");
    fs::write(&new, content).expect("written");
    fs::rename(&new, file).expect("renamed");
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
