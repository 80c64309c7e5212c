//! The sources as text: what a scan needs to know of them.

use super::root;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A source file without its tests and comments.
pub struct Source {
    /// Relative to the root of the workspace.
    pub path: String,
    /// The lines of code, with their numbers.
    pub code: Vec<(usize, String)>,
}

impl Source {
    /// The places where a line of code has one of the words.
    pub fn places_of(&self, words: &[&str]) -> Vec<String> {
        let has = |line: &str| words.iter().any(|word| line.contains(word));
        let found = self.code.iter().filter(|(_, line)| has(line));
        found.map(|(number, line)| format!("{}:{number}: {}", self.path, line.trim())).collect()
    }
}

/// Every source below a folder of the workspace, tests left out.
pub fn below(folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "there is no source below {folder}");
    files.iter().filter(|file| !is_test(file)).map(|file| read(file)).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the entry can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn is_test(file: &Path) -> bool {
    let is_test = |name: &str| matches!(name, "tests" | "tests.rs" | "fixtures.rs" | "vectors.rs");
    let below_root = file.strip_prefix(root()).expect("below the root");
    below_root.iter().any(|part| is_test(&part.to_string_lossy()))
}

fn read(file: &Path) -> Source {
    let text = fs::read_to_string(file).expect("the source can be read");
    let is_code = |line: &str| !line.trim_start().starts_with("//");
    // Tests stand at the end of a file.
    let before_tests = text.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]");
    let code = before_tests.filter(|(_, line)| is_code(line)).map(|(at, line)| (at + 1, line.to_owned()));
    let path = file.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
    Source { path, code: code.collect() }
}
