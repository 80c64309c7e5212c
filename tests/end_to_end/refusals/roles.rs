//! Who may what: every operation in every role, held to `docs/roles.md`, which is printed from the server's table.

use super::{SECURED, edge::OPEN, method, world};
use crate::end_to_end::shares;
use crate::harness::{answer::Answer, home::Engine, on_both_databases, world::World};
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path};

on_both_databases! {
    every_operation_admits_whom_the_page_of_roles_says_and_nobody_else
    a_role_does_its_work_and_no_other
}

/// The column of the page for roles that nobody has heard of.
const ANOTHER: &str = "another";

/// An operation as the service describes it.
struct Operation {
    method: String,
    path: String,
    permission: Option<String>,
    roles: Vec<String>,
}

fn described(document: &Value) -> Vec<Operation> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let paths = document["paths"].as_object().expect("there are paths").iter();
    let operations = paths.flat_map(|(path, methods)| {
        methods.as_object().expect("a path has methods").iter().map(move |(method, operation)| Operation {
            method: method.to_uppercase(),
            path: path.clone(),
            permission: text(&operation["x-permission"]),
            roles: operation["x-roles"].as_array().into_iter().flatten().filter_map(text).collect(),
        })
    });
    operations.collect()
}

/// Who holds a permission: each column of the page, and whether it says yes.
type Row = Vec<(String, bool)>;

/// The table of the page, by permission.
fn page_of_roles() -> BTreeMap<String, Row> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/roles.md");
    let page = fs::read_to_string(file).expect("docs/roles.md is there");
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let mut lines = page.lines().skip_while(|line| !line.starts_with("| permission | viewer |"));
    let head = cells(lines.next().expect("there is a table"));
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(cells);
    let row = |row: Vec<String>| {
        let admitted = row[1..].iter().map(|cell| match cell.as_str() {
            "yes" => true,
            "·" => false,
            other => panic!("`{other}` is neither yes nor no"),
        });
        (row[0].clone(), head[1..].iter().cloned().zip(admitted).collect())
    };
    rows.map(row).collect()
}

/// Whether a path with ids in it is one of this pattern.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern.split('/').collect(), path.split('/').collect());
    let same = |(part, given): (&&str, &&str)| part.starts_with('{') || part == given;
    pattern.len() == path.len() && pattern.iter().zip(&path).all(same)
}

/// The entry of an operation: without one, nobody has thought about who may.
fn entry(operation: &Operation, all: &[Operation]) -> (&'static str, &'static str) {
    let Operation { method, path, .. } = operation;
    // A path that is written out wins over one with a parameter that could be the same word.
    let written_out = |known: &str| all.iter().any(|other| &other.method == method && other.path == known);
    let is_its = |known: &str| known == path || fits(path, known) && !written_out(known);
    let mut entries = SECURED.into_iter().filter(|(name, known, _)| name == method && is_its(known));
    let (Some((_, path, permission)), None) = (entries.next(), entries.next()) else {
        panic!("{method} {path} needs one entry in SECURED")
    };
    (path, permission)
}

/// What the specification must call those whom a row admits.
fn roles_of(row: &Row) -> Vec<String> {
    let admitted: Vec<String> = row.iter().filter(|(_, yes)| *yes).map(|(column, _)| column.clone()).collect();
    if admitted.iter().any(|column| column == ANOTHER) { vec!["*".to_owned()] } else { admitted }
}

/// Asks for an operation, and sends nothing but a parameter that nobody reads: nothing can come of it.
async fn ask(world: &World, operation: &Operation, path: &str, role: Option<&str>) -> Answer {
    let mut request = world.request(method(&operation.method), &format!("{path}?stray=1"));
    if let Some(role) = role {
        request = request.bearer_auth(world.token(if role == ANOTHER { "creator" } else { role }));
    }
    let mut answer = world.send(request).await;
    answer.asked = format!("{} as {role:?}", answer.asked);
    answer
}

/// Who is admitted is told what is wrong with the request.
fn assert_admitted(answer: &Answer) {
    match answer.status {
        415 => drop(answer.refused(415, "unsupported_media_type")),
        _ => drop(answer.faults("validation_error", &["/stray unknown_parameter"])),
    }
}

/// Who is not admitted is told so, and nothing about the request.
fn assert_turned_away(answer: &Answer, permission: &str, role: Option<&str>) {
    match (role, permission) {
        (None, _) => answer.refused(401, "unauthenticated"),
        (Some(_), "schedule") => answer.refused(403, "not_system"),
        (Some(_), _) => answer.refused(403, "forbidden"),
    };
}

async fn every_operation_admits_whom_the_page_of_roles_says_and_nobody_else(engine: Engine) {
    let world = world(engine).await;
    let document = world.send(world.request(Method::GET, "/openapi.json")).await.with(200);
    let (operations, page) = (described(&document), page_of_roles());
    let (mut open, mut admitted, mut turned_away) = (0, 0, 0);
    for operation in &operations {
        let Some(permission) = &operation.permission else {
            assert!(OPEN.contains(&operation.path.as_str()), "{} takes no token", operation.path);
            for role in [None, Some("viewer"), Some(ANOTHER)] {
                assert_admitted(&ask(&world, operation, &operation.path, role).await);
            }
            open += 1;
            continue;
        };
        let (path, expected) = entry(operation, &operations);
        let row = &page[permission];
        assert_eq!(permission, expected, "{} {}", operation.method, operation.path);
        assert_eq!(operation.roles, roles_of(row), "{} {}", operation.method, operation.path);
        for (role, yes) in row {
            let answer = ask(&world, operation, path, Some(role)).await;
            if *yes {
                assert_admitted(&answer);
                admitted += 1;
            } else {
                assert_turned_away(&answer, permission, Some(role));
                turned_away += 1;
            }
        }
        assert_turned_away(&ask(&world, operation, path, None).await, permission, None);
        turned_away += 1;
    }
    let secured = operations.len() - open;
    assert!(secured >= 20 && open == 2 && page.len() >= 14, "{secured} and {open} operations, {page:?}");
    assert_eq!(secured, SECURED.len(), "an entry of SECURED is no operation any more");
    assert_eq!(admitted + turned_away, secured * 8, "six roles, another, and nobody");
    assert!(admitted >= 90 && turned_away >= 50, "{admitted} admitted, {turned_away} turned away");
}

async fn a_role_does_its_work_and_no_other(engine: Engine) {
    let world = World::new(engine).await;
    let ask = async |role: &str, method: Method, path: &str, body: Option<&Value>| {
        let request = world.request(method, path).bearer_auth(world.token(role));
        world.send(body.into_iter().fold(request, |request, body| request.json(body))).await
    };
    let model = shares(&[("rec_ana", 1)]);
    let (put, get) = (Method::PUT, Method::GET);
    ask("operator", put.clone(), "/projects/prj_1/revenue-model", Some(&model)).await.refused(403, "forbidden");
    ask("system", put.clone(), "/projects/prj_1/revenue-model", Some(&model)).await.with(201);
    ask("approver", put.clone(), "/recipients/rec_ana", Some(&json!({}))).await.refused(403, "forbidden");
    ask("operator", put, "/recipients/rec_ana", Some(&json!({}))).await.with(201);
    ask("viewer", get.clone(), "/recipients/rec_ana", None).await.with(200);
    ask("viewer", get.clone(), "/ledger/trial-balance", None).await.refused(403, "forbidden");
    ask("auditor", get, "/ledger/trial-balance", None).await.with(200);
}
