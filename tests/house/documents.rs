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
