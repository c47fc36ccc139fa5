//! Lists of nodes in the DNS (EIP-1459): what the entries of a tree say, and their proof.
//!
//! A tree is a signed root, and entries under names that are hashes of their texts: who has the publisher's
//! key (it is in the list's URL) can check every entry, whoever serves it.

mod make;
mod sync;

use std::{fmt, str::FromStr};

use alloy_primitives::keccak256;
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use secp256k1::{Message, PublicKey, SecretKey, ecdsa};

use crate::{Record, RecordError, enode::is_name};

pub use make::{MAX_CHILDREN, Tree, TreeError};
pub use sync::{Answer, Limits, Question, SyncEvent, SyncedTree, TreeFault, TreeSync, Unanswered};

/// Longest text of an entry that is read; publishers keep to what a UDP answer of 512 bytes holds.
pub const MAX_ENTRY_TEXT: usize = 1024;

/// Shortest hash in a name (geth takes no shorter ones either).
const MIN_HASH: usize = 12;

/// Bytes of hash that we write, as all do.
const HASH: usize = 16;

const ROOT: &str = "enrtree-root:v1";
const BRANCH: &str = "enrtree-branch:";
const LINK: &str = "enrtree://";
const RECORD: &str = "enr:";

/// Why a text is not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryTextError {
    /// Longer than [`MAX_ENTRY_TEXT`].
    #[error("{length} characters are over the limit of {MAX_ENTRY_TEXT} for an entry")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Begins with none of the words that entries begin with.
    #[error("not an entry of a node list")]
    Unknown,
    /// Not a base32 hash of 12 to 32 bytes.
    #[error("{text:?} is not a base32 hash of 12 to 32 bytes")]
    Hash {
        /// The text.
        text: String,
    },
    /// A root without one of its fields, or with more.
    #[error("the root lacks a valid `{field}`")]
    Root {
        /// The field.
        field: &'static str,
    },
    /// Not `enrtree://KEY@NAME`.
    #[error("a list's URL is enrtree://, the key of its publisher in base32, @ and a domain name")]
    Link,
    /// The record of an `enr:` entry.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// The hash of an entry, by which it is named: the first bytes of keccak256 of its text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(Vec<u8>);

impl Label {
    /// The name of the entry with this text.
    pub fn of(text: &str) -> Self {
        Self(keccak256(text)[..HASH].to_vec())
    }

    /// Whether it is the name of the entry with this text.
    pub fn names(&self, text: &str) -> bool {
        keccak256(text).starts_with(&self.0)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0))
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({self})")
    }
}

impl FromStr for Label {
    type Err = EntryTextError;

    fn from_str(text: &str) -> Result<Self, EntryTextError> {
        let hash = BASE32_NOPAD.decode(text.as_bytes()).ok();
        match hash.filter(|hash| (MIN_HASH..=32).contains(&hash.len())) {
            Some(hash) => Ok(Self(hash)),
            None => Err(EntryTextError::Hash { text: text.chars().take(64).collect() }),
        }
    }
}

/// Where a list is, and whose it is: `enrtree://KEY@NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Link {
    /// Whoever signs the root.
    pub key: PublicKey,
    /// The name of the root, in lower case.
    pub domain: String,
}

impl Link {
    /// The list that `secret` signs at `domain`.
    ///
    /// # Errors
    /// [`EntryTextError::Link`] if that is no domain name.
    pub fn new(secret: &SecretKey, domain: &str) -> Result<Self, EntryTextError> {
        let domain = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
        // A hash of 32 bytes is 52 characters, and a dot comes between.
        if domain.len() > 253 - 53 || !is_name(&domain) {
            return Err(EntryTextError::Link);
        }
        Ok(Self { key: PublicKey::from_secret_key(secret), domain })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LINK}{}@{}", BASE32_NOPAD.encode(&self.key.serialize()), self.domain)
    }
}

impl FromStr for Link {
    type Err = EntryTextError;

    fn from_str(text: &str) -> Result<Self, EntryTextError> {
        if text.len() > MAX_ENTRY_TEXT {
            return Err(EntryTextError::TooLong { length: text.len() });
        }
        let (key, domain) =
            text.strip_prefix(LINK).and_then(|rest| rest.split_once('@')).ok_or(EntryTextError::Link)?;
        let bytes = BASE32_NOPAD.decode(key.as_bytes()).map_err(|_| EntryTextError::Link)?;
        let bytes: [u8; 33] = bytes.try_into().map_err(|_| EntryTextError::Link)?;
        let key = PublicKey::from_slice(&bytes).map_err(|_| EntryTextError::Link)?;
        let domain = domain.to_ascii_lowercase();
        if domain.len() > 253 - 53 || !is_name(&domain) {
            return Err(EntryTextError::Link);
        }
        Ok(Self { key, domain })
    }
}

