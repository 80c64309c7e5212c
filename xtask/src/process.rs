//! Running other programs, and never leaving one behind.

use crate::failure::{Attempt, Failure, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(50);

/// Runs a command to its end; what it prints is printed.
pub fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command
        .stdin(Stdio::null())
        .status()
        .attempting(|| format!("starting `{}`", describe(command)))?;
    ended(command, status)
}

/// Runs a command to its end, but ends it itself when it takes longer than `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    announce(command);
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .attempting(|| format!("starting `{}`", describe(command)))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().attempting(|| describe(command))? {
            return ended(command, status);
        }
        if Instant::now() >= deadline {
            child
                .kill()
                .and_then(|()| child.wait())
                .attempting(|| format!("ending `{}`", describe(command)))?;
            return Err(Failure::new(format!(
                "`{}` took longer than {} seconds",
                describe(command),
                limit.as_secs()
            )));
        }
        std::thread::sleep(POLL);
    }
}

/// Runs a command to its end and returns what it wrote to standard output.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .attempting(|| format!("starting `{}`", describe(command)))?;
    ended(command, output.status)?;
    String::from_utf8(output.stdout).attempting(|| format!("reading `{}`", describe(command)))
}

/// Whether a command can be started and succeeds; what it prints is of no interest.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a command to its end, prints its standard output, and shows each line of it to `watch`.
pub fn run_watched(command: &mut Command, mut watch: impl FnMut(&str)) -> Result<()> {
    announce(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .attempting(|| format!("starting `{}`", describe(command)))?;
    if let Some(output) = child.stdout.take() {
        // A line need not be UTF-8: a test may print what it likes.
        for line in BufReader::new(output).split(b'\n') {
            let line = line.attempting(|| format!("reading `{}`", describe(command)))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            watch(&line);
        }
    }
    let status = child.wait().attempting(|| describe(command))?;
    ended(command, status)
}

fn ended(command: &Command, status: std::process::ExitStatus) -> Result<()> {
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "`{}` ended with {status}",
            describe(command)
        )))
    }
}

fn announce(command: &Command) {
    println!("$ {}", describe(command));
    // A child writes to the same place without our buffer.
    let _ = std::io::stdout().flush();
}

/// The command as one would type it, without secrets.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let mut words = vec![program.to_string_lossy().into_owned()];
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        words.push(match argument.split_once(':') {
            Some(("Authorization", _)) => "'Authorization: ...'".into(),
            Some((scheme, _)) if scheme.starts_with("postgres") => format!("{scheme}:..."),
            _ => argument.into_owned(),
        });
    }
    words.join(" ")
}

/// The first executable of that name on the PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

/// Whether a file is there that somebody may execute.
pub fn is_program(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0)
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

/// A port on the loopback address that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let listener =
        TcpListener::bind(("127.0.0.1", 0)).attempting(|| "looking for a free port".into())?;
    let address = listener
        .local_addr()
        .attempting(|| "looking for a free port".into())?;
    Ok(address.port())
}

/// The last lines of a log, for a failure's message.
pub fn tail(log: &Path, lines_max: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(lines_max);
    format!(
        "--- the end of {} ---\n{}\n---",
        log.display(),
        lines[from..].join("\n")
    )
}

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
/// folder to remove or nothing. The word `gone` means that the id is no longer the server's.
const GUARDIAN: &str = r#"
trap "" INT TERM HUP
read -r word || word=
if [ "$word" != gone ]; then
    kill -s "$1" "$2" 2>/dev/null
    left=$3
    while kill -0 "$2" 2>/dev/null; do
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
    pub fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
        ending: &Ending,
    ) -> Result<Self> {
        announce(command);
        let output = File::create(log).attempting(|| format!("creating {}", log.display()))?;
        let errors = output
            .try_clone()
            .attempting(|| format!("opening {}", log.display()))?;
        let mut server = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .attempting(|| format!("starting {name}"))?;
        match Self::post_guardian(&server, ending) {
            Ok(mut guardian) => Ok(Self {
                leash: guardian.stdin.take(),
                server,
                guardian,
                name,
            }),
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
                return Err(Failure::new(format!(
                    "{} was not ready after {} seconds",
                    self.name,
                    limit.as_secs()
                )));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends the server. A failure when it had to be killed.
    pub fn stop(mut self) -> Result<()> {
        self.end()
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
        // The guardian sees a server that nobody has waited for as alive, so wait for both.
        let mut guarding = true;
        while status.is_none() || guarding {
            status = status.or_else(|| self.server.try_wait().ok().flatten());
            guarding = guarding && matches!(self.guardian.try_wait(), Ok(None));
            std::thread::sleep(Duration::from_millis(10));
        }
        match status.and_then(|status| status.signal()) {
            Some(9) => Err(Failure::new(format!(
                "{} did not stop when asked, and was killed",
                self.name
            ))),
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
        let log = std::env::temp_dir().join(format!(
            "{}.log",
            folder.file_name().unwrap().to_string_lossy()
        ));
        let ending = Ending {
            signal: "TERM",
            patience,
            folder: Some(folder.to_path_buf()),
        };
        let server = Guarded::start(
            "a shell",
            Command::new("sh").args(["-c", script]),
            &log,
            &ending,
        );
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
    fn a_deaf_server_is_killed_and_reported() {
        let folder = scratch("deaf");
        let ready = folder.join("ready");
        let script = format!(
            "trap '' TERM; touch '{}'; while :; do sleep 0.1; done",
            ready.display()
        );
        let mut server = guarded(&script, &folder, Duration::from_millis(300));
        server
            .wait_until(Duration::from_secs(10), || ready.exists())
            .unwrap();
        assert!(server.stop().unwrap_err().to_string().contains("killed"));
    }

    #[test]
    fn a_command_that_hangs_is_ended() {
        let started = Instant::now();
        let outcome = run_within(Command::new("sleep").arg("60"), Duration::from_millis(200));
        assert!(outcome.unwrap_err().to_string().contains("took longer"));
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_secret_is_never_shown() {
        let mut command = Command::new("probe");
        command.args([
            "-H",
            "Authorization: Bearer secret",
            "postgres://me:secret@host/db",
        ]);
        assert_eq!(
            describe(&command),
            "probe -H 'Authorization: ...' postgres:..."
        );
    }

    #[test]
    fn every_line_is_watched_and_a_bad_end_is_a_failure() {
        let mut lines = Vec::new();
        let outcome = run_watched(
            Command::new("sh").args(["-c", "echo one; echo two; exit 1"]),
            |line| lines.push(line.to_owned()),
        );
        assert!(outcome.is_err());
        assert_eq!(lines, ["one", "two"]);
    }
}
