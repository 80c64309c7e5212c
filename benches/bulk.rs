//! `disburse bulk calculate` from end to end: a file of releases to two recipients, from CSV to CSV and to Parquet.
//!
//!     cargo build --release -p server
//!     cargo bench -p benches --bench bulk                 # a million releases
//!     BULK_ROWS=20000000 BULK_RUNS=1 cargo bench -p benches --bench bulk
//!
//! `DISBURSE_BIN` names another binary, `TMPDIR` another disk.

#![allow(clippy::unwrap_used, missing_docs, reason = "a bench that cannot go on says so by panicking")]

use std::{
    env,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROJECTS: u64 = 100;

fn main() {
    let number = |name: &str, default: u64| env::var(name).map_or(default, |number| number.parse().unwrap());
    let (rows, runs) = (number("BULK_ROWS", 1_000_000), number("BULK_RUNS", 7));
    let folder = tempfile::tempdir().unwrap();
    let binary = binary();
    models(&folder.path().join("models"));
    let input = folder.path().join("releases.csv");
    releases(&input, rows);
    let size = fs::metadata(&input).unwrap().len();
    println!(
        "{rows} releases of {PROJECTS} projects, 2 recipients each, {} MB of CSV; the best of {runs} runs",
        size >> 20
    );
    println!(
        "{:<10} {:>7} {:>9} {:>12} {:>9} {:>10}",
        "output", "threads", "seconds", "releases/s", "peak RSS", "output"
    );
    let cores = thread::available_parallelism().unwrap().get();
    for output in ["csv", "parquet"] {
        for threads in [1, cores] {
            let runs = (0..runs).map(|_| run(&binary, folder.path(), &input, output, threads));
            let (seconds, peak_kb) = runs.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            let size = fs::metadata(folder.path().join(format!("splits.{output}"))).unwrap().len();
            let rate = rows as f64 / seconds;
            let (peak, size) = (peak_kb / 1024, size >> 20);
            println!("{output:<10} {threads:>7} {seconds:>9.2} {rate:>12.0} {peak:>6} MB {size:>7} MB");
        }
    }
}

fn binary() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/disburse");
    let binary = env::var_os("DISBURSE_BIN").map_or_else(built, PathBuf::from);
    assert!(binary.is_file(), "{} is missing: cargo build --release -p server", binary.display());
    binary
}

fn models(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for project in 0..PROJECTS {
        let text = format!(
            r#"{{"platformFee":{{"ratePpm":50000,"fixed":30}},"currency":"USD","steps":[{{"type":"share","lines":[
                {{"recipientId":"rec_a{project}","percent":"70"}},
                {{"recipientId":"rec_b{project}","percent":"30"}}]}}]}}"#
        );
        fs::write(folder.join(format!("prj_{project}.json")), text).unwrap();
    }
}

fn releases(path: &Path, rows: u64) {
    let mut to = BufWriter::new(File::create(path).unwrap());
    writeln!(to, "escrowId,projectId,amount,currency,asOf").unwrap();
    let mut state = 1u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for row in 0..rows {
        let (project, amount, day) = (random(PROJECTS), 100 + random(10_000_000), 1 + row * 28 / rows);
        writeln!(to, "esc_{row:09},prj_{project},{amount},USD,2026-01-{day:02}").unwrap();
    }
    to.flush().unwrap();
}

/// How long it took, and the most memory it had.
fn run(binary: &Path, folder: &Path, input: &Path, output: &str, threads: usize) -> (f64, u64) {
    let started = Instant::now();
    let mut child = Command::new(binary)
        .args(["bulk", "calculate", "--json", "--threads", &threads.to_string()])
        .arg("--input")
        .arg(input)
        .arg("--models")
        .arg(folder.join("models"))
        .arg("--output")
        .arg(folder.join(format!("splits.{output}")))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak_kb = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak_kb = resident_peak_kb(&child).max(peak_kb);
        thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{status}");
    (started.elapsed().as_secs_f64(), peak_kb)
}

fn resident_peak_kb(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
