//! What people decide: who says yes to what, what an approval is of, and what an operator may do with a payment.

use super::{
    release,
    states::payment::{LATER, NET, Payment},
};
use crate::harness::{
    acting::action,
    answer::Answer,
    home::Engine,
    on_both_databases,
    sql::{connect, execute, value},
    world::{World, list, text},
};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

on_both_databases! {
    whoever_made_it_does_not_approve_it
    the_database_refuses_the_maker_as_checker
    whatever_changes_after_the_approval_stops_the_execution
    as_many_as_the_policy_asks_for_must_approve_and_only_whom_it_names
    another_policy_counts_for_what_still_waits
    the_calendar_and_the_release_say_when
    what_waits_for_its_recipient_is_released_by_their_change_and_by_nobody
    what_cannot_be_done_now_says_so
    each_action_is_done_once_under_its_key
    what_two_people_say_is_said_once_under_the_key_of_each
    what_the_rail_may_have_is_not_cancelled_without_its_proof
    what_never_left_is_given_up_unsent
    the_audit_log_is_read_by_page_subject_actor_and_action
}

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// So many people must say yes to everything.
fn approvals(number: i64) -> Value {
    json!({ "approval": { "rules": [{ "when": "amount", "currency": "USD", "from": 1, "approvals": number }] } })
}

/// A world in which so many people must say yes.
async fn careful(engine: Engine, number: i64) -> World {
    let world = World::new(engine).await;
    world.policy(&approvals(number)).await;
    world
}

async fn status(world: &World, batch: &str) -> String {
    text(&world.batch(batch).await, "status")
}

async fn paid(world: &World, item: &str) -> Value {
    world.item_is(item, "paid").await
}

/// The worker has looked, and nothing was sent.
async fn assert_not_sent(payment: &Payment<'_>) {
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let item = payment.world.item(&payment.item).await;
    assert_eq!((&item["status"], &item["attempts"]), (&json!("scheduled"), &json!(0)), "{item:#}");
}

async fn whoever_made_it_does_not_approve_it(engine: Engine) {
    let world = careful(engine, 1).await;
    // `usr_test` schedules, and `usr_clerk` says where the money goes.
    let payment = Payment::to(&world, "made", json!({})).await;
    payment.change(json!({ "behaviour": "paid" })).await;
    for (role, maker) in [("approver", "usr_test"), ("admin", "usr_test"), ("approver", "usr_clerk")] {
        let answer = world.person(role, maker).post(&action("approve", &payment.batch), &json!({})).await;
        answer.refused(403, "maker_is_checker");
    }
    assert_eq!(status(&world, &payment.batch).await, "awaiting_approval");
    world.approve("usr_ann", &payment.batch).await.with(200);
    paid(&world, &payment.item).await;
    world.approve("usr_bob", &payment.batch).await.refused(409, "approval_not_needed");
    // Once somebody was paid there, whoever said so made nothing of the next batch.
    let next = world.scheduled(&release("esc_made2", "prj_made", 10_000, "USD")).await;
    world.approve("usr_clerk", &next).await.with(200);
    world.settled(&next).await;
    world.assert_books_balanced().await;
}

