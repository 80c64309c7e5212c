//! `cargo xtask bench`: how fast it is beside what others would use. Figures, not tests: nothing fails if they are bad.
//!
//! Peers are pinned and installed here; one that is missing is a failure. Rivals take turns, in another order each
//! round, and the median of the rounds counts.

mod calculator;
mod chance;
mod cluster;
mod databases;
mod execution;
mod figures;
mod growth;
mod http;
mod ids;
mod ledger;
mod machine;
mod page;
mod peers;
mod pgbench;
mod result;
mod rivals;
mod sqlite;
mod store;
mod usage;
mod writer;
mod wrk;

use crate::failure::Result;
use crate::workspace::Workspace;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bench {
    /// `POST /revenue/schedule-payouts` from end to end.
    Http,
    /// Commits alone.
    Writer,
    /// One split.
    Calculator,
    /// Paying.
    Execution,
    /// Posting.
    Ledger,
    /// Many processes that die.
    Cluster,
    /// Many batches.
    Growth,
}

/// How often and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// What the page shows: for a machine that does nothing else.
    Full,
    /// Whether it works. The page stays as it is.
    Quick,
}

impl Bench {
    /// Every one.
    pub const ALL: [Self; 7] =
        [Self::Http, Self::Writer, Self::Calculator, Self::Execution, Self::Ledger, Self::Cluster, Self::Growth];

    /// The word for the command line and for the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Writer => "writer",
            Self::Calculator => "calculator",
            Self::Execution => "execution",
            Self::Ledger => "ledger",
            Self::Cluster => "cluster",
            Self::Growth => "growth",
        }
    }

    /// What is compared.
    pub fn promise(self) -> &'static str {
        match self {
            Self::Http => "releases over HTTP, beside Express and pg",
            Self::Writer => "commits alone, beside pgbench",
            Self::Calculator => "one split, beside rust_decimal, dinero.js and Python's Decimal",
            Self::Execution => "items paid, beside pg-boss and graphile-worker",
            Self::Ledger => "entries posted, beside cala-ledger",
            Self::Cluster => "three servers and three workers that are killed while releases come",
            Self::Growth => "releases and pages with millions of batches, beside an empty database",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bench| bench.name() == name)
    }
}

impl Length {
    fn rounds(self) -> usize {
        match self {
            Self::Full => 5,
            Self::Quick => 2,
        }
    }

    /// Of one round of one rival.
    fn seconds(self) -> u64 {
        match self {
            Self::Full => 10,
            Self::Quick => 2,
        }
    }
}

/// Measures, prints the tables, and puts those of a full run on the page.
pub fn run(workspace: &Workspace, bench: Bench, length: Length) -> Result<()> {
    let _turn = workspace.wait_for_turn()?;
    let machine = machine::describe(workspace)?;
    let tables = match bench {
        Bench::Http => http::run(workspace, length)?,
        Bench::Writer => writer::run(workspace, length)?,
        Bench::Calculator => calculator::run(workspace, length)?,
        Bench::Execution => execution::run(workspace, length)?,
        Bench::Ledger => ledger::run(workspace, length)?,
        Bench::Cluster => cluster::run(workspace, length)?,
        Bench::Growth => growth::run(workspace, length)?,
    };
    let section = format!("{machine}\n{tables}");
    println!("\n{section}");
    match length {
        Length::Full => page::put(workspace, bench.name(), &section),
        Length::Quick => {
            println!("a quick run says whether it works, not how fast it is: docs/benchmarks.md stays as it is");
            Ok(())
        }
    }
}
