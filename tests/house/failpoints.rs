//! Every await of a port has a point at which a test can make the process die.

use super::root;
use crate::harness::process::{disburse, run};
use std::{collections::BTreeSet, fs};

/// The ports with points, as points name them, and where they are. The last word says whether requests use it, too.
const PORTS: [(&str, &str, &str, bool); 8] = [
    ("PayoutRepository", "repository", "repository", true),
    ("JobQueue", "queue", "repository", false),
    ("Outbox", "outbox", "repository", false),
    ("IdempotencyKeys", "keys", "idempotency", true),
    ("Clock", "clock", "world", true),
    ("EventPublisher", "publisher", "world", false),
    ("PayoutRail", "rail", "rail", true),
    ("SimulatorNotifications", "notifications", "rail/simulator", false),
];
/// What the worker has beside them, none of which is awaited.
const NOT_AWAITED: [&str; 3] = ["Dice", "Gates", "Ids"];

/// The methods of a port that are awaited.
fn awaited(port: &str, file: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(format!("crates/app/src/ports/{file}.rs"))).expect("the port is there");
    let (_, port) = text.split_once(&format!("pub trait {port}:")).expect("the port is in this file");
    let lines = port.lines().take_while(|line| *line != "}");
    let names = lines.filter_map(|line| line.trim_start().strip_prefix("async fn ")?.split('(').next());
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn every_awaited_method_of_a_port_has_its_points() {
    let listed = run(disburse(&std::env::temp_dir(), &["failpoints"])).await;
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let listed: BTreeSet<String> = listed.stdout.lines().map(str::to_owned).collect();
    let mut expected = BTreeSet::new();
    for (port, name, file, of_requests) in PORTS {
        let methods = awaited(port, file);
        assert!(!methods.is_empty(), "{port}");
        for caller in ["worker", "api"].into_iter().take(if of_requests { 2 } else { 1 }) {
            for method in &methods {
                expected.extend(["before", "after"].map(|moment| format!("{caller}.{name}.{method}.{moment}")));
            }
        }
    }
    assert_eq!(listed, expected);
}

#[test]
fn the_worker_has_no_other_port() {
    let text = fs::read_to_string(root().join("crates/server/src/worker.rs")).expect("the worker is there");
    let (_, fields) = text.split_once("pub struct Worker {").expect("the worker has fields");
    let fields = fields.split("\n}").next().expect("they end somewhere");
    let typed = fields.split("Arc<").skip(1).filter_map(|rest| rest.split('>').next());
    let ports: BTreeSet<&str> = typed.map(|kind| kind.trim_start_matches("dyn ")).collect();
    // Rails are a map of `PayoutRail`.
    let known = PORTS.into_iter().map(|(port, ..)| port).filter(|port| *port != "PayoutRail").chain(NOT_AWAITED);
    assert_eq!(ports, known.collect());
}

/// What is only in a debug build is not in the binary that people run.
#[test]
fn a_release_binary_has_no_points() {
    for file in ["main.rs", "compose.rs", "commands/mod.rs"] {
        let text = fs::read_to_string(root().join("crates/server/src").join(file)).expect("the source is there");
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect();
        let named = (0..lines.len()).filter(|at| {
            let line = lines[*at].to_lowercase();
            line.contains("failpoints") && !line.contains("crate::failpoints::all()")
        });
        for at in named {
            let before = &lines[at.saturating_sub(2)..at];
            assert!(before.contains(&"#[cfg(debug_assertions)]"), "{file}: {} is not of a debug build", lines[at]);
        }
    }
}
