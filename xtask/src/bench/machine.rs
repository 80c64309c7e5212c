//! The machine, and the versions of what ran on it: a figure without them says nothing.

use crate::failure::{Attempt, Failure, Result};
use crate::process;
use crate::workspace::Workspace;
use std::path::Path;
use std::process::Command;

/// A paragraph of the page, made before anything is measured: what else the machine is doing shows in its load.
pub fn describe(workspace: &Workspace) -> Result<String> {
    let processor = field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "an unnamed processor".into());
    let memory = field(&read("/proc/meminfo")?, "MemTotal").as_deref().and_then(gigabytes);
    let memory = memory.map_or_else(String::new, |size| format!(", {size} GB"));
    let cores = std::thread::available_parallelism().attempting(|| "counting the cores".into())?;
    let system = field(&read("/etc/os-release").unwrap_or_default(), "PRETTY_NAME").unwrap_or_else(|| "Linux".into());
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let load = read("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or("?");
    let rustc = version(&mut workspace.cargo(&["--version"]))?;
    let commit = version(Command::new("git").current_dir(workspace.root()).args(["rev-parse", "--short=12", "HEAD"]))
        .unwrap_or_else(|_| "not known".into());
    let day = process::capture(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let disk = require_a_disk(&workspace.workshop("data")?)?;
    Ok(format!(
        "**Machine:** {cores} cores of {processor}{memory}, the data on {disk}; {system}, Linux {}; load {load} at the \
         start. **Versions:** {rustc}, commit {commit}; {}.\n",
        kernel.trim(),
        day.trim(),
    ))
}

/// A failure if what is written there is in memory only: it would cost nothing to keep it.
pub fn require_a_disk(folder: &Path) -> Result<String> {
    let asked = process::capture(Command::new("stat").args(["-f", "-c", "%T"]).arg(folder))?;
    match asked.trim() {
        memory @ ("tmpfs" | "ramfs") => {
            Err(Failure::new(format!("{} is on {memory}: what is to be measured must be on a disk", folder.display())))
        }
        "ext2/ext3" => Ok("ext4".to_owned()),
        name => Ok(name.to_owned()),
    }
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path).attempting(|| format!("reading {path}"))
}

/// The first line of what a program says of itself.
pub fn version(command: &mut Command) -> Result<String> {
    Ok(process::capture(command)?.lines().next().unwrap_or_default().trim().to_owned())
}

/// What stands behind a name and `:` or `=`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let value = line.split_once([':', '='])?.1;
    Some(value.trim().trim_matches('"').to_owned())
}

/// `16384000 kB` as whole gigabytes.
fn gigabytes(size: &str) -> Option<u64> {
    let kilobytes: u64 = size.split_whitespace().next()?.parse().ok()?;
    Some((kilobytes + (1 << 19)) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_both_ways_of_writing_it() {
        assert_eq!(field("vendor_id\t: x\nmodel name\t: A CPU: 3\n", "model name").as_deref(), Some("A CPU: 3"));
        assert_eq!(field("NAME=\"a\"\nPRETTY_NAME=\"A 1\"\n", "PRETTY_NAME").as_deref(), Some("A 1"));
        assert_eq!(field("a: b", "c"), None);
    }

    #[test]
    fn memory_is_rounded() {
        assert_eq!(gigabytes("24628540 kB"), Some(23));
        assert_eq!(gigabytes("x"), None);
    }
}
