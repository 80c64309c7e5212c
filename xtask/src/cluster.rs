//! A throw-away PostgreSQL cluster from the binaries of this machine.

use crate::apt;
use crate::failure::{Attempt, Failure, Result};
use crate::guarded::{Ending, Guarded};
use crate::postgres::URL_VARIABLE;
use crate::process;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Debian keeps the server's programs out of the PATH, one folder a version. The newest first.
pub fn debian_folders() -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// Finds the programs that make a server, or installs Debian's package.
pub fn find_or_install() -> Result<()> {
    Binaries::find_or_install().map(drop)
}

/// The two programs that make a server.
struct Binaries {
    initdb: PathBuf,
    postgres: PathBuf,
}

impl Binaries {
    fn find_or_install() -> Result<Self> {
        if let Some(binaries) = Self::find() {
            return Ok(binaries);
        }
        apt::install("PostgreSQL", &["postgresql"])?;
        Self::find().ok_or_else(|| {
            Failure::new(format!(
                "no initdb and postgres on the PATH or under /usr/lib/postgresql, although the \
                 package was installed; start a server by hand and name it with {URL_VARIABLE}"
            ))
        })
    }

    fn find() -> Option<Self> {
        let on_path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&on_path)
            .chain(debian_folders())
            .map(|folder| Self { initdb: folder.join("initdb"), postgres: folder.join("postgres") })
            .find(|found| process::is_program(&found.initdb) && process::is_program(&found.postgres))
    }
}

/// A throw-away server: its programs, its folder, whom it runs as, and whether it waits for its disk.
pub struct Cluster {
    binaries: Binaries,
    folder: PathBuf,
    owner: Option<Owner>,
    disk: Disk,
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// As the server does by itself.
    Waits,
    /// Nothing in it outlives the tests, and a crash of ours is not a crash of its machine.
    DoesNotWait,
}

impl Disk {
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Waits => &[],
            Self::DoesNotWait => &["fsync=off", "full_page_writes=off"],
        }
    }
}

/// Whom the server runs as: PostgreSQL refuses to be root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

impl Cluster {
    /// Finds what a cluster needs, or installs Debian's package.
    pub fn plan(disk: Disk) -> Result<Self> {
        let owner = if process::is_root() { Some(Owner::find()?) } else { None };
        Ok(Self {
            binaries: Binaries::find_or_install()?,
            // Not under target/: the server's user must be able to walk there, and a home is shut.
            folder: std::env::temp_dir().join(format!("disburse-postgres-{}", std::process::id())),
            owner,
            disk,
        })
    }

    /// Makes the files and starts the server, on another port if somebody was faster. Returns the
    /// URL of a database from which others can be created.
    pub fn start(&self) -> Result<(String, Guarded)> {
        let mut tries_left = 3;
        loop {
            tries_left -= 1;
            let port = process::free_port()?;
            match self.start_on(port) {
                Ok(server) => {
                    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
                    return Ok((url, server));
                }
                Err(failure) if tries_left > 0 && failure.to_string().contains("in use") => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    fn start_on(&self, port: u16) -> Result<Guarded> {
        // Until the server's guardian has taken over, the folder is ours to remove.
        let mut server = self.initialise().and_then(|()| self.launch(port)).inspect_err(|_| self.remove())?;
        let status = self.folder.join("data").join("postmaster.pid");
        match server.wait_until(Duration::from_secs(60), || says_ready(&status)) {
            Ok(()) => Ok(server),
            // Read the log now: it goes with the server.
            Err(failure) => Err(Failure::new(format!("{failure}\n{}", process::tail(&self.log(), 30)))),
        }
    }

    fn initialise(&self) -> Result<()> {
        std::fs::create_dir(&self.folder).attempting(|| format!("creating {}", self.folder.display()))?;
        if let Some(owner) = self.owner {
            chown(&self.folder, Some(owner.user), Some(owner.group))
                .attempting(|| format!("giving {} away", self.folder.display()))?;
        }
        let output = self
            .as_owner(&self.binaries.initdb)
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C", "--no-sync", "-D", "data"])
            .stdin(Stdio::null())
            .output()
            .attempting(|| format!("starting {}", self.binaries.initdb.display()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "initdb ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )))
    }

    fn launch(&self, port: u16) -> Result<Guarded> {
        let ending = Ending {
            // Its word for: end the sessions, write what must be written, and leave.
            signal: "INT",
            patience: Duration::from_secs(20),
            folder: Some(self.folder.clone()),
        };
        let mut command = self.as_owner(&self.binaries.postgres);
        command.args(["-D", "data", "-p", &port.to_string()]);
        let settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300"];
        for setting in settings.iter().chain(self.disk.settings()) {
            command.args(["-c", setting]);
        }
        Guarded::start("PostgreSQL", &mut command, &self.log(), &ending)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn as_owner(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            // PGDATA, PGPORT and their like belong to somebody else's server.
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        command.env("HOME", &self.folder).env("LC_ALL", "C");
        if let Some(owner) = self.owner {
            command.uid(owner.user).gid(owner.group);
        }
        command
    }

    fn remove(&self) {
        if self.folder.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            eprintln!("warning: removing {}: {error}", self.folder.display());
        }
    }
}

/// The eighth line of the file is the server's own word about itself.
fn says_ready(status_file: &Path) -> bool {
    std::fs::read_to_string(status_file)
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|word| word.trim() == "ready"))
}

impl Owner {
    fn find() -> Result<Self> {
        let users = std::fs::read_to_string("/etc/passwd").attempting(|| "reading /etc/passwd".into())?;
        Self::choose(&users).ok_or_else(|| {
            Failure::new(format!(
                "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor \
                 `nobody`; start a server by hand and name it with {URL_VARIABLE}"
            ))
        })
    }

    fn choose(users: &str) -> Option<Self> {
        let find = |wanted: &str| {
            users.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next()? == wanted).then_some(())?;
                let user = fields.nth(1)?.parse().ok()?;
                let group = fields.next()?.parse().ok()?;
                Some(Self { user, group })
            })
        };
        find("postgres").or_else(|| find("nobody"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_postgres_goes_before_nobody() {
        let users = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        let nobody = Owner { user: 65534, group: 65533 };
        assert_eq!(Owner::choose(users), Some(nobody));
        let users = format!("{users}postgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n");
        let postgres = Owner { user: 101, group: 104 };
        assert_eq!(Owner::choose(&users), Some(postgres));
        assert_eq!(Owner::choose("root:x:0:0::/root:/bin/sh"), None);
    }
}
