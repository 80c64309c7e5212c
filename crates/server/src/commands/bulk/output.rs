//! A file that has its name only once it is whole.

use super::failure::BulkError;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// What would have to be removed if the process ended now.
static PARTIAL: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn partial() -> std::sync::MutexGuard<'static, Vec<PathBuf>> {
    PARTIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes everything that is not whole, before the process ends without waiting for whoever writes it.
pub(super) fn remove_partial() {
    for path in partial().drain(..) {
        let _ = fs::remove_file(path);
    }
}

/// Something to be written. What is not kept is removed.
pub(super) struct Output {
    file: File,
    /// Where it stands until it is whole, and where then; nowhere, if it is no file.
    names: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Standard output (`-`), what is there and is no file, or a file beside the one that is wanted.
    pub(super) fn create(path: &Path) -> Result<Self, BulkError> {
        let failed = |error| BulkError::write(path, error);
        if path.as_os_str() == "-" {
            let file = File::from(std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned().map_err(failed)?);
            return Ok(Self { file, names: None });
        }
        // A link stays one: what it names is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        match fs::metadata(&target) {
            Ok(found) if found.is_dir() => {
                return Err(BulkError::Usage(format!("{} is a folder", path.display())));
            }
            // A pipe or a device must not be replaced by a file.
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(&target).map_err(failed)?;
                return Ok(Self { file, names: None });
            }
            Ok(_) | Err(_) => {}
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let beside = target.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&beside).map_err(failed)?;
        partial().push(beside.clone());
        Ok(Self { file, names: Some((beside, target)) })
    }

    /// It is whole: it gets its name, once it is on the disk.
    pub(super) fn keep(mut self) -> io::Result<()> {
        self.file.flush()?;
        if let Some((beside, target)) = &self.names {
            self.file.sync_all()?;
            fs::rename(beside, target)?;
            partial().retain(|known| known != beside);
            self.names = None;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((beside, _)) = &self.names {
            partial().retain(|known| known != beside);
            let _ = fs::remove_file(beside);
        }
    }
}

/// Refuses names that mean the same file. What is no file, a stream or a device, may be named twice.
pub(super) fn all_different(input: &Path, outputs: &[(&str, &Path)]) -> Result<(), BulkError> {
    let mut files = vec![("--input", input)];
    files.extend(outputs);
    files.retain(|(_, path)| path.as_os_str() != "-");
    for (at, (name, path)) in files.iter().enumerate() {
        for (other, other_path) in &files[..at] {
            let is_same = match (real(path), real(other_path)) {
                (Some(path), Some(other)) => path == other,
                _ => path == other_path,
            };
            if is_same && fs::metadata(path).map_or(true, |found| found.is_file()) {
                return Err(BulkError::Usage(format!("{name} and {other} are the same file, {}", path.display())));
            }
        }
    }
    Ok(())
}

/// Where a file is, or will be.
fn real(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok().or_else(|| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_has_its_name_only_once_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("splits.csv");
        fs::write(&path, "old").unwrap();
        let mut output = Output::create(&path).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        output.keep().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(names(folder.path()), ["splits.csv"]);
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        drop(Output::create(&folder.path().join("splits.csv")).unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real.csv"), folder.path().join("link.csv"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut output = Output::create(&link).unwrap();
        output.write_all(b"new").unwrap();
        output.keep().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        Output::create(Path::new("/dev/null")).unwrap().keep().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn one_file_is_not_two() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
        let same = folder.path().join("./a.csv");
        fs::write(&one, "").unwrap();
        assert!(all_different(&one, &[("--output", &two)]).is_ok());
        let error = all_different(&one, &[("--output", &same)]).unwrap_err();
        assert!(error.to_string().starts_with("--output and --input are the same file"), "{error}");
        let nothing = Path::new("/dev/null");
        assert!(all_different(&one, &[("--output", nothing), ("--reject", nothing)]).is_ok());
        let stream = Path::new("-");
        assert!(all_different(stream, &[("--output", stream)]).is_ok());
        assert!(all_different(&one, &[("--output", stream)]).is_ok());
    }
}
