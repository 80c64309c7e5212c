//! `cargo xtask bench execution`: paying items, beside queues whose jobs do nothing.

use super::Length;
use super::databases::Databases;
use super::figures::{GOALS, Goal, judged, median, shown};
use super::peers::Peers;
use super::result::Printed;
use super::rivals;
use super::sqlite::Sqlite;
use super::store::Store;
use super::usage::{self, Meter};
use super::wrk::{Load, Wrk};
use crate::failure::{Attempt, Failure, Result};
use crate::guarded::{Ending, Guarded};
use crate::process;
use crate::server::{self, Server};
use crate::workspace::Workspace;
use std::time::{Duration, Instant};

const OURS: &str = "disburse, PostgreSQL: an item paid";
const OURS_SQLITE: &str = "disburse, SQLite: an item paid";
const PGBOSS: &str = "pg-boss: a job that does nothing, one at a time";
const PGBOSS_64: &str = "pg-boss: 64 jobs that do nothing at a time";
const GRAPHILE: &str = "graphile-worker: a job that does nothing";
const FIELD: [&str; 5] = [OURS, OURS_SQLITE, PGBOSS, PGBOSS_64, GRAPHILE];

/// Between two releases whose pick-up is timed: out of step with every timer.
const PAUSE: Duration = Duration::from_millis(47);
/// How long nothing may be paid before something is wrong.
const STUCK: Duration = Duration::from_secs(30);

/// One round of one rival.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rival: &'static str,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
}

struct Race<'a> {
    workspace: &'a Workspace,
    databases: Databases,
    sqlite: Sqlite,
    peers: Peers,
    wrk: Wrk,
    length: Length,
}

/// Measures, and answers the tables.
pub fn run(workspace: &Workspace, length: Length) -> Result<String> {
    rivals::build(workspace)?;
    let (wrk, peers) = (Wrk::find_or_install(workspace)?, Peers::install(workspace)?);
    let (databases, sqlite) = (Databases::provide()?, Sqlite::find_or_install()?);
    let race = Race { workspace, databases, sqlite, peers, wrk, length };
    let mut samples = Vec::new();
    let mut costs = Vec::new();
    for round in 0..length.rounds() {
        for place in 0..FIELD.len() {
            let rival = FIELD[(place + round) % FIELD.len()];
            race.databases.checkpoint()?;
            let sample = match rival {
                OURS | OURS_SQLITE => {
                    let (rate, cost_us) = race.pay(rival, round)?;
                    costs.push((rival, cost_us));
                    let (p50_ms, p99_ms) = race.pick_up(rival, round)?;
                    Sample { rival, rate, p50_ms, p99_ms }
                }
                PGBOSS => race.peer(rival, "pgboss", round)?,
                PGBOSS_64 => race.peer(rival, "pgboss64", round)?,
                _ => race.peer(rival, "graphile", round)?,
            };
            println!("round {}: {rival}: {} a second", round + 1, shown(sample.rate));
            samples.push(sample);
        }
    }
    let cost = |of| shown(median(costs.iter().filter(|(rival, _)| *rival == of).map(|(_, cost_us)| *cost_us)));
    Ok(format!(
        "{}; {}. **Run:** {} rounds, in another order each round, medians; a database of its own for each; \
         books verified after each of ours, the simulator's included.\n\n{}\n{}\nOne item paid costs {} µs of processor \
         time on PostgreSQL, worker and database together, and {} µs on SQLite.\n",
        race.databases.version()?,
        race.peers.versions(&["pg-boss", "graphile-worker"])?,
        length.rounds(),
        table(&samples),
        goals(&samples),
        cost(OURS),
        cost(OURS_SQLITE),
    ))
}

