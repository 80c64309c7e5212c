//! The real binary as processes of ours: started, killed, asked to stop, and never left behind.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

/// Names the built binary. `cargo xtask test` builds it and says where it is.
const BINARY_VARIABLE: &str = "DISBURSE_BIN";
/// How long a process may take to do what we wait for, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary, in a folder and with an environment that hold nothing of ours.
pub fn disburse(folder: &Path, arguments: &[&str]) -> Command {
    let binary = std::env::var(BINARY_VARIABLE).unwrap_or_else(|_| {
        panic!("{BINARY_VARIABLE} names no binary: run `cargo xtask test`, which builds it and says where it is")
    });
    let mut command = Command::new(binary);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DISBURSE_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
}

/// What a command did that came to its end.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

/// Runs a command to its end, which has to come.
pub async fn run(mut command: Command) -> Ran {
    let shown = format!("{command:?}");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary can be started");
    let waiting = tokio::task::spawn_blocking(move || child.wait_with_output());
    let Output { status, stdout, stderr } = tokio::time::timeout(2 * PATIENCE, waiting)
        .await
        .unwrap_or_else(|_| panic!("{shown} does not end"))
        .expect("the waiting is not interrupted")
        .expect("the command can be waited for");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the command prints UTF-8");
    Ran { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

/// A process that goes on until it is told otherwise. It is killed when this value goes.
pub struct Process {
    child: Child,
    log: PathBuf,
    /// Where in the log file its own words start: a restarted process writes on.
    log_start: usize,
}

impl Process {
    /// Starts it; what it says goes to that file.
    pub fn start(mut command: Command, log: PathBuf) -> Self {
        let file: File = OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let log_start = fs::read(&log).map_or(0, |text| text.len());
        let out = file.try_clone().expect("a second handle of the log file");
        let child = command.stdout(out).stderr(file).spawn().expect("the binary can be started");
        Self { child, log, log_start }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(text.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// The structured log line with that message, once it is there.
    pub async fn says(&mut self, message: &str) -> serde_json::Value {
        match self.says_or_ends(message).await {
            Ok(line) => line,
            Err(status) => {
                panic!("the process ended with {status} before it said `{message}`:\n{}", self.said())
            }
        }
    }

    /// The same of one that may end before.
    pub async fn says_or_ends(&mut self, message: &str) -> Result<serde_json::Value, ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            let mut lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            if let Some(line) = lines.find(|line| line["message"] == message) {
                return Ok(line);
            }
            if let Some(status) = self.ended() {
                return Err(status);
            }
            assert!(Instant::now() < deadline, "the process did not say `{message}` in {PATIENCE:?}:\n{said}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the process can be asked")
    }

    /// Waits until it stands still at a point, as `DISBURSE_PAUSE_AT` asked it to.
    pub async fn pauses(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        // The state stands behind the name of the program, which is in brackets.
        let stands = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'));
        while !fs::read_to_string(format!("/proc/{}/stat", self.id())).is_ok_and(stands) {
            assert!(self.ended().is_none(), "it ended instead of standing still:\n{}", self.said());
            assert!(Instant::now() < deadline, "it does not stand still:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets one go on that stands still (SIGCONT).
    pub fn go_on(&self) {
        let told = Command::new("kill").args(["-CONT", &self.id().to_string()]).status().expect("`kill` runs");
        assert!(told.success(), "the process is gone:\n{}", self.said());
    }

    /// Ends it at once (SIGKILL), wherever it stands.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop (SIGTERM), and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().expect("`kill` runs");
        assert!(asked.success(), "the process was gone before it was asked to stop:\n{}", self.said());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the process can be asked") {
                assert_eq!(status.signal(), None, "the process did not end by itself:\n{}", self.said());
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not stop:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process runs, on Linux");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line VmRSS");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a figure in kB");
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
