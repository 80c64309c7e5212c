//! `cargo xtask bench growth`: how much slower it is with millions of batches, how long a page takes at any depth, and how
//! large the tables are.
//!
//! Batches are made directly in the database, each like one that was really booked and paid, or only booked.

mod copies;
mod pages;
mod store;
mod template;

use super::Length;
use super::databases::Databases;
use super::figures::{GOALS, Goal, judged, median, shown};
use super::rivals;
use super::sqlite::Sqlite;
use super::store::Store;
use super::wrk::{Load, Wrk};
use crate::failure::{Attempt, Failure, Result};
use crate::guarded::{Ending, Guarded};
use crate::http;
use crate::process;
use crate::server::{self, Server};
use crate::workspace::Workspace;
use copies::Copies;
use pages::Pages;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use store::Size;
use template::Template;

const POSTGRES: &str = "PostgreSQL";
const SQLITE: &str = "SQLite";
/// Says how many batches there are to be on each, and how many there are usually: those of the goal.
const BATCHES: [(&str, &str, u64); 2] =
    [(POSTGRES, "GROWTH_BATCHES_POSTGRES", 10_000_000), (SQLITE, "GROWTH_BATCHES_SQLITE", 1_000_000)];
/// If it is set, those on PostgreSQL are booked and not paid: a disk that is too small for the others may do for these.
const UNPAID: &str = "GROWTH_UNPAID_POSTGRES";
/// As many for a quick run.
const QUICK: u64 = 20_000;
/// So many are written at once. The first are written as releases are, with all indexes: they tell how large the rest is.
const CHUNK: u64 = 50_000;
/// What must be free beside what the batches take: the log, and what is sorted for an index.
const SPARE: f64 = 2e9;
/// The same as a part of what they take.
const SPARE_PART: f64 = 0.2;
const CONNECTIONS: u32 = 64;
const FOLDER: &str = "bench-growth";
/// How long the template may take until nothing of it is left to be done.
const DONE_WITHIN: Duration = Duration::from_secs(60);

struct Race<'a> {
    workspace: &'a Workspace,
    databases: &'a Databases,
    sqlite: &'a Sqlite,
    wrk: &'a Wrk,
    length: Length,
}

/// How far each batch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Booked,
    Paid,
}

impl State {
    fn of(name: &str) -> Self {
        if name == POSTGRES && std::env::var_os(UNPAID).is_some() { Self::Booked } else { Self::Paid }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Booked => "booked",
            Self::Paid => "paid",
        }
    }

    /// As the database calls it.
    fn status(self) -> &'static str {
        match self {
            Self::Booked => "scheduled",
            Self::Paid => "completed",
        }
    }
}

/// What came of one database.
struct Grown {
    name: &'static str,
    batches: u64,
    state: State,
    /// Seconds for the rows, and for their indexes.
    made: (f64, f64),
    /// Releases a second, empty and full.
    rates: Vec<(f64, f64)>,
    pages: Pages,
    sizes: Vec<Size>,
    /// Rows of one batch, by table.
    rows: Vec<(&'static str, usize)>,
}

/// Measures, and answers the tables.
pub fn run(workspace: &Workspace, length: Length) -> Result<String> {
    rivals::build(workspace)?;
    let (wrk, databases, sqlite) =
        (Wrk::find_or_install(workspace)?, Databases::provide()?, Sqlite::find_or_install()?);
    let race = Race { workspace, databases: &databases, sqlite: &sqlite, wrk: &wrk, length };
    // The smaller one first: what it takes is free again for the other.
    let small = race.grow(SQLITE, None)?;
    let grown = [race.grow(POSTGRES, Some(databases.create("growth")?))?, small];
    Ok(format!(
        "{}; {}. **Run:** {} rounds of {} s for each, in another order each round, medians; the empty database is a new \
         one each round; the books of the first {} that were made are verified.\n\n{}\n{}\n{}",
        databases.version()?,
        wrk.version(),
        length.rounds(),
        length.seconds(),
        shown(count(CHUNK)),
        table(&grown),
        goals(&grown),
        sizes(&grown),
    ))
}

impl Race<'_> {
    fn grow(&self, name: &'static str, url: Option<String>) -> Result<Grown> {
        let (batches, state) = (wanted(name, self.length)?, State::of(name));
        let server = rivals::start_ours(self.workspace, FOLDER, url.as_deref(), &["--no-worker"])?;
        let data = self.workspace.workshop(&format!("data/{FOLDER}"))?;
        let store = match url.clone() {
            Some(url) => Store::Postgres { databases: self.databases, url },
            None => Store::Sqlite { sqlite: self.sqlite, file: data.join("disburse.db") },
        };
        let template = match state {
            State::Booked => booked(&server, &store)?,
            State::Paid => self.paid(&server, &store, url.as_deref(), &data)?,
        };
        let copies = Copies::new(&template, store.dialect(), batches);
        let made = self.fill(&store, &copies, batches, state)?;
        let sizes = store.sizes()?;
        // Filling may take longer than a token is good for.
        let token = server::read_token(&rivals::release_binary(self.workspace)?, &data, url.as_deref())?;
        let pages = Pages::measure(server.address(), &token, |number| copies.batch(number), batches)?;
        let rates = self.rates(name, &server, &token)?;
        server.conclude(Ok(()))?;
        let rows = template.tables.iter().map(|rows| (rows.table, rows.rows.len())).collect();
        Ok(Grown { name, batches, state, made, rates, pages, sizes, rows })
    }

