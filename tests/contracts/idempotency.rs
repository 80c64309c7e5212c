//! A request under a key is done once, and its answer is kept with what it did.

use super::{
    Bench, Ports,
    bench::{LEASE, PAST_LEASE},
    sample::{everything, fresh, release, seconds, update},
};
use app::{
    change::{Change, Stored, Update},
    idempotency::{Claim, IdempotencyKey, KeyedRequest, Remember, StoredAnswer},
    ports::{CommitError, DuplicateKey, idempotency::Claiming},
};
use domain::batch::Fingerprint;
use std::{sync::Arc, time::Duration};
use tokio::sync::Barrier;

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn request(key: &str) -> KeyedRequest {
    KeyedRequest {
        operation: "POST /things".to_owned(),
        key: IdempotencyKey::try_new(key).unwrap(),
        fingerprint: Fingerprint([0xA5; 32]),
    }
}
fn another(key: &str) -> KeyedRequest {
    KeyedRequest { fingerprint: Fingerprint([0x5A; 32]), ..request(key) }
}
fn claim(request: KeyedRequest) -> Claim {
    Claim { request, token: fresh() }
}
/// An answer with everything that might be lost on the way.
fn answer(body: &str) -> StoredAnswer {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    StoredAnswer {
        status: 201,
        headers: vec![header("Location", "/things/1"), header("ETag", "\"7\"")],
        body: format!("{{\"a\": 1,  \"a\": 1.0, \"text\": \"\\u0000 ü \u{1F600} {body}\"}}"),
    }
}
fn remember(claim: &Claim, body: &str) -> Option<Remember> {
    Some(Remember::Claimed(claim.clone(), answer(body)))
}

impl Ports {
    async fn claim_key(&self, claim: &Claim) -> Claiming {
        self.keys.claim(claim, LEASE).await.unwrap()
    }
    /// A claim that is ours.
    async fn ours(&self, request: KeyedRequest) -> Claim {
        let claim = claim(request);
        assert_eq!(self.claim_key(&claim).await, Claiming::Ours);
        claim
    }
    /// What somebody finds who comes with that request.
    async fn found(&self, request: KeyedRequest) -> Claiming {
        self.claim_key(&claim(request)).await
    }
    /// A claim that is answered.
    async fn answered(&self, request: KeyedRequest) -> Claim {
        let claim = self.ours(request).await;
        self.commit(Change { remember: remember(&claim, "1"), ..Change::default() }).await;
        claim
    }
    async fn answered_for(&self, key: &str) -> Option<Fingerprint> {
        let request = request(key);
        self.keys.answered_for(&request.operation, &request.key).await.unwrap()
    }
}

pub async fn a_key_is_claimed_once_and_answered_alike(bench: &dyn Bench) {
    let ports = bench.ports();
    let longest = "k".repeat(255);
    for key in ["k", " ", "K", "a\"b\\c 'd", "%_", &longest] {
        let claim = ports.ours(request(key)).await;
        assert_eq!(ports.found(request(key)).await, Claiming::InProgress, "{key}");
        assert_eq!(ports.answered_for(key).await, None, "{key}");
        ports.commit(Change { remember: remember(&claim, key), ..Change::default() }).await;
        for _ in 0..2 {
            assert_eq!(ports.found(request(key)).await, Claiming::Answered(answer(key)), "{key}");
            assert_eq!(ports.answered_for(key).await, Some(request(key).fingerprint), "{key}");
        }
    }
    // As long as anybody may ask.
    bench.pass(30 * DAY).await;
    assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer("k")));
}

pub async fn another_request_does_not_get_the_key(bench: &dyn Bench) {
    let ports = bench.ports();
    let claim = ports.ours(request("k")).await;
    assert_eq!(ports.found(another("k")).await, Claiming::Another);
    ports.commit(Change { remember: remember(&claim, "1"), ..Change::default() }).await;
    assert_eq!(ports.found(another("k")).await, Claiming::Another);
    bench.pass(PAST_LEASE).await;
    assert_eq!(ports.found(another("k")).await, Claiming::Another);
    assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer("1")));
}

pub async fn each_operation_has_keys_of_its_own(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.answered(request("k")).await;
    let elsewhere = KeyedRequest { operation: "POST /other".to_owned(), ..another("k") };
    let claim = ports.ours(elsewhere.clone()).await;
    assert_eq!(ports.keys.answered_for(&elsewhere.operation, &elsewhere.key).await.unwrap(), None);
    ports.commit(Change { remember: remember(&claim, "2"), ..Change::default() }).await;
    assert_eq!(ports.found(elsewhere).await, Claiming::Answered(answer("2")));
    assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer("1")));
}

