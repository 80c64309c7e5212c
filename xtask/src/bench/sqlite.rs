//! SQLite's own shell, which reads what our processes have written.

use crate::apt;
use crate::failure::{Failure, Result};
use crate::process;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program.
pub struct Sqlite {
    program: PathBuf,
}

impl Sqlite {
    /// Finds it, or installs Debian's package.
    pub fn find_or_install() -> Result<Self> {
        let find = || process::find_program("sqlite3");
        if find().is_none() {
            apt::install("sqlite3", &["sqlite3"])?;
        }
        let program = find().ok_or_else(|| Failure::new("sqlite3 is not there although its package was installed"))?;
        Ok(Self { program })
    }

    /// What a file answers to statements: lines of fields, and `|` between these.
    pub fn ask(&self, file: &Path, statements: &str) -> Result<String> {
        // Without a file it would make one.
        if !file.is_file() {
            return Err(Failure::new(format!("{} is not there", file.display())));
        }
        let mut command = Command::new(&self.program);
        // Somebody else may be writing.
        command.args(["-batch", "-bail", "-init", "/dev/null", "-cmd", ".timeout 10000"]).arg(file).arg(statements);
        Ok(process::capture(&mut command)?.trim().to_owned())
    }
}
