//! `cargo xtask bench writer`: our group commit beside pgbench, the same rows into the same tables.

use super::Length;
use super::databases::Databases;
use super::figures::{GOALS, Goal, judged, median, shown};
use super::pgbench::Pgbench;
use super::result::Printed;
use super::rivals;
use super::usage::{self, Meter};
use crate::failure::{Failure, Result};
use crate::process;
use crate::workspace::Workspace;
use std::time::Duration;

const OURS: &str = "disburse, 64 callers";
/// As many releases under way as those of [`GROUPED`].
const AS_MANY: &str = "disburse, 128 callers";
const SINGLE: &str = "pgbench, 64 clients, a release a transaction";
const GROUPED: &str = "pgbench, 2 clients, 64 releases a transaction";
const FIELD: [&str; 4] = [OURS, AS_MANY, SINGLE, GROUPED];

/// Time that the server takes to count what its sessions did, once they are gone.
const COUNTED: Duration = Duration::from_secs(1);

/// One round of one rival.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rival: &'static str,
    rate: f64,
    fsyncs: f64,
    commits: f64,
    database_us: f64,
}

struct Race<'a> {
    workspace: &'a Workspace,
    databases: Databases,
    pgbench: Pgbench,
    meter: Meter,
    postmaster: u32,
    seconds: u64,
}

/// Measures, and answers the tables.
pub fn run(workspace: &Workspace, length: Length) -> Result<String> {
    rivals::build(workspace)?;
    build(workspace)?;
    let databases = Databases::provide()?;
    let postmaster = usage::postmaster(databases.postgres())?;
    let seconds = length.seconds();
    let pgbench = Pgbench::find_or_install(workspace)?;
    let race = Race { workspace, databases, pgbench, meter: Meter::new()?, postmaster, seconds };
    let mut field: Vec<(&str, String)> = Vec::new();
    for (rival, name) in FIELD.into_iter().zip(["ours", "as_many", "single", "grouped"]) {
        let url = race.databases.create(name)?;
        rivals::migrate(workspace, &url)?;
        field.push((rival, url));
    }
    let mut samples = Vec::new();
    for round in 0..length.rounds() {
        for place in 0..field.len() {
            let (rival, url) = &field[(place + round) % field.len()];
            let sample = race.round(rival, url)?;
            println!("round {}: {rival}: {} releases/s", round + 1, shown(sample.rate));
            samples.push(sample);
        }
    }
    for (_, url) in &field {
        rivals::verify(workspace, url)?;
    }
    Ok(format!(
        "{}. **Run:** {} rounds of {seconds} s for each, in another order each round, medians; the books of each \
         verified afterwards.\n\n{}\n{}",
        race.databases.version()?,
        length.rounds(),
        table(&samples),
        goals(&samples),
    ))
}

impl Race<'_> {
    fn round(&self, rival: &'static str, url: &str) -> Result<Sample> {
        let count = |url: &str| self.databases.number(url, "SELECT count(*) FROM batches");
        self.databases.checkpoint()?;
        std::thread::sleep(COUNTED);
        let (before, fsyncs, commits) = (count(url)?, self.fsyncs()?, self.commits(url)?);
        let used = self.meter.family(self.postmaster)?;
        let rate = match rival {
            OURS => commit(self.workspace, url, 64, self.seconds)?,
            AS_MANY => commit(self.workspace, url, 128, self.seconds)?,
            SINGLE => self.pgbench.run(url, 1, 64, self.seconds)?,
            _ => self.pgbench.run(url, 64, 2, self.seconds)?,
        };
        let used = self.meter.family(self.postmaster)? - used;
        std::thread::sleep(COUNTED);
        let (fsyncs, commits) = (self.fsyncs()? - fsyncs, self.commits(url)? - commits);
        let releases = count(url)? - before;
        if releases < 1.0 {
            return Err(Failure::new(format!("{rival} wrote nothing")));
        }
        let database_us = used / releases;
        Ok(Sample { rival, rate, fsyncs: fsyncs / releases, commits: commits / releases, database_us })
    }

    /// How often the server waited for its log to reach the disk.
    fn fsyncs(&self) -> Result<f64> {
        let postgres = self.databases.postgres();
        let version = self.databases.number(postgres.url(), "SELECT current_setting('server_version_num')::int")?;
        // From 18 on they are counted with all other input and output.
        let sql = if version < 180_000.0 {
            "SELECT wal_sync FROM pg_stat_wal"
        } else {
            "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'"
        };
        self.databases.number(postgres.url(), sql)
    }

    fn commits(&self, url: &str) -> Result<f64> {
        self.databases.number(url, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    }
}