pub async fn of_many_claimers_one_gets_the_key(bench: &dyn Bench) {
    const CLAIMERS: usize = 16;
    let ports = bench.ports();
    for round in 0..8 {
        let key = format!("k{round}");
        if round % 2 == 1 {
            // Somebody had it before, and died.
            let dead = claim(another(&key));
            assert_eq!(ports.keys.claim(&dead, Duration::ZERO).await.unwrap(), Claiming::Ours);
            bench.pass(seconds(1)).await;
        }
        let start = Arc::new(Barrier::new(CLAIMERS));
        let claimers: Vec<_> = (0..CLAIMERS)
            .map(|_| {
                let (ports, start, request) = (ports.clone(), start.clone(), request(&key));
                tokio::spawn(async move {
                    start.wait().await;
                    ports.found(request).await
                })
            })
            .collect();
        let mut ours = 0;
        for claimer in claimers {
            match claimer.await.unwrap() {
                Claiming::Ours => ours += 1,
                other => assert_eq!(other, Claiming::InProgress),
            }
        }
        assert_eq!(ours, 1, "{key}");
    }
}

pub async fn a_claim_that_ran_out_is_free_for_any_request(bench: &dyn Bench) {
    let ports = bench.ports();
    for (key, next) in [("a", request("a")), ("b", another("b"))] {
        ports.ours(request(key)).await;
        bench.pass(PAST_LEASE).await;
        let claim = ports.ours(next.clone()).await;
        // It has a lease of its own, and the key is this request's now.
        assert_eq!(ports.found(next.clone()).await, Claiming::InProgress);
        ports.commit(Change { remember: remember(&claim, "2"), ..Change::default() }).await;
        assert_eq!(ports.answered_for(key).await, Some(next.fingerprint));
        assert_eq!(ports.found(next).await, Claiming::Answered(answer("2")));
    }
}

/// Commits under a claim that must be lost, with something of every kind beside it, and looks at everything.
async fn assert_lost(ports: &Ports, lost: &Claim) {
    let now = ports.now().await;
    ports.claim_all().await;
    ports.events().await;
    let before = everything(ports).await;
    let beside = release(now).pay("rec_ana", 5).pay("rec_bob", 6);
    let change = Change { remember: remember(lost, "lost"), ..beside.change() };
    let refused = ports.repository.commit(change).await;
    assert!(matches!(refused, Err(CommitError::LeaseLost)), "{refused:?}");
    assert_eq!(everything(ports).await, before);
    ports.assert_no_job().await;
    assert_eq!(ports.events().await, []);
    // The claim is looked at before revisions are.
    let stale = update(Update::Batch(Stored { value: beside.batch, revision: 7 }));
    let refused = ports.repository.commit(Change { remember: remember(lost, "lost"), ..stale }).await;
    assert!(matches!(refused, Err(CommitError::LeaseLost)), "{refused:?}");
}

pub async fn a_claim_that_was_lost_leaves_nothing_behind(bench: &dyn Bench) {
    let ports = bench.ports();
    assert_lost(&ports, &claim(request("never claimed"))).await;

    let slow = ports.ours(request("k")).await;
    bench.pass(PAST_LEASE).await;
    let quick = ports.ours(request("k")).await;
    assert_lost(&ports, &slow).await;
    ports.commit(Change { remember: remember(&quick, "quick"), ..Change::default() }).await;
    assert_lost(&ports, &slow).await;
    assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer("quick")));

    // The right token under another name is no right either.
    let other = ports.ours(request("other")).await;
    assert_lost(&ports, &Claim { request: request("third"), ..other.clone() }).await;
    let operation = "POST /other".to_owned();
    assert_lost(&ports, &Claim { request: KeyedRequest { operation, ..request("other") }, ..other }).await;
}

/// Its work is done: to throw it away would help nobody.
pub async fn a_claim_that_ran_out_stores_its_answer_if_nobody_else_came(bench: &dyn Bench) {
    let ports = bench.ports();
    let claim = ports.ours(request("k")).await;
    bench.pass(PAST_LEASE).await;
    ports.commit(Change { remember: remember(&claim, "1"), ..Change::default() }).await;
    assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer("1")));
}

pub async fn a_claim_that_was_given_up_is_free_at_once(bench: &dyn Bench) {
    let ports = bench.ports();
    for (key, next) in [("a", request("a")), ("b", another("b"))] {
        let claim = ports.ours(request(key)).await;
        ports.keys.give_up(&claim).await.unwrap();
        assert_eq!(ports.answered_for(key).await, None);
        ports.ours(next).await;
    }
}

pub async fn only_who_has_a_claim_gives_it_up(bench: &dyn Bench) {
    let ports = bench.ports();
    ports.keys.give_up(&claim(request("unknown"))).await.unwrap();

    let slow = ports.ours(request("k")).await;
    bench.pass(PAST_LEASE).await;
    let quick = ports.ours(request("k")).await;
    ports.keys.give_up(&slow).await.unwrap();
    assert_eq!(ports.found(request("k")).await, Claiming::InProgress);

    ports.commit(Change { remember: remember(&quick, "1"), ..Change::default() }).await;
    for claim in [slow, quick] {
        ports.keys.give_up(&claim).await.unwrap();
        assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer("1")));
    }
}

