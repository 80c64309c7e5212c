//! Files of releases: split without a database, and sent to a server.

use super::{release, shares, with};
use crate::harness::{
    home::{Engine, Home},
    on_both_databases,
    process::{PATIENCE, Process, Ran, disburse, run},
    world::{World, text},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

on_both_databases! {
    a_file_is_split_as_the_server_splits
    a_file_that_is_sent_twice_is_booked_once
    a_file_whose_sender_was_killed_is_finished_by_sending_it_again
    what_the_server_refuses_is_told_and_the_others_are_booked
}

const HEADER: &str = "escrowId,projectId,amount,currency,milestoneId,asOf,deductions\n";

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
    fs::write(path, text).expect("the file can be written");
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name")).collect();
    names.sort();
    names
}

/// A folder with the model of one project, two thirds and a third, and a fee.
fn desk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let model = with(shares(&[("rec_ana", 2), ("rec_ben", 1)]), "platformFee", json!({ "ratePpm": 50_000 }));
    put(folder.path(), "models/prj_1.json", &model.to_string());
    folder
}

async fn bulk(folder: &Path, arguments: &str) -> Ran {
    let arguments: Vec<&str> = std::iter::once("bulk").chain(arguments.split_whitespace()).collect();
    run(disburse(folder, &arguments)).await
}

fn printed(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", ran.stdout, ran.stderr))
}

#[tokio::test]
async fn csv_becomes_csv_or_parquet_line_by_line() {
    let folder = desk();
    let folder = folder.path();
    let rows: String = (1..=5000).map(|row| format!("esc_{row},prj_1,{},EUR,,,\n", row * 3 + 1)).collect();
    put(folder, "in.csv", &format!("{HEADER}{rows}"));
    for (output, threads) in [("one.csv", 1), ("two.csv", 2), ("one.parquet", 1), ("two.parquet", 2)] {
        let arguments = "calculate --input in.csv --models models --as-of 2026-01-31 --json";
        let ran = bulk(folder, &format!("{arguments} --output {output} --threads {threads}")).await;
        assert_eq!(ran.code, 0, "{output}: {}", ran.stderr);
        let summary = printed(&ran);
        let counts = ["rowsRead", "rowsCalculated", "rowsRejected", "linesWritten"].map(|name| &summary[name]);
        assert_eq!(counts, [5000, 5000, 0, 10000], "{summary}");
        let sums = &summary["currencies"]["EUR"];
        let amount: i64 = (1..=5000).map(|row| row * 3 + 1).sum();
        assert_eq!(
            (&sums["releases"], &sums["amount"], &sums["gross"]),
            (&json!(5000), &json!(amount), &json!(amount))
        );
        let parts = ["platformFee", "taxWithheld", "net"].map(|name| sums[name].as_i64().expect("a sum"));
        assert_eq!(parts.iter().sum::<i64>(), amount);
        // Somebody who looks at a log sees that it goes on.
        assert!(ran.stderr.contains("100 %: 5,000 calculated"), "{}", ran.stderr);
    }
    let written = read(folder, "one.csv");
    assert!(written.starts_with("escrowId,projectId,recipientId,currency,grossShare,"), "{written:.100}");
    assert!(written.contains("\nesc_1,prj_1,rec_ana,EUR,3,0,0,3,0,3,1,sha256:"), "{written:.300}");
    for ending in ["csv", "parquet"] {
        let bytes = |name: &str| fs::read(folder.join(format!("{name}.{ending}"))).expect("it was written");
        assert!(bytes("one") == bytes("two"), "{ending}");
    }
    let streamed =
        ["bulk", "calculate", "--input", "-", "--output", "-", "--models", "models", "--as-of", "2026-01-31"];
    let mut command = disburse(folder, &streamed);
    command.stdin(fs::File::open(folder.join("in.csv")).expect("it was written"));
    let ran = run(command).await;
    assert!(ran.code == 0 && ran.stdout == written, "{} {}", ran.code, ran.stderr);
    let parquet = fs::read(folder.join("one.parquet")).expect("it was written");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    assert_eq!(names(folder), ["in.csv", "models", "one.csv", "one.parquet", "two.csv", "two.parquet"]);
}