async fn the_database_refuses_the_maker_as_checker(engine: Engine) {
    let world = careful(engine, 1).await;
    let payment = Payment::of(&world, "direct", json!({}), Some(LATER)).await;
    world.approve("usr_ann", &payment.batch).await.with(200);
    let database = connect(&world.home().database_url()).await;
    let columns = match engine {
        Engine::Sqlite => "SELECT group_concat(name, ',') AS names FROM pragma_table_info('approvals')",
        Engine::Postgres => {
            "SELECT string_agg(column_name::text, ',') AS names FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = 'approvals'"
        }
    };
    let names: String = value(&database, columns).await;
    let copy = |approver: &str, maker: &str| {
        let values: Vec<String> = names
            .split(',')
            .map(|name| match name {
                "approver" => format!("'{approver}'"),
                "maker" => format!("'{maker}'"),
                other => other.to_owned(),
            })
            .collect();
        format!("INSERT INTO approvals ({names}) SELECT {} FROM approvals", values.join(","))
    };
    for (approver, maker) in [("usr_test", "usr_test"), ("usr_test", "usr_zoe")] {
        let refused = database.execute_unprepared(&copy(approver, maker)).await;
        assert!(refused.is_err(), "the database takes {approver} beside {maker}");
    }
    for edit in ["DELETE FROM approvals", "UPDATE approvals SET approver = 'usr_zoe'"] {
        assert!(database.execute_unprepared(edit).await.is_err(), "the database takes `{edit}`");
    }
    // Nor does whoever comes as the sqlite3 shell does, without foreign keys.
    if engine == Engine::Sqlite {
        database.execute_unprepared("PRAGMA foreign_keys = OFF").await.expect("one connection, and it is lax now");
        for (approver, maker) in [("usr_test", "usr_test"), ("usr_test", "usr_zoe"), ("sys_esc", "usr_zoe")] {
            let refused = database.execute_unprepared(&copy(approver, maker)).await;
            let refused = refused.expect_err("the database takes a false maker").to_string();
            assert!(refused.contains("maker_is_checker"), "{refused}");
        }
    }
    // It is the approver that it minds.
    execute(&database, &copy("usr_zoe", "usr_test")).await;
}

/// A payment that is due in an hour, and was approved as it is; what there was to say yes to.
async fn approved<'w>(world: &'w World, name: &str) -> (Payment<'w>, String) {
    let now = world.advance(1).await;
    let due = now.after(std::time::Duration::from_secs(3_600)).to_string();
    let payment = Payment::of(world, name, json!({}), Some(&due)).await;
    let seen = text(&world.batch(&payment.batch).await, "contentHash");
    let body = json!({ "contentHash": seen, "note": "looks right" });
    let approver = world.person("approver", "usr_ann");
    let acted = approver.post(&action("approve", &payment.batch), &body).await.with(200);
    assert_eq!((&acted["batch"]["status"], &acted["batch"]["approvalsGiven"]), (&json!("scheduled"), &json!(1)));
    (payment, seen)
}

async fn whatever_changes_after_the_approval_stops_the_execution(engine: Engine) {
    let world = careful(engine, 1).await;
    let destinations = [
        json!({ "behaviour": "paid" }),
        json!({ "outcome": "paid" }),
        json!({ "behaviour": "late_return", "after": "900d" }),
        json!({ "behaviour": "kyc_hold", "verified": "true" }),
    ];
    let mut changed = Vec::new();
    for (number, details) in destinations.into_iter().enumerate() {
        let (payment, seen) = approved(&world, &format!("dest{number}")).await;
        payment.change(details).await;
        changed.push((payment, seen, NET));
    }
    let (payment, seen) = approved(&world, "lessened").await;
    let reversal = json!({ "reversalId": "ref_1", "escrowId": "esc_lessened", "amount": 1_000, "currency": "USD" });
    world.post("/revenue/reversals", &reversal).await.with(201);
    changed.push((payment, seen, NET - 950));
    // When it is paid is written down for ever: neither the API nor the database changes it.
    let (unchanged, _) = approved(&world, "unchanged").await;
    let mut body = release("esc_unchanged", "prj_unchanged", 10_000, "USD");
    body["executeAt"] = json!(LATER);
    world.schedule(&body).await.refused(409, "already_scheduled");
    let database = connect(&world.home().database_url()).await;
    for edit in
        ["execute_at = 0", "currency = 'EUR'", "amount_minor = 1", "total_net_minor = 1", "scheduled_by = 'usr_zoe'"]
    {
        let refused = database.execute_unprepared(&format!("UPDATE batches SET {edit}")).await;
        let refused = refused.expect_err(edit).to_string();
        assert!(refused.contains("append_only"), "`{edit}`: {refused}");
    }

    world.advance(2 * HOUR).await;
    paid(&world, &unchanged.item).await;
    for (payment, _, _) in &changed {
        let stands = world.batch_once(&payment.batch, |batch| batch["status"] == "awaiting_approval").await;
        assert_eq!((&stands["approvalsGiven"], &stands["approvalsRequired"]), (&json!(0), &json!(1)));
        payment.stands("scheduled", &[], &[], "awaiting_approval").await;
    }
    for (payment, seen, net) in changed {
        let approver = world.person("approver", "usr_ann");
        let path = action("approve", &payment.batch);
        approver.post(&path, &json!({ "contentHash": seen })).await.refused(409, "content_changed");
        let now = text(&world.batch(&payment.batch).await, "contentHash");
        assert_ne!(now, seen);
        approver.post(&path, &json!({ "contentHash": now })).await.with(200);
        paid(&world, &payment.item).await;
        assert_eq!(world.kept(&payment.item).await, net);
    }
    world.assert_books_balanced().await;
}

