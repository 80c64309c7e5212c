//! Every status has the one shape.

use super::*;
use poem::{Body, http::Method};
use serde_json::json;

const GOOD: &str = r#"{"thingId": "thing_1", "amount": 200}"#;

async fn post(body: impl Into<Body>) -> Answer {
    let server = server();
    let request = server.post("/things").header("Authorization", token("admin"));
    Answer::of(request.content_type("application/json").body(body)).await
}

async fn get(path: &str) -> Answer {
    Answer::of(server().get(path).header("Authorization", token("admin"))).await
}

#[tokio::test]
async fn a_good_request_is_answered() {
    let made = post(GOOD).await;
    assert_eq!((made.status, made.header("location")), (201, None));
    assert_eq!(made.body, r#"{"thingId":"thing_1","amount":200}"#);
    let made = post(r#"{"thingId": "thing_1", "amount": 200, "memo": "m", "rule": {"kind": "flat", "ppm": 1}}"#).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/things/m")));
    assert_eq!(post(r#"{"thingId": "thing_1", "amount": 7}"#).await.status, 200);
}

#[tokio::test]
async fn what_is_not_json_is_400() {
    for (body, place) in [
        (&b""[..], "send a JSON object, `{}`"),
        (b"   ", "send a JSON object, `{}`"),
        (b"{\"thingId\": \"thing_1\"\n\"amount\": 2}", "line 2, column 1"),
        (b"{} x", "line 1, column 4"),
        (b"{\"a\": \"\xff\"}", "line 1, column 8"),
        (b"amount=1", "line 1, column 1"),
        ("[".repeat(900).as_bytes(), "line 1, column 65"),
    ] {
        let error = post(body.to_vec()).await.refused(StatusCode::BAD_REQUEST, "malformed_json");
        assert!(error["message"].as_str().unwrap().contains(place), "{error}");
        assert_eq!(error.get("details"), None);
    }
}

#[tokio::test]
async fn who_is_not_known_is_401() {
    let good = token("admin");
    for sent in [vec![], vec!["Bearer"], vec!["Bearer x.y.z"], vec!["Basic YTpi"], vec![&good, &good]] {
        let server = server();
        let mut request = server.get(format!("/things?access_token={}", good.trim_start_matches("Bearer ")));
        for value in &sent {
            request = request.header("Authorization", *value);
        }
        let answer = Answer::of(request).await;
        answer.refused(StatusCode::UNAUTHORIZED, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let lower = good.replace("Bearer", "bearer");
    assert_eq!(Answer::of(server().get("/things").header("Authorization", lower)).await.status, 200);
}

#[tokio::test]
async fn who_may_not_is_403_with_the_code_of_the_endpoint() {
    let server = server();
    let ask =
        async |role, method, path| Answer::of(server.request(method, path).header("Authorization", token(role))).await;
    ask("creator", Method::GET, "/things").await.refused(StatusCode::FORBIDDEN, "forbidden");
    assert_eq!(ask("creator", Method::GET, "/things/thing_1/parts/1").await.status, 200);
    assert_eq!(ask("viewer", Method::GET, "/things").await.status, 200);
    let refusal = ask("viewer", Method::POST, "/things").await.refused(StatusCode::FORBIDDEN, "not_system");
    let expected = "The role `viewer` does not allow this. Only `admin` and `system` may schedule payouts.";
    assert_eq!(refusal["message"], expected);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    for path in ["/", "/nothing", "/things/", "/things/thing_1", "/%ff", "/%00", "/things/../panic", "//things"] {
        get(path).await.refused(StatusCode::NOT_FOUND, "not_found");
    }
    get("/things/thing_1/parts/404").await.refused(StatusCode::NOT_FOUND, "part_not_found");
}

#[tokio::test]
async fn another_method_is_405_with_the_methods_there_are() {
    let server = server();
    for name in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND", "BREW"] {
        let method = Method::from_bytes(name.as_bytes()).unwrap();
        let answer = Answer::of(server.request(method.clone(), "/things")).await;
        answer.refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST"), "{name}");
        let answer = Answer::of(server.request(method, "/docs")).await;
        answer.refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{name}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_413_whether_or_not_it_says_its_length() {
    let large = format!("{GOOD}{}", " ".repeat(2000));
    post(large.clone()).await.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");

    let chunks =
        large.into_bytes().chunks(100).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    post(chunked(chunks)).await.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");

    let server = server();
    let request = server.post("/things").header("Authorization", token("admin")).content_type("application/json");
    let answer =
        Answer::of(request.header("Content-Length", "2001").body(chunked(vec![Err(std::io::Error::other("read"))])));
    answer.await.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");

    let exactly = format!("{GOOD}{}", " ".repeat(2000 - GOOD.len()));
    assert_eq!(post(exactly).await.status, 201);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let chunks = vec![Ok(b"{\"thingId\":".to_vec()), Err(std::io::Error::other("reset"))];
    post(chunked(chunks)).await.refused(StatusCode::BAD_REQUEST, "malformed_json");
}

/// A body without a length, in pieces.
fn chunked(pieces: Vec<Result<Vec<u8>, std::io::Error>>) -> Body {
    let (writer, reader) = tokio::io::duplex(64);
    let mut writer = writer;
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        for piece in pieces {
            match piece {
                Ok(bytes) => {
                    if writer.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    });
    Body::from_async_read(reader)
}

#[tokio::test]
async fn another_media_type_is_415_and_so_is_none() {
    let server = server();
    let sends = async |headers: &[(&str, &str)]| {
        let mut request = server.post("/things").header("Authorization", token("admin"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request.body(GOOD)).await
    };
    for refused in [
        &[][..],
        &[("Content-Type", "")],
        &[("Content-Type", "text/plain")],
        &[("Content-Type", "application/x-www-form-urlencoded")],
        &[("Content-Type", "application/jsonp")],
        &[("Content-Type", "application/vnd.api+json")],
        &[("Content-Type", "application/json; charset=latin1")],
        &[("Content-Type", "application/json"), ("Content-Type", "application/json")],
        &[("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
    ] {
        sends(refused).await.refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    }
    for good in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
    ] {
        assert_eq!(sends(&[("Content-Type", good)]).await.status, 201, "{good}");
    }
}

#[tokio::test]
async fn all_faults_of_a_body_are_told_at_once() {
    let answer = post(r#"{"amount": 1.5, "memo": 4, "rule": {"kind": "cone", "ppm": 3}, "a/b": 1, "memo": ""}"#).await;
    let error = answer.faults(&[
        "/amount wrong_type",
        "/a~1b unknown_field",
        "/memo duplicate_key",
        "/rule/kind invalid_format",
        "/thingId required",
    ]);
    assert_eq!(error["message"], "5 things in the request are wrong; see details.");
    let only = post(r#"{"thingId": "thing_1", "amount": 0}"#).await.faults(&["/amount out_of_range"]);
    assert_eq!(only["message"], "/amount: This must be 1 to 9223372036854775807.");
    post("[]").await.faults(&[" wrong_type"]);
}

#[tokio::test]
async fn a_flood_of_faults_is_cut() {
    let fields: Vec<_> = (0..150).map(|at| format!("\"f{at}\":1")).collect();
    let error =
        post(format!("{{{}}}", fields.join(","))).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "validation_error");
    assert_eq!(error["details"].as_array().unwrap().len(), 100);
    assert_eq!(error["message"], "152 things in the request are wrong; see details. The first 100 are listed.");
}

#[tokio::test]
async fn a_bad_parameter_is_422_under_its_own_name() {
    get("/things/thing_x/parts/1").await.faults(&["/thing invalid_format"]);
    get("/things/thing_1/parts/x").await.faults(&["/part out_of_range"]);
    get("/things/%20thing_1/parts/1").await.faults(&["/thing invalid_format"]);
    get("/things?limit=0").await.faults(&["/limit out_of_range"]);
    get("/things?limit=").await.faults(&["/limit wrong_type"]);
    get("/things?starting_after=thing_1%00").await.faults(&["/starting_after invalid_format"]);
    get("/things?starting_after=1").await.faults(&["/starting_after invalid_format"]);
    let encoded = get("/things/thing%5F1/parts/7").await;
    assert_eq!((encoded.status, encoded.body.as_str()), (200, r#"{"thingId":"thing_1","amount":7}"#));
}

#[tokio::test]
async fn unknown_and_repeated_query_parameters_are_422() {
    get("/things?limit=1&limti=2&a%2Fb=1&limit=3").await.faults(&[
        "/a~1b unknown_parameter",
        "/limit repeated_parameter",
        "/limti unknown_parameter",
    ]);
    get("/things/thing_1/parts/1?x").await.faults(&["/x unknown_parameter"]);
    Answer::of(server().get("/health?deep=1")).await.faults(&["/deep unknown_parameter"]);
}

#[tokio::test]
async fn a_use_case_decides_by_the_class_of_its_failure() {
    let fails = async |id: &str| post(format!(r#"{{"thingId": "{id}", "amount": 1}}"#)).await;
    fails("thing_404").await.refused(StatusCode::NOT_FOUND, "project_not_found");
    fails("thing_403").await.refused(StatusCode::FORBIDDEN, "not_yours");

    let conflict = fails("thing_409").await.refused(StatusCode::CONFLICT, "already_scheduled");
    assert_eq!(conflict["existing"], json!({"batchId": "batch_1", "requestMatches": true}));

    let invalid = fails("thing_422").await.refused(StatusCode::UNPROCESSABLE_ENTITY, "split_invalid");
    assert_eq!(invalid["details"][0]["meta"], json!({"sumPpm": 2}));

    let busy = fails("thing_503").await;
    busy.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    assert_eq!(busy.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn our_own_fault_is_500_and_keeps_its_secrets() {
    let bodies =
        ["thing_500", "thing_5000"].map(|id| format!(r#"{{"thingId": "{id}", "amount": 1, "memo": "private"}}"#));
    for body in bodies {
        let error = post(body).await.refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
        assert_eq!(error["message"], "Something went wrong on our side; the request id finds the log line.");
        assert_eq!((error.get("details"), error.get("existing")), (None, None));
    }
    get("/panic").await.refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
}

/// A debug build panics, so that a test of the endpoint finds it; either way the client sees a 500.
#[tokio::test]
async fn a_status_that_is_not_declared_does_not_leave() {
    get("/things/thing_1/parts/409").await.refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
}
