//! What the fuzzers run: one function a target, which takes any bytes and panics where a promise breaks.
//!
//! Owns: the targets, and how one input becomes what a peer sends.
//! Must not know: libFuzzer, which only the files in `fuzz_targets` see.
//! Start at: [`rlpx_auth`].  Told by: `tests/corpus.rs`, which replays `corpus/`.

mod circuit_messages;
mod discv4_packet;
mod discv4_seeds;
mod dns_entry;
mod ecies;
mod enr;
mod framing;
mod les_message;
mod libp2p_message;
mod libp2p_seeds;
mod pieces;
mod quic_packet;
mod rlpx_auth;
mod rlpx_frame;
mod rlpx_nodes;
pub mod seeds;
mod signed;
mod stranger;
mod topic_message;
mod topic_seeds;
mod varint;
mod verify_answer;
mod websocket_frames;
mod websocket_seeds;
mod webtransport_capsules;
mod webtransport_headers;
mod webtransport_seeds;

pub use self::{
    circuit_messages::circuit_messages, discv4_packet::discv4_packet, dns_entry::dns_entry, enr::enr,
    framing::framing, les_message::les_message, libp2p_message::libp2p_message, quic_packet::quic_packet,
    rlpx_auth::rlpx_auth, rlpx_frame::rlpx_frame, topic_message::topic_message, verify_answer::verify_answer,
    websocket_frames::websocket_frames, webtransport_capsules::webtransport_capsules,
    webtransport_headers::webtransport_headers,
};

/// A target: any bytes in, a panic where a promise breaks.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also its folder in `corpus/`.
pub const TARGETS: [(&str, Target); 15] = [
    ("rlpx_auth", rlpx_auth),
    ("rlpx_frame", rlpx_frame),
    ("les_message", les_message),
    ("framing", framing),
    ("verify_answer", verify_answer),
    ("enr", enr),
    ("dns_entry", dns_entry),
    ("discv4_packet", discv4_packet),
    ("topic_message", topic_message),
    ("webtransport_headers", webtransport_headers),
    ("webtransport_capsules", webtransport_capsules),
    ("quic_packet", quic_packet),
    ("websocket_frames", websocket_frames),
    ("libp2p_message", libp2p_message),
    ("circuit_messages", circuit_messages),
];
