//! `cargo xtask bench http`: releases from end to end, ours and a Node.js service in two designs.

use super::Length;
use super::databases::Databases;
use super::figures::{GOALS, Goal, judged, median, shown};
use super::peers::Peers;
use super::rivals::{self, Rival};
use super::usage::{self, Meter};
use super::wrk::Wrk;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// How many requests are under way at a time.
const CONNECTIONS: [u32; 2] = [64, 1];
const POSTGRES: &str = "disburse, PostgreSQL";
const SQLITE: &str = "disburse, SQLite";
const NODE_FULL: &str = "Node, the same rows";
const NODE_SEED: &str = "Node, one row";

/// One round of one rival.
#[derive(Debug, Clone, Copy)]
struct Sample {
    rival: &'static str,
    connections: u32,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    server_us: f64,
    database_us: f64,
    resident_mb: f64,
}

/// Measures, and answers the tables.
pub fn run(workspace: &Workspace, length: Length) -> Result<String> {
    rivals::build(workspace)?;
    let wrk = Wrk::find_or_install(workspace)?;
    let peers = Peers::install(workspace)?;
    let databases = Databases::provide()?;
    let versions =
        format!("{}; {}; {}", databases.version()?, peers.versions(&["express", "pg", "jsonwebtoken"])?, wrk.version());
    let starts = rivals::start_up(workspace, usage::resident_mb)?;
    let field = [
        Rival::ours(workspace, POSTGRES, Some(databases.create("ours")?))?,
        Rival::ours(workspace, SQLITE, None)?,
        Rival::node(workspace, &databases, &peers, NODE_FULL, "full")?,
        Rival::node(workspace, &databases, &peers, NODE_SEED, "seed")?,
    ];
    let measured = Race { databases: &databases, wrk: &wrk, meter: Meter::new()?, length }.run(&field)?;
    for rival in field {
        rival.conclude(workspace)?;
    }
    let (rounds, seconds) = (length.rounds(), length.seconds());
    Ok(format!(
        "{versions}. **Run:** {rounds} rounds of {seconds} s for each rival and number of connections, in another order \
         each round, medians; every answer 2xx, and as many rows as answers.\n\n{}\n{}\n{}",
        table(&measured),
        goals(&measured, &starts),
        started(&starts),
    ))
}

struct Race<'a> {
    databases: &'a Databases,
    wrk: &'a Wrk,
    meter: Meter,
    length: Length,
}

impl Race<'_> {
    fn run(&self, field: &[Rival]) -> Result<Vec<Sample>> {
        // Cold, V8 costs two or three times as much.
        for rival in field {
            println!("warming up {}", rival.name);
            self.wrk.run(rival.load(CONNECTIONS[0], self.length.seconds(), "warm"))?;
        }
        let postmaster = usage::postmaster(self.databases.postgres())?;
        let mut samples = Vec::new();
        for round in 0..self.length.rounds() {
            for connections in CONNECTIONS {
                for place in 0..field.len() {
                    let rival = &field[(place + round) % field.len()];
                    let sample = self.round(rival, connections, postmaster, &format!("r{round}c{connections}"))?;
                    println!(
                        "round {}, connections: {connections}, {}: {} requests/s",
                        round + 1,
                        rival.name,
                        shown(sample.rate)
                    );
                    samples.push(sample);
                }
            }
        }
        Ok(samples)
    }

    fn round(&self, rival: &Rival, connections: u32, postmaster: u32, nonce: &str) -> Result<Sample> {
        self.databases.checkpoint()?;
        let booked = rival.booked(self.databases)?;
        let (server, database) = (self.meter.process(rival.id())?, self.meter.family(postmaster)?);
        let answers = self.wrk.run(rival.load(connections, self.length.seconds(), nonce))?;
        let (server, database) = (self.meter.process(rival.id())? - server, self.meter.family(postmaster)? - database);
        let booked = rival.booked(self.databases)? - booked;
        // At the end as many as there are connections may be booked that nobody waited for.
        if booked < answers.count || booked > answers.count + f64::from(connections) {
            let (name, answered) = (rival.name, answers.count);
            return Err(Failure::new(format!("{name} answered {answered} releases 2xx and booked {booked}")));
        }
        Ok(Sample {
            rival: rival.name,
            connections,
            rate: answers.rate,
            p50_ms: answers.p50_ms,
            p99_ms: answers.p99_ms,
            server_us: server / answers.count,
            database_us: database / answers.count,
            resident_mb: usage::resident_mb(rival.id())?,
        })
    }
}

fn of(samples: &[Sample], rival: &str, connections: u32, figure: fn(&Sample) -> f64) -> f64 {
    median(samples.iter().filter(|s| s.rival == rival && s.connections == connections).map(figure))
}

