//! Bytes and their meaning: ids, capabilities, queries, answers, and the LES messages.
//!
//! Owns: every byte layout that both stacks share, and its limits.
//! Must not know: connections, time, who asked, who answered.
//! Start at: [`les::Message`] and [`Query`].  Told by: `tests/les`, and the end of each file.

mod capability;
mod head;
pub mod heartbeat;
mod id;
pub mod les;
mod query;
pub mod rlp;

pub use capability::{BASE_LENGTH, Capability, SharedCapability, agree};
pub use head::{ForkId, Head, HeadUpdate};
pub use heartbeat::Heartbeat;
pub use id::{MAX_PEER_ID, NetworkId, NodeKey, PeerId, PeerIdTooLong, RequestId, SessionId, Stack};
pub use query::{
    AccountKey, Answer, CodeRequest, HashOrNumber, HelperTrie, HelperTrieRequest, Inclusion, ProofRequest,
    Query, TransactionStatus,
};
