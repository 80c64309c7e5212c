//! Why a chore could not be finished, in words for the person at the terminal.

use std::fmt;

/// The outcome of a chore.
pub type Result<T> = std::result::Result<T, Failure>;

/// One sentence or a few lines; there is nobody who would branch on a code.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// Takes the words as they are.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says what was attempted, which an operating system's error never does.
pub trait Attempt<T> {
    /// Turns the error into a failure that begins with `attempted`.
    fn attempting(self, attempted: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Attempt<T> for std::result::Result<T, E> {
    fn attempting(self, attempted: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure(format!("{}: {error}", attempted())))
    }
}