    /// Has two releases paid. The first of a project and its people may write more than others.
    fn paid(&self, server: &Server, store: &Store<'_>, url: Option<&str>, data: &Path) -> Result<Template> {
        let log = self.workspace.workshop("logs")?.join("bench-growth-worker.log");
        let ending = Ending { signal: "TERM", patience: Duration::from_secs(30), folder: None };
        let mut command = server::disburse(&rivals::release_binary(self.workspace)?, data, url);
        let mut worker = Guarded::start("the worker", command.arg("worker"), &log, &ending)?;
        let mut pay = |escrow: &str| {
            let batch = release(server, escrow)?;
            worker
                .wait_until(DONE_WITHIN, || is_all_done(store))
                .map_err(|failure| Failure::new(format!("{failure}\n{}", process::tail(&log, 30))))?;
            Ok::<_, Failure>(batch)
        };
        pay("esc_first")?;
        let counts = store.counts()?;
        let batch = pay(template::ESCROW)?;
        worker.stop()?;
        Template::read(store, &batch, true, &counts)
    }

    /// Writes the copies. Answers the seconds for rows and indexes.
    fn fill(&self, store: &Store<'_>, copies: &Copies<'_>, batches: u64, state: State) -> Result<(f64, f64)> {
        let started = Instant::now();
        let (before, first) = (store.size()?, batches.min(CHUNK));
        store.write(copies, 1, first)?;
        store.settle()?;
        let each = (store.size()? - before) / count(first);
        require_room(store.free()?, each, batches - first)?;
        self.verify(store)?;
        let removed = store.strip()?;
        for from in (first + 1..=batches).step_by(usize::try_from(CHUNK).attempting(|| "counting".into())?) {
            store.write(copies, from, batches.min(from + CHUNK - 1))?;
            println!("{} batches after {} s", shown(count(batches.min(from + CHUNK - 1))), started.elapsed().as_secs());
        }
        let rows = started.elapsed().as_secs_f64();
        store.restore(&removed)?;
        store.settle()?;
        let status = state.status();
        let made = store.number(&format!("SELECT count(*) FROM batches WHERE status = '{status}'"))?;
        // Two were there.
        if made == count(batches + 2) {
            return Ok((rows, started.elapsed().as_secs_f64() - rows));
        }
        Err(Failure::new(format!("{made} batches are {status}, and not {}", batches + 2)))
    }

    fn verify(&self, store: &Store<'_>) -> Result<()> {
        match store {
            Store::Postgres { url, .. } => rivals::verify(self.workspace, url),
            Store::Sqlite { file, .. } => rivals::verify(self.workspace, &format!("sqlite://{}", file.display())),
        }
    }

    /// Releases a second on an empty and on the full one.
    fn rates(&self, name: &'static str, full: &Server, token: &str) -> Result<Vec<(f64, f64)>> {
        let mut rates = Vec::new();
        for round in 0..self.length.rounds() {
            let full = || self.rate(full.address(), token, round, || Ok(()));
            let (empty, full) = if round % 2 == 0 {
                let empty = self.empty(name, round)?;
                (empty, full()?)
            } else {
                let full = full()?;
                (self.empty(name, round)?, full)
            };
            println!("round {}, {name}: empty {} releases/s, full {}", round + 1, shown(empty), shown(full));
            rates.push((empty, full));
        }
        Ok(rates)
    }

