//! Contracts of the ports, end-to-end sentences against the real binary, and the rules of the house.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

mod contracts;
mod end_to_end;
mod fuzzed;
mod harness;
mod house;
mod stories;
mod stripe;
