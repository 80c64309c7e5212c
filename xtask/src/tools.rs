//! Programs with which tests break things in earnest: they are there, or they are installed.

use crate::apt;
use crate::cluster;
use crate::failure::{Failure, Result};
use crate::process;
use std::path::Path;

/// A program, and Debian's package of it.
const PROGRAMS: [(&str, &str); 3] = [("nsenter", "util-linux"), ("strace", "strace"), ("unshare", "util-linux")];

/// Finds what the tests of real processes need, or installs it: a tracer that makes a disk fail, namespaces with a disk
/// of their own, another clock for a process, and a PostgreSQL server that may be killed.
pub fn provide() -> Result<()> {
    for (program, package) in PROGRAMS {
        find_or_install(program, package, || process::find_program(program).is_some())?;
    }
    find_or_install("libfaketime", "libfaketime", has_faketime)?;
    cluster::find_or_install()
}

fn find_or_install(what: &str, package: &str, is_there: impl Fn() -> bool) -> Result<()> {
    if is_there() {
        return Ok(());
    }
    apt::install(what, &[package])?;
    if is_there() {
        return Ok(());
    }
    Err(Failure::new(format!("{what} is not there although its package was installed")))
}

/// Where the tests look for it, too (`tests/harness/tools.rs`).
fn has_faketime() -> bool {
    ["/usr/lib", "/usr/lib64", "/usr/local/lib"].iter().any(|folder| {
        let below = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        below.chain([Path::new(folder).to_owned()]).any(|folder| folder.join("faketime/libfaketimeMT.so.1").exists())
    })
}
