//! Many lines in one request: each is answered as it would be alone.

use super::{
    super::{
        auth::Auth,
        error_body::ErrorBody,
        ndjson::{LINES_MAX, Lines, NDJSON, Outcomes, Places},
        payload::Js,
        problem::{Answer as Outcome, ApiError, Problem},
        responses::{Storable, responses},
        roles::may,
    },
    sample::{NewThing, Thing, ThingId},
    *,
};
use futures_util::StreamExt;
use poem_openapi::{Object, OpenApi, Union};
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::sync::Semaphore;

#[derive(Debug, Object)]
struct ThingOutcome {
    line: u32,
    status: u16,
    body: ThingOutcomeBody,
}

#[derive(Debug, Union)]
#[oai(one_of)]
enum ThingOutcomeBody {
    Made(Thing),
    Refused(ErrorBody),
}

responses! {
    /// Answers of a line.
    Made {
        /// It is made.
        201 Made(Js<Thing>),
    }
    errors [Conflict]
}

#[derive(Default)]
struct Things {
    places: Places,
    /// How many are being made, how many there ever were at once, and how many were begun.
    now: AtomicUsize,
    most: AtomicUsize,
    begun: AtomicUsize,
    /// Whoever makes `thing_9` waits here.
    gate: Option<Semaphore>,
}

impl Things {
    async fn make(&self, asked: NewThing) -> Outcome<Made> {
        self.begun.fetch_add(1, SeqCst);
        self.most.fetch_max(1 + self.now.fetch_add(1, SeqCst), SeqCst);
        tokio::task::yield_now().await;
        let NewThing { thing_id, amount, memo, .. } = asked;
        let ThingId(id) = &thing_id.0;
        match (id.as_str(), &self.gate) {
            ("thing_5000", _) => panic!("nothing of it is done"),
            ("thing_9", Some(gate)) => drop(gate.acquire().await.unwrap()),
            _ => {}
        }
        self.now.fetch_sub(1, SeqCst);
        match id.as_str() {
            "thing_409" => Err(Problem::Conflict.into()),
            "thing_503" => Err(Problem::Unavailable.into()),
            "thing_500" => Err(ApiError::internal("a secret")),
            _ => Ok(Made::Made(Js(Thing { thing_id, amount, memo }))),
        }
    }
}

#[derive(Clone)]
struct Making(Arc<Things>);

#[OpenApi]
impl Making {
    /// Make many things
    #[oai(path = "/lines", method = "post", operation_id = "lines")]
    async fn lines(&self, _auth: Auth<may::Schedule>, lines: Lines<NewThing>) -> Outcome<Outcomes<ThingOutcome>> {
        let things = Arc::clone(&self.0);
        Ok(Outcomes::of(lines, &self.0.places, move |asked: NewThing| {
            let things = Arc::clone(&things);
            async move { Ok(things.make(asked).await?.stored()) }
        }))
    }
}

fn client(things: &Arc<Things>) -> TestClient<impl Endpoint<Output = Response>> {
    let route = routes::mount(Route::new(), Making(Arc::clone(things)));
    TestClient::new(edge::wrap(route.data(key()), Metrics::register(&mut Registry::default())))
}

async fn post(things: &Arc<Things>, body: impl Into<Vec<u8>>) -> Answer {
    let client = client(things);
    let request = client.post("/lines").header("Authorization", token("system"));
    Answer::of(request.content_type(NDJSON).body(body.into())).await
}

fn thing(number: usize) -> String {
    format!("{{\"thingId\":\"thing_{number}\",\"amount\":1}}")
}

fn things(numbers: impl IntoIterator<Item = usize>) -> String {
    numbers.into_iter().map(|number| thing(number) + "\n").collect()
}

/// The lines of a good answer, each with its place and nothing but what belongs into it.
#[track_caller]
fn outcomes(answer: &Answer) -> Vec<(u64, Value)> {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(NDJSON)), "{}", answer.body);
    assert!(answer.body.ends_with('\n'), "{}", answer.body);
    let outcome = |(line, at): (&str, u64)| {
        let outcome: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&outcome["line"], outcome.as_object().unwrap().len()), (&json!(at), 3), "{line}");
        (outcome["status"].as_u64().unwrap(), outcome["body"].clone())
    };
    answer.body.lines().zip(1..).map(outcome).collect()
}

fn statuses(outcomes: &[(u64, Value)]) -> Vec<u64> {
    outcomes.iter().map(|(status, _)| *status).collect()
}

