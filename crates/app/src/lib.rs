//! Use cases, and the few ports they need.

pub mod failure;
