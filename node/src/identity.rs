//! The node key: read, or made and kept.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use secp256k1::SecretKey;
use tracing::{info, warn};

/// A fresh key from the system's randomness.
pub(crate) fn generate() -> SecretKey {
    loop {
        // A random 32-byte string is a valid key but for one in 2^128.
        if let Ok(key) = SecretKey::from_secret_bytes(rand::random()) {
            return key;
        }
    }
}

/// The node key in `file`; made there if the file does not exist.
///
/// # Errors
/// If the file cannot be read or written, or does not hold a key.
pub(crate) fn load_or_create(file: &Path) -> anyhow::Result<SecretKey> {
    match std::fs::read_to_string(file) {
        Ok(text) => {
            warn_if_open(file);
            parse(&text).with_context(|| format!("the node key file `{}`", file.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(file),
        Err(error) => Err(error).with_context(|| format!("reading the node key file `{}`", file.display())),
    }
}

/// Where the node key is kept in a data directory.
pub(crate) fn default_file(datadir: &Path) -> PathBuf {
    datadir.join("keys").join("nodekey")
}

fn parse(text: &str) -> anyhow::Result<SecretKey> {
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    if text.len() != 64 {
        bail!("holds {} characters; a node key is 64 hex characters", text.len());
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).context("is not hex")?;
    SecretKey::from_secret_bytes(bytes).context("is not a secp256k1 key")
}

fn create(file: &Path) -> anyhow::Result<SecretKey> {
    let key = generate();
    if let Some(folder) = file.parent() {
        create_private_dir(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut handle =
        options.open(file).with_context(|| format!("creating the node key file `{}`", file.display()))?;
    handle
        .write_all(hex::encode(key.to_secret_bytes()).as_bytes())
        .and_then(|()| handle.sync_all())
        .with_context(|| format!("writing the node key file `{}`", file.display()))?;
    info!("new node key made");
    Ok(key)
}

/// Makes a directory that only its owner can look into.
///
/// # Errors
/// If it cannot be made.
pub(crate) fn create_private_dir(folder: &Path) -> anyhow::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).with_context(|| format!("creating the directory `{}`", folder.display()))
}

fn warn_if_open(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if let Ok(metadata) = std::fs::metadata(file)
            && metadata.permissions().mode() & 0o077 != 0
        {
            warn!(file = %file.display(), "the node key can be read by others on this machine; `chmod 600` it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_made_once_and_read_back() {
        let folder = std::env::temp_dir().join(format!("causeway-identity-{}", rand::random::<u64>()));
        let file = default_file(&folder);

        let made = load_or_create(&file).expect("made");
        let read = load_or_create(&file).expect("read");

        assert_eq!(made, read);
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn key_of_wrong_length_is_refused_with_both_lengths() {
        let error = parse("abcd").expect_err("refused").to_string();

        assert!(error.contains('4') && error.contains("64"), "{error}");
    }
}
