//! A block of releases, read: every row that can be split has its version, every other one its faults.

use super::{
    columns::Columns,
    models::{Models, NoVersion},
    records::{Block, Record, Records},
    reject::Rejected,
    release::{Earned, Release, RowFault, Rows, deductions},
};
use domain::calculation;

/// A row that can be split.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    /// The escrow, as a part of [`Batch::escrows`].
    pub(super) escrow: (usize, usize),
    /// The place of the version.
    pub(super) version: usize,
    pub(super) release: calculation::Release,
    /// Whether the version counts from release to release.
    pub(super) is_counted: bool,
}

/// What a block came to; used again for the next.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// The texts of the escrows.
    pub(super) escrows: Vec<u8>,
    pub(super) rejected: Vec<Rejected>,
    pub(super) has_counted: bool,
    /// How many rows there were, good or bad.
    pub(super) count: u64,
}

/// Reads blocks.
pub(super) struct Reader<'m> {
    models: &'m Models,
    columns: Columns,
    /// When a row was earned that does not say so.
    default: Earned,
    /// The version of the row before, which is mostly that of the next as well.
    last: Option<(Vec<u8>, Earned, usize)>,
}

impl<'m> Reader<'m> {
    pub(super) fn new(models: &'m Models, columns: Columns, default: Earned) -> Self {
        Self { models, columns, default, last: None }
    }

    /// Reads a whole block.
    pub(super) fn read(&mut self, block: &Block, batch: &mut Batch) {
        batch.rows.clear();
        batch.escrows.clear();
        batch.rejected.clear();
        (batch.has_counted, batch.count) = (false, 0);
        let (mut records, mut record, mut rows) = (Records::of(block), Record::of(block), Rows::new(self.columns));
        while records.read(&mut record) {
            batch.count += 1;
            match rows.read(&record) {
                Ok(release) => self.row(record.line, release, batch),
                Err(faults) => batch.rejected.push(Rejected { line: record.line, escrow: String::new(), faults }),
            }
        }
    }

    fn row(&mut self, line: u64, release: Release<'_>, batch: &mut Batch) {
        let earned = release.as_of.unwrap_or(self.default);
        let version = match self.version(release.project, earned) {
            Ok(version) => version,
            Err(none) => {
                let escrow = release.escrow.as_str().to_owned();
                return batch.rejected.push(Rejected { line, escrow, faults: vec![no_version(none, release.project)] });
            }
        };
        let from = batch.escrows.len();
        batch.escrows.extend_from_slice(release.escrow.as_str().as_bytes());
        let is_counted = !self.models.versions()[version].model.counted().is_empty();
        batch.has_counted |= is_counted;
        let (amount_minor, currency) = (release.amount_minor, release.currency);
        let deductions_minor = deducted(release.deductions);
        let release = calculation::Release { amount_minor, currency, deductions_minor, day: earned.day };
        batch.rows.push(Row { line, escrow: (from, batch.escrows.len()), version, release, is_counted });
    }

    fn version(&mut self, project: &[u8], earned: Earned) -> Result<usize, NoVersion> {
        if let Some((_, _, version)) =
            self.last.as_ref().filter(|(known, at, _)| known == project && at.at == earned.at)
        {
            return Ok(*version);
        }
        let version = self.models.in_force(project, earned.at)?;
        let (mut known, _, _) = self.last.take().unwrap_or_else(|| (Vec::new(), earned, version));
        known.clear();
        known.extend_from_slice(project);
        self.last = Some((known, earned, version));
        Ok(version)
    }
}

fn no_version(none: NoVersion, project: &[u8]) -> RowFault {
    let name = String::from_utf8_lossy(project);
    match none {
        NoVersion::ProjectUnknown => {
            RowFault::new("projectId", "project_not_found", format!("there is no model of project `{name}`"))
        }
        NoVersion::NoneInForce => {
            let message = format!("no version of the model of `{name}` is in force at that instant");
            RowFault::new("asOf", "no_effective_model", message)
        }
    }
}

/// Their sum. What is more than any amount can be stays more than this one.
fn deducted(text: &[u8]) -> i64 {
    let amounts = deductions(text).filter_map(Result::ok).map(|deduction| deduction.amount_minor);
    amounts.fold(0, i64::saturating_add)
}

impl Batch {
    /// Splits the rows into pieces of at most so many lines, or of one row: what one piece needs is bounded, however
    /// many recipients the models have.
    pub(super) fn pieces(&self, models: &Models, lines_max: usize) -> Vec<std::ops::Range<usize>> {
        let mut pieces = Vec::new();
        let (mut from, mut lines) = (0, 0);
        for (at, row) in self.rows.iter().enumerate() {
            let more = models.versions()[row.version].model.recipients().len();
            if at > from && lines + more > lines_max {
                pieces.push(from..at);
                (from, lines) = (at, 0);
            }
            lines += more;
        }
        if from < self.rows.len() {
            pieces.push(from..self.rows.len());
        }
        pieces
    }
}
