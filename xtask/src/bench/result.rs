//! What a program of a bench prints of itself: a line that begins with `RESULT`, with words like `name=3`.

use crate::failure::{Failure, Result};
use crate::process;
use std::process::Command;

/// That line.
#[derive(Debug)]
pub struct Printed(String);

impl Printed {
    /// Runs a program to its end.
    pub fn of(command: &mut Command) -> Result<Self> {
        process::announce(command);
        Self::read(&process::capture(command)?)
    }

    /// Finds the line.
    pub fn read(text: &str) -> Result<Self> {
        let line = text.lines().find_map(|line| line.trim_start().strip_prefix("RESULT "));
        line.map(|line| Self(line.to_owned()))
            .ok_or_else(|| Failure::new(format!("there is no line that begins with RESULT:\n{text}")))
    }

    /// A number of the line.
    pub fn number(&self, name: &str) -> Result<f64> {
        let word = self.0.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let number = word.and_then(|word| word.parse().ok());
        number.ok_or_else(|| Failure::new(format!("there is no number `{name}` in `{}`", self.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let printed = Printed::read("running\nRESULT micros=2000000 p50=1.5\nend").unwrap();
        assert_eq!(printed.number("micros"), Ok(2e6));
        assert_eq!(printed.number("p50"), Ok(1.5));
        assert!(printed.number("p5").is_err());
        assert!(Printed::read("micros=1").is_err());
    }
}
