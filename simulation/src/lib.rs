//! A seed-driven simulation: the real use cases over ports that fail, in virtual time, on one thread.
//!
//! * [`kernel`]: time, tasks and the trace; [`chance`]: what a seed decides
//! * [`world`]: everything that one run consists of; [`faults`]: what can go wrong
//! * [`store`], [`rail`]: the ports as a process has them; [`provider`]: the other end of a rail
//! * [`actors`]: workers, people, notifications; [`laws`]: what must be true; [`oracle`], [`books`]: who looks at it
//! * [`bugs`]: what can be broken on purpose; [`run`]: one seed from its beginning to its end, [`many`]: many of them

pub mod actors;
pub mod books;
pub mod bugs;
pub mod chance;
pub mod faults;
pub mod kernel;
pub mod laws;
pub mod listener;
pub mod many;
pub mod oracle;
pub mod provider;
pub mod rail;
pub mod run;
pub mod store;
mod words;
pub mod world;
