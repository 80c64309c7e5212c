//! Many threads, one order.
//!
//! Every thread takes the next block of input, reads it, splits it, and puts its lines together; what must be in order
//! is done when it is the block's [`Turn`]: counting from release to release, and writing. So the output is the same
//! whatever the number of threads, and a thread never holds more than its own block.

use super::{
    batch::{Batch, Reader, Row},
    columns::Columns,
    counters::Counters,
    failure::BulkError,
    lines::{Format, Head, Lines, Sink},
    models::Models,
    progress::Progress,
    records::Block,
    reject::{Rejected, Rejects},
    release::{Earned, RowFault},
    source::Source,
    tally::Tally,
    turn::{Over, Turn},
};
use bytes::Bytes;
use domain::calculation::{Amounts, CalculationError, Calculator, Totals};
use std::{
    io,
    ops::Range,
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What all threads share.
pub(super) struct Job<'j> {
    pub(super) models: &'j Models,
    pub(super) columns: Columns,
    pub(super) default: Earned,
    pub(super) format: Format,
    pub(super) output: &'j Path,
    pub(super) block_bytes: usize,
    pub(super) lines_max: usize,
    /// With the number of the next block.
    pub(super) source: Mutex<(Source, u64)>,
    pub(super) counting: Turn,
    pub(super) counters: Mutex<Counters>,
    pub(super) writing: Turn,
    pub(super) told: Mutex<Told>,
    pub(super) stop: &'j AtomicBool,
    pub(super) error: Mutex<Option<BulkError>>,
}

/// What is told in order.
pub(super) struct Told {
    pub(super) sink: Sink,
    pub(super) rejects: Rejects,
    pub(super) progress: Progress,
    pub(super) rows: u64,
    pub(super) lines: u64,
}

/// Why a thread ends before its time.
enum Stopped {
    Failed(BulkError),
    /// Another thread failed, and said why.
    Over,
}

impl From<BulkError> for Stopped {
    fn from(error: BulkError) -> Self {
        Self::Failed(error)
    }
}
impl From<Over> for Stopped {
    fn from(_: Over) -> Self {
        Self::Over
    }
}

impl Job<'_> {
    /// Lets threads work until the input is done; answers their sums.
    pub(super) fn work(&self, threads: usize) -> Result<Tally, BulkError> {
        let mut tally = Tally::default();
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| Worker::new(self).run())).collect();
            for worker in workers {
                match worker.join() {
                    Ok(counted) => tally.merge(&counted),
                    Err(_) => self.fail(BulkError::Failed("a thread broke; this is a fault of disburse".to_owned())),
                }
            }
        });
        match lock(&self.error).take() {
            Some(error) => Err(error),
            // The end of the input may have come because whoever sends it was interrupted, too.
            None if self.stop.load(Ordering::Relaxed) => Err(BulkError::Interrupted),
            None => Ok(tally),
        }
    }

    /// The first to fail says why; nobody waits any longer.
    fn fail(&self, error: BulkError) {
        lock(&self.error).get_or_insert(error);
        self.give_up();
    }

    fn give_up(&self) {
        self.counting.give_up();
        self.writing.give_up();
    }

    fn write_failed(&self, error: io::Error) -> BulkError {
        BulkError::write(self.output, error)
    }
}

/// One thread.
struct Worker<'j> {
    job: &'j Job<'j>,
    reader: Reader<'j>,
    lines: Lines,
    calculators: Vec<Option<Calculator<'j>>>,
    block: Block,
    batch: Batch,
    counted: Counted,
    tally: Tally,
}

/// What the rows of a piece came to that count from release to release.
#[derive(Default)]
struct Counted {
    /// Row by row; nothing of those that could not be split.
    totals: Vec<Option<Totals>>,
    lines: Vec<Amounts>,
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.job.give_up();
        }
    }
}

impl<'j> Worker<'j> {
    fn new(job: &'j Job<'j>) -> Self {
        let versions = job.models.versions().len();
        Self {
            job,
            reader: Reader::new(job.models, job.columns, job.default),
            lines: Lines::new(job.format, versions),
            calculators: std::iter::repeat_with(|| None).take(versions).collect(),
            block: Block::default(),
            batch: Batch::default(),
            counted: Counted::default(),
            tally: Tally::default(),
        }
    }

    fn run(mut self) -> Tally {
        loop {
            match self.block() {
                Ok(true) => {}
                Ok(false) | Err(Stopped::Over) => break,
                Err(Stopped::Failed(error)) => {
                    self.job.fail(error);
                    break;
                }
            }
        }
        std::mem::take(&mut self.tally)
    }

