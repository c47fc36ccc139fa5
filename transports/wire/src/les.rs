//! The Light Ethereum Subprotocol, versions 2 to 4: message codes, limits, and the messages.

use alloy_primitives::{B256, Bytes, U256};

use crate::{Answer, Capability, Head, ForkId, NetworkId, Query, RequestId};

/// The LES version of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// `les/2`
    Les2,
    /// `les/3`: Stop and Resume.
    Les3,
    /// `les/4`: fork id, recent transaction lookup.
    Les4,
}

impl Version {
    /// All versions, the preferred one first.
    pub const ALL: [Self; 3] = [Self::Les4, Self::Les3, Self::Les2];

    /// Its number.
    pub const fn number(self) -> u64 {
        match self {
            Self::Les2 => 2,
            Self::Les3 => 3,
            Self::Les4 => 4,
        }
    }

    /// As a capability, `les/N`.
    pub const fn capability(self) -> Capability {
        Capability::new("les", self.number())
    }

    /// The version that a capability names, if it is one of LES.
    pub fn of(capability: &Capability) -> Option<Self> {
        if capability.name != "les" {
            return None;
        }
        Self::ALL.into_iter().find(|version| version.number() == capability.version)
    }
}

/// Most items a server answers in one request (les.md section 2).
pub mod limit {
    /// Headers.
    pub const HEADERS: u64 = 192;
    /// Block bodies.
    pub const BODIES: u64 = 32;
    /// Blocks' receipts.
    pub const RECEIPTS: u64 = 128;
    /// Contract codes.
    pub const CODES: u64 = 64;
    /// State and storage proofs.
    pub const PROOFS: u64 = 64;
    /// Helper trie proofs.
    pub const HELPER_TRIES: u64 = 64;
    /// Transactions sent.
    pub const SEND_TRANSACTIONS: u64 = 64;
    /// Transaction statuses.
    pub const TRANSACTION_STATUS: u64 = 256;
    /// Largest request on any stack but SendTxV2, bytes of payload (design section 2).
    pub const REQUEST_BYTES: usize = 128 * 1024;
    /// Largest SendTxV2, bytes of payload.
    pub const SEND_BYTES: usize = 1024 * 1024;
    /// Largest message of a server, bytes of payload.
    pub const ANSWER_BYTES: usize = 10 * 1024 * 1024;
    /// A server stops adding items to an answer here (geth's `softResponseLimit`).
    pub const SOFT_ANSWER_BYTES: usize = 2 * 1024 * 1024;
    /// Most bytes of keys and values in one key/value list of Status or Announce (geth).
    pub const STATUS_BYTES: usize = 100_000;
    /// Longest bit length of a total difficulty.
    pub const TD_BITS: usize = 100;
}

/// Message codes, local to the capability.
pub mod code {
    #![allow(missing_docs)]
    pub const STATUS: u64 = 0x00;
    pub const ANNOUNCE: u64 = 0x01;
    pub const GET_BLOCK_HEADERS: u64 = 0x02;
    pub const BLOCK_HEADERS: u64 = 0x03;
    pub const GET_BLOCK_BODIES: u64 = 0x04;
    pub const BLOCK_BODIES: u64 = 0x05;
    pub const GET_RECEIPTS: u64 = 0x06;
    pub const RECEIPTS: u64 = 0x07;
    pub const GET_CONTRACT_CODES: u64 = 0x0a;
    pub const CONTRACT_CODES: u64 = 0x0b;
    pub const GET_PROOFS_V2: u64 = 0x0f;
    pub const PROOFS_V2: u64 = 0x10;
    pub const GET_HELPER_TRIE_PROOFS: u64 = 0x11;
    pub const HELPER_TRIE_PROOFS: u64 = 0x12;
    pub const SEND_TX_V2: u64 = 0x13;
    pub const GET_TX_STATUS: u64 = 0x14;
    pub const TX_STATUS: u64 = 0x15;
    pub const STOP: u64 = 0x16;
    pub const RESUME: u64 = 0x17;
}

/// Which announcements a client wants (`announceType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnnounceKind {
    /// None.
    None,
    /// Without signature; what an absent key means.
    #[default]
    Simple,
    /// Signed by the server's node key.
    Signed,
}

/// One row of the cost table: what a request of `code` costs at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestCost {
    /// The request's message code.
    pub code: u64,
    /// Cost of the request itself.
    pub base: u64,
    /// Cost of each item.
    pub item: u64,
}

/// A server's flow-control promise (les.md section 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowControl {
    /// `flowControl/BL`: the buffer's size.
    pub buffer_limit: u64,
    /// `flowControl/MRR`: units of recharge per millisecond.
    pub recharge: u64,
    /// `flowControl/MRC`: what requests cost.
    pub costs: Vec<RequestCost>,
}

/// What a server says it serves (`serve*`, `txRelay`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// `serveHeaders` present.
    pub headers: bool,
    /// `serveChainSince`: first block with body and receipts.
    pub chain_since: Option<u64>,
    /// `serveRecentChain`.
    pub recent_chain: Option<u64>,
    /// `serveStateSince`: first block with state.
    pub state_since: Option<u64>,
    /// `serveRecentState`: number of recent states; 0 all.
    pub recent_state: Option<u64>,
    /// `txRelay` present.
    pub tx_relay: bool,
}

