//! Topic advertisement of discv5 (the draft of June 2026) as a machine: bodies of messages and time in, bodies of
//! messages out.
//!
//! Owns: messages of topic registration and queries, tickets, waiting times, the table of advertisements.
//! Must not know: sockets, clocks, sessions of discv5, which messages or protocol carry the bodies.
//! Start at: [`Registrar`], [`Advertiser`] and [`Searcher`].  Told by: the tests at the end of each file, and
//! `src/tests/simulation.rs`.
//!
//! # What the draft leaves open, and what was chosen
//!
//! The draft is devp2p `discv5/discv5-theory.md` ("Topic-based Service Discovery") and `discv5-wire.md` of
//! 2026-06-15. No implementation of it was found deployed (geth has none), so each of these may turn out otherwise.
//!
//! | open in the draft | chosen |
//! |---|---|
//! | the registration window δ is "TBD" | 10 s ([`REGISTRATION_WINDOW`]), as in the first topics of discv5 |
//! | the record's entry is `ng` in the theory, `topic-discovery` in `enr-entries/ng.md` | `topic-discovery` = 1; [`Registrars::Any`] asks for no entry |
//! | how topics are derived from names | keccak-256 of the namespace's text ([`Topic::of`]) |
//! | form, digest and seal of tickets ("specified in the wire-format document", which calls them opaque) | 40 bytes, see [`ticket::Ticket::seal`]; they also hold for one IP address only |
//! | tickets that are early, late or wrong: refuse or begin anew | begin anew, as no message says no |
//! | a registration that is there already: renew or ignore | confirmed with the rest of its lifetime; nobody stays by asking often, and a lost answer is made good |
//! | buckets are counted 0..256 in the theory, distances are "positive" on the wire | 1..=256 as in FINDNODE; 0 names nothing |
//! | how much a crowded prefix adds to the IP score | each level with more than its half of the level above adds 1/levels ([`waiting::IpTrees`]) |
//! | IPv6: one tree or two, how deep | a tree of its own over the 64 bits of the network |
//! | whether the record must have the sender's address | it must: else one machine could advertise from everywhere |
//! | which auxiliary NODES to send, and how many | one for each distance asked for, at most 16, as far as the [`Budget`] goes |
//! | TOPICQUERY without results may get no response at all | always one TOPICNODES, as silence is a failure to the asker |
//! | requests that get no answer | those in [`RequestFault`] |
//! | waiting time of a full table (the formula divides by zero) | the longest, 24 h, and nobody enters before one leaves |
//! | the bound kept at an IP vertex that is removed | goes with it |
//! | payloads of advertisements | none |
//!
//! What follows from the formula as it stands: `c_topic/c` is 1 where a registrar holds one topic only, so there
//! the second advertiser waits a whole lifetime, however empty the table is; addresses that are the same (one
//! machine, one NAT) wait as long. Tests on one machine want a short [`Parameters::lifetime`]. An attacker with many
//! identities on one network is slowed (each is out of the table for longer than it is in), not shut out; a flood is
//! bounded by the occupancy term. The simulation tells the numbers.

mod advertisements;
mod advertiser;
mod draw;
pub mod message;
mod parameters;
mod registrar;
mod request;
mod searcher;
mod service_table;
pub mod ticket;
mod topic;
pub mod waiting;

pub use advertisements::{Advertisements, TableError};
pub use advertiser::{Advertiser, MAX_RETRIES, MAX_WAIT, PATIENCE, Placements};
pub use message::{Budget, Message, MessageError, decode_all, encode_all};
pub use parameters::{
    CAPACITY, LIFETIME, LONGEST_WAIT, MAX_RETURNED, OCCUPANCY_EXPONENT, Parameters, QUERIES_PER_BUCKET,
    REGISTRATION_WINDOW, REGISTRATIONS_PER_BUCKET, SAFETY, WANTED_ADVERTISERS,
};
pub use registrar::{MAX_AUXILIARY, MAX_NEIGHBOURS, Registrar, Registration, Reply, RequestFault, Sender};
pub use request::{ANSWER_TIMEOUT, AnswerFault, MAX_IN_FLIGHT, Request};
pub use searcher::{MAX_WANTED, SearchEvent, Searcher, Summary};
pub use service_table::{BUCKET_SIZE, MAX_HINTS, MAX_PER_NETWORK, ServiceTable};
pub use ticket::{Secret, TICKET_LENGTH, TicketError};
pub use topic::{CAPABILITY_KEY, CAPABILITY_VERSION, MAX_DISTANCE, Registrars, Topic, announced_version};

#[cfg(test)]
mod tests;
