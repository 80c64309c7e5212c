//! What is written: one line for every recipient of every release, as CSV or as Parquet.
//!
//! Lines are put together beside each other by many threads, piece by piece; a [`Sink`] takes the pieces in order.

use super::{
    lines_csv::CsvLines,
    lines_parquet::{ParquetLines, ParquetSink},
    models::Version,
    output::Output,
};
use bytes::Bytes;
use domain::{calculation::Amounts, currency::Currency};
use std::{io, io::Write, path::Path};

/// The columns of the output. Amounts are minor units.
pub(super) const COLUMNS: [&str; 12] = [
    "escrowId",
    "projectId",
    "recipientId",
    "currency",
    "grossShare",
    "platformFeeShare",
    "taxWithheldShare",
    "netAmount",
    "heldAmount",
    "payableAmount",
    "modelVersion",
    "modelHash",
];

/// The amounts of a line, in the order of their columns.
pub(super) fn amounts(line: &Amounts) -> [i64; 6] {
    [line.gross_minor, line.fee_minor, line.tax_minor, line.net_minor, line.held_minor, line.payable_minor]
}

/// How the output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Parquet,
}

impl Format {
    /// By the ending of the file's name. What stands for a stream (`-`) is CSV.
    pub(super) fn of(path: &Path) -> Option<Self> {
        if path.as_os_str() == "-" {
            return Some(Self::Csv);
        }
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

/// A release and the version that splits it.
pub(super) struct Head<'a> {
    /// The escrow, as a part of the texts that the piece was begun with.
    pub(super) escrow: (usize, usize),
    pub(super) currency: Currency,
    /// The place of the version.
    pub(super) place: usize,
    pub(super) version: &'a Version,
}

/// Puts a piece together. One a thread.
pub(super) enum Lines {
    Csv(CsvLines),
    Parquet(Box<ParquetLines>),
}

impl Lines {
    pub(super) fn new(format: Format, versions: usize) -> Self {
        match format {
            Format::Csv => Self::Csv(CsvLines::new(versions)),
            Format::Parquet => Self::Parquet(Box::new(ParquetLines::new(versions))),
        }
    }

    /// Begins a piece; `escrows` are the texts of all its escrows.
    pub(super) fn begin(&mut self, escrows: Bytes) {
        match self {
            Self::Csv(lines) => lines.begin(escrows),
            Self::Parquet(lines) => lines.begin(escrows),
        }
    }

    /// Adds the lines of a release, in the order of the version's recipients.
    pub(super) fn add<'l>(&mut self, head: &Head<'_>, lines: impl Iterator<Item = &'l Amounts>) {
        match self {
            Self::Csv(to) => to.add(head, lines),
            Self::Parquet(to) => to.add(head, lines),
        }
    }

    /// Ends the piece: what is slow is done here, before it is its turn.
    pub(super) fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Csv(_) => Ok(()),
            Self::Parquet(lines) => lines.end(),
        }
    }
}

/// Where the pieces go.
pub(super) enum Sink {
    Csv(Output),
    Parquet(Box<ParquetSink>),
}

impl Sink {
    /// Writes what stands before the first line.
    pub(super) fn new(format: Format, mut to: Output) -> io::Result<Self> {
        match format {
            Format::Csv => {
                writeln!(to, "{}", COLUMNS.join(","))?;
                Ok(Self::Csv(to))
            }
            Format::Parquet => Ok(Self::Parquet(Box::new(ParquetSink::new(to)?))),
        }
    }

    /// Appends a piece, which is empty afterwards.
    pub(super) fn take(&mut self, piece: &mut Lines) -> io::Result<()> {
        match (self, piece) {
            (Self::Csv(to), Lines::Csv(piece)) => to.write_all(&piece.take()),
            (Self::Parquet(to), Lines::Parquet(piece)) => to.append(piece.take()),
            (Self::Csv(_), Lines::Parquet(_)) | (Self::Parquet(_), Lines::Csv(_)) => {
                Err(io::Error::other("a piece of another format"))
            }
        }
    }

    /// Writes what stands behind the last line, and gives the output back.
    pub(super) fn finish(self) -> io::Result<Output> {
        match self {
            Self::Csv(to) => Ok(to),
            Self::Parquet(to) => to.finish(),
        }
    }
}
