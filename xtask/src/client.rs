//! A client generated from `openapi.yaml` compiles, and does what its types say.

use crate::failure::{Attempt, Result};
use crate::node::Node;
use crate::process;
use crate::server::Server;
use crate::workspace::Workspace;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Generates, compiles and runs `tests/client`.
pub fn run(workspace: &Workspace) -> Result<()> {
    let _turn = workspace.wait_for_turn()?;
    let node = Node::find_or_install()?;
    let folder = workspace.root().join("tests").join("client");
    install(&node, &folder)?;
    for script in ["generate", "compile"] {
        process::run(npm(&node, &folder).args(["run", "--silent", script]))?;
    }
    let server = Server::start(workspace, "client", None)?;
    let outcome = process::run_within(
        Command::new(&node.node)
            .current_dir(&folder)
            .arg("dist/main.js")
            .env("DISBURSE_URL", server.url())
            .env("DISBURSE_TOKEN", server.token()),
        Duration::from_secs(120),
    );
    server.conclude(outcome)
}

/// Installs what the lock file pins, unless that was done before.
fn install(node: &Node, folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let pinned = std::fs::read_to_string(&lock).attempting(|| format!("reading {}", lock.display()))?;
    let installed = folder.join("node_modules").join(".installed.json");
    if std::fs::read_to_string(&installed).is_ok_and(|have| have == pinned) {
        println!("using {}", folder.join("node_modules").display());
        return Ok(());
    }
    process::run(npm(node, folder).arg("ci"))?;
    std::fs::write(&installed, pinned).attempting(|| format!("writing {}", installed.display()))
}

fn npm(node: &Node, folder: &Path) -> Command {
    let mut npm = Command::new(&node.npm);
    npm.current_dir(folder);
    npm
}
