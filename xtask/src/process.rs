//! Running other programs to their end.

use crate::failure::{Attempt, Failure, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long to sleep between two looks at something that may have happened.
pub const POLL: Duration = Duration::from_millis(50);

/// Runs a command to its end; what it prints is printed.
pub fn run(command: &mut Command) -> Result<()> {
    announce(command);
    let status = command.stdin(Stdio::null()).status().attempting(|| format!("starting `{}`", describe(command)))?;
    ended(command, status)
}

/// Runs a command to its end, but ends it itself when it takes longer than `limit`.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<()> {
    announce(command);
    let mut child = command.stdin(Stdio::null()).spawn().attempting(|| format!("starting `{}`", describe(command)))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().attempting(|| describe(command))? {
            return ended(command, status);
        }
        if Instant::now() >= deadline {
            child.kill().and_then(|()| child.wait()).attempting(|| format!("ending `{}`", describe(command)))?;
            return Err(Failure::new(format!("`{}` took longer than {} seconds", describe(command), limit.as_secs())));
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
    if status.success() { Ok(()) } else { Err(Failure::new(format!("`{}` ended with {status}", describe(command)))) }
}

/// Shows a command before it runs.
pub fn announce(command: &Command) {
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
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| is_program(path))
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
    let listener = TcpListener::bind(("127.0.0.1", 0)).attempting(|| "looking for a free port".into())?;
    let address = listener.local_addr().attempting(|| "looking for a free port".into())?;
    Ok(address.port())
}

/// The last lines of a log, for a failure's message.
pub fn tail(log: &Path, lines_max: usize) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(lines_max);
    format!("--- the end of {} ---\n{}\n---", log.display(), lines[from..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        command.args(["-H", "Authorization: Bearer secret", "postgres://me:secret@host/db"]);
        assert_eq!(describe(&command), "probe -H 'Authorization: ...' postgres:...");
    }

    #[test]
    fn every_line_is_watched_and_a_bad_end_is_a_failure() {
        let mut lines = Vec::new();
        let outcome = run_watched(Command::new("sh").args(["-c", "echo one; echo two; exit 1"]), |line| {
            lines.push(line.to_owned());
        });
        assert!(outcome.is_err());
        assert_eq!(lines, ["one", "two"]);
    }
}