async fn as_many_as_the_policy_asks_for_must_approve_and_only_whom_it_names(engine: Engine) {
    let world = World::new(engine).await;
    let rule = json!({ "when": "amount", "currency": "USD", "from": 1, "approvals": 2 });
    let approvers = json!(["usr_ann", "usr_bob", "usr_cem"]);
    let approval = json!({ "rules": [rule], "approvers": approvers, "validForSeconds": DAY });
    let set = world.policy(&json!({ "approval": approval })).await;
    assert_eq!((&set["version"], &set["setBy"]), (&json!(1), &json!("usr_boss")));
    let payment = Payment::to(&world, "both", json!({})).await;
    world.approve("usr_zoe", &payment.batch).await.refused(403, "not_an_approver");
    world.approve("usr_ann", &payment.batch).await.with(200);
    world.approve("usr_ann", &payment.batch).await.refused(409, "already_approved");
    assert_not_sent(&payment).await;
    // Ann's yes runs out.
    world.advance(2 * DAY).await;
    let acted = world.approve("usr_bob", &payment.batch).await.with(200);
    assert_eq!(acted["batch"]["approvalsGiven"], 1);
    assert_not_sent(&payment).await;
    world.approve("usr_cem", &payment.batch).await.with(200);
    paid(&world, &payment.item).await;
    let batch = world.batch(&payment.batch).await;
    let by: Vec<String> = list(&batch, "approvals").iter().map(|approval| text(approval, "approver")).collect();
    assert_eq!(by, ["usr_ann", "usr_bob", "usr_cem"]);
    payment.end().await;
}

async fn another_policy_counts_for_what_still_waits(engine: Engine) {
    let world = careful(engine, 2).await;
    let payment = Payment::to(&world, "waiting", json!({})).await;
    world.approve("usr_ann", &payment.batch).await.with(200);
    assert_not_sent(&payment).await;
    world.policy(&approvals(1)).await;
    paid(&world, &payment.item).await;
    let second = world.scheduled(&release("esc_waiting2", "prj_waiting", 10_000, "USD")).await;
    assert_eq!(status(&world, &second).await, "awaiting_approval");
    world.policy(&json!({})).await;
    world.batch_once(&second, |batch| batch["status"] == "completed").await;
    assert_eq!(world.get("/payouts/policy").await.with(200)["version"], 3);
    let changes = world.all("/audit?action=policy.set", "auditId").await;
    let subjects: Vec<String> = changes.iter().map(|change| text(change, "subject")).collect();
    assert_eq!(subjects, ["policy_3", "policy_2", "policy_1"]);
    assert!(changes.iter().all(|change| change["actor"] == "usr_boss"), "{changes:#?}");
    world.assert_books_balanced().await;
}

async fn the_calendar_and_the_release_say_when(engine: Engine) {
    let world = World::new(engine).await;
    // Every day at nine, and not before a release is two days old.
    let calendar = json!({ "cron": "0 9 * * *", "timeZone": "UTC", "minimumAgeSeconds": 2 * DAY });
    world.policy(&json!({ "calendar": calendar })).await;
    let payment = Payment::to(&world, "daily", json!({})).await;
    let item = payment.stands("scheduled", &[], &[], "not_due_yet").await;
    let due = text(&item["why"], "notBefore");
    assert_eq!(due.get(11..19), Some("09:00:00"), "{due}");
    assert_eq!(text(&world.batch(&payment.batch).await, "dueAt"), due);
    world.advance(DAY).await;
    assert_not_sent(&payment).await;
    world.advance(2 * DAY).await;
    paid(&world, &payment.item).await;
    payment.end().await;

    world.policy(&json!({})).await;
    let now = world.advance(1).await;
    let due = now.after(std::time::Duration::from_secs(86_400)).to_string();
    let payment = Payment::of(&world, "tomorrow", json!({}), Some(&due)).await;
    payment.stands("scheduled", &[], &[], "not_due_yet").await;
    world.advance(DAY - HOUR).await;
    assert_not_sent(&payment).await;
    world.advance(2 * HOUR).await;
    paid(&world, &payment.item).await;
    payment.end().await;
}

