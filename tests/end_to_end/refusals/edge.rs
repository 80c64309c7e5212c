//! What is wrong with the request itself: its path, its method, its body as a whole.

use super::{SECURED, method, send, with_body, world};
use crate::harness::{home::Engine, on_both_databases, world::World};
use reqwest::Method;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    net::TcpStream,
};

on_both_databases! {
    an_unknown_path_is_404
    another_method_is_405_and_says_which_there_are
    what_is_not_json_is_400
    what_is_too_large_is_413
    lines_that_are_too_large_together_are_413
    another_media_type_is_415
    every_answer_names_its_request
}

/// Operations that are open to all.
pub const OPEN: [&str; 8] = [
    "/livez",
    "/readyz",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/openapi.yaml",
    "/docs/start.js",
    "/docs/swagger-ui.css",
];

async fn an_unknown_path_is_404(engine: Engine) {
    let world = world(engine).await;
    for path in [
        "/",
        "/nothing",
        "/revenue",
        "/revenue/",
        "/revenue/schedule-payouts/",
        "/Revenue/schedule-payouts",
        "/revenue/schedule-payouts/x",
        "/payouts",
        "/payouts/batches/",
        "/payouts/items",
        "/projects/prj_1",
        "/recipients",
        "/recipients/",
        "/ledger",
        "/docs/nothing",
        "/livez/",
        "/%ff",
        "/%00",
        "/.env",
        "/v1/events",
    ] {
        for name in ["GET", "POST", "DELETE"] {
            world.send(world.request(method(name), path)).await.refused(404, "not_found");
            let request = world.request(method(name), path).bearer_auth(world.token("admin"));
            world.send(request).await.refused(404, "not_found");
        }
    }
}

async fn another_method_is_405_and_says_which_there_are(engine: Engine) {
    let world = world(engine).await;
    let mut there: BTreeMap<&str, BTreeSet<&str>> = OPEN.map(|path| (path, BTreeSet::from(["GET", "HEAD"]))).into();
    for (name, path, _) in SECURED {
        let methods = there.entry(path).or_default();
        methods.insert(name);
        if name == "GET" {
            methods.insert("HEAD");
        }
    }
    for (path, methods) in there {
        let allow: Vec<&str> = methods.iter().copied().collect();
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "BREW"] {
            if methods.contains(name) {
                continue;
            }
            let answer = world.send(world.request(method(name), path).bearer_auth(world.token("admin"))).await;
            answer.refused(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some(allow.join(", ").as_str()), "{name} {path}");
        }
    }
}

async fn what_is_not_json_is_400(engine: Engine) {
    let world = world(engine).await;
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    for (method, path) in with_body() {
        for body in [
            "",
            " ",
            "{",
            "}",
            "{}}",
            "{} {}",
            "{]",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "nul",
            "amount=1",
            "\u{feff}{}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "// {}\n{}",
            "{\"a\" 1}",
            "<a/>",
            &deep,
        ] {
            send(&world, method.clone(), path, body).await.refused(400, "malformed_json");
        }
        let empty = send(&world, method.clone(), path, "").await;
        assert!(empty.text.contains("`{}`"), "it says what to send: {}", empty.text);
        let request = world.request(method, path).bearer_auth(world.token("admin"));
        let request = request.header("content-type", "application/json").body(b"{\"a\":\"\xff\xfe\"}".to_vec());
        world.send(request).await.refused(400, "malformed_json");
    }
}

async fn what_is_too_large_is_413(engine: Engine) {
    let world = world(engine).await;
    for (method, path) in with_body() {
        let limit: usize = if path.contains("calculate") || path.contains("model") { 4 << 20 } else { 256 << 10 };
        let exactly = format!("{{}}{}", " ".repeat(limit - 2));
        let fits = send(&world, method.clone(), path, &exactly).await;
        assert!(!matches!(fits.status, 400 | 413), "{path}: {limit} bytes are answered {}", fits.status);
        let head = format!("{method} {path} HTTP/1.1\r\ncontent-type: application/json");
        let answer = raw(&world, &format!("{head}\r\ncontent-length: {}", limit + 1), &format!("{exactly} ")).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"code\":\"payload_too_large\""), "{answer}");
        // One that does not say how long it is, and ends only after the limit.
        let chunks = format!("{:x}\r\n{}\r\n0\r\n\r\n", limit + 1, " ".repeat(limit + 1));
        let answer = raw(&world, &format!("{head}\r\ntransfer-encoding: chunked"), &chunks).await;
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"code\":\"payload_too_large\""), "{answer}");
    }
    // A length that is only claimed is refused before anything is read.
    let head = "POST /revenue/schedule-payouts HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 999999999";
    let answer = raw(&world, head, "").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

