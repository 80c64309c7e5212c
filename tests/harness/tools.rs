//! Programs and places of this machine that some tests need. What is missing is a failure that says so.

use super::chance;
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The program of that name, which is in Debian's package of that name.
pub fn program(name: &str, package: &str) -> PathBuf {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut paths = std::env::split_paths(&folders).map(|folder| folder.join(name));
    paths.find(|path| is_program(path)).unwrap_or_else(|| {
        panic!("`{name}` was not found: `cargo xtask test` installs it (Debian's package `{package}`)")
    })
}

/// Whether it is a file that somebody may execute.
pub fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.mode() & 0o111 != 0)
}

/// The library that shows a process another clock, as Debian and others install it.
pub fn faketime_library() -> PathBuf {
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    let below = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let all = below.map(|entry| entry.path()).chain(folders.clone());
    let mut libraries = all.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|path| path.exists()).unwrap_or_else(|| {
        panic!("libfaketime was not found: `cargo xtask test` installs it (Debian's package `libfaketime`)")
    })
}

/// A port that nobody listens on now, and that the system gives to nobody who does not ask for it: a server that is
/// killed and started again finds it free.
pub fn free_port() -> u16 {
    for _ in 0..1_000 {
        // Below those that Linux draws from.
        let port = 20_000 + u16::try_from(chance::below(12_000)).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free")
}
