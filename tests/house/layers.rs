//! Who may name whom, and what may be written where.

use super::{root, sources};
use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::collections::{BTreeMap, BTreeSet};

fn packages() -> Vec<Package> {
    MetadataCommand::new().no_deps().manifest_path(root().join("Cargo.toml")).exec().expect("cargo answers").packages
}

/// Names of the dependencies that are shipped.
fn shipped(package: &Package) -> BTreeSet<&str> {
    let shipped = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    shipped.map(|dependency| dependency.name.as_str()).collect()
}

fn nowhere(folders: &[&str], words: &[&str], except: &[&str]) {
    let files = folders.iter().flat_map(|folder| sources::below(folder));
    let others = files.filter(|file| !except.contains(&file.path.as_str()));
    let places: Vec<String> = others.flat_map(|file| file.places_of(words)).collect();
    assert!(places.is_empty(), "{words:?} must not stand here:\n{}", places.join("\n"));
}

/// The scans below prove something only if they find what is there.
#[test]
fn a_scan_finds_code_and_passes_over_comments_and_tests() {
    let files = sources::below("crates/server/src");
    let compose = files.iter().find(|file| file.path == "crates/server/src/compose.rs").expect("it is scanned");
    assert!(!compose.places_of(&["adapters::"]).is_empty());
    assert!(compose.places_of(&["The composition root"]).is_empty(), "a comment is no code");
    assert!(files.iter().all(|file| !file.path.contains("/tests")));
}

#[test]
fn dependencies_point_inward() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("domain", &[][..]),
        ("app", &["domain"]),
        ("adapters", &["app", "domain"]),
        ("server", &["adapters", "app", "domain"]),
        ("benches", &[]),
        ("models", &["adapters", "app", "domain"]),
        ("simulation", &["adapters", "app", "domain"]),
        ("tests", &[]),
        ("xtask", &[]),
    ]);
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(ours, allowed.keys().copied().collect(), "a new package needs a place in this list");
    for package in &packages {
        let inner: BTreeSet<&str> = shipped(package).intersection(&ours).copied().collect();
        let allowed = allowed[package.name.as_str()].iter().copied().collect();
        assert_eq!(inner, allowed, "what {} depends on", package.name);
    }
}

#[test]
fn the_core_knows_no_framework() {
    let core = packages().into_iter().filter(|package| ["domain", "app"].contains(&package.name.as_str()));
    for package in core {
        let frameworks = ["tokio", "poem", "poem-openapi", "sea-orm", "sea-orm-migration", "reqwest", "clap"];
        for framework in frameworks {
            assert!(!shipped(&package).contains(framework), "{} must not know {framework}", package.name);
        }
    }
}

#[test]
fn the_domain_never_waits_never_reads_a_clock_and_never_draws_an_id() {
    let words =
        ["async ", ".await", "SystemTime", "Instant::", "now_v7", "new_v4", "thread_rng", "std::fs", "std::env"];
    nowhere(&["crates/domain/src"], &words, &[]);
}

#[test]
fn only_the_composition_root_names_adapters() {
    nowhere(&["crates/server/src"], &["adapters::"], &["crates/server/src/compose.rs"]);
}

#[test]
fn no_float_touches_an_amount() {
    nowhere(&["crates/domain/src", "crates/app/src"], &["f32", "f64", "as_f64", "Decimal::to_f"], &[]);
}

/// A name for the operators is enough: a division of money is written with one of them.
#[test]
fn only_apportion_divides_money() {
    let calculation = ["crates/domain/src/calculation", "crates/domain/src/revenue_model", "crates/domain/src/ledger"];
    nowhere(&calculation, &[" / ", " % ", "div_euclid", "rem_euclid", "checked_div", "div_ceil"], &[]);
}

#[test]
fn nothing_but_commit_writes_what_was_decided() {
    let writes = ["INSERT INTO batches", "INSERT INTO items", "UPDATE batches", "UPDATE items", "insert_many"];
    nowhere(
        &["crates/adapters/src/sql"],
        &writes,
        &["crates/adapters/src/sql/commit.rs", "crates/adapters/src/sql/bulk.rs"],
    );
}

#[test]
fn a_transaction_is_begun_in_one_place() {
    // The simulator's book is a database of its own, with its own one place.
    let places = ["crates/adapters/src/sql/mod.rs", "crates/adapters/src/rails/simulator/provider/book.rs"];
    nowhere(&["crates"], &[".begin()", "begin_with_options", "begin_with_config"], &places);
}

#[test]
fn only_one_module_knows_the_status_of_an_error() {
    // `responses` writes the status that an endpoint declares, `routes` and `shell` pass on what they were given.
    let edge =
        ["problem", "responses", "routes", "shell", "metrics"].map(|file| format!("crates/server/src/http/{file}.rs"));
    // The simulated provider is another service: its app passes on what the provider answers.
    let edge = edge.iter().map(String::as_str).chain(["crates/server/src/simulator_app.rs"]);
    let edge: Vec<&str> = edge.collect();
    nowhere(
        &["crates/domain/src", "crates/app/src", "crates/adapters/src", "crates/server/src"],
        &["StatusCode"],
        &edge,
    );
}

/// The simulator is what the default is, and its book is shown; nobody else knows it by name.
#[test]
fn a_providers_name_stands_only_in_its_folder() {
    let core = ["crates/domain/src", "crates/app/src", "crates/adapters/src/sql", "crates/adapters/src/memory"];
    nowhere(&core, &["\"simulator\"", "\"stripe", "Stripe"], &[]);
}

#[test]
fn the_service_may_not_panic_on_what_comes_from_outside() {
    let crates = ["crates/domain/src", "crates/app/src", "crates/adapters/src", "crates/server/src"];
    nowhere(
        &crates,
        &[".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!("],
        &["crates/server/src/http/routes.rs"],
    );
}
