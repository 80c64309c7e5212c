//! Structured logs on standard error: text for a terminal, JSON for everything else.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info,sqlx=warn,sea_orm_migration=warn";

/// Starts logging.
pub fn start() {
    start_with(DEFAULT_FILTER);
}

/// Starts logging of what goes wrong.
pub fn start_quiet() {
    start_with("warn");
}

fn start_with(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, in one process, keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        logs.compact().try_init()
    } else {
        logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
    };
}
