//! A request under a key is done once.

use super::{
    super::{
        auth::Auth,
        idempotency::{Keeper, Key, Once},
        params::PathParam,
        payload::{Body, Js},
        problem::{Answer as Outcome, ApiError, Problem},
        responses::responses,
        roles::may,
        scalars::Sc,
    },
    sample::{NewThing, Thing, ThingId},
    *,
};
use adapters::{ids::UuidV7, memory::Memory};
use app::{
    change::Change,
    idempotency::Remembering,
    ports::{IdempotencyKeys, PayoutRepository},
};
use poem_openapi::OpenApi;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};
use tokio::sync::Semaphore;

responses! {
    /// Answers of the endpoints below.
    Made {
        /// It is made.
        201 Made(Js<Thing>, "Location" location: String),
    }
    errors [Conflict]
}

fn show(thing: &Arc<Thing>) -> Made {
    let ThingId(id) = &thing.thing_id.0;
    let copy = Thing { thing_id: Sc(ThingId(id.clone())), amount: thing.amount, memo: thing.memo.clone() };
    Made::Made(Js(copy), format!("/things/{id}"))
}

/// A world in which things are made; its memo says how many were made before.
struct Things {
    memory: Arc<Memory>,
    keys: Arc<dyn IdempotencyKeys>,
    made: AtomicU32,
    /// Whoever makes `thing_9` waits here.
    gate: Semaphore,
}

#[derive(Clone)]
struct Making(Arc<Things>);

