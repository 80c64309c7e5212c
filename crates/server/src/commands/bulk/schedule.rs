//! `disburse bulk schedule`: sends the releases of a file to a running server, so many at a time.
//!
//! An escrow is booked at most once, so this is safe to do again: what was booked by the same request counts as done.

use super::{
    columns::Columns,
    failure::BulkError,
    output,
    progress::{Progress, grouped},
    records::{Block, Record, Records},
    reject::{Rejected, Rejects},
    release::{Release, RowFault, Rows, deductions},
    send::{Client, Sent},
    source::Source,
};
use crate::commands::serve::StopSignals;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    env, fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

/// Names the token, where no file does.
const TOKEN_VARIABLE: &str = "DISBURSE_TOKEN";
/// So much input is read at once.
const BLOCK_BYTES: usize = 256 * 1024;

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// The releases: a file ending in .csv or .parquet, or - for CSV on standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Where the server is
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A file with a token of role `system` or `admin` in it; the variable `DISBURSE_TOKEN`, if absent
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How many requests are under way at once
    #[arg(long, value_name = "COUNT", default_value = "16")]
    concurrency: NonZeroUsize,
    /// For how long a request is repeated that a busy server does not take
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    give_up_after: u64,
    /// Where rows go that the server refuses, with line, column and reason (CSV)
    #[arg(long, value_name = "FILE")]
    reject: Option<PathBuf>,
    /// Pass over columns that are not known, instead of refusing the file
    #[arg(long)]
    ignore_unknown_columns: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What a run came to.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    rows_read: u64,
    scheduled: u64,
    already_there: u64,
    rows_rejected: u64,
    repeated: u64,
    seconds: f64,
    rows_per_second: u64,
}

/// A row, ready to be sent.
struct Ready {
    line: u64,
    escrow: String,
    body: Result<String, Vec<RowFault>>,
}

/// Sends until the file is done, or somebody asks to stop.
pub(super) async fn run(args: &Args, signals: StopSignals) -> Result<(), BulkError> {
    let rejects: Vec<(&str, &Path)> = args.reject.as_deref().map(|reject| ("--reject", reject)).into_iter().collect();
    output::all_different(&args.input, &rejects)?;
    let client = Client::new(&args.url, token(args)?, Duration::from_secs(args.give_up_after))?;
    let source = Source::open(&args.input)?;
    let columns = Columns::find(source.header(), args.ignore_unknown_columns)?;
    let rejects = Rejects::new(args.reject.as_deref())?;
    let progress = Progress::new(source.total(), "sent");
    let mut sending = Sending { client, rejects, progress, summary: Summary::default() };
    let outcome = tokio::select! {
        outcome = sending.all(source, columns, args) => outcome,
        () = signals.wait() => Err(BulkError::Interrupted),
    };
    sending.end(outcome, args)
}

/// The token is a secret, so the command line is no place for it.
fn token(args: &Args) -> Result<String, BulkError> {
    let text = match &args.token_file {
        Some(path) => fs::read_to_string(path).map_err(|error| BulkError::read(path, error))?,
        None => env::var(TOKEN_VARIABLE).unwrap_or_default(),
    };
    let text = text.trim();
    if text.is_empty() {
        let hint = "`disburse token --role system` prints one";
        return Err(BulkError::Usage(format!("a token is needed: in {TOKEN_VARIABLE}, or in a --token-file; {hint}")));
    }
    Ok(text.to_owned())
}

struct Sending {
    client: Client,
    rejects: Rejects,
    progress: Progress,
    summary: Summary,
}

impl Sending {
    async fn all(&mut self, mut source: Source, columns: Columns, args: &Args) -> Result<(), BulkError> {
        let mut block = Block::default();
        while source.next(&mut block, BLOCK_BYTES)? {
            let rows = read(&block, columns);
            let count = rows.len() as u64;
            self.block(rows, args).await?;
            self.summary.rows_read += count;
            self.progress.advance(block.weight, count);
        }
        Ok(())
    }

    /// Sends what a block holds. Answers come in the order of its rows.
    async fn block(&mut self, rows: Vec<Ready>, args: &Args) -> Result<(), BulkError> {
        let Self { client, rejects, summary, .. } = self;
        let client = &*client;
        let send = |row: Ready| async move {
            match row.body {
                Ok(body) => client.send(body).await.map(|sent| (row.line, row.escrow, sent)),
                Err(faults) => Ok((row.line, row.escrow, Sent::Refused(faults))),
            }
        };
        let mut answers = stream::iter(rows).map(send).buffered(args.concurrency.get());
        while let Some(answer) = answers.next().await {
            let (line, escrow, sent) = answer?;
            match sent {
                Sent::Scheduled => summary.scheduled += 1,
                Sent::AlreadyThere => summary.already_there += 1,
                Sent::Refused(faults) => {
                    let told = rejects.tell(&[Rejected { line, escrow, faults }]);
                    told.map_err(|error| BulkError::write(args.reject.as_deref().unwrap_or(&args.input), error))?;
                }
            }
        }
        Ok(())
    }

