//! `disburse bulk calculate`: splits the releases of a file by the models of a folder.
//!
//! How the work is done is in [`job`](super::job); here is what is asked, and what is told.

use super::{
    columns::Columns,
    failure::BulkError,
    job::{Job, Told},
    lines::{Format, Sink},
    models::Models,
    output::{self, Output},
    progress::{Progress, grouped},
    reject::Rejects,
    release::Earned,
    source::Source,
    tally::{Sums, Tally},
    turn::Turn,
};
use domain::timestamp::Timestamp;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    thread,
};

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// The releases: a file ending in .csv or .parquet, or - for CSV on standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The folder of models: `<projectId>.json`, or `<projectId>@<version>.json`
    #[arg(long, value_name = "FOLDER")]
    models: PathBuf,
    /// Where the lines go: a file ending in .csv or .parquet, or - for CSV on standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Where rows go that cannot be split, with line, column and reason (CSV)
    #[arg(long, value_name = "FILE")]
    reject: Option<PathBuf>,
    /// When money was earned of rows that do not say so: an instant or a day; now, if absent
    #[arg(long, value_name = "INSTANT")]
    as_of: Option<Earned>,
    /// Pass over columns that are not known, instead of refusing the file
    #[arg(long)]
    ignore_unknown_columns: bool,
    /// How many threads work; as many as there are cores, if absent
    #[arg(long, value_name = "COUNT")]
    threads: Option<NonZeroUsize>,
    /// Print the summary as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What a run came to.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    rows_read: u64,
    rows_calculated: u64,
    rows_rejected: u64,
    lines_written: u64,
    as_of: String,
    currencies: BTreeMap<String, Sums>,
    threads: usize,
    seconds: f64,
    rows_per_second: u64,
}

/// Lines of about so many releases are put together before they are written, for each format: a row group of Parquet
/// should not be small, and text need not wait.
fn lines_wanted(format: Format) -> usize {
    match format {
        Format::Csv => 1 << 12,
        Format::Parquet => 1 << 17,
    }
}
/// A row is about so long, and a block at least and at most.
const ROW_BYTES: usize = 48;
const BLOCK_BYTES: (usize, usize) = (1024, 8 * 1024 * 1024);

/// Does it all, and tells about it.
pub(super) fn run(args: &Args, now: Timestamp, stop: &AtomicBool) -> Result<(), BulkError> {
    let (summary, tally) = calculate(args, now, stop, lines_wanted)?;
    tell(&summary, &tally, &args.output, args.json)?;
    match summary.rows_rejected {
        0 => Ok(()),
        rejected => Err(BulkError::Rejected(rejected)),
    }
}

fn calculate(
    args: &Args,
    now: Timestamp,
    stop: &AtomicBool,
    lines_wanted: impl Fn(Format) -> usize,
) -> Result<(Summary, Tally), BulkError> {
    let Args { input, models, output, reject, as_of, ignore_unknown_columns, threads, json } = args;
    let format = Format::of(output).ok_or_else(|| {
        BulkError::Usage(format!("{}: the name must end in .csv or .parquet, or be - for CSV", output.display()))
    })?;
    if output.as_os_str() == "-" && *json {
        return Err(BulkError::Usage("--json and --output - both want standard output".to_owned()));
    }
    let mut outputs: Vec<(&str, &Path)> = vec![("--output", output)];
    outputs.extend(reject.as_deref().map(|reject| ("--reject", reject)));
    output::all_different(input, &outputs)?;

    let models = Models::load(models)?;
    let source = Source::open(input)?;
    let columns = Columns::find(source.header(), *ignore_unknown_columns)?;
    let default = as_of.unwrap_or_else(|| Earned::from(now));
    let threads = threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let failed = |error| BulkError::write(output, error);
    let rejects = Rejects::new(reject.as_deref())?;
    let sink = Sink::new(format, Output::create(output)?).map_err(failed)?;

    let progress = Progress::new(source.total(), "calculated");
    let told = Told { sink, rejects, progress, rows: 0, lines: 0 };
    let lines = lines_wanted(format);
    let job = Job {
        models: &models,
        columns,
        default,
        format,
        output,
        block_bytes: block_bytes(&models, lines),
        lines_max: 2 * lines,
        source: Mutex::new((source, 0)),
        counting: Turn::default(),
        counters: Mutex::default(),
        writing: Turn::default(),
        told: Mutex::new(told),
        stop,
        error: Mutex::default(),
    };
    let tally = job.work(threads)?;
    let Told { sink, rejects, progress, rows, lines } = job.told.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rejected = rejects.count;
    // The rejects first: where there is an output, they are whole as well.
    rejects.keep().map_err(|error| BulkError::write(reject.as_deref().unwrap_or(output), error))?;
    sink.finish().and_then(Output::keep).map_err(failed)?;
    progress.end();
    let seconds = progress.elapsed().as_secs_f64();
    let summary = Summary {
        rows_read: rows,
        rows_calculated: rows - rejected,
        rows_rejected: rejected,
        lines_written: lines,
        as_of: default.at.to_string(),
        currencies: tally.by_currency(),
        threads,
        seconds,
        rows_per_second: progress.rate(),
    };
    Ok((summary, tally))
}

fn tell(summary: &Summary, tally: &Tally, output: &Path, as_json: bool) -> Result<(), BulkError> {
    if as_json {
        let text = serde_json::to_string(summary).map_err(|error| BulkError::Failed(error.to_string()))?;
        outln!("{text}");
        return Ok(());
    }
    let Summary { rows_calculated, rows_rejected, lines_written, seconds, rows_per_second, .. } = summary;
    let text = format!(
        "{} split, {} rejected; {} lines in {} after {seconds:.1} s ({}/s)",
        grouped(*rows_calculated),
        grouped(*rows_rejected),
        grouped(*lines_written),
        output.display(),
        grouped(*rows_per_second)
    );
    if output.as_os_str() == "-" {
        eprintln!("{}\n{text}", tally.table());
    } else {
        outln!("{}\n{text}", tally.table());
    }
    Ok(())
}

/// So much input that it comes to about so many lines.
fn block_bytes(models: &Models, lines: usize) -> usize {
    let versions = models.versions();
    let recipients: usize = versions.iter().map(|version| version.model.recipients().len()).sum();
    let (least, most) = BLOCK_BYTES;
    (lines * ROW_BYTES * versions.len() / recipients.max(1)).clamp(least, most)
}

#[cfg(test)]
mod tests;