async fn what_waits_for_its_recipient_is_released_by_their_change_and_by_nobody(engine: Engine) {
    let world = World::shared("states", engine).await;
    for status in ["pending", "blocked"] {
        let payment = Payment::of(&world, &format!("waits{status}"), json!({ "status": status }), None).await;
        let reason = format!("recipient_{status}");
        payment.stands("pending_kyc", &[], &[], &reason).await;
        let refused = world.act("release", &payment.item).await;
        let message = refused.json()["error"]["message"].to_string();
        assert!(message.contains(&reason) && message.contains("PUT /recipients/{recipientId}"), "{message}");
        refused.refused(409, "recipient_held");
        payment.stands("pending_kyc", &[], &[], &reason).await;
        world.change_recipient(&payment.recipient, &json!({ "status": "active" })).await;
        let moved = ["worker release", "worker record_intent", "rail settle"];
        payment.stands("paid", &moved, &["sent", "paid"], "paid").await;
        payment.end().await;
    }
    // Two holds: what the operator put there, the operator takes away; the other one stays, and the answer says so.
    let both = Payment::of(&world, "waitsboth", json!({}), Some(LATER)).await;
    both.act("hold").await;
    both.block().await;
    let acted = world.act("release", &both.item).await.with(200);
    assert_eq!(acted["items"][0]["status"], "pending_kyc", "{acted:#}");
    let moved = ["usr_op hold", "usr_op release", "usr_op hold"];
    both.stands("pending_kyc", &moved, &[], "recipient_blocked").await;
    both.end().await;
}

async fn what_cannot_be_done_now_says_so(engine: Engine) {
    let world = World::shared("states", engine).await;
    let scheduled = Payment::of(&world, "refscheduled", json!({}), Some(LATER)).await;
    let held = Payment::of(&world, "refheld", json!({ "status": "pending" }), None).await;
    let paid_one = Payment::to(&world, "refpaid", json!({})).await;
    let failed = Payment::to(&world, "reffailed", json!({ "outcome": "declined" })).await;
    let cancelled = Payment::of(&world, "refcancelled", json!({}), Some(LATER)).await;
    let taken = Payment::to(&world, "reftaken", json!({ "behaviour": "slow", "after": "5d" })).await;
    cancelled.act("cancel").await;
    for (payment, status) in [(&paid_one, "paid"), (&failed, "failed"), (&taken, "processing")] {
        world.item_is(&payment.item, status).await;
    }
    for (payment, refused) in [
        (&scheduled, ["release", "retry"].as_slice()),
        (&held, &["hold", "retry"]),
        (&taken, &["hold", "release", "retry"]),
        (&paid_one, &["hold", "release", "retry", "cancel"]),
        (&failed, &["hold", "release"]),
        (&cancelled, &["hold", "release", "retry", "cancel"]),
    ] {
        let before = world.item(&payment.item).await;
        for what in refused {
            world.act(what, &payment.item).await.refused(409, "wrong_state");
        }
        world.resolve("usr_ann", &payment.item, "paid").await.refused(409, "wrong_state");
        assert_eq!(world.item(&payment.item).await["updatedAt"], before["updatedAt"]);
    }
    for (batch, what) in [
        (&paid_one.batch, "retry"),
        (&paid_one.batch, "cancel"),
        (&cancelled.batch, "cancel"),
        (&scheduled.batch, "retry"),
    ] {
        world.act(what, batch).await.refused(409, "wrong_state");
    }
    world.approve("usr_ann", &scheduled.batch).await.refused(409, "approval_not_needed");
    let nobody = ["item_01jz0000000000000000000000", "batch_01jz0000000000000000000000"];
    for what in ["hold", "release", "retry", "cancel"] {
        world.act(what, nobody[0]).await.refused(404, "item_not_found");
    }
    world.resolve("usr_ann", nobody[0], "paid").await.refused(404, "item_not_found");
    for what in ["retry", "cancel"] {
        world.act(what, nobody[1]).await.refused(404, "batch_not_found");
    }
    world.approve("usr_ann", nobody[1]).await.refused(404, "batch_not_found");
    let operator = world.person("operator", "usr_op");
    let note = operator.post(&action("hold", &scheduled.item), &json!({ "note": "" })).await;
    note.faults("validation_error", &["/note out_of_range"]);
    let resolve = operator.post(&action("resolve", &scheduled.item), &json!({ "outcome": "maybe" })).await;
    resolve.faults("validation_error", &["/outcome invalid_format", "/evidence required"]);
    world.assert_books_balance_soon().await;
}

