//! A PostgreSQL server of a test's own, which it may kill. It writes to the disk as one in earnest does (`fsync`).

use super::tools::{free_port, is_program};
use std::{
    fs::{self, File},
    os::unix::{fs::chown, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a server may take to come up, recovery and a busy machine included.
const UP_WITHIN: Duration = Duration::from_secs(60);

/// A server over files of its own. Both go with this value.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    owner: Option<(u32, u32)>,
    server: Option<Child>,
}

impl Cluster {
    /// Makes the files and starts the server.
    pub async fn new() -> Self {
        let mut cluster = Self::without_files();
        cluster.make_files(
            "initdb",
            &["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D", "data"],
        );
        cluster.start().await;
        cluster
    }

    /// A server that gets everything from this one, and could take its place.
    pub async fn standby(&self) -> Self {
        let mut standby = Self::without_files();
        let options = ["-D", "data", "-d", &self.url(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync"];
        standby.make_files("pg_basebackup", &options);
        standby.start().await;
        standby
    }

    fn without_files() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let is_root = fs::metadata("/proc/self").is_ok_and(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0);
        // It refuses to run as root.
        let owner = is_root.then(|| user("postgres").or_else(|| user("nobody")).expect("a user to run PostgreSQL as"));
        if let Some((user, group)) = owner {
            chown(folder.path(), Some(user), Some(group)).expect("the folder can be given away");
        }
        Self { folder, programs: programs(), port: free_port(), owner, server: None }
    }

    fn make_files(&self, program: &str, options: &[&str]) {
        let made = self.command(program).args(options).stdin(Stdio::null()).output();
        let made = made.unwrap_or_else(|error| panic!("{program} can be started: {error}"));
        assert!(made.status.success(), "{program}: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// Where its database is.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server, and waits until it serves.
    pub async fn start(&mut self) {
        let mut command = self.command("postgres");
        command.args(["-D", "data", "-p", &self.port.to_string()]);
        let settings = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=100", "fsync=on"];
        for setting in settings {
            command.args(["-c", setting]);
        }
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).expect("a log file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut server = command.spawn().expect("the server can be started");
        let deadline = Instant::now() + UP_WITHIN;
        while !self.is_ready(server.id()) {
            if let Ok(Some(status)) = server.try_wait() {
                panic!("the server ended with {status}:\n{}", self.said());
            }
            assert!(Instant::now() < deadline, "the server does not come up:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.server = Some(server);
    }

    /// The server and every process of it.
    pub fn process_ids(&self) -> Vec<u32> {
        let server = self.server.as_ref().expect("a server").id();
        std::iter::once(server).chain(children_of(server)).collect()
    }

    /// Ends the server and every process of it at once (SIGKILL), wherever they stand.
    pub fn kill(&mut self) {
        if self.server.is_none() {
            return;
        }
        let ids = self.process_ids();
        let words: Vec<String> = ids.iter().map(u32::to_string).collect();
        // Some may be gone by then.
        let _ = Command::new("kill").arg("-KILL").args(&words).stderr(Stdio::null()).status();
        let _ = self.server.take().map(|mut server| server.wait());
        // As long as one is left, no other server may use the files.
        let deadline = Instant::now() + UP_WITHIN;
        while ids.iter().any(|id| is_alive(*id)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the server has said.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The eighth line of its file is the server's own word about itself, the first is who wrote it.
    fn is_ready(&self, id: u32) -> bool {
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid")).unwrap_or_default();
        let lines: Vec<&str> = file.lines().map(str::trim).collect();
        lines.first() == Some(&id.to_string().as_str()) && lines.get(7) == Some(&"ready")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            // PGDATA, PGPORT and their like belong to somebody else's server.
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.folder.path()).env("LC_ALL", "C");
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What is needed of a PostgreSQL.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_basebackup"];

/// Where they are. Debian keeps them out of the PATH, one folder a version.
fn programs() -> PathBuf {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort();
    let mut folders = std::env::split_paths(&on_path).chain(debian.into_iter().rev());
    let found = folders.find(|folder| PROGRAMS.iter().all(|name| is_program(&folder.join(name))));
    found.unwrap_or_else(|| {
        panic!("no folder has {PROGRAMS:?}: `cargo xtask test` installs them (Debian's package `postgresql`)")
    })
}

/// Whom the server runs as.
fn user(wanted: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").expect("/etc/passwd can be read");
    users.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, user, group, ..] = fields.as_slice() else { return None };
        (*name == wanted).then(|| Some((user.parse().ok()?, group.parse().ok()?))).flatten()
    })
}

/// State and parent of a process. Its name, in brackets, may hold anything.
fn state_and_parent(id: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| state_and_parent(*id).is_some_and(|(_, of)| of == parent)).collect()
}

/// One that is dead and that nobody has waited for still has an id.
fn is_alive(id: u32) -> bool {
    state_and_parent(id).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}