#[tokio::test]
async fn each_line_is_answered_in_its_place_as_it_would_be_alone() {
    let all = Arc::new(Things::default());
    let body = [
        thing(1),
        "{".to_owned(),
        thing(409),
        String::new(),
        r#"{"thingId":"thing_2","amount":0,"memo":7,"stray":1}"#.to_owned(),
        thing(500),
        thing(5000),
        format!("{} ", thing(3).replace(':', " :\t")),
        "[]".to_owned(),
        thing(503),
        format!("{{\"thingId\":\"thing_4\",\"amount\":1{}}}", " ".repeat(2000)),
        thing(4),
    ];
    let answer = post(&all, body.join("\r\n")).await;
    let found = outcomes(&answer);
    assert_eq!(statuses(&found), [201, 400, 409, 400, 422, 500, 500, 201, 422, 503, 413, 201]);
    let ids: Vec<&Value> =
        found.iter().filter(|(status, _)| *status == 201).map(|(_, body)| &body["thingId"]).collect();
    assert_eq!(ids, ["thing_1", "thing_3", "thing_4"]);
    let code = |at: usize| found[at].1["error"]["code"].as_str().unwrap();
    let codes = [1, 2, 3, 4, 5, 6, 8, 9, 10].map(code);
    let expected = "malformed_json conflict malformed_json validation_error server_error server_error \
                    validation_error unavailable payload_too_large";
    assert_eq!(codes.join(" "), expected);
    assert_eq!(
        found[1].1["error"]["message"],
        "The body is not JSON: a key in double quotes was expected at line 1, column 2."
    );
    let faults: Vec<&Value> =
        found[4].1["error"]["details"].as_array().unwrap().iter().map(|fault| &fault["field"]).collect();
    assert_eq!(faults, ["/amount", "/memo", "/stray"], "all of them at once");
    for (status, body) in &found {
        let named = body["error"]["requestId"].as_str();
        assert_eq!(named, if *status == 201 { None } else { answer.header("x-request-id") }, "{body}");
    }
    assert!(!answer.body.contains("secret") && !answer.body.contains("nothing of it"), "{}", answer.body);
}

/// Of a body that is not UTF-8 only the lines that are not.
#[tokio::test]
async fn a_line_that_is_not_utf_8_spoils_no_other() {
    let all = Arc::new(Things::default());
    let mut body = things([1]).into_bytes();
    body.extend(b"{\"thingId\":\"\xff\"}\n");
    body.extend(things([2]).into_bytes());
    let found = outcomes(&post(&all, body).await);
    assert_eq!(statuses(&found), [201, 400, 201]);
    assert!(found[1].1["error"]["message"].as_str().unwrap().contains("not UTF-8"), "{found:?}");
}

