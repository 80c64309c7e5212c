//! How far it is: a bar on a terminal, plain lines elsewhere. Always on standard error.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

/// How often something is said where the end is not known.
const EVERY: Duration = Duration::from_secs(10);

/// Tells how far it is.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// How much there is, if that is known.
    total: Option<u64>,
    done: u64,
    rows: u64,
    started: Instant,
    told_tenths: u64,
    told_at: Instant,
    /// What is done with the rows: `calculated`.
    verb: &'static str,
}

impl Progress {
    /// Nothing is done yet of `total`.
    pub(super) fn new(total: Option<u64>, verb: &'static str) -> Self {
        let started = Instant::now();
        let bar = stderr().is_terminal().then(|| match total {
            Some(total) => ProgressBar::new(total).with_style(style("{bar:32} {percent:>3} %  {msg}, {eta} left")),
            None => ProgressBar::no_length().with_style(style("{spinner}  {msg}, {elapsed}")),
        });
        Self { bar, total, done: 0, rows: 0, started, told_tenths: 0, told_at: started, verb }
    }

    /// So much more is done, and so many more rows.
    pub(super) fn advance(&mut self, weight: u64, rows: u64) {
        self.done += weight;
        self.rows += rows;
        if let Some(bar) = &self.bar {
            bar.set_message(self.message());
            bar.set_position(self.done);
            return;
        }
        let tenths = self.total.filter(|total| *total > 0).map(|total| (self.done * 10 / total).min(10));
        let is_time = match tenths {
            Some(tenths) => tenths > self.told_tenths,
            None => self.told_at.elapsed() >= EVERY,
        };
        if is_time {
            self.told_tenths = tenths.unwrap_or_default();
            self.told_at = Instant::now();
            let part = tenths.map(|tenths| format!("{} %: ", tenths * 10)).unwrap_or_default();
            eprintln!("{part}{}", self.message());
        }
    }

    fn message(&self) -> String {
        format!("{} {}, {}/s", grouped(self.rows), self.verb, grouped(self.rate()))
    }

    /// Rows a second so far.
    pub(super) fn rate(&self) -> u64 {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        self.rows.saturating_mul(1_000_000) / micros
    }

    /// Since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Nothing more is said.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Without colours, so that there is nothing that NO_COLOR would have to take away.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let text: Vec<String> = [0, 999, 1_000, 1_234_567].into_iter().map(grouped).collect();
        assert_eq!(text, ["0", "999", "1,000", "1,234,567"]);
    }
}