impl Race<'_> {
    /// A database of a server that is called so; on SQLite that of the server.
    fn store(&self, rival: &str, server: &str, round: usize) -> Result<Store<'_>> {
        if rival == OURS_SQLITE {
            let file = self.workspace.workshop(&format!("data/{server}"))?.join("disburse.db");
            return Ok(Store::Sqlite { sqlite: &self.sqlite, file });
        }
        let url = self.databases.create(&format!("{}_{round}", server.replace('-', "_")))?;
        Ok(Store::Postgres { databases: &self.databases, url })
    }

    /// Items paid a second, and microseconds of processor time for each. They are scheduled before the worker starts.
    fn pay(&self, rival: &str, round: usize) -> Result<(f64, f64)> {
        const NAME: &str = "bench-execution";
        let store = self.store(rival, NAME, round)?;
        let server = rivals::start_ours(self.workspace, NAME, store.url(), &["--no-worker"])?;
        // The rail shall not be what is measured.
        server.call("PUT", "/simulator/settings", Some(r#"{"callsPerSecondMax":100000}"#))?;
        let seconds = if self.length == Length::Full { 3 } else { 1 };
        let (to, token) = (server.address(), server.token());
        self.wrk.run(Load { to, token, connections: 64, seconds, nonce: "pay" })?;
        self.databases.checkpoint()?;

        let meter = Meter::new()?;
        let postmaster = usage::postmaster(self.databases.postgres())?;
        let used = meter.family(postmaster)?;
        let data = self.workspace.workshop(&format!("data/{NAME}"))?;
        let log = self.workspace.workshop("logs")?.join("bench-worker.log");
        let ending = Ending { signal: "TERM", patience: Duration::from_secs(30), folder: None };
        let binary = rivals::release_binary(self.workspace)?;
        let mut command = server::disburse(&binary, &data, store.url());
        let mut worker = Guarded::start("the worker", command.arg("worker"), &log, &ending)?;
        wait_until_paid(&store, &mut worker)
            .map_err(|failure| Failure::new(format!("{failure}\n{}", process::tail(&log, 30))))?;
        let of_database = if store.url().is_some() { meter.family(postmaster)? - used } else { 0.0 };
        let used = of_database + meter.process(worker.id())?;
        worker.stop()?;

        let items = store.number("SELECT count(*) FROM items WHERE status = 'paid'")?;
        let micros = "SELECT max(processed_at) - (SELECT min(first_sent_at) FROM instructions) FROM items";
        let micros = store.number(micros)?;
        let mut verify = server::disburse(&binary, &data, store.url());
        process::capture(verify.arg("verify"))?;
        server.conclude(Ok(()))?;
        Ok((items / (micros / 1e6), used / items))
    }

    /// Milliseconds from a release until its instruction is stored, half of them and all but one of a hundred. That is
    /// longer than until its job is claimed: the batch is read and planned, and the rail asked, in between.
    fn pick_up(&self, rival: &str, round: usize) -> Result<(f64, f64)> {
        const NAME: &str = "bench-pick-up";
        let store = self.store(rival, NAME, round)?;
        let server = rivals::start_ours(self.workspace, NAME, store.url(), &[])?;
        for place in 0..self.timed() {
            release(&server, place)?;
            std::thread::sleep(PAUSE);
        }
        std::thread::sleep(Duration::from_secs(1));
        let waited = "SELECT min(first_sent_at) - min(batches.created_at) \
                      FROM batches JOIN instructions ON batch_id = batches.id GROUP BY batches.id";
        let answer = store.ask(waited)?;
        let waited = answer.lines().map(|micros| micros.parse().attempting(|| format!("reading `{micros}`")));
        let mut waited: Vec<f64> = waited.collect::<Result<_>>()?;
        if waited.len() < usize::try_from(self.timed()).unwrap_or(usize::MAX) {
            return Err(Failure::new(format!("of {} releases {} were picked up", self.timed(), waited.len())));
        }
        waited.sort_by(f64::total_cmp);
        server.conclude(Ok(()))?;
        Ok((percentile(&waited, 50) / 1e3, percentile(&waited, 99) / 1e3))
    }

    fn peer(&self, rival: &'static str, who: &str, round: usize) -> Result<Sample> {
        let jobs = if self.length == Length::Full { 20_000 } else { 1_000 };
        let run = |what: &str, count: u32| {
            let url = self.databases.create(&format!("{who}_{what}_{round}"))?;
            let mut command = self.peers.command("race_queue.js");
            Printed::of(command.args([who, what, &count.to_string()]).env("DATABASE_URL", url))
        };
        let (rate, latency) = (run("rate", jobs)?, run("latency", self.timed())?);
        Ok(Sample {
            rival,
            rate: rate.number("jobs")? / (rate.number("micros")? / 1e6),
            p50_ms: latency.number("p50")?,
            p99_ms: latency.number("p99")?,
        })
    }

    /// How many are timed one by one.
    fn timed(&self) -> u32 {
        if self.length == Length::Full { 300 } else { 40 }
    }
}

fn wait_until_paid(store: &Store<'_>, worker: &mut Guarded) -> Result<()> {
    let (mut left, mut since) = (f64::INFINITY, Instant::now());
    loop {
        let now_left = store.number("SELECT count(*) FROM items WHERE status <> 'paid'")?;
        if now_left < 1.0 {
            return Ok(());
        }
        if now_left < left {
            (left, since) = (now_left, Instant::now());
        }
        if since.elapsed() > STUCK {
            return Err(Failure::new(format!("{left} items are not paid, and nothing moves")));
        }
        worker.check_alive()?;
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// The smallest figure, of those that are sorted, that so many of a hundred do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn release(server: &Server, place: u32) -> Result<()> {
    let release =
        format!(r#"{{"escrowId":"esc_{place}","projectId":"prj_bench","amount":{},"currency":"USD"}}"#, 1_000 + place);
    server.call("POST", "/revenue/schedule-payouts", Some(&release)).map(drop)
}

fn of(samples: &[Sample], rival: &str, figure: fn(&Sample) -> f64) -> f64 {
    median(samples.iter().filter(|sample| sample.rival == rival).map(figure))
}

fn table(samples: &[Sample]) -> String {
    let mut table = String::from("| | a second | pick-up p50 | pick-up p99 |\n|---|---|---|---|\n");
    for rival in FIELD {
        let figure = |figure: fn(&Sample) -> f64| shown(of(samples, rival, figure));
        table.push_str(&format!(
            "| {rival} | {} | {} ms | {} ms |\n",
            figure(|s| s.rate),
            figure(|s| s.p50_ms),
            figure(|s| s.p99_ms),
        ));
    }
    table
}

fn goals(samples: &[Sample]) -> String {
    let rate = |rival| of(samples, rival, |sample| sample.rate);
    let p99 = |rival| of(samples, rival, |sample| sample.p99_ms);
    let mut table = GOALS.to_owned();
    for (database, ours) in [("PostgreSQL", OURS), ("SQLite", OURS_SQLITE)] {
        for (peer, jobs) in [(PGBOSS, "one job"), (PGBOSS_64, "64 jobs")] {
            let what = format!("{database}: items, to pg-boss, {jobs} at a time");
            table += &judged(&what, Goal::AtLeast(2.0), rate(ours) / rate(peer));
        }
        let what = format!("{database}: pick-up p99, to graphile-worker");
        table += &judged(&what, Goal::AtMost(1.0), p99(ours) / p99(GRAPHILE));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_shown_beside_the_queues() {
        let sample = |rival, rate, p99_ms| Sample { rival, rate, p50_ms: 1.0, p99_ms };
        let samples = [
            sample(OURS, 3_000.0, 8.0),
            sample(OURS_SQLITE, 500.0, 12.0),
            sample(PGBOSS, 1_000.0, 50.0),
            sample(PGBOSS_64, 6_000.0, 50.0),
            sample(GRAPHILE, 1_500.0, 10.0),
        ];
        assert!(table(&samples).contains("| disburse, PostgreSQL: an item paid | 3,000 | 1.00 ms | 8.00 ms |"));
        let goals = goals(&samples);
        assert!(
            goals.contains("PostgreSQL: items, to pg-boss, one job at a time | at least 2 | 3.00 | yes |"),
            "{goals}"
        );
        assert!(
            goals.contains("SQLite: items, to pg-boss, 64 jobs at a time | at least 2 | 0.083 | **no** |"),
            "{goals}"
        );
        assert!(goals.contains("PostgreSQL: pick-up p99, to graphile-worker | at most 1 | 0.800 | yes |"), "{goals}");
    }

    #[test]
    fn of_a_hundred_all_but_one_do_not_exceed_it() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 50), percentile(&hundred, 99)), (50.0, 99.0));
        assert_eq!(percentile(&[7.0], 99), 7.0);
    }
}
