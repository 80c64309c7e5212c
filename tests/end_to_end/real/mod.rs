//! Processes, disks, connections and clocks that are really broken, while the service works.
//!
//! * `kills`: a server, a worker and a provider are killed (SIGKILL) under load
//! * `database_kills`: so is the database, or it gives up on its disk
//! * `commits`: a connection to the database is cut at a COMMIT, on either side of it
//! * `disk`: the disk is full
//! * `fsync`: the disk does not say that it has what was written
//! * `clock_steps`: the clock of a machine is set
//!
//! A worker that stands still (SIGSTOP) beyond its lease is in [`pauses`](super::failpoints), a provider of its own that
//! is killed also in [`provider`](super::provider).

mod clock_steps;
mod commits;
mod database_kills;
mod deployment;
mod disk;
mod fsync;
mod judge;
mod kills;
mod load;
mod resumption;

/// Whether `cargo xtask soak` asks: then everything is done more often.
fn is_soak() -> bool {
    std::env::var("DISBURSE_SOAK").is_ok_and(|value| value == "1")
}
