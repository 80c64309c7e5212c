//! How a bulk command fails: what is told, and the exit code.

use super::{Exit, models::FileFault};
use serde_json::{Value, json};
use std::{io, path::Path};

/// Why a bulk command came to no good end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BulkError {
    /// It was called wrongly.
    #[error("{0}")]
    Usage(String),
    /// The input as a whole cannot be used.
    #[error("{0}")]
    BadInput(String),
    /// Some model files have faults.
    #[error("{} in the model files; nothing was read", count(.0.len(), "fault"))]
    Models(Vec<FileFault>),
    /// Some rows were rejected; the others were done.
    #[error("{} rejected", count(usize::try_from(*.0).unwrap_or(usize::MAX), "row"))]
    Rejected(u64),
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, io::Error),
    /// A file cannot be written.
    #[error("cannot write {0}: {1}")]
    Write(String, io::Error),
    /// The server does not take our token.
    #[error("{0}")]
    Unauthorized(String),
    /// The server cannot be reached, or has no time.
    #[error("{0}")]
    Unreachable(String),
    /// Something that should not have happened.
    #[error("{0}")]
    Failed(String),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// `1 fault`, `2 faults`.
fn count(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl BulkError {
    pub(super) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read(path.display().to_string(), error)
    }
    pub(super) fn write(path: &Path, error: io::Error) -> Self {
        Self::Write(path.display().to_string(), error)
    }

    /// The stable word.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Usage(_) => "usage",
            Self::BadInput(_) => "input_invalid",
            Self::Models(_) => "models_invalid",
            Self::Rejected(_) => "rows_rejected",
            Self::Read(..) => "unreadable",
            Self::Write(..) => "unwritable",
            Self::Unauthorized(_) => "unauthenticated",
            Self::Unreachable(_) => "unreachable",
            Self::Failed(_) => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// How the process ends.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::BadInput(_) | Self::Models(_) | Self::Rejected(_) => Exit::BadInput,
            Self::Read(..) | Self::Write(..) | Self::Failed(_) => Exit::Failed,
            Self::Unauthorized(_) => Exit::Unauthorized,
            Self::Unreachable(_) => Exit::Unreachable,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// Tells people on standard error, and programs that asked for it on standard output.
    pub(super) fn tell(&self, as_json: bool) {
        if let Self::Models(faults) = self {
            for fault in faults {
                eprintln!("disburse: {fault}");
            }
        }
        eprintln!("disburse: {self}");
        // With rows rejected there is a summary, which says so.
        if as_json && !matches!(self, Self::Rejected(_)) {
            outln!("{}", self.body());
        }
    }

    fn body(&self) -> Value {
        let details: Vec<Value> = match self {
            Self::Models(faults) => faults.iter().map(FileFault::to_json).collect(),
            _ => Vec::new(),
        };
        let mut error = json!({ "code": self.code(), "message": self.to_string() });
        if !details.is_empty() {
            error["details"] = details.into();
        }
        json!({ "error": error })
    }
}
