//! Both roles of LES, told as stories: what each rule of the protocol makes them do.

#![expect(clippy::unwrap_used, reason = "the kit runs in tests only")]

mod announcing;
mod client;
mod credit;
mod greeting;
mod kit;
mod model;
mod questions;
