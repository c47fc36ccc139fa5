//! Both roles of LES, told as stories: what each rule of the protocol makes them do.

mod announcing;
mod client;
mod credit;
mod greeting;
mod kit;
mod model;
mod questions;