    fn end(self, outcome: Result<(), BulkError>, args: &Args) -> Result<(), BulkError> {
        let Self { client, rejects, progress, mut summary } = self;
        progress.end();
        summary.rows_rejected = rejects.count;
        summary.repeated = client.repeated();
        summary.seconds = progress.elapsed().as_secs_f64();
        summary.rows_per_second = progress.rate();
        let Summary { scheduled, already_there, rows_rejected, seconds, .. } = &summary;
        let text = format!(
            "{} scheduled, {} were there already, {} rejected, after {seconds:.1} s",
            grouped(*scheduled),
            grouped(*already_there),
            grouped(*rows_rejected)
        );
        if let Err(error) = outcome {
            eprintln!("{text}; what is missing is sent when you run it again");
            return Err(error);
        }
        let rejected = rejects.count;
        rejects.keep().map_err(|error| BulkError::write(args.reject.as_deref().unwrap_or(&args.input), error))?;
        if args.json {
            let text = serde_json::to_string(&summary).map_err(|error| BulkError::Failed(error.to_string()))?;
            outln!("{text}");
        } else {
            outln!("{text}");
        }
        if rejected > 0 { Err(BulkError::Rejected(rejected)) } else { Ok(()) }
    }
}

fn read(block: &Block, columns: Columns) -> Vec<Ready> {
    let (mut records, mut record, mut rows) = (Records::of(block), Record::of(block), Rows::new(columns));
    let mut ready = Vec::new();
    while records.read(&mut record) {
        let (escrow, body) = match rows.read(&record) {
            Ok(release) => (release.escrow.as_str().to_owned(), body(&release)),
            Err(faults) => (String::new(), Err(faults)),
        };
        ready.push(Ready { line: record.line, escrow, body });
    }
    ready
}

/// What the API is asked.
fn body(release: &Release<'_>) -> Result<String, Vec<RowFault>> {
    let project = std::str::from_utf8(release.project)
        .map_err(|_| vec![RowFault::new("projectId", "invalid_format", "this is not UTF-8")])?;
    let mut body = json!({
        "escrowId": release.escrow.as_str(),
        "projectId": project,
        "amount": release.amount_minor,
        "currency": release.currency,
    });
    if let Some(milestone) = &release.milestone {
        body["milestoneId"] = milestone.as_str().into();
    }
    if let Some(earned) = release.as_of {
        body["asOf"] = earned.at.to_string().into();
    }
    let mut list = Vec::new();
    for deduction in deductions(release.deductions) {
        let deduction = deduction.map_err(|fault| vec![fault])?;
        let mut one = json!({ "type": deduction.kind.as_str(), "amount": deduction.amount_minor });
        if let Some(reference) = deduction.reference {
            one["reference"] = reference.into();
        }
        list.push(one);
    }
    if !list.is_empty() {
        body["deductions"] = Value::Array(list);
    }
    Ok(body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_the_request_that_the_api_knows() {
        let header: Vec<String> = ["escrowId", "projectId", "amount", "currency", "milestoneId", "asOf", "deductions"]
            .map(str::to_owned)
            .into();
        let text = "esc_1,prj_1,5,USD,,,\n\
                    507F1F77BCF86CD799439011,prj_1,7,JPY,ms_1,2026-01-31,refund:1;expense:2:Studio\n\
                    esc_2,prj_1,0,USD,,,\n";
        let block = Block { bytes: text.into(), line: 2, ..Block::default() };
        let mut rows = read(&block, Columns::find(&header, false).unwrap()).into_iter();
        let mut next = || rows.next().unwrap();
        let plain: Value = serde_json::from_str(&next().body.unwrap()).unwrap();
        assert_eq!(plain, json!({"escrowId":"esc_1","projectId":"prj_1","amount":5,"currency":"USD"}));
        let full: Value = serde_json::from_str(&next().body.unwrap()).unwrap();
        let deductions = json!([{"type":"refund","amount":1},{"type":"expense","amount":2,"reference":"Studio"}]);
        let expected = json!({"escrowId":"507f1f77bcf86cd799439011","projectId":"prj_1","amount":7,"currency":"JPY",
            "milestoneId":"ms_1","asOf":"2026-01-31T00:00:00Z","deductions":deductions});
        assert_eq!(full, expected);
        let bad = next();
        assert_eq!((bad.line, bad.body.unwrap_err()[0].code.as_ref()), (4, "amount_not_positive"));
    }
}
