//! Where one deployment lives: a folder, and a database in it or beside it.

use super::{
    databases::PostgresDatabase,
    process::{Process, Ran, disburse, run},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// The two engines that every sentence holds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// A file in the folder.
    Sqlite,
    /// A database of its own on the server of the test run.
    Postgres,
}

/// The key under which test tokens are signed; every process of a home gets it.
pub const SECRET: &str = "a secret for tests, of more than 32 bytes";

/// A folder and a database that nobody else uses. Both go with this value.
pub struct Home {
    postgres: Option<PostgresDatabase>,
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
    /// Where its processes find the database, if not where it is.
    reached_at: Option<String>,
    /// Where its server listens.
    listen: String,
    /// What its processes are started by: a program and its arguments.
    starter: Vec<String>,
}

impl Home {
    /// An empty one.
    pub async fn new(engine: Engine) -> Self {
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(PostgresDatabase::create().await),
        };
        Self::over(postgres)
    }

    /// An empty one whose database is somebody else's.
    pub fn beside(database_url: &str) -> Self {
        Self::over(None).reached_at(database_url)
    }

    fn over(postgres: Option<PostgresDatabase>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the data");
        let listen = "127.0.0.1:0".to_owned();
        Self { postgres, folder, settings: Vec::new(), reached_at: None, listen, starter: Vec::new() }
    }

    /// With that in the environment of every process.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Whose processes find the database there, and not where it is.
    #[must_use]
    pub fn reached_at(mut self, database_url: &str) -> Self {
        self.reached_at = Some(database_url.to_owned());
        self
    }

    /// Whose server listens at that port, also after a restart.
    #[must_use]
    pub fn listening_on(mut self, port: u16) -> Self {
        self.listen = format!("127.0.0.1:{port}");
        self
    }

    /// Whose processes are started by that program with those arguments.
    #[must_use]
    pub fn started_by(mut self, program_and_arguments: &[&str]) -> Self {
        self.starter = program_and_arguments.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Another with the same data. No process may run in this one.
    pub async fn copy(&self) -> Self {
        let postgres = match &self.postgres {
            Some(database) => Some(database.copy().await),
            None => None,
        };
        let folder = tempfile::tempdir().expect("a folder for the data");
        std::fs::create_dir(folder.path().join("data")).expect("a folder in it");
        for entry in std::fs::read_dir(self.folder().join("data")).expect("the data can be read") {
            let entry = entry.expect("an entry can be read");
            std::fs::copy(entry.path(), folder.path().join("data").join(entry.file_name())).expect("it can be copied");
        }
        let (reached_at, listen, starter) = (self.reached_at.clone(), self.listen.clone(), self.starter.clone());
        Self { postgres, folder, settings: self.settings.clone(), reached_at, listen, starter }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of its database.
    pub fn database_url(&self) -> String {
        match (&self.reached_at, &self.postgres) {
            (Some(url), _) => url.clone(),
            (None, Some(database)) => database.url().to_owned(),
            (None, None) => format!("sqlite://{}", self.folder().join("data/disburse.db").display()),
        }
    }

    /// The binary, told about this home.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = started_by(&self.starter, disburse(self.folder(), arguments));
        command.args(["--data-dir", "data", "--listen", &self.listen, "--database-url", &self.database_url()]);
        command.env("DISBURSE_JWT_SECRET", SECRET);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command in this home to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments)).await
    }

    /// Starts a process in this home.
    pub fn start(&self, arguments: &[&str]) -> Process {
        Process::start(self.command(arguments), self.log())
    }

    /// Starts one of several that speak at the same time: what it says is told apart from the others.
    pub fn start_aside(&self, name: &str, arguments: &[&str]) -> Process {
        Process::start(self.command(arguments), self.folder().join(format!("{name}.log")))
    }

    /// Where its processes write what they say.
    pub fn log(&self) -> PathBuf {
        self.folder().join("said.log")
    }

    /// Shows the last of what its processes said, if the test is failing.
    pub fn tell_if_panicking(&self) {
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = said.lines().filter(|line| !line.contains(r#""message":"answered""#)).collect();
            let last = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
            println!("--- the last of what the processes said, answers left out ---\n{}", last.join("\n"));
        }
    }
}

/// The same command, given to another program to start.
fn started_by(starter: &[String], command: Command) -> Command {
    let Some((program, arguments)) = starter.split_first() else { return command };
    let mut started = Command::new(program);
    started.args(arguments).arg(command.get_program()).args(command.get_args()).stdin(std::process::Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        started.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => started.env(name, value),
            None => started.env_remove(name),
        };
    }
    started
}