pub async fn a_refused_change_stores_no_answer(bench: &dyn Bench) {
    let ports = bench.ports();
    let one = release(ports.now().await).pay("rec_ana", 5).book(&ports).await;
    let claim = ports.ours(request("k")).await;
    let unclaimed = Some(Remember::Unclaimed(request("u"), answer("1")));
    for (remember, key) in [(remember(&claim, "1"), "k"), (unclaimed, "u")] {
        let again = Change { remember: remember.clone(), ..one.change() };
        let refused = ports.repository.commit(again).await;
        assert!(matches!(refused, Err(CommitError::Duplicate(DuplicateKey::Escrow(_)))), "{refused:?}");
        let stale = update(Update::Batch(Stored { value: one.batch.clone(), revision: 7 }));
        let refused = ports.repository.commit(Change { remember, ..stale }).await;
        assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
        assert_eq!(ports.answered_for(key).await, None, "{key}");
    }
    assert_eq!(ports.found(request("k")).await, Claiming::InProgress);
    ports.ours(request("u")).await;
}

pub async fn an_answer_is_stored_once_under_a_claim(bench: &dyn Bench) {
    let ports = bench.ports();
    let claim = ports.answered(request("k")).await;
    assert_lost(&ports, &claim).await;
    assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer("1")));
}

/// Half of them under a claim.
pub async fn whoever_sees_what_was_done_sees_its_answer(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    for round in 0..20 {
        let key = format!("k{round}");
        let remember = if round % 2 == 0 {
            remember(&ports.ours(request(&key)).await, "1")
        } else {
            Some(Remember::Unclaimed(request(&key), answer("1")))
        };
        let release = release(now).pay("rec_ana", 700);
        let writer = ports.clone();
        let change = Change { remember, ..release.change() };
        let writing = tokio::spawn(async move { writer.commit(change).await });
        while ports.repository.batch_for_execution(release.batch.id).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(ports.answered_for(&key).await, Some(request(&key).fingerprint), "{key}");
        writing.await.unwrap();
    }
}

pub async fn an_answer_without_a_claim_takes_the_key(bench: &dyn Bench) {
    let ports = bench.ports();
    let now = ports.now().await;
    let take = |request: KeyedRequest| {
        let remember = Some(Remember::Unclaimed(request, answer("1")));
        Change { remember, ..release(now).pay("rec_ana", 5).change() }
    };
    ports.commit(take(request("k"))).await;
    assert_eq!(ports.answered_for("k").await, Some(request("k").fingerprint));
    assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer("1")));

    ports.claim_all().await;
    ports.events().await;
    let before = everything(&ports).await;
    // Whose the key was does not matter, nor whether it is claimed or answered.
    ports.ours(request("claimed")).await;
    for request in [request("k"), another("k"), another("claimed")] {
        let refused = ports.repository.commit(take(request)).await;
        assert!(matches!(refused, Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey))), "{refused:?}");
    }
    assert_eq!(everything(&ports).await, before);
    ports.assert_no_job().await;
    assert_eq!(ports.events().await, []);
    assert_eq!(ports.answered_for("k").await, Some(request("k").fingerprint));
}

pub async fn of_many_answers_without_a_claim_one_is_stored(bench: &dyn Bench) {
    const CALLERS: usize = 16;
    let ports = bench.ports();
    let now = ports.now().await;
    let start = Arc::new(Barrier::new(CALLERS));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (ports, start) = (ports.clone(), start.clone());
            let release = release(now).pay("rec_ana", 700);
            let remember = Some(Remember::Unclaimed(request("k"), answer(&release.batch.id.to_string())));
            let change = Change { remember, ..release.change() };
            tokio::spawn(async move {
                start.wait().await;
                (release.batch.id, ports.repository.commit(change).await)
            })
        })
        .collect();
    let mut won = Vec::new();
    for caller in callers {
        match caller.await.unwrap() {
            (batch, Ok(())) => won.push(batch),
            (_, Err(CommitError::Duplicate(DuplicateKey::IdempotencyKey))) => {}
            (_, Err(other)) => panic!("{other:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(ports.found(request("k")).await, Claiming::Answered(answer(&won[0].to_string())));
    let batches = ports.queries.batches(Default::default(), super::sample::first(10)).await.unwrap();
    assert_eq!(batches.data.len(), 1);
}

pub async fn old_keys_are_forgotten_a_few_at_a_time(bench: &dyn Bench) {
    let ports = bench.ports();
    for key in ["a", "b", "c"] {
        ports.answered(request(key)).await;
    }
    ports.ours(request("abandoned")).await;
    let remember = Some(Remember::Unclaimed(request("e"), answer("1")));
    ports.commit(Change { remember, ..Change::default() }).await;
    assert_eq!(ports.keys.forget(DAY, 10).await.unwrap(), 0);

    bench.pass(DAY + seconds(60)).await;
    ports.answered(request("young")).await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        counts.push(ports.keys.forget(DAY, 2).await.unwrap());
    }
    assert_eq!(counts, [2, 2, 1, 0]);
    for key in ["a", "b", "c", "abandoned", "e"] {
        ports.ours(another(key)).await;
    }
    assert_eq!(ports.found(request("young")).await, Claiming::Answered(answer("1")));
}
