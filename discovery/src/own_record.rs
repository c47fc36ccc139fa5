//! Our own record: renumbered only when it says something new, kept on disk, told to whoever publishes it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use causeway_records::{Contents, Record, RecordError, Signed};
use secp256k1::SecretKey;
use tokio::sync::watch;
use tracing::{info, warn};

/// Longest record file that is read.
const MAX_FILE: u64 = 4096;

/// Keeps our record. One who holds it; all others watch.
pub struct OwnRecord {
    secret_key: SecretKey,
    file: Option<PathBuf>,
    contents: Contents,
    current: watch::Sender<Record>,
}

/// Without the key.
impl std::fmt::Debug for OwnRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnRecord")
            .field("file", &self.file)
            .field("contents", &self.contents)
            .finish_non_exhaustive()
    }
}

impl OwnRecord {
    /// The record of the last run, kept in `file`, if it still says what is true; else the next one.
    ///
    /// # Errors
    /// If it cannot be signed. A file that cannot be read or written costs only the continuity of the number.
    pub fn new(
        secret_key: SecretKey,
        contents: Contents,
        file: Option<PathBuf>,
    ) -> Result<Self, RecordError> {
        let previous = file.as_deref().and_then(read_record);
        let signed = Record::renew(previous.as_ref(), now_millis(), &secret_key, &contents)?;
        let current = watch::Sender::new(signed.record.clone());
        let own = Self { secret_key, file, contents, current };
        if previous.as_ref() != Some(&signed.record) {
            own.keep(&signed);
        }
        Ok(own)
    }

    /// The record, now and as it changes.
    pub fn watch(&self) -> watch::Receiver<Record> {
        self.current.subscribe()
    }

    /// What it says.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Says something else from now on; nothing happens if that is the same. Whether the record changed.
    ///
    /// # Errors
    /// If it cannot be signed: the old one stays.
    pub fn update(&mut self, change: impl FnOnce(&mut Contents)) -> Result<bool, RecordError> {
        let mut contents = self.contents.clone();
        change(&mut contents);
        if contents == self.contents {
            return Ok(false);
        }
        let previous = self.current.borrow().clone();
        let signed = Record::renew(Some(&previous), now_millis(), &self.secret_key, &contents)?;
        self.contents = contents;
        if signed.record == previous {
            return Ok(false); // what changed had no room in it
        }
        self.keep(&signed);
        info!(seq = signed.record.seq(), record = %signed.record, "our node record says something new");
        self.current.send_replace(signed.record);
        Ok(true)
    }

    fn keep(&self, signed: &Signed) {
        for dropped in &signed.dropped {
            info!(%dropped, "left out of our node record, which has no room for it");
        }
        if let Some(file) = &self.file
            && let Err(error) = write_record(file, &signed.record)
        {
            warn!(file = %file.display(), %error, "our node record cannot be kept; its number will jump at the next start");
        }
    }
}

/// Milliseconds since 1970, with which a first record begins: ahead of any that was lost.
pub fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The record kept in `file`, if there is one.
pub fn read_record(file: &Path) -> Option<Record> {
    let metadata = fs::metadata(file).ok()?;
    let text = if metadata.len() <= MAX_FILE { fs::read_to_string(file).ok() } else { None };
    let record = text.and_then(|text| text.trim().parse().ok());
    if record.is_none() {
        warn!(file = %file.display(), "holds no node record; a new one is made");
    }
    record
}

fn write_record(file: &Path, record: &Record) -> io::Result<()> {
    replace(file, format!("{record}\n").as_bytes())
}

/// Replaces a file in one step, so that a crash leaves the old one or the new one.
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = file.with_extension("new");
    fs::write(&fresh, bytes)?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_secret_bytes([7; 32]).expect("valid secret")
    }

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("causeway-record-{}", rand::random::<u64>()));
            fs::create_dir(&folder).expect("a folder");
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_number_survives_a_restart_and_grows_only_with_a_change() {
        let folder = Folder::new();
        let file = folder.0.join("enr");
        let contents = Contents { tcp: Some(1), ..Contents::default() };

        let first = OwnRecord::new(key(), contents.clone(), Some(file.clone())).expect("signed");
        let record = first.watch().borrow().clone();
        drop(first);
        let mut second = OwnRecord::new(key(), contents, Some(file.clone())).expect("signed");
        assert_eq!(*second.watch().borrow(), record);

        assert_eq!(second.update(|_| {}), Ok(false));
        assert_eq!(second.update(|contents| contents.ip = Some(Ipv4Addr::new(8, 8, 4, 4))), Ok(true));

        let changed = second.watch().borrow().clone();
        assert_eq!(changed.seq(), record.seq() + 1);
        assert_eq!(read_record(&file), Some(changed));
    }

    #[test]
    fn watchers_hear_of_each_change_once() {
        let mut own = OwnRecord::new(key(), Contents::default(), None).expect("signed");
        let mut watch = own.watch();

        own.update(|contents| contents.les = true).expect("signed");

        assert!(watch.has_changed().expect("alive"));
        assert_eq!(watch.borrow_and_update().les(), Ok(Some(1)));
        own.update(|contents| contents.les = true).expect("signed");
        assert!(!watch.has_changed().expect("alive"));
    }

    #[test]
    fn a_damaged_file_costs_only_the_number() {
        let folder = Folder::new();
        let file = folder.0.join("enr");
        fs::write(&file, "enr:AAAA").expect("written");

        let own = OwnRecord::new(key(), Contents::default(), Some(file.clone())).expect("signed");

        assert_eq!(read_record(&file), Some(own.watch().borrow().clone()));
    }
}