/// Builds `benches/writer.rs`.
pub fn build(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&["bench", "--package", "benches", "--bench", "writer", "--no-run"]))
}

/// Releases a second that our writer commits, so many callers at once.
pub fn commit(workspace: &Workspace, url: &str, callers: u32, seconds: u64) -> Result<f64> {
    let mut command = workspace.cargo(&["bench", "--quiet", "--package", "benches", "--bench", "writer"]);
    command.env("WRITER_DATABASE_URL", url).env("WRITER_SECONDS", seconds.to_string());
    command.env("WRITER_CALLERS", callers.to_string());
    let printed = Printed::of(&mut command)?;
    Ok(printed.number("releases")? / (printed.number("micros")? / 1e6))
}

fn of(samples: &[Sample], rival: &str, figure: fn(&Sample) -> f64) -> f64 {
    median(samples.iter().filter(|sample| sample.rival == rival).map(figure))
}

fn table(samples: &[Sample]) -> String {
    let mut table = String::from(
        "| | releases/s | commits a release | fsyncs a release | the database's processor time a release |\n\
         |---|---|---|---|---|\n",
    );
    for rival in FIELD {
        let figure = |figure: fn(&Sample) -> f64| shown(of(samples, rival, figure));
        table.push_str(&format!(
            "| {rival} | {} | {} | {} | {} µs |\n",
            figure(|s| s.rate),
            figure(|s| s.commits),
            figure(|s| s.fsyncs),
            figure(|s| s.database_us),
        ));
    }
    table
}

fn goals(samples: &[Sample]) -> String {
    let rate = |rival| of(samples, rival, |sample| sample.rate);
    let mut table = GOALS.to_owned();
    let to_the_better = |rival| rate(rival) / rate(GROUPED).max(rate(SINGLE));
    table += &judged("rate with 128 callers, to the better pgbench", Goal::AtLeast(0.6), to_the_better(AS_MANY));
    table += &judged("rate with 64 callers, to the same", Goal::AtLeast(0.6), to_the_better(OURS));
    table +=
        &judged("the same, to pgbench with a release a transaction", Goal::AtLeast(0.6), rate(OURS) / rate(SINGLE));
    table += &judged("fsyncs a release", Goal::AtMost(0.15), of(samples, OURS, |sample| sample.fsyncs));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_judged_by_the_better_of_the_two() {
        let sample = |rival, rate| Sample { rival, rate, fsyncs: 0.1, commits: 0.2, database_us: 300.0 };
        let ours = [sample(OURS, 5_000.0), sample(AS_MANY, 7_000.0)];
        let samples = [ours[0], ours[1], sample(SINGLE, 2_500.0), sample(GROUPED, 10_000.0)];
        assert!(table(&samples).contains("| disburse, 64 callers | 5,000 | 0.200 | 0.100 | 300 µs |"));
        let goals = goals(&samples);
        assert!(goals.contains("128 callers, to the better pgbench | at least 0.6 | 0.700 | yes |"), "{goals}");
        assert!(goals.contains("64 callers, to the same | at least 0.6 | 0.500 | **no** |"), "{goals}");
        assert!(goals.contains("fsyncs a release | at most 0.15 | 0.100 | yes |"), "{goals}");
    }
}
