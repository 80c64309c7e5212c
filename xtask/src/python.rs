//! A Python environment with exactly the pinned packages.

use crate::apt;
use crate::failure::{Attempt, Failure, Result};
use crate::process;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Python that the pinned packages run on, and the modules that a virtual environment
/// is made with. Debian splits the latter off into a package of their own.
const SUITABLE: &str = "import sys, venv, ensurepip; sys.exit(0 if sys.version_info >= (3, 11) else 1)";

/// The folder of programs of an environment that holds what `requirements` pins.
///
/// An environment that already fits is taken as it is.
pub fn environment(workspace: &Workspace, name: &str, requirements: &Path) -> Result<PathBuf> {
    let pinned = std::fs::read_to_string(requirements).attempting(|| format!("reading {}", requirements.display()))?;
    let folder = workspace.workshop("python")?.join(name);
    let programs = folder.join("bin");
    let installed = folder.join("installed.txt");
    let fits = std::fs::read_to_string(&installed).is_ok_and(|have| have == pinned)
        && process::succeeds(Command::new(programs.join("python")).args(["-m", "pip", "check"]));
    if fits {
        println!("using the environment in {}", folder.display());
        return Ok(programs);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).attempting(|| format!("removing {}", folder.display()))?;
    }
    let python = find_or_install()?;
    process::run(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
    process::run(
        Command::new(programs.join("python"))
            .args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(requirements),
    )?;
    // Written last: an environment whose making was interrupted does not fit.
    std::fs::write(&installed, pinned).attempting(|| format!("writing {}", installed.display()))?;
    Ok(programs)
}

/// The program, found or installed.
pub fn find_or_install() -> Result<PathBuf> {
    if let Some(python) = find() {
        return Ok(python);
    }
    apt::install("Python 3.11 or newer with venv", &["python3", "python3-venv"])?;
    find().ok_or_else(|| Failure::new("the Python of this system is older than 3.11"))
}

/// The system's own Python is asked too: another one may shadow it and lack modules.
fn find() -> Option<PathBuf> {
    [process::find_program("python3"), Some(PathBuf::from("/usr/bin/python3"))]
        .into_iter()
        .flatten()
        .find(|python| process::succeeds(Command::new(python).args(["-c", SUITABLE])))
}
