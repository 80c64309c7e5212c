//! What is generated is current.

use super::root;
use std::{env, fs, process::Command};

/// Compares a file with what it should be, or writes it if `UPDATE_DOCS` is set.
fn assert_current(path: &str, expected: &str, how: &str) {
    let file = root().join(path);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, expected).expect("the document can be written");
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is not current; {how} writes it");
}

fn disburse(arguments: &[&str]) -> String {
    let binary = env::var("DISBURSE_BIN").expect("DISBURSE_BIN names the binary: run `cargo xtask test`");
    let output = Command::new(binary).args(arguments).output().expect("the binary starts");
    assert!(output.status.success(), "disburse {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}

#[test]
fn openapi_yaml_is_what_the_service_says() {
    let found = fs::read_to_string(root().join("openapi.yaml")).unwrap_or_default();
    assert!(found == disburse(&["openapi"]), "openapi.yaml is not current; `cargo xtask openapi` writes it");
}

#[test]
fn the_states_of_an_item_are_printed() {
    let page = format!(
        "# States\n\nGenerated from the transition table in `crates/domain/src/item.rs`. `UPDATE_DOCS=1 cargo xtask test \
         --only test` writes it.\n\n## Item\n\nA row is a step, a column the state it is taken in, a cell the state after \
         it. What has a dot is refused.\n\n{}\n## Batch\n\nThe status of a batch follows from its items, in this order:\n\n\
         1. no items: `completed`\n2. all cancelled: `cancelled`\n3. any processing or in doubt: `processing`\n4. any \
         scheduled or pending: `awaiting_approval` while a required approval is missing, `processing` if anything was \
         attempted, else `scheduled`\n5. all paid: `completed`\n6. some paid: `partial`\n7. otherwise: `failed`\n",
        domain::item::table()
    );
    assert_current("docs/states.md", &page, "`UPDATE_DOCS=1 cargo xtask test --only test`");
}

/// The relative links of a page, without what stands behind `#`.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let paths = targets.map(|target| target.split('#').next().unwrap_or_default());
    paths.filter(|path| !path.is_empty() && !path.contains("://")).collect()
}

/// A map whose roads lead nowhere is worse than none.
#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let mut pages: Vec<std::path::PathBuf> = Vec::new();
    let mut folders = vec![root().join("docs")];
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"] {
        pages.push(root().join(name));
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be listed").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                pages.push(path);
            }
        }
    }
    let mut seen = 0;
    let mut dead = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).expect("it can be read");
        for link in links(&text) {
            seen += 1;
            if !page.parent().expect("it lies in a folder").join(link).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(seen > 100, "the scan finds what is there: {seen}");
}