/// Asks twice under one key: it is done once, and answered alike.
async fn twice(world: &World, (role, who): (&str, &str), path: &str, body: &Value, status: u16) -> Value {
    let person = world.person(role, who);
    let first = person.post_under("key-1", path, body).await;
    assert_eq!(first.header("idempotent-replayed"), None, "{path}");
    let again = person.post_under("key-1", path, body).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}: {}", again.text);
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    first.with(status)
}

async fn each_action_is_done_once_under_its_key(engine: Engine) {
    let world = World::new(engine).await;
    let operator = ("operator", "usr_op");
    // Each operation has keys of its own, whatever item it is about: so one item goes through all of them.
    let payment = Payment::of(
        &world,
        "oncekey",
        json!({ "destination": { "rail": "simulator",
        "details": { "outcome": "declined" } } }),
        Some("2090-01-01T00:00:00Z"),
    )
    .await;
    let nothing = json!({});
    twice(&world, operator, &action("hold", &payment.item), &nothing, 200).await;
    twice(&world, operator, &action("release", &payment.item), &nothing, 200).await;
    assert_eq!(world.deeds(&payment.item).await, ["usr_op item.hold", "usr_op item.release"]);
    twice(&world, operator, &action("cancel", &payment.item), &nothing, 200).await;
    assert_eq!(world.deeds(&payment.item).await.len(), 3);

    let failed = Payment::to(&world, "oncefailed", json!({ "outcome": "declined" })).await;
    world.item_is(&failed.item, "failed").await;
    failed.block().await;
    twice(&world, operator, &action("retry", &failed.item), &nothing, 200).await;
    twice(&world, operator, &action("cancel", &failed.batch), &nothing, 200).await;
    let failed = Payment::to(&world, "oncebatch", json!({ "outcome": "declined" })).await;
    world.item_is(&failed.item, "failed").await;
    failed.change(json!({})).await;
    twice(&world, operator, &action("retry", &failed.batch), &nothing, 200).await;
    paid(&world, &failed.item).await;

    let fault = json!({ "behaviour": "timeout_before", "recipientId": "rec_onceresolved" });
    twice(&world, operator, "/simulator/faults", &fault, 201).await;
    let faults = world.person("operator", "usr_op").ask(Method::GET, "/simulator/faults", &nothing).await.with(200);
    assert_eq!(list(&faults, "data").len(), 1);
    let clock = twice(&world, operator, "/test/clock/advance", &json!({ "seconds": 1_000 }), 200).await;
    let now = world.advance(1).await.since(text(&clock, "now").parse().expect("an instant"));
    assert!(now < std::time::Duration::from_secs(500), "the clock went twice");

    world.policy(&approvals(1)).await;
    let careful = Payment::of(&world, "onceapproved", json!({}), Some(LATER)).await;
    twice(&world, ("approver", "usr_ann"), &action("approve", &careful.batch), &nothing, 200).await;
    assert_eq!(list(&world.batch(&careful.batch).await, "approvals").len(), 1);
    world.policy(&nothing).await;

    world.replay_window(1).await;
    let doubt = Payment::to(&world, "onceresolved", json!({})).await;
    world.item_is(&doubt.item, "in_doubt").await;
    let said = json!({ "outcome": "failed", "evidence": "statement 17" });
    let path = action("resolve", &doubt.item);
    // Who could confirm must not be faster than the rail.
    let early = world.person("operator", "usr_ann").post_under("key-1", &path, &said).await;
    early.refused(409, "too_early");
    world.assert_books_balanced().await;
}

