//! `disburse openapi`: prints the description of the API.

use super::{Exit, Outcome, say};
use crate::http;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// In which form
    #[arg(long, value_enum, default_value = "yaml")]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Yaml,
    Json,
}

pub(super) fn run(args: &Args) -> Outcome {
    let document = http::document().map_err(|error| say(Exit::Failed, &error))?;
    match args.format {
        Format::Yaml => outln!("{}", document.yaml().trim_end()),
        Format::Json => outln!("{}", document.json()),
    }
    Ok(())
}
