//! Checks what is shipped before anybody installs it.
//!
//! Owns: the rules for the container's and the Dappnode package's files that no published schema knows.
//! Must not know: any other crate; it reads files only (`deploy/*/check.sh` run the programs).
//! Start at: [`check`] and [`Package`].  Told by: `tests/rules.rs`, one broken package for each rule.

pub mod check;
mod package;

pub use check::{Finding, check};
pub use package::{Package, Source};