#[OpenApi]
impl Making {
    /// Make a thing once
    #[oai(path = "/once", method = "post", operation_id = "once")]
    async fn once(
        &self,
        _auth: Auth<may::Calculate>,
        body: Body<NewThing>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Outcome<Once<Made>> {
        key.once(self.0.keeper(), show, async |remember| self.0.make(&body.0.thing_id.0, remember).await).await
    }

    /// Make a thing that is known by its name
    #[oai(path = "/bound", method = "post", operation_id = "bound")]
    async fn bound(
        &self,
        _auth: Auth<may::Calculate>,
        body: Body<NewThing>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Outcome<Made> {
        key.bound(self.0.keeper(), show, async |remember| self.0.make(&body.0.thing_id.0, remember).await).await
    }

    /// Make a thing that is named by the path
    #[oai(path = "/things/:thing/copies", method = "post", operation_id = "copy")]
    async fn copy(
        &self,
        _auth: Auth<may::Calculate>,
        thing: PathParam<Sc<ThingId>>,
        #[oai(name = "Idempotency-Key")] key: Key,
    ) -> Outcome<Once<Made>> {
        key.once(self.0.keeper(), show, async |remember| self.0.make(&thing.0.0, remember).await).await
    }
}

impl Things {
    fn keeper(&self) -> Keeper<'_> {
        Keeper { keys: &self.keys, repository: self.memory.as_ref(), ids: &UuidV7 }
    }

    /// The use case. The name of the thing says what becomes of it.
    async fn make(&self, ThingId(id): &ThingId, remember: Remembering<Arc<Thing>>) -> Outcome<Arc<Thing>> {
        let before = self.made.fetch_add(1, SeqCst);
        let memo = Some(before.to_string());
        let thing = Arc::new(Thing { thing_id: Sc(ThingId(id.clone())), amount: Sc(sample::Amount(1)), memo });
        let busy = || ApiError::from(Problem::Unavailable);
        match id.as_str() {
            // Nothing is committed by the first, which may be repeated.
            "thing_3" if before == 0 => return Err(busy()),
            "thing_4" => panic!("nothing is committed"),
            "thing_5" => return Ok(thing),
            "thing_9" => drop(self.gate.acquire().await.unwrap()),
            _ => {}
        }
        self.memory.commit(Change { remember: remember.of(&thing), ..Change::default() }).await?;
        // As if the process had died on the way out.
        if id == "thing_6" { Err(busy()) } else { Ok(thing) }
    }
}

struct World<E> {
    things: Arc<Things>,
    client: TestClient<E>,
}

fn world() -> World<impl Endpoint<Output = Response>> {
    let memory = Arc::new(Memory::default());
    let things = Things { keys: memory.clone(), memory, made: AtomicU32::new(0), gate: Semaphore::new(0) };
    let things = Arc::new(things);
    let route = routes::mount(Route::new(), Making(things.clone()));
    let client = TestClient::new(edge::wrap(route.data(key()), Metrics::register(&mut Registry::default())));
    World { things, client }
}

impl<E: Endpoint<Output = Response>> World<E> {
    async fn send(&self, path: &str, key: &str, body: &str) -> Answer {
        let request = self.client.post(path).header("Authorization", token("admin"));
        Answer::of(request.header("Idempotency-Key", key).content_type("application/json").body(body.to_owned())).await
    }
    async fn once(&self, key: &str, thing: &str) -> Answer {
        self.send("/once", key, &format!(r#"{{"thingId": "{thing}", "amount": 1}}"#)).await
    }
    fn made(&self) -> u32 {
        self.things.made.load(SeqCst)
    }
}

#[track_caller]
fn assert_replayed(answer: &Answer, first: &Answer) {
    assert_eq!(first.header("idempotent-replayed"), None);
    assert_eq!(answer.header("idempotent-replayed"), Some("true"), "{}", answer.body);
    assert_eq!((answer.status, &answer.body), (first.status, &first.body));
    for name in ["location", "content-type", "cache-control"] {
        assert_eq!(answer.header(name), first.header(name), "{name}");
    }
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_is_not_done_again() {
    for thing in ["thing_1", "thing_5"] {
        let world = world();
        let first = world.once("k", thing).await;
        assert_eq!(
            (first.status, first.header("location")),
            (201, Some(&*format!("/things/{thing}"))),
            "{}",
            first.body
        );
        assert_replayed(&world.once("k", thing).await, &first);
        assert_eq!(world.made(), 1);
    }
}

#[tokio::test]
async fn without_a_key_and_under_another_key_it_is_done_again() {
    let world = world();
    let body = r#"{"thingId": "thing_1", "amount": 1}"#;
    for _ in 0..2 {
        let request = world.client.post("/once").header("Authorization", token("admin"));
        assert_eq!(Answer::of(request.content_type("application/json").body(body)).await.status, 201);
    }
    for key in ["a", "A", "b"] {
        assert_eq!(world.once(key, "thing_1").await.header("idempotent-replayed"), None);
    }
    assert_eq!(world.made(), 5);
}

#[tokio::test]
async fn a_quoted_key_is_the_same_key_and_spelling_does_not_matter() {
    let world = world();
    let first = world.once(r#"a"b\c d"#, "thing_1").await;
    let spelled = "{ \"amount\" : 1,\n\t\"thing\\u0049d\":\"thing_\\u0031\" }";
    assert_replayed(&world.send("/once", r#""a\"b\\c d""#, spelled).await, &first);
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let world = world();
    let first = world.once("k", "thing_1").await;
    for body in [
        r#"{"thingId": "thing_2", "amount": 1}"#,
        r#"{"thingId": "thing_1", "amount": 2}"#,
        r#"{"thingId": "thing_1", "amount": 1, "memo": "m"}"#,
    ] {
        let refused = world.send("/once", "k", body).await;
        refused.refused(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
        assert_eq!(refused.header("retry-after"), None);
    }
    assert_replayed(&world.once("k", "thing_1").await, &first);
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn what_the_path_says_is_part_of_the_request() {
    let world = world();
    let first = world.send("/things/thing_1/copies", "k", "").await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert_replayed(&world.send("/things/thing_1/copies", "k", "").await, &first);
    let other = world.send("/things/thing_2/copies", "k", "").await;
    other.refused(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
}

#[tokio::test]
async fn each_operation_has_keys_of_its_own() {
    let world = world();
    assert_eq!(world.once("k", "thing_1").await.status, 201);
    assert_eq!(world.send("/things/thing_1/copies", "k", "").await.header("idempotent-replayed"), None);
    assert_eq!(world.made(), 2);
}

#[tokio::test]
async fn while_the_first_is_worked_on_the_second_is_told_to_come_again() {
    let world = world();
    let meanwhile = async {
        while world.made() == 0 {
            tokio::task::yield_now().await;
        }
        let second = world.once("k", "thing_9").await;
        second.refused(StatusCode::CONFLICT, "request_in_progress");
        assert_eq!(second.header("retry-after"), Some("1"));
        let other = world.once("k", "thing_1").await;
        other.refused(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
        world.things.gate.add_permits(1);
    };
    let (first, ()) = tokio::join!(world.once("k", "thing_9"), meanwhile);
    assert_eq!(first.status, 201);
    assert_replayed(&world.once("k", "thing_9").await, &first);
    assert_eq!(world.made(), 1);
}

#[tokio::test]
async fn what_failed_is_done_anew_under_the_same_key() {
    let world = world();
    world.once("k", "thing_3").await.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    let again = world.once("k", "thing_3").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, None));
    assert_eq!(world.made(), 2);
}

#[tokio::test]
async fn what_failed_leaves_its_key_to_another_request() {
    let world = world();
    world.once("k", "thing_3").await.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    assert_eq!(world.once("k", "thing_1").await.status, 201);
}

#[tokio::test]
async fn what_was_committed_before_a_failure_is_answered_from_the_commit() {
    let world = world();
    world.once("k", "thing_6").await.refused(StatusCode::SERVICE_UNAVAILABLE, "unavailable");
    let again = world.once("k", "thing_6").await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!((world.made(), &*again.body), (1, r#"{"thingId":"thing_6","amount":1,"memo":"0"}"#));
}

/// Lets what was spawned run.
async fn others() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn a_panic_leaves_no_claim() {
    let world = world();
    for _ in 0..2 {
        world.once("k", "thing_4").await.refused(StatusCode::INTERNAL_SERVER_ERROR, "server_error");
        others().await;
    }
    assert_eq!(world.made(), 2);
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_no_claim() {
    let world = world();
    let gone = tokio::time::timeout(Duration::from_millis(50), world.once("k", "thing_9")).await;
    assert!(gone.is_err() && world.made() == 1);
    others().await;
    world.things.gate.add_permits(1);
    assert_eq!(world.once("k", "thing_9").await.status, 201);
}

#[tokio::test]
async fn a_request_that_is_known_by_more_than_its_key_is_never_replayed() {
    let world = world();
    let bound = async |body: &str| world.send("/bound", "k", body).await;
    let (one, two) = (r#"{"thingId": "thing_5", "amount": 1}"#, r#"{"thingId": "thing_5", "amount": 2}"#);
    // It commits nothing, so nothing is remembered.
    assert_eq!((bound(one).await.status, bound(two).await.status), (201, 201));

    let (one, two) = (r#"{"thingId": "thing_1", "amount": 1}"#, r#"{"thingId": "thing_1", "amount": 2}"#);
    assert_eq!(bound(one).await.status, 201);
    bound(two).await.refused(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
    // The use case is asked, and says what it says to a repetition: here the commit finds the key used.
    let again = bound(one).await;
    assert_eq!(again.header("idempotent-replayed"), None);
    assert_eq!(world.made(), 4);
}

#[tokio::test]
async fn a_bad_key_is_422_under_its_own_name() {
    let world = world();
    let longest = "k".repeat(255);
    for good in ["k", "a b", "~", "k\"", "\"k\"", "\"\\\"\\\\\"", &longest, &format!("\"{longest}\""), "  k  "] {
        assert_eq!(world.once(good, "thing_1").await.status, 201, "{good}");
    }
    let made = world.made();
    for bad in
        ["", " ", "\"", "\"\"", "\"k", "\"k\"x", "\"k\";p=1", "\"\\k\"", "\"k\\\"", "a\tb", "é", &(longest + "k")]
    {
        world.once(bad, "thing_1").await.faults(&["/Idempotency-Key invalid_format"]);
    }
    let request = world.client.post("/once").header("Authorization", token("admin")).content_type("application/json");
    let twice = request.header("Idempotency-Key", "a").header("Idempotency-Key", "a");
    let answer = Answer::of(twice.body(r#"{"thingId": "thing_1", "amount": 1}"#)).await;
    answer.faults(&["/Idempotency-Key repeated_parameter"]);
    assert_eq!(world.made(), made);
}

/// What is wrong with the request is said before anything is said about its key.
#[tokio::test]
async fn the_key_is_looked_at_after_the_body() {
    let world = world();
    assert_eq!(world.once("k", "thing_1").await.status, 201);
    world.send("/once", "k", "{").await.refused(StatusCode::BAD_REQUEST, "malformed_json");
    world.send("/once", "k", "{}").await.faults(&["/amount required", "/thingId required"]);
    world.send("/once", "", "{}").await.faults(&["/amount required", "/thingId required"]);
    let stranger = world.client.post("/once").header("Idempotency-Key", "").body("{");
    Answer::of(stranger).await.refused(StatusCode::UNAUTHORIZED, "unauthenticated");
}

#[test]
fn the_specification_says_what_a_key_does() {
    let document = Document::of::<Making>(ABOUT).unwrap();
    let document: Value = serde_json::from_str(document.json()).unwrap();
    let responses = &document["paths"]["/once"]["post"]["responses"];
    assert_eq!(responses["201"]["headers"]["Idempotent-Replayed"]["schema"]["type"], "boolean");
    assert_eq!(responses["201"]["headers"]["Idempotent-Replayed"]["required"], json!(null));
    assert!(responses["409"]["headers"]["Retry-After"].is_object());
    assert_eq!(responses["422"]["headers"]["Idempotent-Replayed"], json!(null));
    let bound = &document["paths"]["/bound"]["post"]["responses"];
    assert_eq!(bound["201"]["headers"]["Idempotent-Replayed"], json!(null));
    assert_eq!(bound["409"]["headers"]["Retry-After"], json!(null));
}
