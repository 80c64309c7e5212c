//! A disk that does not say that it has what was written, for some processes and for a while (strace).

use super::{
    process::{PATIENCE, Process},
    tools::program,
};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Makes every `fsync` and `fdatasync` of processes and of those they start fail with EIO, as long as this value lives.
pub struct SickDisk(Process);

impl SickDisk {
    /// Of those processes. What fails is written into that file.
    pub async fn of(process_ids: &[u32], log: PathBuf) -> Self {
        let mut command = Command::new(program("strace", "strace"));
        command.args(["-f", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]);
        for id in process_ids {
            command.args(["-p", &id.to_string()]);
        }
        command.stdin(Stdio::null());
        let mut strace = Process::start(command, log);
        let deadline = Instant::now() + PATIENCE;
        let attached = |said: &str, id: &u32| said.contains(&format!("Process {id} attached"));
        while !process_ids.iter().all(|id| attached(&strace.said(), id)) {
            let ended = strace.ended();
            assert!(ended.is_none(), "strace cannot trace our own process, ended with {ended:?}: {}", strace.said());
            assert!(Instant::now() < deadline, "strace does not attach: {}", strace.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self(strace)
    }

    /// How many calls have failed so far.
    pub fn failed(&self) -> usize {
        self.0.said().matches("(INJECTED)").count()
    }

    /// The disk is well again. Answers how many calls have failed.
    pub async fn heal(mut self) -> usize {
        let failed = self.failed();
        // It lets go of the processes and ends; it may have ended with the last of them.
        let id = self.0.id().to_string();
        let told = Command::new("kill").args(["-INT", &id]).stderr(Stdio::null()).status().expect("`kill` runs");
        let deadline = Instant::now() + PATIENCE;
        while self.0.ended().is_none() {
            assert!(told.success() && Instant::now() < deadline, "strace does not let go: {}", self.0.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        failed
    }
}