    fn empty(&self, name: &'static str, round: usize) -> Result<f64> {
        let url = match name {
            POSTGRES => Some(self.databases.create(&format!("growth_empty_{round}"))?),
            _ => None,
        };
        let server = rivals::start_ours(self.workspace, "bench-growth-empty", url.as_deref(), &["--no-worker"])?;
        // What autovacuum does within a minute: without it nothing is known about new tables.
        let settle = || match &url {
            Some(url) => self.databases.postgres().ask(url, "VACUUM (ANALYZE)").map(drop),
            None => Ok(()),
        };
        let rate = self.rate(server.address(), server.token(), round, settle)?;
        server.conclude(Ok(()))?;
        Ok(rate)
    }

    /// After a second that is not counted, and what is to be done then.
    fn rate(&self, to: SocketAddr, token: &str, round: usize, settle: impl Fn() -> Result<()>) -> Result<f64> {
        let load =
            |seconds, nonce: String| self.wrk.run(Load { to, token, connections: CONNECTIONS, seconds, nonce: &nonce });
        load(1, format!("w{round}"))?;
        settle()?;
        self.databases.checkpoint()?;
        Ok(load(self.length.seconds(), format!("r{round}"))?.rate)
    }
}

/// Books a release, and answers its batch.
fn release(server: &Server, escrow: &str) -> Result<String> {
    let release = format!(
        r#"{{"escrowId":"{escrow}","projectId":"prj_bench","milestoneId":"ms_1","amount":500000,"currency":"USD"}}"#
    );
    let booked = server.call("POST", "/revenue/schedule-payouts", Some(&release))?;
    let batch = http::text(&booked, "batchId").map(str::to_owned);
    batch.ok_or_else(|| Failure::new(format!("a release was answered without its batch: {booked}")))
}

/// Books two releases, and has neither paid.
fn booked(server: &Server, store: &Store<'_>) -> Result<Template> {
    release(server, "esc_first")?;
    let counts = store.counts()?;
    let batch = release(server, template::ESCROW)?;
    Template::read(store, &batch, false, &counts)
}

fn is_all_done(store: &Store<'_>) -> bool {
    let left = "SELECT (SELECT count(*) FROM batches WHERE status <> 'completed') \
                + (SELECT count(*) FROM jobs WHERE state <> 'done') \
                + (SELECT count(*) FROM outbox WHERE published_at IS NULL)";
    store.ask(left).is_ok_and(|left| left == "0")
}

fn wanted(name: &str, length: Length) -> Result<u64> {
    let usual = BATCHES.into_iter().find(|(database, _, _)| *database == name);
    let (_, variable, usual) = usual.ok_or_else(|| Failure::new(format!("{name} is no database")))?;
    let wanted = match std::env::var(variable) {
        Ok(wanted) => wanted.replace('_', "").parse().attempting(|| format!("{variable}={wanted}"))?,
        Err(_) if length == Length::Quick => QUICK,
        Err(_) => usual,
    };
    if wanted < 100 { Err(Failure::new(format!("{variable}={wanted}: pages have no depth then"))) } else { Ok(wanted) }
}

fn require_room(free: f64, each: f64, batches: u64) -> Result<()> {
    let wanted = each * count(batches) * (1.0 + SPARE_PART) + SPARE;
    println!("a batch takes {} bytes: {} GB wanted, {} GB free", shown(each), shown(wanted / 1e9), shown(free / 1e9));
    if free >= wanted {
        return Ok(());
    }
    let variables = BATCHES.map(|(_, variable, _)| variable).join(" and ");
    Err(Failure::new(format!(
        "{} more batches want {} GB and {} GB are free: {variables} say how many there are to be",
        shown(count(batches)),
        shown(wanted / 1e9),
        shown(free / 1e9),
    )))
}

#[expect(clippy::cast_precision_loss, reason = "they are millions")]
fn count(number: u64) -> f64 {
    number as f64
}

fn rate(grown: &Grown, side: fn(&(f64, f64)) -> f64) -> f64 {
    median(grown.rates.iter().map(side))
}

fn table(grown: &[Grown]) -> String {
    let mut table = String::from(
        "| | batches, each | releases/s, empty | releases/s, full | page: first | at 10 % | at 50 % | at 99 % | made in |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for grown in grown {
        let pages: Vec<String> = grown.pages.medians_ms().iter().map(|page| format!("{} ms", shown(*page))).collect();
        table.push_str(&format!(
            "| {} | {} {} | {} | {} | {} | {} s, and {} s for indexes |\n",
            grown.name,
            shown(count(grown.batches)),
            grown.state.word(),
            shown(rate(grown, |rate| rate.0)),
            shown(rate(grown, |rate| rate.1)),
            pages.join(" | "),
            shown(grown.made.0),
            shown(grown.made.1),
        ));
    }
    table
}