#[tokio::test]
async fn a_slow_line_holds_up_no_other_and_keeps_its_place() {
    let all = Arc::new(Things { gate: Some(Semaphore::new(0)), ..Things::default() });
    let meanwhile = async {
        while all.begun.load(SeqCst) < 40 || all.now.load(SeqCst) > 1 {
            tokio::task::yield_now().await;
        }
        all.gate.as_ref().unwrap().add_permits(1);
    };
    let numbers = || [9].into_iter().chain(100..139);
    let (answer, ()) = tokio::join!(post(&all, things(numbers())), meanwhile);
    let found = outcomes(&answer);
    let ids: Vec<&str> = found.iter().map(|(_, body)| body["thingId"].as_str().unwrap()).collect();
    assert_eq!(ids, numbers().map(|number| format!("thing_{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_more_than_so_many_are_worked_on_at_once_by_all_calls_together() {
    let all = Arc::new(Things::default());
    let (one, two) = tokio::join!(post(&all, things(1000..1500)), post(&all, things(2000..2500)));
    assert_eq!((outcomes(&one).len(), outcomes(&two).len()), (500, 500));
    assert_eq!((all.begun.load(SeqCst), all.most.load(SeqCst)), (1000, 64));
}

#[tokio::test]
async fn whoever_stops_listening_stops_it_but_not_what_was_begun() {
    let all = Arc::new(Things::default());
    let client = client(&all);
    let request = client.post("/lines").header("Authorization", token("system")).content_type(NDJSON);
    let TestResponse(answer) = request.body(things(1000..2000)).send().await;
    let mut answer = answer.into_body().into_bytes_stream();
    answer.next().await.unwrap().unwrap();
    drop(answer);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let begun = all.begun.load(SeqCst);
    assert!((1..=256).contains(&begun), "{begun} were begun");
    assert_eq!(all.now.load(SeqCst), 0, "something was left in the middle");
}

#[tokio::test]
async fn while_nothing_can_be_stored_the_call_does_not_wait_for_each_line() {
    let all = Arc::new(Things::default());
    let found = outcomes(&post(&all, things([503].repeat(5000).into_iter().chain([1]))).await);
    assert_eq!(found.len(), 5001);
    assert!(found.iter().all(|(status, body)| *status == 503 && body["error"]["code"] == "unavailable"));
    let tried = all.begun.load(SeqCst);
    assert!((64..64 + 64).contains(&tried), "{tried} were tried");
    let last = &found[5000].1["error"]["message"];
    assert_eq!(last, "Not tried, for the lines before had to wait in vain: send the same line again later.");
    // What is wrong with a line itself is told all the same, and the next call is tried.
    let found = outcomes(&post(&all, things([503].repeat(500)) + "{\n" + &thing(503)).await);
    assert_eq!(statuses(&found)[500..], [400, 503]);
    assert_eq!(statuses(&outcomes(&post(&all, thing(1)).await)), [201]);
}

/// One that has an answer in between shows that it goes on.
#[tokio::test]
async fn lines_that_wait_in_vain_now_and_then_give_up_nothing() {
    let all = Arc::new(Things::default());
    let numbers: Vec<usize> = (0..2000).map(|at| if at % 50 == 0 { 1 } else { 503 }).collect();
    outcomes(&post(&all, things(numbers)).await);
    assert_eq!(all.begun.load(SeqCst), 2000);
}

#[tokio::test]
async fn what_is_wrong_with_the_whole_is_told_before_anything_is_done() {
    let all = Arc::new(Things::default());
    let client = client(&all);
    let ask = || client.post("/lines").header("Authorization", token("system"));
    let body = || things([1, 2]);
    let send = async |request: TestRequestBuilder<'_, _>| Answer::of(request).await;

    let stranger = send(client.post("/lines").content_type(NDJSON).body(body())).await;
    stranger.refused(StatusCode::UNAUTHORIZED, "unauthenticated");
    let guest = client.post("/lines").header("Authorization", token("viewer"));
    send(guest.content_type(NDJSON).body(body())).await.refused(StatusCode::FORBIDDEN, "not_system");
    for other in ["application/json", "application/ndjson", "application/x-ndjson; charset=latin1", "text/plain"] {
        let refused = send(ask().content_type(other).body(body())).await;
        refused.refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    }
    let large = format!("{}\n{}", thing(1), " ".repeat(8 * 1024 * 1024));
    let refused = send(ask().content_type(NDJSON).body(large)).await;
    let error = refused.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    assert_eq!(error["message"], "The body is larger than 8388608 bytes. Send its lines in several calls.");
    for empty in ["", "\n", " \r\n\t\n"] {
        let refused = send(ask().content_type(NDJSON).body(empty)).await;
        refused.refused(StatusCode::BAD_REQUEST, "malformed_json");
    }
    let many = things([1].repeat(LINES_MAX + 1));
    let refused = send(ask().content_type(NDJSON).body(many)).await;
    refused.refused(StatusCode::UNPROCESSABLE_ENTITY, "too_many_lines");
    let keyed = client.post("/lines?dry=1").header("Authorization", token("system")).header("Idempotency-Key", "k");
    let refused = send(keyed.content_type(NDJSON).body(body())).await;
    refused.faults(&["/dry unknown_parameter", "/Idempotency-Key not_accepted"]);
    assert_eq!(all.begun.load(SeqCst), 0);

    let good = send(ask().content_type("Application/X-NDJSON; charset=utf-8").body(body())).await;
    assert_eq!(statuses(&outcomes(&good)), [201, 201]);
}

#[test]
fn the_specification_says_what_a_line_is() {
    let document = Document::of::<Making>(ABOUT).unwrap();
    let document: Value = serde_json::from_str(document.json()).unwrap();
    let operation = &document["paths"]["/lines"]["post"];
    assert_eq!(operation.get("parameters"), None, "it takes no key");
    let asked = &operation["requestBody"]["content"];
    assert_eq!(asked.as_object().unwrap().keys().collect::<Vec<_>>(), [NDJSON]);
    assert_eq!(asked[NDJSON]["schema"]["type"], "string");
    assert_eq!(asked[NDJSON]["schema"].get("items"), None);
    assert_eq!(asked[NDJSON]["x-itemSchema"]["$ref"], "#/components/schemas/NewThing");
    let responses = &operation["responses"];
    let statuses: Vec<&String> = responses.as_object().unwrap().keys().collect();
    assert_eq!(statuses, ["200", "400", "401", "403", "408", "413", "415", "422", "429", "500", "503"]);
    let answered = &responses["200"]["content"][NDJSON];
    assert_eq!(answered["schema"]["type"], "string");
    assert_eq!(answered["x-itemSchema"]["$ref"], "#/components/schemas/ThingOutcome");
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["ThingOutcome"]["required"], json!(["line", "status", "body"]));
    assert_eq!(schemas["ThingOutcomeBody"]["oneOf"].as_array().unwrap().len(), 2);
    assert!(responses["415"]["description"].as_str().unwrap().contains(NDJSON));
}