/// The root of a tree, whose signature is still to be checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Root {
    /// The entry under which all records are.
    pub records: Label,
    /// The entry under which all links are.
    pub links: Label,
    /// Grows with each change.
    pub seq: u64,
    signature: [u8; 65],
}

impl Root {
    /// Signs a root.
    pub fn sign(secret: &SecretKey, records: Label, links: Label, seq: u64) -> Self {
        let digest = digest(&records, &links, seq);
        let signature = ecdsa::RecoverableSignature::sign_ecdsa_recoverable(digest, secret);
        let (id, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&compact);
        bytes[64] = u8::from(id); // geth ignores it
        Self { records, links, seq, signature: bytes }
    }

    /// Whether `key` signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let digest = digest(&self.records, &self.links, self.seq);
        ecdsa::Signature::from_compact(&self.signature[..64])
            .is_ok_and(|signature| ecdsa::verify(&signature, digest, key).is_ok())
    }
}

/// What a root's signature is over: its text up to the signature.
fn unsigned(records: &Label, links: &Label, seq: u64) -> String {
    format!("{ROOT} e={records} l={links} seq={seq}")
}

fn digest(records: &Label, links: &Label, seq: u64) -> Message {
    Message::from_digest(keccak256(unsigned(records, links, seq)).0)
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unsigned = unsigned(&self.records, &self.links, self.seq);
        write!(f, "{unsigned} sig={}", BASE64URL_NOPAD.encode(&self.signature))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({self})")
    }
}

impl FromStr for Root {
    type Err = EntryTextError;

    fn from_str(text: &str) -> Result<Self, EntryTextError> {
        if text.len() > MAX_ENTRY_TEXT {
            return Err(EntryTextError::TooLong { length: text.len() });
        }
        let mut words = text.split(' ');
        if words.next() != Some(ROOT) {
            return Err(EntryTextError::Unknown);
        }
        let mut field = |field: &'static str| {
            let value = words.next().and_then(|word| word.strip_prefix(field)?.strip_prefix('='));
            value.ok_or(EntryTextError::Root { field })
        };
        let records = field("e")?.parse().map_err(|_| EntryTextError::Root { field: "e" })?;
        let links = field("l")?.parse().map_err(|_| EntryTextError::Root { field: "l" })?;
        let seq = field("seq")?.parse().map_err(|_| EntryTextError::Root { field: "seq" })?;
        let signature = BASE64URL_NOPAD.decode(field("sig")?.as_bytes()).ok();
        let signature = signature.and_then(|bytes| bytes.try_into().ok());
        let signature = signature.ok_or(EntryTextError::Root { field: "sig" })?;
        let root = Self { records, links, seq, signature };
        // The signature is over the text: another spelling of the same ("seq=+1", more words) is not it.
        if root.to_string() == text { Ok(root) } else { Err(EntryTextError::Root { field: "sig" }) }
    }
}

/// An entry under the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Names of further entries.
    Branch(Vec<Label>),
    /// Another list.
    Link(Link),
    /// A node.
    Record(Box<Record>),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(children) => {
                f.write_str(BRANCH)?;
                for (index, child) in children.iter().enumerate() {
                    write!(f, "{}{child}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Link(link) => link.fmt(f),
            Self::Record(record) => record.fmt(f),
        }
    }
}

impl FromStr for Entry {
    type Err = EntryTextError;

