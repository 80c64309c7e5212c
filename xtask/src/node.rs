//! Node.js and npm, found or installed.

use crate::apt;
use crate::failure::{Failure, Result};
use crate::process;
use std::path::PathBuf;
use std::process::Command;

/// The programs by their full names.
pub struct Node {
    /// The runtime.
    pub node: PathBuf,
    /// The package manager.
    pub npm: PathBuf,
}

/// Version 18 is the first with `fetch`, which the generated client calls.
const SUITABLE: &str = "process.exit(typeof fetch === 'function' ? 0 : 1)";

impl Node {
    /// Finds both programs, else installs Debian's packages.
    pub fn find_or_install() -> Result<Self> {
        if let Some(found) = Self::find() {
            return Ok(found);
        }
        apt::install("Node.js 18 or newer with npm", &["nodejs", "npm"])?;
        Self::find().ok_or_else(|| Failure::new("the first `node` on the PATH is older than 18, or there is no `npm`"))
    }

    fn find() -> Option<Self> {
        let node = process::find_program("node")?;
        let npm = process::find_program("npm")?;
        let suitable = process::succeeds(Command::new(&node).args(["-e", SUITABLE]));
        suitable.then_some(Self { node, npm })
    }
}
