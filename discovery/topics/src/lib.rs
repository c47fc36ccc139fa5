//! Topic advertisement of discv5 (the draft of June 2026) as a machine.
//!
//! Owns: messages of topic registration and queries, tickets, waiting times, the table of advertisements.
//! Must not know: sockets, clocks, sessions of discv5.
//! Start at: the registrar.  Told by: the tests at the end of each file.