async fn lines_that_are_too_large_together_are_413(engine: Engine) {
    let world = world(engine).await;
    let limit: usize = 8 << 20;
    let head = "POST /revenue/schedule-payouts/bulk HTTP/1.1\r\ncontent-type: application/x-ndjson";
    let refused =
        |answer: &str| answer.starts_with("HTTP/1.1 413 ") && answer.contains("\"code\":\"payload_too_large\"");
    let answer = raw(&world, &format!("{head}\r\ncontent-length: {}", limit + 1), "").await;
    assert!(refused(&answer) && answer.contains("several calls"), "{answer}");
    // One that does not say how long it is.
    let chunks = |length: usize| format!("{length:x}\r\n{{}}{}\r\n0\r\n\r\n", " ".repeat(length - 2));
    let answer = raw(&world, &format!("{head}\r\ntransfer-encoding: chunked"), &chunks(limit + 1)).await;
    assert!(refused(&answer), "{answer}");
    let answer = raw(&world, &format!("{head}\r\ntransfer-encoding: chunked"), &chunks(limit)).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("{\"line\":1,\"status\":422,"), "{answer}");
}

/// Sends bytes as they are, with all rights, and answers the bytes that come back.
async fn raw(world: &World, head: &str, body: &str) -> String {
    let address = world.url().trim_start_matches("http://").to_owned();
    let token = world.token("admin");
    let request =
        format!("{head}\r\nhost: {address}\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n{body}");
    let talk = move || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(crate::harness::process::PATIENCE))?;
        // The server may answer and hang up before it has read everything.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Err(error) if answer.is_empty() => Err(error),
            _ => Ok(String::from_utf8_lossy(&answer).into_owned()),
        }
    };
    tokio::task::spawn_blocking(talk).await.expect("the talk ends").expect("the server talks")
}

async fn another_media_type_is_415(engine: Engine) {
    let world = world(engine).await;
    for (method, path) in with_body() {
        for headers in [
            &[][..],
            &[("content-type", "")],
            &[("content-type", "text/plain")],
            &[("content-type", "text/json")],
            &[("content-type", "application/x-www-form-urlencoded")],
            &[("content-type", "application/jsonp")],
            &[("content-type", "application/vnd.api+json")],
            &[("content-type", "application/json; charset=latin1")],
            &[("content-type", "application/json"), ("content-type", "text/plain")],
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
        ] {
            let mut request = world.request(method.clone(), path).bearer_auth(world.token("admin")).body("{}");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            world.send(request).await.refused(415, "unsupported_media_type");
        }
        for media_type in ["Application/JSON", "application/json;charset=\"UTF-8\"", "application/json; charset=utf-8"]
        {
            let request = world.request(method.clone(), path).bearer_auth(world.token("admin"));
            world.send(request.header("content-type", media_type).body("{")).await.refused(400, "malformed_json");
        }
    }
}

async fn every_answer_names_its_request(engine: Engine) {
    let world = world(engine).await;
    for path in ["/livez", "/readyz", "/docs", "/nothing", "/payouts/batches", "/payouts/batches?limit=0"] {
        let ask = async |id: &str| {
            let request = world.request(Method::GET, path).bearer_auth(world.token("admin"));
            world.send(if id.is_empty() { request } else { request.header("x-request-id", id) }).await
        };
        let longest = "x".repeat(128);
        for id in ["a", "0194-ABC_def.9", longest.as_str()] {
            assert_eq!(ask(id).await.header("x-request-id"), Some(id), "{path}");
        }
        let mut drawn = BTreeSet::new();
        for id in ["", "two words", "semi;colon", "<script>", &"x".repeat(129)] {
            let answer = ask(id).await;
            let invented = answer.header("x-request-id").expect("an id").to_owned();
            assert!(invented.starts_with("req_") && invented.len() == 36, "{path}: {invented} for {id}");
            drawn.insert(invented);
        }
        assert_eq!(drawn.len(), 5, "an id was drawn twice");
    }
    let head = world.request(Method::HEAD, "/payouts/batches?limit=0").bearer_auth(world.token("admin"));
    let answer = world.send(head).await;
    assert_eq!((answer.status, answer.text.as_str()), (422, ""));
}
