//! Where things are, and how cargo is called.

use crate::failure::{Attempt, Failure, Result};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout and its build folder.
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
    cargo: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built from.
    pub fn find() -> Result<Self> {
        // What cargo says now goes before what it said when this was compiled: a checkout can move.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root =
            package.parent().ok_or_else(|| Failure::new("the xtask package has no folder above it"))?.to_path_buf();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) => std::path::absolute(&folder).attempting(|| "CARGO_TARGET_DIR".into())?,
            None => root.join("target"),
        };
        let cargo = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
        Ok(Self { root, target, cargo })
    }

    /// The root of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The binary that the build step made.
    pub fn service(&self) -> Result<PathBuf> {
        self.built("debug", "disburse")
    }

    /// An example that the build step made.
    pub fn example(&self, name: &str) -> Result<PathBuf> {
        self.built("debug", &format!("examples/{name}"))
    }

    /// A binary that was built for release.
    pub fn released(&self, name: &str) -> Result<PathBuf> {
        self.built("release", name)
    }

    fn built(&self, profile: &str, name: &str) -> Result<PathBuf> {
        let path = self.target.join(profile).join(name);
        if path.is_file() {
            Ok(path)
        } else {
            Err(Failure::new(format!("{} is not there: has the build step run?", path.display())))
        }
    }

    /// A folder for what xtask keeps: environments, logs, reports.
    pub fn workshop(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask").join(name);
        std::fs::create_dir_all(&folder).attempting(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    }

    /// An empty folder for what xtask keeps.
    pub fn empty_workshop(&self, name: &str) -> Result<PathBuf> {
        let folder = self.target.join("xtask").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).attempting(|| format!("emptying {}", folder.display()))?;
        }
        self.workshop(name)
    }

    /// Two runs in one checkout would share folders and environments, so the second waits for the
    /// first. The turn ends with the answer, or with this process.
    pub fn wait_for_turn(&self) -> Result<File> {
        let path = self.workshop("logs")?.with_file_name("lock");
        let file = File::create(&path).attempting(|| format!("creating {}", path.display()))?;
        if file.try_lock().is_err() {
            println!("another xtask is at work: waiting for {}", path.display());
            file.lock().attempting(|| format!("locking {}", path.display()))?;
        }
        Ok(file)
    }

    /// `cargo ARGUMENTS` at the root, in the environment that a plain call would have.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(&self.root).args(arguments);
        // `cargo run` describes the xtask package to us in variables. Handed down they would make
        // build scripts that watch them run again, and everything above them build twice.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(describes_a_package) {
                command.env_remove(name);
            }
        }
        if std::env::var_os("CARGO_TARGET_DIR").is_some() {
            command.env("CARGO_TARGET_DIR", &self.target);
        }
        command
    }
}

fn describes_a_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|prefix| variable.starts_with(prefix))
        || ["CARGO", "CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_describes_a_package_is_kept_from_cargo() {
        assert!(describes_a_package("CARGO_PKG_NAME"));
        assert!(describes_a_package("CARGO_MANIFEST_DIR"));
        assert!(!describes_a_package("CARGO_HOME"));
        assert!(!describes_a_package("CARGO_TARGET_DIR"));
        assert!(!describes_a_package("CARGO_INCREMENTAL"));
    }
}