fn goals(grown: &[Grown]) -> String {
    let mut table = GOALS.to_owned();
    for grown in grown {
        let (name, batches) = (grown.name, shown(count(grown.batches)));
        let part = if name == POSTGRES { 0.7 } else { 0.4 };
        let ratio = rate(grown, |rate| rate.1) / rate(grown, |rate| rate.0);
        table += &judged(&format!("{name}, {batches} batches: rate, to the empty one"), Goal::AtLeast(part), ratio);
        table += &judged(&format!("{name}: the slowest page, to the first"), Goal::AtMost(2.0), grown.pages.worst());
    }
    table
}

/// Megabytes of a million batches, which are bytes of one.
fn sizes(grown: &[Grown]) -> String {
    let [postgres, sqlite] = grown else { return String::new() };
    let size = |grown: &Grown, table: &str| {
        let of = |size: &Size| (size.rows / count(grown.batches), size.indexes / count(grown.batches));
        grown.sizes.iter().find(|size| size.table == table).map(of).unwrap_or_default()
    };
    let rows =
        |grown: &Grown, table: &str| grown.rows.iter().find(|(name, _)| *name == table).map_or(0, |(_, rows)| *rows);
    let row = |name: &str, of: [(usize, (f64, f64)); 2]| {
        let [of_postgres, of_sqlite] =
            of.map(|(rows, (heap, indexes))| format!("{rows} | {} + {}", shown(heap), shown(indexes)));
        format!("| {name} | {of_postgres} | {of_sqlite} |\n")
    };
    let mut table = format!(
        "| MB for a million batches of two items: rows + indexes | rows of one {} | PostgreSQL | rows of one {} | SQLite |\n\
         |---|---|---|---|---|\n",
        postgres.state.word(),
        sqlite.state.word(),
    );
    let mut sum = [(0, (0.0, 0.0)); 2];
    // It is paid, so it has all tables.
    for (name, _) in &sqlite.rows {
        let of = [postgres, sqlite].map(|grown| (rows(grown, name), size(grown, name)));
        for ((rows, (heap, indexes)), (more_rows, (more_heap, more_indexes))) in sum.iter_mut().zip(of) {
            *rows += more_rows;
            *heap += more_heap;
            *indexes += more_indexes;
        }
        table += &row(&format!("`{name}`"), of);
    }
    table + &row("**all**", sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(name: &'static str, full: f64) -> Grown {
        Grown {
            name,
            batches: 2_000,
            state: State::Paid,
            made: (10.0, 5.0),
            rates: vec![(1_000.0, full), (1_000.0, full), (4_000.0, 1.0)],
            pages: Pages::of([vec![1.0], vec![1.0], vec![1.5], vec![2.5]]),
            sizes: vec![Size { table: "items".into(), rows: 400_000.0, indexes: 200_000.0 }],
            rows: vec![("items", 2)],
        }
    }

    #[test]
    fn the_full_one_is_compared_with_the_empty_one() {
        let grown = [grown(POSTGRES, 650.0), grown(SQLITE, 650.0)];
        let line = "| PostgreSQL | 2,000 paid | 1,000 | 650 | 1.00 ms | 1.00 ms | 1.50 ms | 2.50 ms | 10.0 s, and 5.00 s for indexes |";
        assert!(table(&grown).contains(line), "{}", table(&grown));
        let goals = goals(&grown);
        assert!(
            goals.contains("| PostgreSQL, 2,000 batches: rate, to the empty one | at least 0.7 | 0.650 | **no** |")
        );
        assert!(goals.contains("| SQLite, 2,000 batches: rate, to the empty one | at least 0.4 | 0.650 | yes |"));
        assert!(goals.contains("| SQLite: the slowest page, to the first | at most 2 | 2.50 | **no** |"), "{goals}");
    }

    #[test]
    fn sizes_are_those_of_a_million() {
        let sizes = sizes(&[grown(POSTGRES, 1.0), grown(SQLITE, 1.0)]);
        assert!(sizes.contains("| `items` | 2 | 200 + 100 | 2 | 200 + 100 |"), "{sizes}");
        assert!(sizes.contains("| **all** | 2 | 200 + 100 | 2 | 200 + 100 |"), "{sizes}");
    }

    #[test]
    fn a_disk_that_is_too_small_is_refused() {
        assert!(require_room(4e9, 10_000.0, 100_000).is_ok());
        assert!(require_room(3e9, 10_000.0, 100_000).unwrap_err().to_string().contains("GROWTH_BATCHES_POSTGRES"));
    }
}
