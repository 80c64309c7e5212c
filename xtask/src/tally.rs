//! Counts what the cargo tests said, so that "all passed" cannot mean "none ran".

use std::collections::BTreeSet;

/// The sum over all test binaries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests marked to be left out: they run in `cargo xtask soak`.
    pub ignored: u64,
    /// The names of those that passed, without their package.
    pub names: BTreeSet<String>,
}

impl Tally {
    /// Takes a line of output; of the counts only the closing line of a test binary tells.
    pub fn read(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... ok")) {
            self.names.insert(name.to_owned());
        }
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(Ok(count)), Some(word)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match word {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.52s",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 9 filtered out; finished in 12.00s",
        ] {
            tally.read(line);
        }
        let names = BTreeSet::from(["a::b".to_owned()]);
        let expected = Tally { passed: 7, failed: 2, ignored: 1, names };
        assert_eq!(tally, expected);
    }
}
