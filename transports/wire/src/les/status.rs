//! Status, the handshake of LES, sent once per side (code 00).
//!
//! ```text
//! [[key, value], ...]
//! ```
//!
//! devp2p `caps/les.md`, "Status"; order of keys as go-ethereum v1.10.26 writes them.

use alloy_primitives::B256;
use alloy_rlp::Encodable;

use super::{
    BUFFER_LIMIT, COSTS, DecodeFlaw, HEARTBEAT, ORIGINS, RECHARGE, Version,
    key_values::{KeyValues, put_costs_entry, put_empty_entry, put_entry, put_uint_entry},
};
use crate::{
    ForkId, Head, NetworkId,
    rlp::{Item, Reader, put_list, put_string, put_uint},
};

mod key {
    pub(super) const PROTOCOL_VERSION: &str = "protocolVersion";
    pub(super) const NETWORK_ID: &str = "networkId";
    pub(super) const HEAD_TD: &str = "headTd";
    pub(super) const HEAD_HASH: &str = "headHash";
    pub(super) const HEAD_NUMBER: &str = "headNum";
    pub(super) const GENESIS_HASH: &str = "genesisHash";
    pub(super) const FORK_ID: &str = "forkID";
    pub(super) const ANNOUNCE_TYPE: &str = "announceType";
    pub(super) const SERVE_HEADERS: &str = "serveHeaders";
    pub(super) const SERVE_CHAIN_SINCE: &str = "serveChainSince";
    pub(super) const SERVE_RECENT_CHAIN: &str = "serveRecentChain";
    pub(super) const SERVE_STATE_SINCE: &str = "serveStateSince";
    pub(super) const SERVE_RECENT_STATE: &str = "serveRecentState";
    pub(super) const TX_RELAY: &str = "txRelay";
    pub(super) const RECENT_TX_LOOKUP: &str = "recentTxLookup";
    pub(super) const CHECKPOINT: &str = "checkpoint/value";
    pub(super) const CHECKPOINT_HEIGHT: &str = "checkpoint/registerHeight";
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
    /// `forkID`, required in les/4; in older versions not written, and read if it is there (EthereumJS).
    pub fork_id: Option<ForkId>,
    /// `announceType` of a client.
    pub announce: Option<AnnounceKind>,
    /// What a server serves.
    pub serving: Serving,
    /// `recentTxLookup` of a les/4 server: 0 all, 1 none, N the last N-1 blocks; older versions as `forkID`.
    pub recent_tx_lookup: Option<u64>,
    /// A server's flow control: present if `flowControl/MRR` is (which marks a server).
    pub flow_control: Option<FlowControl>,
    /// `checkpoint/value`
    pub checkpoint: Option<Checkpoint>,
    /// `checkpoint/registerHeight`
    pub checkpoint_height: Option<u64>,
    /// `causeway/origins` = 1: wants the origins of heads in Announces.
    pub origins: bool,
    /// `causeway/heartbeat`: the wish for so many seconds between two pings; see [`crate::heartbeat`]. What is no
    /// number is no wish.
    pub heartbeat: Option<u64>,
}

impl AnnounceKind {
    /// As `announceType` writes it.
    pub const fn number(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Simple => 1,
            Self::Signed => 2,
        }
    }

    fn of(number: u64) -> Result<Self, DecodeFlaw> {
        match number {
            0 => Ok(Self::None),
            1 => Ok(Self::Simple),
            2 => Ok(Self::Signed),
            _ => Err(DecodeFlaw::over("announceType", number, Self::Signed.number())),
        }
    }
}