    fn from_str(text: &str) -> Result<Self, EntryTextError> {
        if text.len() > MAX_ENTRY_TEXT {
            return Err(EntryTextError::TooLong { length: text.len() });
        }
        if let Some(children) = text.strip_prefix(BRANCH) {
            if children.is_empty() {
                return Ok(Self::Branch(Vec::new()));
            }
            return children.split(',').map(Label::from_str).collect::<Result<_, _>>().map(Self::Branch);
        }
        if text.starts_with(LINK) {
            return text.parse().map(Self::Link);
        }
        if text.starts_with(RECORD) {
            return Ok(Self::Record(Box::new(text.parse()?)));
        }
        Err(EntryTextError::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// EIP-1459's example; its URL has another key than the one that signed (discovery.md section 5).
    const EXAMPLE_ROOT: &str = "enrtree-root:v1 e=JWXYDBPXYWG6FX3GMDIBFA6CJ4 l=C7HRFPF3BLGF3YR4DY5KX3SMBE seq=1 \
        sig=o908WmNp7LibOfPsr4btQwatZJ5URBr2ZAuxvK4UWHlsB9sUOTJQaGAlLPVAhM__XJesCHxLISo94z5Z2a463gA";
    const EXAMPLE_KEY: &str = "AKPYQIUQIL7PSIACI32J7FGZW56E5FKHEFCCOFHILBIMW3M6LWXS2";
    const EXAMPLE: [(&str, &str); 3] = [
        (
            "JWXYDBPXYWG6FX3GMDIBFA6CJ4",
            "enrtree-branch:2XS2367YHAXJFGLZHVAWLQD4ZY,H4FHT4B454P6UXFD7JCYQ5PWDY,MHTDO6TMUBRIA2XWG5LUDACK24",
        ),
        (
            "C7HRFPF3BLGF3YR4DY5KX3SMBE",
            "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@morenodes.example.org",
        ),
        (
            "2XS2367YHAXJFGLZHVAWLQD4ZY",
            "enr:-HW4QOFzoVLaFJnNhbgMoDXPnOvcdVuj7pDpqRvh6BRDO68aVi5ZcjB3vzQRZH2IcLBGHzo8uUN3snqmgTiE56CH3AMBgmlk\
             gnY0iXNlY3AyNTZrMaECC2_24YYkYHEgdzxlSNKQEnHhuNAbNlMlWJxrJxbAFvA",
        ),
    ];

    #[test]
    fn the_published_root_is_signed_by_its_key_alone() {
        let root: Root = EXAMPLE_ROOT.parse().expect("a root");
        let url: Link = format!("enrtree://{EXAMPLE_KEY}@nodes.example.org").parse().expect("a URL");
        let other: Link = EXAMPLE[1].1.parse().expect("a URL");

        assert_eq!(root.seq, 1);
        assert_eq!(root.to_string(), EXAMPLE_ROOT);
        assert!(root.is_signed_by(&url.key));
        assert!(!root.is_signed_by(&other.key));
        assert!(!Root { seq: 2, ..root }.is_signed_by(&url.key));
    }

    #[test]
    fn the_published_entries_are_read_and_have_their_names() {
        for (name, text) in EXAMPLE {
            let entry: Entry = text.parse().expect("an entry");
            let label: Label = name.parse().expect("a hash");

            assert_eq!(entry.to_string(), text);
            assert_eq!((Label::of(text), label.names(text)), (label.clone(), true));
            assert!(!label.names(&format!("{text} ")));
        }
    }

    #[test]
    fn a_root_of_ours_is_read_back() {
        let secret = SecretKey::from_secret_bytes([7; 32]).expect("valid secret");
        let link = Link::new(&secret, "Nodes.Example.org.").expect("a name");

        let root = Root::sign(&secret, Label::of("a"), Label::of("b"), 9);

        assert_eq!(root.to_string().parse(), Ok(root.clone()));
        assert!(root.is_signed_by(&link.key));
        assert_eq!(link.to_string().parse(), Ok(link.clone()));
        assert_eq!(link.domain, "nodes.example.org");
    }

    #[test]
    fn mistakes_are_named() {
        let root = |field| Err(EntryTextError::Root { field });
        for (text, error) in [
            ("enrtree-root:v2 e=A".to_owned(), Err(EntryTextError::Unknown)),
            (ROOT.to_owned(), root("e")),
            (EXAMPLE_ROOT.replace("l=", "m="), root("l")),
            (EXAMPLE_ROOT.replace("seq=1", "seq=+1"), root("sig")),
            (EXAMPLE_ROOT.replace("seq=1", "seq=99999999999999999999"), root("seq")),
            (format!("{EXAMPLE_ROOT} more"), root("sig")),
            ("x".repeat(1025), Err(EntryTextError::TooLong { length: 1025 })),
        ] {
            assert_eq!(text.parse::<Root>(), error, "{text}");
        }
        for text in ["enrtree-branch:A", "enrtree-branch:,", "enrtree-branch:JWXYDBPXYWG6FX3GMDIBFA6CJ5"] {
            assert!(matches!(text.parse::<Entry>(), Err(EntryTextError::Hash { .. })), "{text}");
        }
        for text in ["enrtree://", "enrtree://AA@a.example", "enrtree://x"] {
            assert_eq!(text.parse::<Entry>(), Err(EntryTextError::Link), "{text}");
        }
        let key = EXAMPLE_KEY;
        for name in ["", "a b", &"a.".repeat(120), "1.2.3.4"] {
            assert_eq!(
                format!("enrtree://{key}@{name}").parse::<Link>(),
                Err(EntryTextError::Link),
                "{name}"
            );
        }
        assert!(matches!("enr:AA".parse::<Entry>(), Err(EntryTextError::Record(_))));
        assert_eq!("v=spf1".parse::<Entry>(), Err(EntryTextError::Unknown));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(
            start in prop::sample::select(vec!["", ROOT, BRANCH, LINK, RECORD, EXAMPLE_ROOT]),
            rest in "\\PC{0,80}",
            cut in 0usize..400,
        ) {
            let text: String = format!("{start}{rest}").chars().take(cut).collect();
            let _ = text.parse::<Root>();
            let _ = text.parse::<Label>();
            if let Ok(entry) = text.parse::<Entry>() {
                prop_assert_eq!(entry.to_string().parse::<Entry>(), Ok(entry));
            }
        }
    }
}