async fn what_two_people_say_is_said_once_under_the_key_of_each(engine: Engine) {
    let world = World::new(engine).await;
    world.replay_window(60).await;
    let payment = Payment::to(&world, "saidonce", json!({ "behaviour": "silent" })).await;
    world.item_is(&payment.item, "in_doubt").await;
    world.advance(600).await;
    world.item_once(&payment.item, |item| item["why"]["code"] == "resolution_needed").await;
    let path = action("resolve", &payment.item);
    let said = json!({ "outcome": "paid", "evidence": "statement 17" });
    let say =
        async |who: &str, key: &str, body: &Value| world.person("operator", who).post_under(key, &path, body).await;
    let is_replayed = |answer: &Answer| answer.header("idempotent-replayed") == Some("true");
    let propositions = async || {
        let deeds = world.deeds(&payment.item).await;
        deeds.iter().filter(|deed| deed.ends_with("item.propose_resolution")).count()
    };

    let proposed = say("usr_ann", "ann-1", &said).await;
    assert_eq!(proposed.json()["resolution"]["status"], "proposed");
    assert!(!is_replayed(&proposed));
    // The first person again is no second one, under no key and under a new one; under the old one nothing is said.
    world.resolve("usr_ann", &payment.item, "paid").await.refused(409, "second_person_needed");
    say("usr_ann", "ann-2", &said).await.refused(409, "second_person_needed");
    let again = say("usr_ann", "ann-1", &said).await;
    assert!(is_replayed(&again), "{}", again.text);
    assert_eq!((again.status, &again.text), (200, &proposed.text));
    assert_eq!((propositions().await, world.item(&payment.item).await["status"].clone()), (1, json!("in_doubt")));
    // Nor does anybody confirm by the key of another, or say something else under their own.
    say("usr_bob", "ann-1", &said).await.refused(422, "idempotency_key_reused");
    let other = json!({ "outcome": "failed", "evidence": "statement 17" });
    say("usr_ann", "ann-1", &other).await.refused(422, "idempotency_key_reused");

    let confirmed = say("usr_bob", "bob-1", &said).await;
    let body = confirmed.with(200);
    assert_eq!((&body["resolution"]["status"], &body["item"]["status"]), (&json!("confirmed"), &json!("paid")));
    assert!(!is_replayed(&confirmed));
    // What was answered then is answered again, though by now there is nothing left to be resolved.
    world.resolve("usr_cem", &payment.item, "paid").await.refused(409, "wrong_state");
    for (who, key, first) in [("usr_bob", "bob-1", &confirmed), ("usr_ann", "ann-1", &proposed)] {
        let again = say(who, key, &said).await;
        assert!(is_replayed(&again), "{who}: {}", again.text);
        assert_eq!((again.status, &again.text), (200, &first.text), "{who}");
    }
    let moved = ["worker record_intent", "worker lose_track", "usr_bob settle"];
    payment.stands("paid", &moved, &["sent", "paid"], "paid").await;
    assert_eq!(propositions().await, 1);
    let confirmations = world.deeds(&payment.item).await;
    assert_eq!(confirmations.iter().filter(|deed| deed.ends_with("item.confirm_resolution")).count(), 1);
    payment.end().await;
}

