//! What every answer carries, and what is written down about it.

use super::*;
use poem::http::Method;
use std::{io, sync::Mutex};

#[tokio::test]
async fn the_request_id_is_echoed_on_every_answer() {
    let server = server();
    for path in ["/health", "/nothing", "/things", "/panic", "/docs", "/openapi.json"] {
        let answer = Answer::of(server.get(path).header("X-Request-Id", "mine-1")).await;
        assert_eq!(answer.header("x-request-id"), Some("mine-1"), "{path}");
        let answer = Answer::of(server.get(path).header("X-Request-Id", "not mine")).await;
        assert!(answer.header("x-request-id").unwrap().starts_with("req_"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let server = server();
    for (path, status) in
        [("/health", 200), ("/docs", 200), ("/openapi.yaml", 200), ("/things", 401), ("/nothing", 404), ("/panic", 500)]
    {
        let get = Answer::of(server.get(path)).await;
        let head = Answer::of(server.head(path)).await;
        assert_eq!((head.status, get.status, head.body.as_str()), (status, status, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

#[tokio::test]
async fn pages_follow_one_another() {
    let server = server();
    let page = async |query: &str| {
        let answer = Answer::of(server.get(format!("/things{query}")).header("Authorization", token("admin"))).await;
        let page: Value = serde_json::from_str(&answer.body).unwrap();
        let ids = page["data"].as_array().unwrap();
        let ends = [&ids[0], &ids[ids.len() - 1]].map(|thing| thing["thingId"].as_str().unwrap().to_owned());
        (ids.len(), ends.join(" "), page["has_more"].as_bool().unwrap())
    };
    assert_eq!(page("").await, (20, "thing_0 thing_19".to_owned(), true));
    assert_eq!(page("?starting_after=thing_19").await, (10, "thing_20 thing_29".to_owned(), false));
    assert_eq!(page("?limit=30").await, (30, "thing_0 thing_29".to_owned(), false));
}

#[tokio::test]
async fn requests_are_counted_by_the_pattern_of_their_path() {
    let (server, registry) = server_and_registry();
    for path in ["/things/thing_1/parts/1", "/things/thing_2/parts/2", "/nothing-1", "/nothing-2", "/panic", "/docs"] {
        server.get(path).send().await;
    }
    server.request(Method::from_bytes(b"BREW").unwrap(), "/things").send().await;
    let mut shown = String::new();
    prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
    let mut counted: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("http_requests_total")).collect();
    counted.sort_unstable();
    assert_eq!(
        counted,
        [
            "{method=\"GET\",route=\"/docs\",status=\"200\"} 1",
            "{method=\"GET\",route=\"/panic\",status=\"500\"} 1",
            "{method=\"GET\",route=\"/things/{thing}/parts/{part}\",status=\"401\"} 2",
            "{method=\"GET\",route=\"unmatched\",status=\"404\"} 2",
            "{method=\"other\",route=\"/things\",status=\"405\"} 1",
        ]
    );
}

/// The log of all tests of this process: a subscriber of one thread alone would miss lines whose call
/// site another thread met first.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn one_structured_line_tells_what_was_answered() {
    tracing_subscriber::fmt().json().with_writer(|| Log).init();
    let server = server();
    let body = r#"{"thingId": "thing_500", "amount": 1, "memo": "private"}"#;
    let request = server.post("/things").header("Authorization", token("admin")).header("X-Request-Id", "logged-1");
    Answer::of(request.content_type("application/json").body(body)).await;
    server.get("/things?limit=private").header("X-Request-Id", "logged-2").send().await;

    let all = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    let of_us: Vec<_> = all.lines().filter(|line| line.contains("logged-")).collect();
    assert!(!of_us.concat().contains("private"), "{of_us:?}");
    let lines: Vec<Value> = of_us.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{of_us:?}");

    let cause = &lines[0];
    assert_eq!(cause["level"], "ERROR");
    assert_eq!(
        cause["fields"]["error"],
        "Failed { code: \"secret_code\", class: Internal, cause: Custom { kind: Other, error: \"disk at 10.0.0.7 is gone\" } }"
    );
    assert_eq!(cause["span"]["request_id"], "logged-1");

    let answered = &lines[1]["fields"];
    assert_eq!(answered["message"], "answered");
    assert_eq!(answered["method"], "POST");
    assert_eq!(answered["path"], "/things");
    assert_eq!(answered["route"], "/things");
    assert_eq!(answered["status"], 500);
    assert_eq!(answered["request_id"], "logged-1");
    assert!(answered["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(lines[2]["fields"]["status"], 401);
}
