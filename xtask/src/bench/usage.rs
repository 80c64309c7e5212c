//! Processor time and memory of processes that run, as `/proc` tells.

use crate::failure::{Attempt, Failure, Result};
use crate::postgres::Postgres;
use crate::process;
use std::process::Command;

/// What a process and its threads used so far, with the children that it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    parent: u32,
    used: u64,
}

/// How many microseconds a tick of the kernel's count is.
pub struct Meter {
    micros_per_tick: f64,
}

impl Meter {
    /// Asks the system for its tick.
    pub fn new() -> Result<Self> {
        let ticks = process::capture(Command::new("getconf").arg("CLK_TCK"))?;
        let per_second: f64 = ticks.trim().parse().attempting(|| "reading `getconf CLK_TCK`".into())?;
        Ok(Self { micros_per_tick: 1e6 / per_second })
    }

    /// Microseconds that a process used so far, user and system.
    pub fn process(&self, id: u32) -> Result<f64> {
        Ok(self.micros(ticks(id)?.used))
    }

    /// Microseconds that a process and everything it started used so far.
    pub fn family(&self, id: u32) -> Result<f64> {
        let mut used = ticks(id)?.used;
        let entries = std::fs::read_dir("/proc").attempting(|| "reading /proc".into())?;
        for entry in entries.flatten() {
            let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // One that ended meanwhile is counted by its parent, which waited for it.
            if let Ok(child) = ticks(child)
                && child.parent == id
            {
                used += child.used;
            }
        }
        Ok(self.micros(used))
    }

    #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are a million years")]
    fn micros(&self, ticks: u64) -> f64 {
        ticks as f64 * self.micros_per_tick
    }
}

/// Resident memory of a process in megabytes.
pub fn resident_mb(id: u32) -> Result<f64> {
    let path = format!("/proc/{id}/status");
    let status = std::fs::read_to_string(&path).attempting(|| format!("reading {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kilobytes.map(|size| size / 1024.0).ok_or_else(|| Failure::new(format!("{path} does not tell VmRSS")))
}

/// The process that started all others of a server: the parent of whoever serves us.
pub fn postmaster(postgres: &Postgres) -> Result<u32> {
    let elsewhere =
        || Failure::new("the PostgreSQL server must be on this machine: its processor time is read from /proc");
    // Whoever serves a question must still be there when its parent is looked up, so it looks that up itself.
    let parent = "SELECT (regexp_match(pg_read_file('/proc/self/stat', 0, 512), '\\) \\S (\\d+)'))[1]";
    let parent: u32 = postgres.ask(postgres.url(), parent)?.parse().map_err(|_| elsewhere())?;
    let name = std::fs::read_to_string(format!("/proc/{parent}/comm")).map_err(|_| elsewhere())?;
    if name.trim().starts_with("postgres") { Ok(parent) } else { Err(elsewhere()) }
}

fn ticks(id: u32) -> Result<Ticks> {
    let path = format!("/proc/{id}/stat");
    let stat = std::fs::read_to_string(&path).attempting(|| format!("reading {path}"))?;
    parse(&stat).ok_or_else(|| Failure::new(format!("{path} is not as it should be")))
}

/// The name, in parentheses, may hold anything; behind it come fields 3 and on.
fn parse(stat: &str) -> Option<Ticks> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let used = (14..=17).map(number).sum::<Option<u64>>()?;
    Some(Ticks { parent: u32::try_from(number(4)?).ok()?, used })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_summed_up_whatever_the_name_is() {
        let stat = "17 (a) b) c) S 1 17 17 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 5 0 900 1 1";
        assert_eq!(parse(stat), Some(Ticks { parent: 1, used: 127 }));
        assert_eq!(parse("17 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_a_parent() {
        let me = std::process::id();
        assert!(resident_mb(me).unwrap() > 0.1);
        assert!(ticks(me).unwrap().parent > 0);
    }
}