#[tokio::test]
async fn what_cannot_be_split_is_told_and_the_others_are() {
    let folder = desk();
    let folder = folder.path();
    put(folder, "in.csv", &format!("{HEADER}esc_1,prj_1,100,EUR,,,\nesc_2,prj_2,100,EUR,,,\nesc_3,prj_1,1.5,eur,,,\n"));
    let arguments = "calculate --input in.csv --models models --output out.csv --reject rejects.csv";
    let ran = bulk(folder, arguments).await;
    assert_eq!(ran.code, 65, "{}", ran.stderr);
    assert!(ran.stdout.contains("1 split, 2 rejected; 2 lines in out.csv"), "{}", ran.stdout);
    assert!(ran.stderr.ends_with("disburse: 2 rows rejected\n"), "{}", ran.stderr);
    let rejects = read(folder, "rejects.csv");
    let places: Vec<&str> = rejects.lines().map(|line| line.split(',').next().unwrap_or_default()).collect();
    assert_eq!(places, ["line", "3", "4", "4"], "{rejects}");
    assert!(rejects.contains("\n3,projectId,project_not_found,") && rejects.contains("\n4,amount,amount_not_integer,"));
    assert_eq!(read(folder, "out.csv").lines().count(), 3);

    // Without a file for them, the first are shown.
    let ran = bulk(folder, "calculate --input in.csv --models models --output out.csv --json").await;
    assert_eq!((ran.code, &printed(&ran)["rowsRejected"]), (65, &json!(2)));
    assert!(ran.stderr.contains("line 4, currency: must be three upper-case letters"), "{}", ran.stderr);
}

