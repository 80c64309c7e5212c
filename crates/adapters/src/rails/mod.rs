//! The rails: one folder each. A new rail is a folder here, a line in the composition root, and a line in the
//! contract suite.

pub mod simulator;
pub mod stripe_connect;
