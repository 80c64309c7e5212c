//! Servers that are started for a test, and never left behind.

use crate::failure::{Attempt, Failure, Result};
use crate::process;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// A server of ours that ends when this value is dropped, and also when xtask is killed.
///
/// A guardian shell holds the other end of a pipe. The pipe closes when xtask ends, however it
/// ends; then the guardian ends the server, by its id, and removes its folder. The standard
/// library cannot catch Ctrl-C, and a handler would not survive `kill -9` in any case.
pub struct Guarded {
    server: Child,
    guardian: Child,
    leash: Option<ChildStdin>,
    name: &'static str,
}

/// `$1` the polite signal, `$2` the id of the server, `$3` tenths of a second to wait, `$4` a
/// folder to remove or nothing. The word `gone` means that the id is no longer the server's. A dead
/// process that nobody has waited for still has an id: in a container that can be for ever.
const GUARDIAN: &str = r#"
trap "" INT TERM HUP
alive() {
    kill -0 "$1" 2>/dev/null || return 1
    case "$(cat "/proc/$1/stat" 2>/dev/null)" in *") Z "*) return 1 ;; esac
}
read -r word || word=
if [ "$word" != gone ]; then
    kill -s "$1" "$2" 2>/dev/null
    left=$3
    while alive "$2"; do
        if [ "$left" -le 0 ]; then kill -s KILL "$2"; break; fi
        left=$((left - 1))
        sleep 0.1
    done
fi
if [ -n "$4" ]; then rm -rf -- "$4"; fi
"#;

/// How a server is to be ended.
pub struct Ending {
    /// The signal that it takes as a polite request.
    pub signal: &'static str,
    /// How long it may take before it is killed.
    pub patience: Duration,
    /// A folder of its own, removed afterwards.
    pub folder: Option<PathBuf>,
}

impl Guarded {
    /// Starts a server that writes to `log`.
    pub fn start(name: &'static str, command: &mut Command, log: &Path, ending: &Ending) -> Result<Self> {
        process::announce(command);
        let output = File::create(log).attempting(|| format!("creating {}", log.display()))?;
        let errors = output.try_clone().attempting(|| format!("opening {}", log.display()))?;
        let mut server = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .attempting(|| format!("starting {name}"))?;
        match Self::post_guardian(&server, ending) {
            Ok(mut guardian) => Ok(Self { leash: guardian.stdin.take(), server, guardian, name }),
            Err(failure) => {
                // Without a guardian there shall be no server.
                let _ = server.kill().and_then(|()| server.wait());
                Err(failure)
            }
        }
    }

    fn post_guardian(server: &Child, ending: &Ending) -> Result<Child> {
        let folder = ending.folder.as_deref().unwrap_or(Path::new(""));
        Command::new("sh")
            .args(["-c", GUARDIAN, "guardian", ending.signal])
            .arg(server.id().to_string())
            .arg((ending.patience.as_millis() / 100).to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .attempting(|| "starting the guardian shell".into())
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.server.id()
    }

    /// A failure when the server has ended by itself.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.server.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Failure::new(format!("{} ended: {status}", self.name))),
            Err(error) => Err(Failure::new(format!("{}: {error}", self.name))),
        }
    }

    /// Calls `ready` until it says so; fails when the server ends or the time is over.
    pub fn wait_until(&mut self, limit: Duration, ready: impl Fn() -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !ready() {
            self.check_alive()?;
            if Instant::now() >= deadline {
                return Err(Failure::new(format!("{} was not ready after {} seconds", self.name, limit.as_secs())));
            }
            std::thread::sleep(process::POLL);
        }
        Ok(())
    }

    /// Ends the server. A failure when it had to be killed.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    /// Kills the server, as a crash would. A failure when it had ended by itself.
    pub fn kill(mut self) -> Result<()> {
        self.check_alive()?;
        self.server.kill().attempting(|| format!("killing {}", self.name))?;
        match self.end() {
            // It was killed, as it should be.
            Err(_) => Ok(()),
            Ok(()) => Err(Failure::new(format!("{} ended by itself", self.name))),
        }
    }

    fn end(&mut self) -> Result<()> {
        use std::os::unix::process::ExitStatusExt;
        let Some(mut leash) = self.leash.take() else {
            return Ok(());
        };
        let mut status = self.server.try_wait().ok().flatten();
        if status.is_some() {
            let _ = leash.write_all(b"gone\n");
        }
        drop(leash);
        let mut guarding = true;
        while status.is_none() || guarding {
            status = status.or_else(|| self.server.try_wait().ok().flatten());
            guarding = guarding && matches!(self.guardian.try_wait(), Ok(None));
            if status.is_none() && !guarding {
                // Somebody ended the guardian. (A server that is dead already does not mind.)
                let _ = self.server.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        match status.and_then(|status| status.signal()) {
            Some(9) => Err(Failure::new(format!("{} did not stop when asked, and was killed", self.name))),
            _ => Ok(()),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if let Err(failure) = self.end() {
            eprintln!("warning: {failure}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn guarded(script: &str, folder: &Path, patience: Duration) -> Guarded {
        let log = std::env::temp_dir().join(format!("{}.log", folder.file_name().unwrap().to_string_lossy()));
        let ending = Ending { signal: "TERM", patience, folder: Some(folder.to_path_buf()) };
        let server = Guarded::start("a shell", Command::new("sh").args(["-c", script]), &log, &ending);
        std::fs::remove_file(log).unwrap();
        server.unwrap()
    }

    #[test]
    fn a_stopped_server_leaves_no_folder_behind() {
        let folder = scratch("stopped");
        let server = guarded("exec sleep 60", &folder, Duration::from_secs(5));
        server.stop().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn a_server_that_ended_by_itself_is_noticed() {
        let folder = scratch("ended");
        let mut server = guarded("exit 3", &folder, Duration::from_secs(5));
        let outcome = server.wait_until(Duration::from_secs(10), || false);
        assert!(outcome.unwrap_err().to_string().contains("exit status: 3"));
        server.stop().unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn a_killed_server_is_no_failure_and_one_that_ended_by_itself_is() {
        let folder = scratch("killed");
        guarded("exec sleep 60", &folder, Duration::from_secs(5)).kill().unwrap();
        assert!(!folder.exists());
        let mut server = guarded("exit 3", &scratch("killed-late"), Duration::from_secs(5));
        server.wait_until(Duration::from_secs(10), || false).unwrap_err();
        assert!(server.kill().unwrap_err().to_string().contains("exit status: 3"));
    }

    #[test]
    fn a_deaf_server_is_killed_and_reported() {
        let folder = scratch("deaf");
        let ready = folder.join("ready");
        let script = format!("trap '' TERM; touch '{}'; while :; do sleep 0.1; done", ready.display());
        let mut server = guarded(&script, &folder, Duration::from_millis(300));
        server.wait_until(Duration::from_secs(10), || ready.exists()).unwrap();
        assert!(server.stop().unwrap_err().to_string().contains("killed"));
    }
}
