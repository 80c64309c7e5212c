//! Subcommands of cargo that are installed for this checkout alone.

use crate::failure::{Failure, Result};
use crate::process;
use crate::workspace::Workspace;
use std::process::Command;

/// `cargo NAME`, of exactly that version: installed if it is not there.
pub fn subcommand(workspace: &Workspace, name: &str, version: &str, arguments: &[&str]) -> Result<Command> {
    let folder = workspace.workshop("tools")?;
    let program = format!("cargo-{name}");
    let installed = folder.join("bin").join(&program);
    let known = process::capture(Command::new(&installed).args([name, "--version"])).unwrap_or_default();
    if !known.split_whitespace().any(|word| word == version) {
        println!("installing {program} {version} into {}", folder.display());
        let mut install =
            workspace.cargo(&["install", "--locked", "--quiet", &program, "--version", version, "--root"]);
        process::run(install.arg(&folder)).map_err(|failure| {
            Failure::new(format!("{program} {version} is missing and cannot be installed: {failure}"))
        })?;
    }
    let mut command = Command::new(installed);
    command.arg(name).args(arguments).current_dir(workspace.root());
    Ok(command)
}
