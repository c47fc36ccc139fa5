//! How we are reached: each listener by itself, and all together.

use std::{
    fmt,
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};

use crate::{Cause, Family, Translation, Transport};

/// How others reach us; the better, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Not at all.
    Unreachable,
    /// Nobody has tested it.
    Unknown,
    /// Through a relay.
    RelayedOnly,
    /// Directly after both sides punched a hole; through a relay where that fails.
    Punchable,
    /// Directly, at a port that the router opened.
    Mapped,
    /// Directly.
    Public,
}

impl State {
    /// Its name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
            Self::RelayedOnly => "relayed-only",
            Self::Punchable => "punchable",
            Self::Mapped => "mapped",
            Self::Public => "public",
        }
    }

    /// Whether others need nobody's help.
    pub fn is_direct(self) -> bool {
        self >= Self::Mapped
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// It follows from other things; nobody dialed us.
    Low,
    /// One peer dialed us.
    Medium,
    /// Several did.
    High,
}

/// What others are told of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// The finding's addresses.
    Addresses,
    /// What is told while nothing is known: its own port, at the address that we are seen at.
    AsBound,
    /// Nothing.
    Nothing,
}

/// How others reach one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The family.
    pub family: Family,
    /// The transport.
    pub transport: Transport,
    /// Our port.
    pub port: u16,
    /// How.
    pub state: State,
    /// Why.
    #[serde(skip)]
    pub cause: Cause,
    /// Why, in words.
    pub why: String,
    /// What a person can do.
    pub advice: String,
    /// How sure it is.
    pub confidence: Confidence,
    /// The last dial-back that it rests on.
    #[serde(rename = "testedAt", serialize_with = "seconds")]
    pub tested: Option<SystemTime>,
    /// Where others reach it directly.
    pub addresses: Vec<SocketAddr>,
    /// What others are told.
    #[serde(skip)]
    pub telling: Telling,
}

/// How others reach us, all in all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reachability {
    /// The best way over libp2p.
    pub state: State,
    /// Why, in words.
    pub why: String,
    /// What a person can do.
    pub advice: String,
    /// How sure it is.
    pub confidence: Confidence,
    /// The last dial-back that it rests on.
    #[serde(rename = "testedAt", serialize_with = "seconds")]
    pub tested: Option<SystemTime>,
    /// What the way out does to our UDP ports over IPv4.
    #[serde(rename = "udpTranslation")]
    pub translation: Translation,
    /// Each listener by itself, the more useful first.
    pub findings: Vec<Finding>,
}

impl Reachability {
    /// Before anything is known.
    pub fn unknown() -> Self {
        Self {
            state: State::Unknown,
            why: "nothing is known yet".to_owned(),
            advice: "Wait a minute: other nodes have to test it.".to_owned(),
            confidence: Confidence::Low,
            tested: None,
            translation: Translation::Unknown,
            findings: Vec::new(),
        }
    }

    /// What was found of a listener.
    pub fn finding(&self, family: Family, transport: Transport) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.family == family && finding.transport == transport)
    }
}

/// Seconds since 1970, or null.
fn seconds<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map(|since| since.as_secs()).serialize(serializer)
}
