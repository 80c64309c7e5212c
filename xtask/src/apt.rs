//! Installs Debian packages, where that is possible.

use crate::failure::{Failure, Result};
use crate::process;
use std::process::Command;
use std::sync::Once;

static UPDATE: Once = Once::new();

/// Installs packages because `wanted` was not found.
pub fn install(wanted: &str, packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    println!("{wanted} was not found: installing {names}");
    if process::find_program("apt-get").is_none() {
        return Err(Failure::new(format!(
            "{wanted} was not found, and there is no apt-get to install it with \
             (Debian's packages are {names})"
        )));
    }
    let mut install = as_root(wanted, &names)?;
    UPDATE.call_once(|| {
        // A stale list of packages still serves most installs: the next command tells.
        if let Err(failure) =
            as_root(wanted, &names).and_then(|mut command| process::run(command.args(["apt-get", "update"])))
        {
            eprintln!("warning: {failure}");
        }
    });
    install
        .args(["apt-get", "install", "-y", "--no-install-recommends"])
        .args(["-o", "Acquire::Retries=3"])
        .args(packages);
    process::run(&mut install)
}

/// `env`, as root, so that the setting survives `sudo`.
fn as_root(wanted: &str, names: &str) -> Result<Command> {
    let mut command = if process::is_root() {
        Command::new("env")
    } else if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        sudo
    } else {
        return Err(Failure::new(format!(
            "{wanted} was not found, and only root can install it: apt-get install {names}"
        )));
    };
    command.arg("DEBIAN_FRONTEND=noninteractive");
    Ok(command)
}
