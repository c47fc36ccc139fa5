//! The kit of the stories over several crates, and the interop suite with real peers.
//!
//! Owns: what only tests need and more than one of them does; the rows of `cargo interop`.
//! Must not know: nothing depends on it.
//! Start at: [`house`], [`interop::main`], [`lying_proxy::LyingProxy`], [`load::main`],
//! [`measure::main`].  Told by: `tests/tests/*.rs`, `cargo interop`.

pub mod cable;
pub mod full_node;
pub mod house;
pub mod interop;
pub mod kept_peer;
pub mod light_peer;
pub mod load;
pub mod lying_proxy;
pub mod measure;
pub mod probe;
mod program;
pub mod verifying_peer;
