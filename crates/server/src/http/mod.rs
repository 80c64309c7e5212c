//! The HTTP edge: everything between a socket and a use case.
//!
//! A request passes, from the outside in:
//!
//! * [`shell`]: request id, access log, metrics, panics; nothing leaves without the one error shape
//! * [`routes`]: the table of methods and paths, and what each operation declares
//! * [`auth`] and [`token`]: who calls, and whether they may, by the table of [`roles`]; [`rate`]: how often
//! * [`payload`], [`json`], [`fields`]: a body becomes a typed value, or a list of every fault in it
//! * [`ndjson`]: a body of many lines, each read as a body and answered by itself
//! * [`scalars`], [`shown`]: domain values on their way in and out
//! * [`params`], [`page`]: the same for path and query
//! * [`idempotency`]: a request that was answered before gets the same answer
//!
//! On the way out, [`responses`] names what an endpoint may answer, and [`problem`] turns errors into
//! statuses: it is the only module that knows which status an error has. [`openapi`] and [`docs`]
//! publish all of it.
//!
//! The endpoints themselves are in [`api`], one file a resource.

mod api;
pub mod auth;
pub mod context;
pub mod docs;
pub mod error_body;
pub mod fault;
pub mod fields;
pub mod idempotency;
pub mod json;
pub mod metrics;
pub mod ndjson;
pub mod openapi;
pub mod page;
pub mod params;
pub mod payload;
pub mod problem;
pub mod rate;
pub mod responses;
pub mod roles;
pub mod routes;
pub mod scalars;
pub mod shell;
pub mod shown;
pub mod token;

pub use api::{Bounds, ModelFile, document, endpoint};

#[cfg(test)]
mod tests;