    /// Takes the next block and brings it to its end; answers whether there was one.
    fn block(&mut self) -> Result<bool, Stopped> {
        let job = self.job;
        let number = {
            let mut source = lock(&job.source);
            if job.stop.load(Ordering::Relaxed) {
                return Err(BulkError::Interrupted.into());
            }
            if !source.0.next(&mut self.block, job.block_bytes)? {
                return Ok(false);
            }
            source.1 += 1;
            source.1 - 1
        };
        self.reader.read(&self.block, &mut self.batch);
        if !self.batch.has_counted {
            job.counting.pass(number);
        }
        let escrows = Bytes::from(std::mem::take(&mut self.batch.escrows));
        let pieces = self.batch.pieces(job.models, job.lines_max);
        let last = pieces.len().saturating_sub(1);
        for (at, piece) in pieces.into_iter().enumerate() {
            if self.batch.has_counted {
                job.counting.wait(number)?;
                self.count(&piece, &escrows);
                if at == last {
                    job.counting.pass(number);
                }
            }
            self.lines.begin(escrows.clone());
            let lines = self.split(piece, &escrows);
            self.lines.end().map_err(|error| job.write_failed(error))?;
            job.writing.wait(number)?;
            let mut told = lock(&job.told);
            told.sink.take(&mut self.lines).map_err(|error| job.write_failed(error))?;
            told.lines += lines;
        }
        job.writing.wait(number)?;
        self.tell().map_err(|error| job.write_failed(error))?;
        job.writing.pass(number);
        Ok(true)
    }

    /// Splits the rows of a piece that count from release to release, in their order. It is this block's turn.
    fn count(&mut self, piece: &Range<usize>, escrows: &[u8]) {
        let Self { job, calculators, batch, counted, tally, .. } = self;
        let mut counters = lock(&job.counters);
        counted.totals.clear();
        counted.lines.clear();
        let Batch { rows, rejected, .. } = batch;
        for row in rows[piece.clone()].iter().filter(|row| row.is_counted) {
            let counts = counters.read(job.models, row.version, row.release.currency);
            let done = match calculator(calculators, job.models, row.version).split(&row.release, counts) {
                Ok(split) => {
                    let totals = split.totals();
                    counted.lines.extend(split.lines().map(|(_, amounts)| *amounts));
                    counters.write(row.version, row.release.currency, split.counts());
                    tally.add(row.release.currency, row.release.amount_minor, &totals);
                    Some(totals)
                }
                Err(error) => {
                    rejected.push(refused(row, escrows, error));
                    None
                }
            };
            counted.totals.push(done);
        }
    }

    /// Splits the other rows of a piece, and puts the lines of all of them together. Answers how many lines there are.
    fn split(&mut self, piece: Range<usize>, escrows: &[u8]) -> u64 {
        let Self { job, calculators, lines, batch, counted, tally, .. } = self;
        let (mut totals, mut stored) = (counted.totals.iter(), &counted.lines[..]);
        let mut count = 0;
        let Batch { rows, rejected, .. } = batch;
        for row in &rows[piece] {
            let version = &job.models.versions()[row.version];
            let recipients = version.model.recipients().len();
            let head = Head { escrow: row.escrow, currency: row.release.currency, place: row.version, version };
            if row.is_counted {
                if totals.next().is_some_and(Option::is_some) {
                    let (mine, others) = stored.split_at(recipients);
                    lines.add(&head, mine.iter());
                    stored = others;
                    count += recipients as u64;
                }
                continue;
            }
            match calculator(calculators, job.models, row.version).split(&row.release, &[]) {
                Ok(split) => {
                    lines.add(&head, split.lines().map(|(_, amounts)| amounts));
                    tally.add(row.release.currency, row.release.amount_minor, &split.totals());
                    count += recipients as u64;
                }
                Err(error) => rejected.push(refused(row, escrows, error)),
            }
        }
        count
    }

    /// Tells of the block as a whole. It is its turn.
    fn tell(&mut self) -> io::Result<()> {
        let Batch { rejected, count, .. } = &mut self.batch;
        rejected.sort_by_key(|row| row.line);
        let mut told = lock(&self.job.told);
        told.rejects.tell(rejected)?;
        told.rows += *count;
        told.progress.advance(self.block.weight, *count);
        Ok(())
    }
}

fn calculator<'c, 'j>(
    calculators: &'c mut [Option<Calculator<'j>>],
    models: &'j Models,
    version: usize,
) -> &'c mut Calculator<'j> {
    calculators[version].get_or_insert_with(|| Calculator::new(&models.versions()[version].model))
}

/// The row, with the reason why it cannot be split.
fn refused(row: &Row, escrows: &[u8], error: CalculationError) -> Rejected {
    let (column, code) = match error {
        CalculationError::AmountNotPositive => ("amount", "amount_not_positive"),
        CalculationError::CurrencyMismatch { .. } => ("currency", "currency_mismatch"),
        CalculationError::DeductionsExceedAmount => ("deductions", "deductions_exceed_amount"),
        CalculationError::CarriedOutOfRange => ("amount", "carried_out_of_range"),
        CalculationError::LawBroken(_) => ("", "law_broken"),
    };
    let fault = RowFault::new(column, code, error.to_string());
    let escrow = String::from_utf8_lossy(&escrows[row.escrow.0..row.escrow.1]).into_owned();
    Rejected { line: row.line, escrow, faults: vec![fault] }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
