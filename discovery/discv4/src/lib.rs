//! Node Discovery v4 as a machine: packets and time in, packets and found nodes out.
//!
//! Owns: packets of discv4 with EIP-868, endpoint proofs, the table of nodes, lookups.
//! Must not know: sockets, clocks, what a found node is used for.
//! Start at: the machine.  Told by: the tests at the end of each file.