#[tokio::test]
async fn every_failure_has_its_exit_code() {
    let folder = desk();
    let folder = folder.path();
    put(folder, "in.csv", &format!("{HEADER}esc_1,prj_1,100,EUR,,,\n"));
    put(folder, "odd.csv", "escrow_id,amount\n");
    put(folder, "faulty/prj_1.json", r#"{"steps":[{"type":"share","lines":[{"recipientId":"x","ppm":1}]}]}"#);
    put(folder, "faulty/prj_2.json", r#"{"steps":[]}"#);
    put(folder, "token", "nonsense");
    // A disk that is full.
    std::os::unix::fs::symlink("/dev/full", folder.join("full.csv")).expect("a link");
    let calculate = "calculate --json --models models --output out.csv --input";
    for (arguments, code, word, part) in [
        ("calculate --json --models models --output in.csv --input in.csv", 2, "usage", "are the same file"),
        (
            "calculate --json --models models --output out.txt --input in.csv",
            2,
            "usage",
            "must end in .csv or .parquet",
        ),
        (&format!("{calculate} none.csv"), 1, "unreadable", "No such file"),
        (&format!("{calculate} odd.csv"), 65, "input_invalid", "`escrowId` was meant?"),
        ("calculate --json --models faulty --output out.csv --input in.csv", 65, "models_invalid", "2 faults"),
        ("calculate --json --models models --output no/out.csv --input in.csv", 1, "unwritable", "No such file"),
        ("calculate --json --models models --output full.csv --input in.csv", 1, "unwritable", "No space left"),
        ("schedule --json --input in.csv", 2, "usage", "a token is needed"),
        ("schedule --json --input in.csv --token-file none", 1, "unreadable", "No such file"),
        ("schedule --json --input in.csv --token-file token --url https://127.0.0.1", 2, "usage", "http://HOST:PORT"),
        (
            "schedule --json --input in.csv --token-file token --url http://127.0.0.1:9 --give-up-after 1",
            69,
            "unreachable",
            "did not take a request for 1s",
        ),
    ] {
        let ran = bulk(folder, arguments).await;
        assert_eq!(ran.code, code, "{arguments}: {}{}", ran.stdout, ran.stderr);
        let error = printed(&ran)["error"].clone();
        assert_eq!(error["code"], word, "{error}");
        assert!(text(&error, "message").contains(part), "{error}");
        assert!(ran.stderr.contains(&text(&error, "message")), "{}", ran.stderr);
    }
    let ran = bulk(folder, "calculate --json --models faulty --output out.csv --input in.csv").await;
    let fields = printed(&ran)["error"]["details"].clone();
    let fields: Vec<String> = fields
        .as_array()
        .expect("details")
        .iter()
        .map(|detail| format!("{} {} {}", text(detail, "file"), text(detail, "field"), text(detail, "code")))
        .collect();
    assert_eq!(
        fields,
        ["faulty/prj_1.json /steps/0/lines/0/recipientId invalid_format", "faulty/prj_2.json /steps no_steps"]
    );
    assert_eq!(names(folder), ["faulty", "full.csv", "in.csv", "models", "odd.csv", "token"]);
}

#[tokio::test]
async fn whoever_is_interrupted_leaves_nothing_that_looks_finished() {
    let folder = desk();
    let folder = folder.path();
    // A pipe that stays open: the command waits for more.
    assert!(Command::new("mkfifo").arg(folder.join("in.csv")).status().expect("mkfifo runs").success());
    let arguments = ["bulk", "calculate", "--input", "in.csv", "--models", "models", "--output", "out.csv"];
    let mut command = disburse(folder, &arguments);
    command.stdin(Stdio::null());
    let mut process = Process::start(command, folder.join("said.log"));
    let pipe = folder.join("in.csv");
    let opened = tokio::task::spawn_blocking(move || fs::OpenOptions::new().write(true).open(pipe));
    let mut pipe = opened.await.expect("it is opened").expect("it can be opened");
    writeln!(pipe, "{HEADER}esc_1,prj_1,100,EUR,,,").expect("it can be written");
    let began = Instant::now();
    while !names(folder).iter().any(|name| name.starts_with(".out.csv.")) {
        assert!(began.elapsed() < PATIENCE, "nothing is written: {}", process.said());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let status = process.stop().await;
    assert_eq!(status.code(), Some(130), "{}", process.said());
    drop(pipe);
    assert_eq!(names(folder), ["in.csv", "models", "said.log"]);
}

/// The lines of a CSV file, each a table from its column to its field.
fn table(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    lines.map(|line| header.iter().cloned().zip(line).collect()).collect()
}

async fn a_file_is_split_as_the_server_splits(engine: Engine) {
    let world = World::new(engine).await;
    let folder = world.home().folder();
    let steps = json!([
        { "type": "fixed", "amount": 30, "recipientId": "rec_studio", "feeable": false },
        { "type": "share", "lines": [
            { "recipientId": "rec_ana", "percent": "33.3333" },
            { "recipientId": "rec_ben", "remaining": true, "placeholder": true }] },
    ]);
    let fee = json!({ "ratePpm": 31_000, "fixed": 7, "max": 900 });
    let model = json!({ "currency": "EUR", "steps": steps, "platformFee": fee });
    world.publish_model("prj_1", &model).await;
    // What the server answers is a model file.
    let stored = world.get("/projects/prj_1/revenue-model").await.with(200);
    put(folder, "models/prj_1.json", &stored.to_string());
    let amounts = [1, 30, 31, 99, 100, 12_345, 9_999_999];
    let rows: String = amounts.iter().map(|amount| format!("esc_{amount},prj_1,{amount},EUR,,,\n")).collect();
    put(folder, "in.csv", &format!("{HEADER}{rows}"));
    let ran = bulk(folder, "calculate --input in.csv --models models --output out.csv").await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let lines = table(&read(folder, "out.csv"));
    for amount in amounts {
        let ask = json!({ "projectId": "prj_1", "amount": amount, "currency": "EUR", "explain": "none" });
        let answer = world.post("/revenue/calculate", &ask).await.with(200);
        let ours = lines.iter().filter(|line| line["escrowId"] == format!("esc_{amount}"));
        let theirs = answer["breakdown"].as_array().expect("a breakdown");
        assert_eq!(ours.clone().count(), theirs.len());
        for (ours, theirs) in ours.zip(theirs) {
            assert_eq!(ours["recipientId"], text(theirs, "recipientId"));
            assert_eq!(ours["modelHash"], text(&answer, "modelHash"));
            for name in ["grossShare", "platformFeeShare", "taxWithheldShare", "netAmount", "payableAmount"] {
                assert_eq!(ours[name], theirs[name].to_string(), "{name} of {amount}: {ours:?} {theirs}");
            }
        }
    }
}

/// `disburse bulk schedule` against the server of that world.
fn sender(world: &World, more: &[&str]) -> Command {
    let url = world.url();
    let fixed = ["bulk", "schedule", "--json", "--input", "in.csv", "--reject", "rejects.csv", "--url", &url];
    let arguments: Vec<&str> = fixed.iter().chain(more).copied().collect();
    let mut command = disburse(world.home().folder(), &arguments);
    command.env("DISBURSE_TOKEN", world.token("system"));
    command
}

async fn batches(world: &World) -> Vec<String> {
    let batches = world.all("/payouts/batches", "batchId").await;
    let mut escrows: Vec<String> = batches.iter().map(|batch| text(batch, "escrowId")).collect();
    escrows.sort();
    escrows
}

fn file_of(world: &World, rows: usize) -> Vec<String> {
    let escrows: Vec<String> = (1..=rows).map(|row| format!("esc_{row:04}")).collect();
    let rows = escrows.iter().map(|escrow| format!("{escrow},prj_1,1001,EUR,ms_1,2030-01-31,psp_fee:1:ref\n"));
    put(world.home().folder(), "in.csv", &format!("{HEADER}{}", rows.collect::<String>()));
    escrows
}

async fn a_file_that_is_sent_twice_is_booked_once(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1), ("rec_ben", 1)])).await;
    let escrows = file_of(&world, 60);
    for (scheduled, there) in [(60, 0), (0, 60)] {
        let ran = run(sender(&world, &[])).await;
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
        let summary = printed(&ran);
        let counts = ["rowsRead", "scheduled", "alreadyThere", "rowsRejected"].map(|name| &summary[name]);
        assert_eq!(counts, [60, scheduled, there, 0], "{summary}");
    }
    assert_eq!(batches(&world).await, escrows);
    let batch = world.all("/payouts/batches", "batchId").await[0].clone();
    let batch = world.settled(&text(&batch, "batchId")).await;
    assert_eq!((&batch["milestoneId"], &batch["totalNet"]), (&json!("ms_1"), &json!(1000)));
    world.assert_books_balanced().await;
}

