//! What callers may take of the process: connections, time, memory, requests.

use super::{release, shares};
use crate::harness::{
    answer::Answer,
    home::{Engine, Home},
    world::{NEVER, World, signed},
};
use reqwest::Method;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use serde_json::{Value, json};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// How soon a connection has to be gone that nobody uses.
const GONE: Duration = Duration::from_secs(12);
/// How every HTTP/2 connection begins.
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn address(world: &World) -> String {
    world.url().trim_start_matches("http://").to_owned()
}

async fn connect(world: &World, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address(world)).await.expect("the system takes the connection");
    stream.write_all(said).await.expect("the system takes the bytes");
    stream
}

/// Says a byte every two seconds until the server hangs up. Answers how long that took.
async fn drip(mut stream: TcpStream, byte: Option<u8>) -> Duration {
    let began = Instant::now();
    let mut heard = [0; 4096];
    loop {
        match timeout(Duration::from_secs(2), stream.read(&mut heard)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0) | Err(_)) => return began.elapsed(),
            Err(_) => {
                assert!(began.elapsed() < 5 * GONE, "the server does not hang up");
                if let Some(byte) = byte {
                    let _ = stream.write_all(&[byte]).await;
                }
            }
        }
    }
}

/// Everything that comes until the server hangs up.
async fn heard(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // Whoever hangs up with something unread resets the connection.
    let _ = timeout(2 * GONE, stream.read_to_end(&mut bytes)).await.expect("the server hangs up");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Asks again and again, each time over a new connection, until told to stop; answers what one in a hundred takes.
async fn p99(world: Arc<World>, over: Arc<AtomicBool>) -> Duration {
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        world.get("/payouts/batches").await.with(200);
        took.push(asked.elapsed());
        sleep(Duration::from_millis(20)).await;
    }
    took.sort_unstable();
    let p99 = took[took.len() - 1 - took.len() / 100];
    println!(
        "{} requests: p50 {:?}, p99 {p99:?}, slowest {:?}",
        took.len(),
        took[took.len() / 2],
        took[took.len() - 1]
    );
    p99
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_who_do_not_end_their_head_are_gone_in_twelve_seconds_and_nobody_else_notices() {
    let world = Arc::new(World::new(Engine::Sqlite).await);
    let over = Arc::new(AtomicBool::new(false));
    let usual = tokio::spawn(p99(Arc::clone(&world), Arc::clone(&over)));
    sleep(Duration::from_secs(2)).await;
    over.store(true, Ordering::Relaxed);
    let usual = usual.await.expect("it measures");

    let ask = format!("GET /livez HTTP/1.1\r\nhost: {}\r\n\r\n", address(&world));
    let settings = [PREFACE.as_bytes(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let others: [(&[u8], Option<u8>); 5] = [
        // Nothing at all; a start that may become either version; HTTP/2, and no request; an answer, and nothing more.
        (b"", None),
        (b"PRI * HTTP", None),
        (&settings, None),
        (ask.as_bytes(), None),
        // And the next head slowly.
        (ask.as_bytes(), Some(b'G')),
    ];
    let mut closing = JoinSet::new();
    for _ in 0..500 {
        let stream = connect(&world, b"POST /revenue/schedule-payouts HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
        closing.spawn(drip(stream, Some(b'x')));
    }
    for (said, byte) in others {
        closing.spawn(drip(connect(&world, said).await, byte));
    }
    let over = Arc::new(AtomicBool::new(false));
    let meanwhile = tokio::spawn(p99(Arc::clone(&world), Arc::clone(&over)));
    let closed = closing.join_all().await;
    over.store(true, Ordering::Relaxed);
    let meanwhile = meanwhile.await.expect("it measures");
    let (first, last) = (closed.iter().min().expect("some"), closed.iter().max().expect("some"));
    println!("{} connections closed after {first:?} to {last:?}", closed.len());
    assert!(*first > Duration::from_secs(8), "gone after {first:?} already");
    assert!(*last < GONE, "there for {last:?}");
    // A machine that is busy with other tests makes everybody wait, slow neighbours or not.
    let bound = Duration::from_millis(100).max(3 * usual);
    assert!(meanwhile < bound, "one in a hundred took {meanwhile:?}, before that {usual:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_in_time_is_408_and_nothing_is_done() {
    let world = World::with_options(Engine::Sqlite, &["--request-seconds-max", "1"]).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    let body = release("esc_1", "prj_1", 100, "USD").to_string();
    for (path, media_type) in [
        ("/revenue/schedule-payouts", "application/json"),
        ("/revenue/schedule-payouts/bulk", "application/x-ndjson"),
        ("/rails/simulator/webhooks", "application/json"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {media_type}\r\n\
             content-length: {}\r\n\r\n{body}",
            world.token("system"),
            body.len() + 1,
        );
        let asked = Instant::now();
        let answer = heard(connect(&world, head.as_bytes()).await).await;
        assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"code\":\"request_timeout\""), "{answer}");
        assert!(asked.elapsed() >= Duration::from_secs(1) && asked.elapsed() < GONE, "{:?}", asked.elapsed());
    }
    assert_eq!(world.all("/payouts/batches", "batchId").await, Vec::<Value>::new());
}

/// Where a table is locked, reading waits for it. (The database itself gives up after five seconds.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_too_long_to_read_is_503() {
    let world = World::with_options(Engine::Postgres, &["--request-seconds-max", "1", "--no-worker"]).await;
    let url = world.home().database_url();
    let other = Database::connect(ConnectOptions::new(url).max_connections(1).to_owned()).await.expect("a database");
    let run = async |sql: &str| other.execute_unprepared(sql).await.expect("it can be run");
    run("BEGIN; LOCK TABLE batches IN ACCESS EXCLUSIVE MODE").await;
    let asked = Instant::now();
    let told = world.get("/payouts/batches").await.refused(503, "unavailable");
    assert!(told["message"].as_str().is_some_and(|said| said.contains("took too long")), "{told}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    run("ROLLBACK").await;
    world.get("/payouts/batches").await.with(200);
}

/// A commit that is waited for may still come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_done_is_not_answered_by_a_clock() {
    let world = World::with_options(Engine::Postgres, &["--request-seconds-max", "1", "--no-worker"]).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    let url = world.home().database_url();
    let other = Database::connect(ConnectOptions::new(url).max_connections(1).to_owned()).await.expect("a database");
    other.execute_unprepared("BEGIN; LOCK TABLE batches IN EXCLUSIVE MODE").await.expect("it is locked");
    let world = Arc::new(world);
    let caller = Arc::clone(&world);
    let waiting = tokio::spawn(async move { caller.schedule(&release("esc_1", "prj_1", 100, "USD")).await });
    sleep(Duration::from_millis(2_500)).await;
    assert!(!waiting.is_finished(), "{:?}", waiting.await);
    other.execute_unprepared("ROLLBACK").await.expect("it is free again");
    waiting.await.expect("an answer").with(201);
}

/// Every line is answered, though its caller takes longer to read than a request may take to come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_to_many_lines_is_not_cut_while_it_is_read() {
    const LINES: usize = 2_000;
    let world = World::with_options(Engine::Sqlite, &["--request-seconds-max", "1", "--no-worker"]).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    let lines: String =
        (0..LINES).map(|number| format!("{}\n", release(&format!("esc_{number}"), "prj_1", 100, "USD"))).collect();
    let mut answer = world.lines_to(&world.url(), lines).send().await.expect("an answer");
    let (mut told, asked) = (0, Instant::now());
    while let Some(chunk) = answer.chunk().await.expect("it does not break off") {
        told += chunk.iter().filter(|byte| **byte == b'\n').count();
        if asked.elapsed() < Duration::from_secs(3) {
            sleep(Duration::from_millis(200)).await;
        }
    }
    assert_eq!(told, LINES);
    assert!(asked.elapsed() > Duration::from_secs(2), "it was too fast to be cut: {:?}", asked.elapsed());
}

/// What comes beyond the limit is not kept, however many send it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_without_a_length_are_read_to_their_limit_and_no_further() {
    const CALLERS: usize = 60;
    const CHUNKS: usize = 640;
    let world = World::new(Engine::Sqlite).await;
    let before = world.resident_bytes();
    let head = format!(
        "POST /revenue/schedule-payouts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        world.token("system")
    );
    let chunk = Arc::new(format!("10000\r\n{}\r\n", " ".repeat(0x10000)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (mut stream, chunk) = (connect(&world, head.as_bytes()).await, Arc::clone(&chunk));
        callers.spawn(async move {
            // 40 MiB, or as much as is taken.
            let mut sent = 0;
            while sent < CHUNKS && stream.write_all(chunk.as_bytes()).await.is_ok() {
                sent += 1;
            }
            sent
        });
    }
    let sent = callers.join_all().await;
    let grown = world.resident_bytes().saturating_sub(before) / (1 << 20);
    println!(
        "{CALLERS} callers sent {} to {} chunks of 64 KiB; {grown} MiB more",
        sent.iter().min().expect("some"),
        sent.iter().max().expect("some")
    );
    assert!(sent.iter().all(|sent| *sent < CHUNKS), "all of it was taken: {sent:?}");
    assert!(grown < 64, "{grown} MiB more");
    world.get("/payouts/batches").await.with(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_connections_are_taken_the_next_caller_waits_and_is_served() {
    let world = Arc::new(World::with_options(Engine::Sqlite, &["--connections-max", "3"]).await);
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(connect(&world, b"GET /livez HTTP/1.1\r\n").await);
    }
    // The system takes connections before the server does.
    sleep(Duration::from_millis(300)).await;
    let caller = Arc::clone(&world);
    let waiting = tokio::spawn(async move { caller.get("/payouts/batches").await.status });
    sleep(Duration::from_millis(700)).await;
    assert!(!waiting.is_finished(), "there was a fourth place");
    drop(taken.pop());
    assert_eq!(timeout(Duration::from_secs(5), waiting).await.expect("it is served").expect("an answer"), 200);
    for mut stream in taken {
        stream.write_all(b"host: x\r\nconnection: close\r\n\r\n").await.expect("it is still taken");
        assert!(heard(stream).await.starts_with("HTTP/1.1 200 "));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_too_often_is_429_and_others_are_served() {
    let world = Arc::new(World::with_options(Engine::Sqlite, &["--rate-limit", "2"]).await);
    let asked_by = async |subject: &str| -> Answer {
        let token = signed(&json!({ "sub": subject, "role": "admin", "exp": NEVER }));
        world.send(world.request(Method::GET, "/payouts/batches").bearer_auth(token)).await
    };
    let mut calls = JoinSet::new();
    for _ in 0..30 {
        let world = Arc::clone(&world);
        calls.spawn(async move { world.get("/payouts/batches").await });
    }
    let answers = calls.join_all().await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(served.len() >= 2 && !refused.is_empty(), "{} of {} were served", served.len(), answers.len());
    for answer in refused {
        answer.refused(429, "rate_limited");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    // Whoever it is not, and what asks for no token.
    asked_by("usr_other").await.with(200);
    for _ in 0..10 {
        world.get("/livez").await.with(200);
    }
    sleep(Duration::from_millis(1_100)).await;
    world.get("/payouts/batches").await.with(200);
}

/// The first frame of the server says what it takes.
#[tokio::test]
async fn an_http_2_caller_is_told_its_limits() {
    let world = World::new(Engine::Sqlite).await;
    let mut stream = connect(&world, PREFACE.as_bytes()).await;
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("settings are sent");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("a frame");
    assert_eq!((head[3], head[0], head[1]), (4, 0, 0), "settings come first: {head:?}");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).await.expect("settings");
    let settings: Vec<(u16, u32)> = settings
        .chunks_exact(6)
        .map(|one| (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]])))
        .collect();
    for limit in [(3, 64), (6, 16 * 1024)] {
        assert!(settings.contains(&limit), "{limit:?} is not among {settings:?}");
    }
}

/// A certificate for `localhost`, and its key.
struct Certificate {
    pem: String,
    key: String,
    roots: RootCertStore,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("it vouches for itself");
    Certificate { pem: made.cert.pem(), key: made.signing_key.serialize_pem(), roots }
}

/// A home with files of these names and texts.
async fn home_with(files: &[(&str, &str)]) -> Home {
    let home = Home::new(Engine::Sqlite).await;
    for (name, text) in files {
        fs::write(home.folder().join(name), text).expect("a file can be written");
    }
    home
}

const TLS: [&str; 4] = ["--tls-certificate", "api.crt", "--tls-key", "api.key"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_certificate_it_is_tls_and_nothing_else() {
    let Certificate { pem, key, roots } = certificate();
    let world = World::asleep(home_with(&[("api.crt", &pem), ("api.key", &key)]).await, &TLS);
    world.start_with(&[]).await;
    let url = world.url();
    let address = url.strip_prefix("https://").unwrap_or_else(|| panic!("{url} is no address of TLS")).to_owned();
    let connect = || async { TcpStream::connect(&address).await.expect("the system takes the connection") };
    let plain_after = async |said: &str| {
        let mut stream = connect().await;
        stream.write_all(said.as_bytes()).await.expect("the system takes the bytes");
        stream
    };
    let half_a_handshake = tokio::spawn(drip(plain_after("\u{16}\u{3}\u{1}").await, None));

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let client = client.expect("versions").with_root_certificates(roots).with_no_client_auth();
    let shake = async |protocols: &[&[u8]]| {
        let mut client = client.clone();
        client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(client)).connect(name, connect().await).await.expect("they shake hands")
    };
    let mut stream = shake(&[b"http/1.1"]).await;
    let ask = "GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.expect("it is sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer, and its end");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(shake(&[b"h2", b"http/1.1"]).await.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));

    let plain = heard(plain_after(ask).await).await;
    assert!(!plain.contains("HTTP/1.1"), "an answer in the clear: {plain}");
    let gone = half_a_handshake.await.expect("it is closed");
    assert!(gone > Duration::from_secs(8) && gone < GONE, "gone after {gone:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_cannot_be_used_is_told_before_anything_is_served() {
    let (ours, other) = (certificate(), certificate());
    let home = home_with(&[("api.crt", &ours.pem), ("api.key", &other.key), ("empty.key", "")]).await;
    for (arguments, told) in [
        (&TLS[..], "the certificate api.crt and the key api.key cannot be used together"),
        (&["--tls-certificate", "no.crt", "--tls-key", "api.key"], "the certificate no.crt: No such file"),
        (&["--tls-certificate", "api.crt", "--tls-key", "empty.key"], "the key empty.key: there is none in PEM"),
        (&["--tls-certificate", "api.crt"], "TLS takes both"),
    ] {
        let ran = home.run(&[&["serve"], arguments].concat()).await;
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(told) && !ran.stderr.contains("PRIVATE"), "{arguments:?}: {}", ran.stderr);
    }
    let ran = home.run(&[&["doctor"], &TLS[..]].concat()).await;
    assert!(ran.stdout.contains("FAILED certificate"), "{}", ran.stdout);
}