/// A trusted helper trie section (`checkpoint/value`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Section index.
    pub section: u64,
    /// Hash of the section's last block.
    pub head: B256,
    /// Root of the canonical hash trie.
    pub cht_root: B256,
    /// Root of the bloom trie.
    pub bloom_root: B256,
}

/// The handshake of LES, once per side (les.md section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// `protocolVersion`
    pub version: u64,
    /// `networkId`
    pub network: NetworkId,
    /// `headTd`, `headHash`, `headNum`: zeroes from a client.
    pub head: Head,
    /// `genesisHash`
    pub genesis: B256,
    /// `forkID`, required in les/4.
    pub fork_id: Option<ForkId>,
    /// `announceType` of a client.
    pub announce: Option<AnnounceKind>,
    /// What a server serves.
    pub serving: Serving,
    /// `recentTxLookup` of a les/4 server: 0 all, 1 none, N the last N-1 blocks.
    pub recent_tx_lookup: Option<u64>,
    /// A server's flow control: present if `flowControl/MRR` is (which marks a server).
    pub flow_control: Option<FlowControl>,
    /// `checkpoint/value`
    pub checkpoint: Option<Checkpoint>,
    /// `checkpoint/registerHeight`
    pub checkpoint_height: Option<u64>,
    /// `causeway/origins` = 1: wants the origins of heads in Announces.
    pub origins: bool,
}

/// The signed announcement of a full node, passed on under `causeway/origins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Who signed.
    pub node: crate::NodeKey,
    /// What was announced.
    pub head: Head,
    /// `r || s || v` over `keccak(RLP[hash, number, td])`.
    pub signature: [u8; 65],
}

/// A new head, or new flow-control parameters (les.md section 5 and 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The head; `None` (zero hash on the wire) for an update of parameters only.
    pub head: Option<Head>,
    /// Blocks to roll back from the last announced head.
    pub reorg_depth: u64,
    /// `sign`: `r || s || v` of the server's node key.
    pub signature: Option<[u8; 65]>,
    /// `flowControl/BL` and `/MRR`, if both are there.
    pub buffer: Option<(u64, u64)>,
    /// `flowControl/MRC` rows, to be merged.
    pub costs: Vec<RequestCost>,
    /// `causeway/origins`, at most 8.
    pub origins: Vec<Origin>,
    /// Bytes of the key/value list, which clients charge against a budget.
    pub update_bytes: usize,
}

impl Announce {
    /// Most origins in one Announce (design section 2).
    pub const MAX_ORIGINS: usize = 8;

    /// The digest that a signed announcement signs: `keccak(RLP[hash, number, td])`.
    pub fn digest(head: &Head) -> B256 {
        let _ = head;
        todo!()
    }
}

/// A LES message of version 2, 3 or 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// 00
    Status(Status),
    /// 01
    Announce(Announce),
    /// 02, 04, 06, 0a, 0f, 11, 13, 14
    Request {
        /// The asker's id.
        id: RequestId,
        /// What is asked.
        query: Query,
    },
    /// 03, 05, 07, 0b, 10, 12, 15
    Response {
        /// The request's id.
        id: RequestId,
        /// `BV`: the buffer that remains to the asker.
        buffer: u64,
        /// The answer.
        answer: Answer,
    },
    /// 16, from les/3
    Stop,
    /// 17, from les/3
    Resume {
        /// `BV`: the buffer at which the client goes on.
        buffer: u64,
    },
}

/// Why bytes are not a LES message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No such message in this version.
    #[error("unknown message code {code:#x}")]
    UnknownCode {
        /// The code.
        code: u64,
    },
    /// Not the RLP that this message has.
    #[error("malformed RLP in message {code:#x}: {reason}")]
    Rlp {
        /// The message's code.
        code: u64,
        /// What was wrong.
        reason: crate::rlp::Error,
    },
    /// A Status without a required key.
    #[error("status without the key {key}")]
    MissingKey {
        /// The key.
        key: &'static str,
    },
    /// A number beyond its limit.
    #[error("{what} is {value}, over the limit of {limit}")]
    OverLimit {
        /// What was counted.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        limit: u64,
    },
}

impl Message {
    /// The message's code, local to the capability.
    pub fn code(&self) -> u64 {
        todo!()
    }

    /// The payload without the code: what RLPx puts behind the message id, and what a libp2p stream
    /// carries as the second item of `[code, payload]`.
    pub fn encode(&self, version: Version) -> Bytes {
        let _ = version;
        todo!()
    }

    /// Reads the payload of a message. Items of answers are slices of `payload`, not copies.
    ///
    /// # Errors
    /// Any [`DecodeError`]; bytes left over are an error. Lists of requests beyond [`limit`] decode
    /// (the server answers the first ones and charges for those), but never more than the payload's
    /// own size can hold.
    pub fn decode(version: Version, code: u64, payload: &Bytes) -> Result<Self, DecodeError> {
        let _ = (version, code, payload, U256::ZERO);
        todo!()
    }
}

/// The code of the request that asks `query`.
pub fn request_code(query: &Query) -> u64 {
    let _ = query;
    todo!()
}

/// The most items of `query`'s kind that a server answers.
pub fn item_limit(query: &Query) -> u64 {
    let _ = query;
    todo!()
}