async fn what_the_rail_may_have_is_not_cancelled_without_its_proof(engine: Engine) {
    let world = World::shared("states", engine).await;
    let doubt = Payment::to(&world, "norecall", json!({ "behaviour": "timeout_before", "times": "1000" })).await;
    world.item_is(&doubt.item, "in_doubt").await;
    world.act("cancel", &doubt.item).await.refused(409, "recall_refused");
    world.act("cancel", &doubt.batch).await.refused(409, "recall_refused");
    assert_eq!(world.item(&doubt.item).await["status"], "in_doubt");
    let silent = Payment::to(&world, "silentrecall", json!({ "behaviour": "silent" })).await;
    world.item_is(&silent.item, "in_doubt").await;
    world.act("cancel", &silent.item).await.refused(503, "unavailable");
    assert_eq!(world.item(&silent.item).await["status"], "in_doubt");
    // What is taken and not executed yet can be had back.
    let taken = Payment::to(&world, "recall", json!({ "behaviour": "slow", "after": "5d" })).await;
    world.item_is(&taken.item, "processing").await;
    let acted = world.act("cancel", &taken.batch).await.with(200);
    assert_eq!((&acted["batch"]["status"], &acted["asked"]), (&json!("cancelled"), &json!([])));
    let transfers = world.transfers().await;
    let of_item = transfers.iter().find(|transfer| transfer["itemId"] == taken.item.as_str()).expect("an order");
    assert_eq!(of_item["outcome"], "recalled");
    taken.end().await;
}

async fn what_never_left_is_given_up_unsent(engine: Engine) {
    let world = World::new(engine).await;
    let payment = Payment::to(&world, "neverleft", json!({ "behaviour": "unavailable", "times": "1000" })).await;
    let item = world.item_once(&payment.item, |item| item["why"]["code"] == "rail_unreachable").await;
    assert_eq!(item["attemptHistory"][0]["tries"], 0, "no try is used up");
    payment.stands("processing", &["worker record_intent"], &["sent"], "rail_unreachable").await;
    payment.act("cancel").await;
    let moved = ["worker record_intent", "usr_op prove_absent", "usr_op cancel"];
    payment.stands("cancelled", &moved, &["sent", "refused", "cancelled"], "cancelled").await;
    assert_eq!(world.transfers().await, Vec::<Value>::new());
    payment.end().await;
}

async fn the_audit_log_is_read_by_page_subject_actor_and_action(engine: Engine) {
    let world = World::new(engine).await;
    let mut items = Vec::new();
    for number in 0..4 {
        let payment = Payment::of(&world, &format!("audited{number}"), json!({}), Some(LATER)).await;
        payment.act("hold").await;
        payment.act("release").await;
        items.push(payment.item);
    }
    let all = world.all_by("/audit", "auditId", 3).await;
    let ids: std::collections::BTreeSet<String> = all.iter().map(|entry| text(entry, "auditId")).collect();
    assert_eq!(ids.len(), all.len(), "no entry twice");
    let whole = world.all("/audit", "auditId").await;
    assert_eq!(whole, all, "pages of any size say the same");
    let order: Vec<String> = all.iter().map(|entry| text(entry, "auditId")).collect();
    assert!(order.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
    let count = async |filter: &str| world.all_by(&format!("/audit?{filter}"), "auditId", 2).await.len();
    assert_eq!(count("actor=usr_op").await, 8);
    assert_eq!(count("actor=usr_op&action=item.hold").await, 4);
    assert_eq!(count(&format!("subject={}", items[0])).await, 2);
    assert_eq!(count(&format!("subject={}&action=item.release&actor=usr_op", items[0])).await, 1);
    assert_eq!(count("actor=usr_nobody").await, 0);
    world.get("/audit?actor=two%20words").await.faults("validation_error", &["/actor invalid_format"]);
    world.get("/audit?limit=0").await.faults("validation_error", &["/limit out_of_range"]);
    world.get("/audit?sujbect=x").await.faults("validation_error", &["/sujbect unknown_parameter"]);
    let entry = all.iter().find(|entry| entry["action"] == "item.hold").expect("an entry");
    assert_eq!((&entry["role"], &entry["note"]), (&json!("operator"), &json!("as asked")));
    assert_eq!((&entry["before"]["status"], &entry["after"]["status"]), (&json!("scheduled"), &json!("pending_kyc")));
    assert!(entry["requestId"].is_string(), "{entry:#}");
}
