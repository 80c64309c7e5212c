//! `cargo xtask openapi`: writes `openapi.yaml` from the code. A test holds the two together.

use crate::failure::{Attempt, Failure, Result};
use crate::process;
use crate::server;
use crate::workspace::Workspace;

/// Builds the service, asks it for its specification, and stores the answer.
pub fn write(workspace: &Workspace) -> Result<()> {
    process::run(&mut workspace.cargo(&["build", "--package", "server", "--bin", "disburse"]))?;
    let elsewhere = workspace.workshop("openapi")?;
    let mut command = server::disburse(&workspace.service()?, &elsewhere, None);
    let specification = process::capture(command.arg("openapi"))?;
    if !specification.contains("openapi:") {
        return Err(Failure::new("`disburse openapi` did not print a specification"));
    }
    let path = workspace.root().join("openapi.yaml");
    std::fs::write(&path, specification).attempting(|| format!("writing {}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}
