//! Where events go.

mod log;

pub use log::LogPublisher;
