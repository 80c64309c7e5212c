//! The commands: what they print, how they end, and what they refuse.

use super::{release, shares};
use crate::harness::{
    home::{Engine, Home, SECRET},
    on_both_databases,
    process::{Process, Ran, disburse, run},
    world::{World, text},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{fs, path::Path};

on_both_databases! {
    migrate_says_what_the_database_has
    doctor_says_whether_everything_can_be_reached
    verify_looks_and_changes_nothing
    several_processes_may_start_at_once_on_an_empty_database
    the_demo_pays_and_ends
}

/// A command in an empty folder, with nothing said but this.
async fn bare(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = disburse(folder, arguments);
    command.envs(environment.iter().copied());
    run(command).await
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn migrate_says_what_the_database_has(engine: Engine) {
    let home = Home::new(engine).await;
    // On SQLite there is no database yet, and asking about it makes none.
    let before = home.run(&["migrate", "status"]).await;
    match engine {
        Engine::Sqlite => {
            assert_eq!((before.code, before.stdout.as_str()), (69, ""), "{}", before.stderr);
            assert!(!home.folder().join("data/disburse.db").exists());
        }
        Engine::Postgres => {
            assert_eq!(before.code, 0, "{}", before.stderr);
            assert!(before.stdout.starts_with("pending  m0001_"), "{}", before.stdout);
        }
    }
    for arguments in [&["migrate"][..], &["migrate", "up"], &["migrate", "status"]] {
        let ran = home.run(arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.lines().count() >= 1, "{arguments:?}: {}", ran.stdout);
        assert!(ran.stdout.lines().all(|line| line.starts_with("applied  m0")), "{arguments:?}: {}", ran.stdout);
    }
    let world = World::in_home(home, &[]).await;
    world.assert_books_balanced().await;
}

/// What a crash of the database undoes may have been sent already.
#[tokio::test]
async fn a_database_that_may_undo_what_it_acknowledged_is_refused() {
    let home = Home::new(Engine::Postgres).await;
    let careless = format!("{}?options=-c%20synchronous_commit%3Doff", home.database_url());
    let folder = folder();
    let refused = bare(folder.path(), &["serve", "--database-url", &careless], &[]).await;
    assert_eq!(refused.code, 69, "{}", refused.stderr);
    assert!(refused.stderr.contains("Set `synchronous_commit` to `on`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--accept-data-loss"), "{}", refused.stderr);
    let accepted = ["demo", "--once", "--accept-data-loss", "--database-url", &careless];
    let ran = bare(folder.path(), &accepted, &[]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

/// What the service refuses to start on is not well, whether or not the database has its tables yet.
#[tokio::test]
async fn doctor_finds_a_database_that_may_undo_what_it_acknowledged() {
    let home = Home::new(Engine::Postgres).await;
    let careless = format!("{}?options=-c%20synchronous_commit%3Doff", home.database_url());
    let folder = folder();
    let doctor = async |more: &[&str]| {
        bare(folder.path(), &[&["doctor", "--database-url", &careless], more].concat(), &[]).await
    };
    let found = "FAILED commits        the database does not keep what it acknowledges: ";
    let ran = doctor(&[]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(found), "{}", ran.stdout);
    assert_eq!(home.run(&["migrate"]).await.code, 0);
    let ran = doctor(&[]).await;
    assert_eq!(ran.code, 1, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(found) && ran.stdout.contains("ok     database"), "{}", ran.stdout);
    assert_eq!(ran.stdout.matches("FAILED").count(), 1, "{}", ran.stdout);
    let ran = doctor(&["--accept-data-loss"]).await;
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("ok     commits        data loss is accepted: "), "{}", ran.stdout);
}

async fn doctor_says_whether_everything_can_be_reached(engine: Engine) {
    let home = Home::new(engine).await;
    assert_eq!(home.run(&["migrate"]).await.code, 0);
    let well = home.run(&["doctor"]).await;
    assert_eq!(well.code, 0, "{}{}", well.stdout, well.stderr);
    for line in [
        "listen         flag           127.0.0.1:0",
        "data_dir       flag           data",
        "jwt_secret     environment    (given)",
    ] {
        assert!(well.stdout.lines().any(|found| found == line), "{line} is not in\n{}", well.stdout);
    }
    for part in ["signing key", "database", "commits", "clock"] {
        assert!(well.stdout.contains(&format!("ok     {part}")), "{part} is not well:\n{}", well.stdout);
    }
    assert!(!well.stdout.contains(SECRET) && !well.stderr.contains(SECRET));

    let nowhere = match engine {
        Engine::Sqlite => "sqlite:///proc/no/such/folder/disburse.db",
        Engine::Postgres => "postgres://ann:s3cret@127.0.0.1:9/nothing",
    };
    let folder = folder();
    let ill = bare(folder.path(), &["doctor", "--database-url", nowhere], &[]).await;
    assert_eq!(ill.code, 1, "{}{}", ill.stdout, ill.stderr);
    assert!(ill.stdout.contains("FAILED database"), "{}", ill.stdout);
    assert!(!ill.stdout.contains("s3cret") && !ill.stderr.contains("s3cret"), "{}{}", ill.stdout, ill.stderr);
    for command in ["serve", "worker", "verify", "migrate"] {
        let arguments = [command, "--database-url", nowhere, "--listen", "127.0.0.1:0"];
        let ran = bare(folder.path(), &arguments, &[]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (69, ""), "{command}: {}", ran.stderr);
        assert!(ran.stderr.contains("disburse: ") && !ran.stderr.contains("s3cret"), "{command}: {}", ran.stderr);
    }
}

async fn verify_looks_and_changes_nothing(engine: Engine) {
    let home = Home::new(engine).await;
    let nothing = home.run(&["verify"]).await;
    assert_eq!(nothing.code, 69, "{}{}", nothing.stdout, nothing.stderr);
    let world = World::in_home(home, &["--no-worker"]).await;
    assert_eq!(world.verify().await.code, 0);
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    world.scheduled(&release("esc_1", "prj_1", 700, "USD")).await;
    let verified = world.verify().await;
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let payable = verified.stdout.lines().find(|line| line.contains(" payable ")).expect("the check of payables");
    assert!(payable.starts_with("ok") && payable.matches(" 700").count() == 2, "both figures are shown: {payable}");
    assert!(world.transfers().await.is_empty());
}

async fn several_processes_may_start_at_once_on_an_empty_database(engine: Engine) {
    let home = Home::new(engine).await;
    let mut processes: Vec<Process> = (0..4).map(|number| home.start_aside(&number.to_string(), &["serve"])).collect();
    let mut urls = Vec::new();
    for process in &mut processes {
        urls.push(text(&process.says("serving").await, "url"));
    }
    for url in &urls {
        let ready = reqwest::get(format!("{url}/readyz")).await.expect("an answer");
        assert_eq!(ready.status(), StatusCode::OK, "{url}");
    }
    for mut process in processes {
        assert!(process.stop().await.success(), "{}", process.said());
    }
    let status = home.run(&["migrate", "status"]).await;
    assert!(status.stdout.lines().all(|line| line.starts_with("applied")), "{}", status.stdout);
}

async fn the_demo_pays_and_ends(engine: Engine) {
    let home = Home::new(engine).await;
    for turn in 1..=2 {
        let demo = home.run(&["demo", "--once"]).await;
        assert_eq!(demo.code, 0, "{}{}", demo.stdout, demo.stderr);
        for word in
            ["rec_ana", "rec_ben", "rec_cleo", "rec_dan", "completed", "partial", "paid", "declined", "JPY", "/docs"]
        {
            assert!(demo.stdout.contains(word), "turn {turn}: no {word} in\n{}", demo.stdout);
        }
        assert!(demo.stdout.contains("\nbooks balanced ("), "turn {turn}:\n{}", demo.stdout);
    }
    assert_eq!(home.run(&["verify"]).await.code, 0);
}

#[tokio::test]
async fn a_token_is_printed_alone_and_works() {
    let folder = folder();
    // The key of the folder is made on first use, and is nobody else's to read.
    let mut server =
        Process::start(disburse(folder.path(), &["serve", "--listen", "127.0.0.1:0"]), folder.path().join("said.log"));
    let url = text(&server.says("serving").await, "url");
    let key = fs::metadata(folder.path().join("disburse-data/development.key")).expect("a key");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
    let read = async |token: &str| {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        client
            .request(Method::GET, format!("{url}/payouts/batches"))
            .bearer_auth(token)
            .send()
            .await
            .expect("an answer")
            .status()
    };
    let token = async |arguments: &[&str]| {
        let ran = bare(folder.path(), &[&["token", "--role", "admin"], arguments].concat(), &[]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        let token = ran.stdout.strip_suffix('\n').expect("a line").to_owned();
        assert!(token.split('.').count() == 3 && !token.contains(char::is_whitespace), "{token}");
        token
    };
    for arguments in
        [&[][..], &["--sub", "usr_7"], &["--sub", "507f1f77bcf86cd799439011", "--ttl", "90s"], &["--ttl", "3650d"]]
    {
        assert_eq!(read(&token(arguments).await).await, StatusCode::OK, "{arguments:?}");
    }
    let creator = bare(folder.path(), &["token", "--role", "creator", "--sub", "usr_7"], &[]).await;
    assert_eq!(read(creator.stdout.trim()).await, StatusCode::FORBIDDEN);

    // It says who asked, and until when.
    let claims = token(&["--sub", "0110C853-1D09-52D8-D73E-1194E95B5F19", "--ttl", "2h"]).await;
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(&claims).expect("claims").claims;
    assert_eq!((&claims["sub"], &claims["role"]), (&json!("0110c853-1d09-52d8-d73e-1194e95b5f19"), &json!("admin")));
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_command_that_is_called_wrongly_ends_with_2_and_prints_nothing() {
    let folder = folder();
    let weak = [("DISBURSE_JWT_SECRET", "too short")];
    let strong = [("DISBURSE_JWT_SECRET", SECRET)];
    for (arguments, environment, word) in [
        (&["token"][..], &[][..], "--role"),
        (&["token", "--role", "two words"], &[], "role"),
        (&["token", "--role", "admin", "--sub", "Alice"], &[], "--sub"),
        (&["token", "--role", "admin", "--sub", ""], &[], "--sub"),
        (&["token", "--role", "admin", "--ttl", "0s"], &[], "--ttl"),
        (&["token", "--role", "admin", "--ttl", "soon"], &[], "--ttl"),
        (&["token", "--role", "admin", "--ttl", "-1h"], &[], "-1"),
        (&["token", "--role", "admin"], &weak, "32"),
        (&["serve", "--listen", "127.0.0.1:0"], &weak, "32"),
        (&["serve", "--listen", "0.0.0.0:0"], &[], "DISBURSE_JWT_SECRET"),
        (&["serve", "--listen", "[::]:0"], &[], "DISBURSE_JWT_SECRET"),
        (&["serve", "--listen", "8080"], &strong, "no address"),
        (&["serve", "--database-url", "mysql://here"], &strong, "sqlite://"),
        (&["serve", "--colour"], &strong, "--colour"),
        (&["openapi", "--format", "xml"], &[], "xml"),
        (&["pay"], &[], "pay"),
        (&[], &[], "Usage"),
    ] {
        let ran = bare(folder.path(), arguments, environment).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(word), "{arguments:?}: no `{word}` in {}", ran.stderr);
    }
    assert!(!folder.path().join("disburse-data/disburse.db").exists(), "nothing was made of it");
}

#[tokio::test]
async fn settings_come_from_a_file_too_and_an_unknown_one_is_refused() {
    let folder = folder();
    let file = folder.path().join("disburse.toml");
    let doctor = async || bare(folder.path(), &["doctor"], &[("DISBURSE_LISTEN", "127.0.0.1:9")]).await;
    fs::write(&file, "listen = '127.0.0.1:8'\ndata_dir = 'elsewhere'\n").expect("a file");
    let shown = doctor().await.stdout;
    assert!(shown.contains("environment    127.0.0.1:9") && shown.contains("disburse.toml  elsewhere"), "{shown}");
    for (wrong, word) in
        [("lisen = 'x'", "lisen"), ("jwt_secret = 'x'", "jwt_secret"), ("listen = 8080", "string"), ("listen", "TOML")]
    {
        fs::write(&file, wrong).expect("a file");
        for command in ["serve", "doctor", "verify"] {
            let ran = bare(folder.path(), &[command], &[]).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{command} with {wrong}: {}", ran.stderr);
            assert!(
                ran.stderr.contains("disburse.toml") && ran.stderr.contains(word),
                "{command} with {wrong}: {}",
                ran.stderr
            );
        }
    }
    // The description of the API is the same everywhere.
    assert_eq!(bare(folder.path(), &["openapi"], &[]).await.code, 0);
}

#[tokio::test]
async fn with_a_secret_the_server_listens_everywhere() {
    let folder = folder();
    let secret = folder.path().join("secret");
    fs::write(&secret, format!("{SECRET}\n")).expect("a file");
    let mut command = disburse(folder.path(), &["serve", "--listen", "0.0.0.0:0"]);
    command.env("DISBURSE_JWT_SECRET_FILE", &secret);
    let mut server = Process::start(command, folder.path().join("said.log"));
    assert!(text(&server.says("serving").await, "url").starts_with("http://0.0.0.0:"));
    assert!(!folder.path().join("disburse-data/development.key").exists());
    assert!(!server.said().contains(SECRET));
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let ran = bare(folder.path(), &["serve", "--listen", &address], &[]).await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(&address) && ran.stderr.contains("--listen"), "{}", ran.stderr);
}