async fn a_file_whose_sender_was_killed_is_finished_by_sending_it_again(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1), ("rec_ben", 1)])).await;
    let escrows = file_of(&world, 400);
    let mut first = Process::start(sender(&world, &["--concurrency", "4"]), world.home().folder().join("first.log"));
    let began = Instant::now();
    while world.get("/payouts/batches?limit=1").await.with(200)["data"] == json!([]) {
        assert!(began.elapsed() < PATIENCE, "nothing is sent: {}", first.said());
    }
    first.kill();
    let before = batches(&world).await.len() as u64;
    let ran = run(sender(&world, &[])).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    let summary = printed(&ran);
    // One that was under way when the sender died may have been booked afterwards.
    let there = summary["alreadyThere"].as_u64().expect("a count");
    assert!(there >= before && before > 0, "{before} were booked: {summary}");
    assert_eq!(summary["scheduled"].as_u64().expect("a count") + there, 400);
    assert_eq!(batches(&world).await, escrows);
}

async fn what_the_server_refuses_is_told_and_the_others_are_booked(engine: Engine) {
    let home = Home::new(engine).await;
    let world = World::in_home(home, &["--no-worker"]).await;
    world.publish_model("prj_1", &with(shares(&[("rec_ana", 1)]), "currency", json!("EUR"))).await;
    world.scheduled(&release("esc_1", "prj_1", 500, "EUR")).await;
    let folder = world.home().folder();
    let rows = "esc_1,prj_1,501,EUR,,,\nesc_2,prj_none,5,EUR,,,\nesc_3,prj_1,5,USD,,,\n\
                esc_4,prj_1,0,EUR,,,\nesc_5,prj_1,5,EUR,,,\n";
    put(folder, "in.csv", &format!("{HEADER}{rows}"));
    let ran = run(sender(&world, &[])).await;
    assert_eq!(ran.code, 65, "{}{}", ran.stdout, ran.stderr);
    let summary = printed(&ran);
    assert_eq!((&summary["scheduled"], &summary["rowsRejected"]), (&json!(1), &json!(4)), "{summary}");
    let rejects = read(folder, "rejects.csv");
    let told: Vec<String> = rejects
        .lines()
        .skip(1)
        .map(|line| line.split(',').enumerate().filter(|(at, _)| [0, 2].contains(at)).map(|(_, field)| field).collect())
        .map(|fields: Vec<&str>| fields.join(" "))
        .collect();
    let expected = ["2 already_scheduled", "3 project_not_found", "4 currency_mismatch", "5 amount_not_positive"];
    assert_eq!(told, expected, "{rejects}");
    assert_eq!(batches(&world).await, ["esc_1", "esc_5"]);

    let mut command = sender(&world, &[]);
    command.env("DISBURSE_TOKEN", world.token("viewer"));
    let ran = run(command).await;
    assert_eq!(ran.code, 4, "{}{}", ran.stdout, ran.stderr);
    assert_eq!(printed(&ran)["error"]["code"], "unauthenticated");
}
