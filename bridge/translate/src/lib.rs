//! Decides what is asked of full nodes on behalf of light peers, and who gets the answer.
//!
//! Owns: both roles of LES as machines (`Translator` serves, `Client` asks), credit, tickets, sharing of
//! equal questions, order of announcements.
//! Must not know: sockets, stacks, clocks, how an upstream is reached.
//! Start at: [`Translator`] and [`Client`].  Told by: the tests at the end of each file, `tests/`.
//!
//! The drain contract: after each `handle_*` call the shell carries out what `poll_command` gives until it
//! is empty, and arms a timer for `poll_timeout`.

mod agreement;
mod allowance;
mod answers;
mod client;
mod command;
mod cost;
mod credit;
mod fault;
mod heads;
mod light_peer;
mod questions;
mod recharge;
mod sharing;
mod translator;

pub use agreement::ChainIdentity;
pub use client::{AccountKeyForm, AskError, Client, ClientCommand, ClientConfig};
pub use command::{Command, MessageId, Ticket, Unanswered};
pub use fault::Fault;
pub use heads::{sign_head, signer_of_head};
pub use translator::{ServerConfig, Translator};
