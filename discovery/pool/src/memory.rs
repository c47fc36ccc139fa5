//! What is remembered of peers from one run to the next, as a JSON text.

use causeway_records::{Enode, Multiaddr, Record};
use causeway_wire::NodeKey;
use serde::{Deserialize, Serialize};

use crate::{
    Role,
    contact::{Contact, MAX_ADDRESS, MAX_ADDRESSES},
    worth::Worth,
};

/// Most peers that are remembered, the most worthy first.
pub const MAX_REMEMBERED: usize = 256;

/// Longest text of a memory, in bytes. A larger file is not read.
pub const MAX_MEMORY: usize = 512 * 1024;

/// The form of the text that we write and read.
const VERSION: u32 = 1;

/// Longest text of one libp2p address: its binary form, with bytes that take up to four characters each.
const MAX_ADDRESS_TEXT: usize = 4 * MAX_ADDRESS;

/// What worked: kept on disk, so that the next start needs no bootnodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub(crate) peers: Vec<Remembered>,
}

/// One peer that worked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) key: NodeKey,
    pub(crate) contact: Contact,
    pub(crate) role: Role,
    pub(crate) worth: Worth,
    pub(crate) failures: u32,
    /// UNIX seconds.
    pub(crate) last_seen: u64,
}

/// Why a text is no memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Longer than [`MAX_MEMORY`].
    #[error("{length} bytes are over the limit of {MAX_MEMORY} for remembered peers")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Not JSON, or not of this form.
    #[error("the remembered peers cannot be read")]
    Json(#[from] serde_json::Error),
    /// Written by a later version.
    #[error("version {version} of the remembered peers is unknown (known is {VERSION})")]
    Version {
        /// Its version.
        version: u32,
    },
    /// More than [`MAX_REMEMBERED`].
    #[error("{count} remembered peers are over the limit of {MAX_REMEMBERED}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// One of them makes no sense.
    #[error("remembered peer {number} has {what} that is not valid")]
    Peer {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// The text, as written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: u32,
    peers: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    enodes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<String>,
    key: String,
    role: Role,
    value: Worth,
    failures: u32,
    last_seen: u64,
}

impl Memory {
    /// Reads a text that [`Memory::to_json`] made.
    ///
    /// # Errors
    /// [`MemoryError`]; nothing of a damaged text is used.
    pub fn from_json(text: &str) -> Result<Self, MemoryError> {
        if text.len() > MAX_MEMORY {
            return Err(MemoryError::TooLong { length: text.len() });
        }
        // The version first: another one may have other fields.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(MemoryError::Version { version });
        }
        let Text { version: _, peers } = serde_json::from_str(text)?;
        if peers.len() > MAX_REMEMBERED {
            return Err(MemoryError::TooMany { count: peers.len() });
        }
        let read = |(index, entry): (usize, Entry)| {
            entry.read().map_err(|what| MemoryError::Peer { number: index + 1, what })
        };
        Ok(Self { peers: peers.into_iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }

    /// The text, at most [`MAX_MEMORY`] long: what does not fit is left out from the end.
    ///
    /// # Errors
    /// [`MemoryError::Json`] if it cannot be written.
    pub fn to_json(&self) -> Result<String, MemoryError> {
        let mut peers = Vec::new();
        let mut length = 64; // of what surrounds them
        for peer in self.peers.iter().take(MAX_REMEMBERED) {
            let entry = Entry::of(peer);
            // Indented by six, and the line ends.
            length += serde_json::to_string_pretty(&entry)?.lines().map(|line| line.len() + 8).sum::<usize>();
            if length > MAX_MEMORY {
                break;
            }
            peers.push(entry);
        }
        Ok(serde_json::to_string_pretty(&Text { version: VERSION, peers })?)
    }

    /// The records in it: nodes at which discovery can start if there is no bootnode.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.peers.iter().filter_map(|peer| peer.contact.record.as_ref())
    }

    /// How many peers it holds.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }
}

impl Entry {
    fn of(peer: &Remembered) -> Self {
        let Remembered { key, contact, role, worth, failures, last_seen } = peer;
        Self {
            record: contact.record.as_ref().map(ToString::to_string),
            enodes: contact.enodes.iter().map(ToString::to_string).collect(),
            addresses: contact.addrs.iter().map(ToString::to_string).collect(),
            key: key.to_string(),
            role: *role,
            value: *worth,
            failures: *failures,
            last_seen: *last_seen,
        }
    }

    fn read(self) -> Result<Remembered, &'static str> {
        let key: NodeKey = NodeKey(self.key.parse().map_err(|_| "a key")?);
        let record = self.record.map(|text| text.parse::<Record>()).transpose().map_err(|_| "a record")?;
        if record.as_ref().is_some_and(|record| record.key() != key) {
            return Err("a record by another key");
        }
        let mut contact = Contact { record, ..Contact::default() };
        for text in self.enodes.iter().rev() {
            let enode: Enode = text.parse().map_err(|_| "an enode URL")?;
            if enode.key != key {
                return Err("an enode URL of another key");
            }
            contact.add_enode(enode);
        }
        if self.addresses.len() > MAX_ADDRESSES {
            return Err("a number of addresses");
        }
        if self.addresses.iter().any(|text| text.len() > MAX_ADDRESS_TEXT) {
            return Err("an address");
        }
        let addrs = self.addresses.iter().map(|text| text.parse::<Multiaddr>());
        contact.add_addresses(addrs.collect::<Result<_, _>>().map_err(|_| "an address")?);
        if contact.is_empty() {
            return Err("no address");
        }
        let (role, worth) = (self.role, self.value.bounded());
        Ok(Remembered { key, contact, role, worth, failures: self.failures, last_seen: self.last_seen })
    }
}
