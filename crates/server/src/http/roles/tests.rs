//! The table on one screen, and `docs/roles.md`, which is printed from it.

use super::*;
use serde_json::Value;
use std::{collections::BTreeMap, env, fs, path::Path};

/// Permissions by roles, a role we have never heard of in the last column.
fn table() -> String {
    let roles: Vec<Option<Role>> = Role::ALL.into_iter().map(Some).chain([None]).collect();
    let mut text = String::from("| permission |");
    for role in &roles {
        text += &format!(" {} |", role.map_or("another", Role::as_str));
    }
    text += &format!("\n|---|{}", "---|".repeat(roles.len()));
    for permission in Permission::ALL {
        text += &format!("\n| `{}` |", permission.as_str());
        for role in &roles {
            text += if permission.admits(*role) { " yes |" } else { " · |" };
        }
    }
    text + "\n"
}

/// More power for somebody is one changed cell here.
#[test]
fn the_whole_table_on_one_screen() {
    let expected = "\
| permission | viewer | auditor | operator | approver | admin | system | another |
|---|---|---|---|---|---|---|---|
| `calculate` | yes | yes | yes | yes | yes | yes | yes |
| `read` | yes | yes | yes | yes | yes | yes | · |
| `read_books` | · | yes | yes | yes | yes | yes | · |
| `read_audit` | · | yes | · | · | yes | · | · |
| `schedule` | · | · | · | · | yes | yes | · |
| `reverse` | · | · | · | · | yes | yes | · |
| `publish_model` | · | · | · | · | yes | yes | · |
| `register_recipient` | · | · | yes | · | yes | yes | · |
| `pay_carried` | · | · | yes | · | yes | yes | · |
| `operate` | · | · | yes | · | yes | · | · |
| `resolve` | · | · | yes | yes | yes | · | · |
| `approve` | · | · | · | yes | yes | · | · |
| `set_policy` | · | · | · | · | yes | · | · |
| `simulate` | · | · | yes | · | yes | yes | · |
";
    assert_eq!(table(), expected, "\n{}", table());
}

#[test]
fn words_are_the_names_of_one_thing_each() {
    for role in Role::ALL {
        assert_eq!(Role::named(role.as_str()), Some(role));
    }
    for permission in Permission::ALL {
        assert_eq!(Permission::named(permission.as_str()), Some(*permission));
    }
    for stranger in ["", "Admin", "ADMIN", "admins", "superadmin", "creator", "admin-system", "read"] {
        assert_eq!(Role::named(stranger), None, "{stranger}");
    }
    assert_eq!(Permission::named("bearerAuth"), None);
}

#[test]
fn a_sentence_says_who_may() {
    assert_eq!(Permission::Schedule.sentence(), "Only `admin` and `system` may schedule payouts.");
    assert_eq!(Permission::SetPolicy.sentence(), "Only `admin` may say what has to be approved.");
    assert_eq!(Permission::Calculate.sentence(), "Any role may calculate what an amount would come to.");
}

#[test]
fn only_scheduling_has_a_code_of_its_own() {
    for permission in Permission::ALL {
        let expected = if *permission == Permission::Schedule { "not_system" } else { "forbidden" };
        assert_eq!(permission.refusal_code(), expected, "{permission:?}");
    }
}

/// What each operation of the specification takes.
fn operations() -> String {
    let document: Value = serde_json::from_str(super::super::document().unwrap().json()).unwrap();
    let mut by_permission: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let taken = operation["x-permission"].as_str().map(|word| Permission::named(word).unwrap());
            let place = Permission::ALL.iter().position(|permission| Some(*permission) == taken);
            let line = format!(
                "| `{} {path}` | {} |",
                method.to_uppercase(),
                taken.map_or("no token".to_owned(), |permission| format!("`{}`", permission.as_str()))
            );
            by_permission.entry(place.unwrap_or(usize::MAX)).or_default().push(line);
        }
    }
    let lines: Vec<String> = by_permission.into_values().flatten().collect();
    format!("| operation | takes |\n|---|---|\n{}\n", lines.join("\n"))
}

#[test]
fn the_page_of_roles_is_current() {
    let deeds: Vec<String> = Permission::ALL
        .iter()
        .map(|permission| format!("| `{}` | {} |", permission.as_str(), permission.deed()))
        .collect();
    let page = format!(
        "# Roles\n\nGenerated from the table in `crates/server/src/http/roles.rs`. `UPDATE_DOCS=1 cargo test -p server \
         roles` writes it.\n\nA token says who its bearer is (`sub`) and in which role (`role`). Without a good token \
         the answer is 401; with one whose role does not have what the operation takes it is 403, code `forbidden` \
         (`not_system` for `schedule`), before anything is said about the rest of the request.\n\n## Who may what\n\n\
         What has a dot is refused. The last column is any other word: its bearer is known, and may do what anybody \
         may.\n\n{}\n| permission | its bearer may |\n|---|---|\n{}\n\n## What an operation takes\n\nThe same is in \
         `openapi.yaml` as `x-permission` and `x-roles`.\n\n{}",
        table(),
        deeds.join("\n"),
        operations()
    );
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/roles.md");
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(file, page).unwrap();
        return;
    }
    let found = fs::read_to_string(file).unwrap_or_default();
    assert!(found == page, "docs/roles.md is not current; `UPDATE_DOCS=1 cargo test -p server roles` writes it");
}