fn table(samples: &[Sample]) -> String {
    let mut table = String::from(
        "| | connections | requests/s | p50 | p99 | processor time a request: server + database | resident |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for connections in CONNECTIONS {
        for rival in [POSTGRES, SQLITE, NODE_FULL, NODE_SEED] {
            let figure = |figure: fn(&Sample) -> f64| shown(of(samples, rival, connections, figure));
            let database = if rival == SQLITE { "0 (the same process)".into() } else { figure(|s| s.database_us) };
            table.push_str(&format!(
                "| {rival} | {connections} | {} | {} ms | {} ms | {} + {database} µs | {} MB |\n",
                figure(|s| s.rate),
                figure(|s| s.p50_ms),
                figure(|s| s.p99_ms),
                figure(|s| s.server_us),
                figure(|s| s.resident_mb),
            ));
        }
    }
    table
}

/// Of what one request cost: server and database.
fn cost(sample: &Sample) -> f64 {
    // While SQLite is measured, what PostgreSQL does is not for it.
    if sample.rival == SQLITE { sample.server_us } else { sample.server_us + sample.database_us }
}

fn goals(samples: &[Sample], starts: &[(f64, f64); 2]) -> String {
    use Goal::{AtLeast, AtMost};
    let ratio = |ours, peer, connections, figure: fn(&Sample) -> f64| {
        of(samples, ours, connections, figure) / of(samples, peer, connections, figure)
    };
    let rows = [
        (
            "PostgreSQL, 64 connections: rate, to Node with the same rows",
            AtLeast(8.0),
            ratio(POSTGRES, NODE_FULL, 64, |s| s.rate),
        ),
        ("the same, to Node with one row", AtLeast(4.0), ratio(POSTGRES, NODE_SEED, 64, |s| s.rate)),
        ("processor time a request, to Node with the same rows", AtMost(0.125), ratio(POSTGRES, NODE_FULL, 64, cost)),
        ("the same, to Node with one row", AtMost(0.25), ratio(POSTGRES, NODE_SEED, 64, cost)),
        (
            "PostgreSQL, 1 connection: p50, to Node with the same rows",
            AtMost(0.5),
            ratio(POSTGRES, NODE_FULL, 1, |s| s.p50_ms),
        ),
        ("SQLite, 64 connections: rate, to Node with one row", AtLeast(8.0), ratio(SQLITE, NODE_SEED, 64, |s| s.rate)),
        ("the same, to Node with the same rows", AtLeast(15.0), ratio(SQLITE, NODE_FULL, 64, |s| s.rate)),
        (
            "PostgreSQL, 64 connections: memory, to Node with the same rows",
            AtMost(0.25),
            ratio(POSTGRES, NODE_FULL, 64, |s| s.resident_mb),
        ),
        ("memory when idle, MB", AtMost(25.0), starts[1].1),
        ("from start to ready on SQLite, ms", AtMost(150.0), starts[1].0),
    ];
    let rows = rows.into_iter().map(|(what, goal, figure)| judged(what, goal, figure));
    rows.fold(GOALS.to_owned(), |table, row| table + &row)
}

fn started(starts: &[(f64, f64); 2]) -> String {
    let mut table =
        String::from("| start on SQLite, with a worker | ready after | resident a second later |\n|---|---|---|\n");
    for (what, (took_ms, memory)) in ["without data: the schema is made", "with a database"].into_iter().zip(starts) {
        table.push_str(&format!("| {what} | {} ms | {} MB |\n", shown(*took_ms), shown(*memory)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rival: &'static str, connections: u32, rate: f64) -> Sample {
        Sample {
            rival,
            connections,
            rate,
            p50_ms: 1.0,
            p99_ms: 2.0,
            server_us: 30.0,
            database_us: 10.0,
            resident_mb: 20.0,
        }
    }

    #[test]
    fn the_median_of_a_rivals_own_rounds_is_shown() {
        let mut samples = Vec::new();
        for rival in [POSTGRES, SQLITE, NODE_FULL, NODE_SEED] {
            let whole = if rival == POSTGRES { 4_000.0 } else { 500.0 };
            samples.extend([1.0, 3.0, 2.0].map(|part| sample(rival, 64, whole * part)));
            samples.push(sample(rival, 1, 50.0));
        }
        let table = table(&samples);
        assert!(table.contains("| disburse, PostgreSQL | 64 | 8,000 | 1.00 ms | 2.00 ms | 30.0 + 10.0 µs | 20.0 MB |"));
        assert!(table.contains("| Node, one row | 1 | 50.0 |"), "{table}");
        let goals = goals(&samples, &[(200.0, 10.0), (100.0, 10.0)]);
        assert!(goals.contains("rate, to Node with the same rows | at least 8 | 8.00 | yes |"), "{goals}");
        assert!(goals.contains("SQLite, 64 connections: rate, to Node with one row | at least 8 | 1.00 | **no** |"));
    }
}