impl Status {
    pub(super) fn encode(&self, version: Version) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        put_list(&mut out, |out| {
            self.put_chain(out, version);
            if let Some(kind) = self.announce {
                put_uint_entry(out, key::ANNOUNCE_TYPE, kind.number());
            }
            self.put_serving(out, version);
            self.put_terms(out);
            if self.origins {
                put_uint_entry(out, ORIGINS, 1);
            }
            if let Some(seconds) = self.heartbeat {
                put_uint_entry(out, HEARTBEAT, seconds);
            }
        });
        out
    }

    fn put_chain(&self, out: &mut Vec<u8>, version: Version) {
        put_uint_entry(out, key::PROTOCOL_VERSION, self.version);
        put_uint_entry(out, key::NETWORK_ID, self.network.0);
        put_entry(out, key::HEAD_TD, |out| self.head.td.encode(out));
        put_entry(out, key::HEAD_HASH, |out| self.head.hash.encode(out));
        put_uint_entry(out, key::HEAD_NUMBER, self.head.number);
        put_entry(out, key::GENESIS_HASH, |out| self.genesis.encode(out));
        if let (Version::Les4, Some(fork)) = (version, self.fork_id) {
            put_entry(out, key::FORK_ID, |out| {
                put_list(out, |out| {
                    put_string(out, &fork.hash);
                    put_uint(out, fork.next);
                });
            });
        }
    }

    fn put_serving(&self, out: &mut Vec<u8>, version: Version) {
        let Serving { headers, chain_since, recent_chain, state_since, recent_state, tx_relay } =
            self.serving;
        if headers {
            put_empty_entry(out, key::SERVE_HEADERS);
        }
        let numbers = [
            (key::SERVE_CHAIN_SINCE, chain_since),
            (key::SERVE_RECENT_CHAIN, recent_chain),
            (key::SERVE_STATE_SINCE, state_since),
            (key::SERVE_RECENT_STATE, recent_state),
        ];
        for (key, value) in numbers {
            if let Some(value) = value {
                put_uint_entry(out, key, value);
            }
        }
        if tx_relay {
            put_empty_entry(out, key::TX_RELAY);
        }
        if let (Version::Les4, Some(lookup)) = (version, self.recent_tx_lookup) {
            put_uint_entry(out, key::RECENT_TX_LOOKUP, lookup);
        }
    }

    fn put_terms(&self, out: &mut Vec<u8>) {
        if let Some(flow_control) = &self.flow_control {
            put_uint_entry(out, BUFFER_LIMIT, flow_control.buffer_limit);
            put_uint_entry(out, RECHARGE, flow_control.recharge);
            put_costs_entry(out, COSTS, &flow_control.costs);
        }
        if let Some(checkpoint) = self.checkpoint {
            put_entry(out, key::CHECKPOINT, |out| {
                put_list(out, |out| {
                    put_uint(out, checkpoint.section);
                    checkpoint.head.encode(out);
                    checkpoint.cht_root.encode(out);
                    checkpoint.bloom_root.encode(out);
                });
            });
        }
        if let Some(height) = self.checkpoint_height {
            put_uint_entry(out, key::CHECKPOINT_HEIGHT, height);
        }
    }

    /// Reads a Status. A client's that leaves out its head gets zeroes, as geth's server does not ask for it.
    pub(super) fn decode(version: Version, list: Reader<'_>) -> Result<Self, DecodeFlaw> {
        let values = KeyValues::decode(list)?;
        let required = |key| values.uint(key)?.ok_or(DecodeFlaw::MissingKey(key));
        let version_number = required(key::PROTOCOL_VERSION)?;
        let network = NetworkId(required(key::NETWORK_ID)?);
        let genesis =
            values.item(key::GENESIS_HASH).ok_or(DecodeFlaw::MissingKey(key::GENESIS_HASH))?.hash()?;
        let fork_id = values.item(key::FORK_ID).map(fork_id).transpose()?;
        if version == Version::Les4 && fork_id.is_none() {
            return Err(DecodeFlaw::MissingKey(key::FORK_ID));
        }
        let flow_control = flow_control(&values)?;
        Ok(Self {
            version: version_number,
            network,
            head: head(&values, flow_control.is_some())?,
            genesis,
            fork_id,
            announce: values.uint(key::ANNOUNCE_TYPE)?.map(AnnounceKind::of).transpose()?,
            serving: Serving {
                headers: values.contains(key::SERVE_HEADERS),
                chain_since: values.uint(key::SERVE_CHAIN_SINCE)?,
                recent_chain: values.uint(key::SERVE_RECENT_CHAIN)?,
                state_since: values.uint(key::SERVE_STATE_SINCE)?,
                recent_state: values.uint(key::SERVE_RECENT_STATE)?,
                tx_relay: values.contains(key::TX_RELAY),
            },
            recent_tx_lookup: values.uint(key::RECENT_TX_LOOKUP)?,
            flow_control,
            checkpoint: values.item(key::CHECKPOINT).map(checkpoint).transpose()?,
            checkpoint_height: values.uint(key::CHECKPOINT_HEIGHT)?,
            origins: values.uint(ORIGINS)? == Some(1),
            heartbeat: values.uint(HEARTBEAT).unwrap_or_default(),
        })
    }
}

fn head(values: &KeyValues<'_>, is_server: bool) -> Result<Head, DecodeFlaw> {
    let item = |key| match values.item(key) {
        None if is_server => Err(DecodeFlaw::MissingKey(key)),
        found => Ok(found),
    };
    Ok(Head {
        td: item(key::HEAD_TD)?.map(Item::loose_u256).transpose()?.unwrap_or_default(),
        hash: item(key::HEAD_HASH)?.map(Item::hash).transpose()?.unwrap_or_default(),
        number: item(key::HEAD_NUMBER)?.map(Item::loose_uint).transpose()?.unwrap_or_default(),
    })
}

fn fork_id(item: Item<'_>) -> Result<ForkId, DecodeFlaw> {
    let mut fields = item.list()?;
    let fork_id = ForkId { hash: fields.fixed()?, next: fields.loose_uint()? };
    fields.finish()?;
    Ok(fork_id)
}

fn checkpoint(item: Item<'_>) -> Result<Checkpoint, DecodeFlaw> {
    let mut fields = item.list()?;
    let checkpoint = Checkpoint {
        section: fields.loose_uint()?,
        head: fields.hash()?,
        cht_root: fields.hash()?,
        bloom_root: fields.hash()?,
    };
    fields.finish()?;
    Ok(checkpoint)
}

/// A server's terms; `flowControl/MRR` marks a server, which must then give the others too.
fn flow_control(values: &KeyValues<'_>) -> Result<Option<FlowControl>, DecodeFlaw> {
    let Some(recharge) = values.uint(RECHARGE)? else { return Ok(None) };
    Ok(Some(FlowControl {
        buffer_limit: values.uint(BUFFER_LIMIT)?.ok_or(DecodeFlaw::MissingKey(BUFFER_LIMIT))?,
        recharge,
        costs: values.costs(COSTS)?.ok_or(DecodeFlaw::MissingKey(COSTS))?,
    }))
}
