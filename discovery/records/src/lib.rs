//! Node records and enode addresses: what a node says of itself, as text and as bytes; and signed lists of them.
//!
//! Owns: enode URLs, node records (EIP-778) with the keys we use, ids derived from node keys, trees of records in
//! the DNS (EIP-1459), the choice of a stack and an address, which addresses are one party's.
//! Must not know: sockets, clocks, who asks for a record.
//! Start at: [`Enode`], [`Record`] and [`dns_tree::TreeSync`].  Told by: the published vectors at the end of each
//! file, `tests/hostile.rs`.

mod addresses;
mod choose;
mod contents;
pub mod dns_tree;
mod enode;
mod keys;
mod multiaddr;
mod multiaddrs;
mod network;
mod record;

pub use addresses::{AddressFault, Libp2pAddrs};
pub use choose::{Reach, Refusal, Rules, Way, choose, is_allowed};
pub use contents::{Contents, Dropped, MAX_RELAYS, Signed};
pub use enode::{Enode, EnodeError, Host, MAX_ENODE_TEXT};
pub use keys::{KeyError, node_key};
pub use multiaddr::{MAX_PARTS, Multiaddr, MultiaddrError, Part, libp2p_peer_id};
pub use multiaddrs::{MAX_MULTIADDRS, Multiaddrs, MultiaddrsError};
pub use network::Network;
pub use record::{EntryError, MAX_RECORD, MAX_RECORD_TEXT, Record, RecordError};
