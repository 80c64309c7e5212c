//! The four cases that the service was built for, by their old names.

use super::{release, with};
use crate::harness::{
    home::Engine,
    on_both_databases,
    world::{World, list, text},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

on_both_databases! {
    t32_1_a_released_escrow_is_split_booked_and_paid
    t32_2_the_same_escrow_is_scheduled_once
    t32_3_only_admin_and_system_may_schedule
    t32_4_what_does_not_add_up_is_not_scheduled
}

/// From the answer to everything paid.
const COMPLETED_WITHIN: Duration = Duration::from_secs(2);

/// 70 % and 30 %, and 5 % for the platform.
fn seventy_thirty() -> Value {
    let lines = json!([{ "recipientId": "rec_ana", "percent": "70" }, { "recipientId": "rec_ben", "percent": "30" }]);
    json!({ "steps": [{ "type": "share", "lines": lines }], "platformFee": { "ratePpm": 50_000 } })
}

async fn t32_1_a_released_escrow_is_split_booked_and_paid(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_film", &seventy_thirty()).await;

    let ask = json!({ "projectId": "prj_film", "amount": 200_000, "currency": "USD" });
    let calculated = world.post("/revenue/calculate", &ask).await.with(200);
    assert_eq!(calculated["totalDistributed"], 190_000);

    let body = with(release("esc_1042", "prj_film", 200_000, "USD"), "milestoneId", json!("ms_3"));
    let answer = world.schedule(&body).await;
    let answered = Instant::now();
    let scheduled = answer.with(201);
    let (batch, job) = (text(&scheduled, "batchId"), text(&scheduled, "jobId"));
    assert_eq!(answer.header("location"), Some(format!("/payouts/batches/{batch}").as_str()));
    assert!(batch.starts_with("batch_") && job.starts_with("job_"));
    let expected = json!({
        "batchId": batch, "escrowId": "esc_1042", "projectId": "prj_film", "milestoneId": "ms_3", "status": "scheduled",
        "currency": "USD", "itemsCount": 2, "estimatedTotalPayout": 190_000, "jobId": job,
        "message": "Payout batch scheduled and execution job queued."
    });
    assert_eq!(scheduled, expected);

    let settled = world.settled(&batch).await;
    let took = answered.elapsed();
    assert_eq!(settled["status"], "completed");
    assert!(took < COMPLETED_WITHIN, "completed after {took:?}");

    assert_eq!((&settled["totalNet"], &settled["fees"]), (&json!(190_000), &json!(10_000)));
    let nets: Vec<_> =
        list(&settled, "items").iter().map(|item| (text(item, "userId"), item["netAmount"].clone())).collect();
    assert_eq!(nets, [("rec_ana".to_owned(), json!(133_000)), ("rec_ben".to_owned(), json!(57_000))]);
    for (item, line) in list(&settled, "items").iter().zip(list(&calculated, "breakdown")) {
        for (in_item, in_line) in [
            ("recipientId", "recipientId"),
            ("amount", "grossShare"),
            ("fees", "platformFeeShare"),
            ("taxWithheld", "taxWithheldShare"),
            ("netAmount", "netAmount"),
            ("payableAmount", "payableAmount"),
        ] {
            assert_eq!(item[in_item], line[in_line], "{in_item}");
        }
        assert_eq!((&item["status"], &item["attempts"]), (&json!("paid"), &json!(1)));
    }
    let paid: Vec<_> = world.transfers().await.iter().map(|transfer| transfer["amount"].clone()).collect();
    assert_eq!(paid.len(), 2);
    assert!(paid.contains(&json!(133_000)) && paid.contains(&json!(57_000)));
    world.assert_books_balanced().await;
    assert_eq!(world.verify().await.code, 0);
    world.stop().await;
}

async fn t32_2_the_same_escrow_is_scheduled_once(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_film", &seventy_thirty()).await;
    let first = release("esc_1", "prj_film", 200_000, "USD");
    let batch = world.scheduled(&first).await;

    let same = world.schedule(&first).await.refused(409, "already_scheduled");
    assert_eq!((&same["existing"]["batchId"], &same["existing"]["requestMatches"]), (&json!(batch), &json!(true)));
    world.settled(&batch).await;

    for (name, value) in [
        ("amount", json!(200_001)),
        ("currency", json!("EUR")),
        ("projectId", json!("prj_nobody")),
        ("milestoneId", json!("ms_1")),
        ("asOf", json!("2026-01-01T00:00:00Z")),
        ("executeAt", json!("2026-01-01T00:00:00Z")),
        ("deductions", json!([{ "type": "refund", "amount": 1 }])),
    ] {
        let other = world.schedule(&with(first.clone(), name, value)).await.refused(409, "already_scheduled");
        let expected = json!({ "batchId": batch, "status": "completed", "requestMatches": false });
        assert_eq!(other["existing"], expected, "{name}");
    }
    let again = world.schedule(&first).await.refused(409, "already_scheduled");
    assert_eq!(again["existing"], json!({ "batchId": batch, "status": "completed", "requestMatches": true }));

    assert_eq!(world.all("/payouts/batches", "batchId").await.len(), 1);
    let mut kinds: Vec<String> =
        world.all("/ledger/transactions", "transactionId").await.iter().map(|found| text(found, "kind")).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["paid", "paid", "released", "scheduled", "sent", "sent"]);
    assert_eq!(world.transfers().await.len(), 2);
    world.assert_books_balanced().await;
}

async fn t32_3_only_admin_and_system_may_schedule(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_film", &seventy_thirty()).await;
    let body = release("esc_1", "prj_film", 200_000, "USD");
    let post = async |path: &str, body: &Value, role: &str| {
        world.send(world.request(Method::POST, path).bearer_auth(world.token(role)).json(body)).await
    };
    let strangers = ["creator", "superadmin", "Admin", "admins"];
    for role in ["viewer", "auditor", "operator", "approver"].into_iter().chain(strangers) {
        post("/revenue/schedule-payouts", &body, role).await.refused(403, "not_system");
        let read = world.send(world.request(Method::GET, "/payouts/batches").bearer_auth(world.token(role))).await;
        match strangers.contains(&role) {
            true => drop(read.refused(403, "forbidden")),
            false => assert_eq!(read.with(200)["data"], json!([])),
        }
        let ask = json!({ "projectId": "prj_film", "amount": 200_000, "currency": "USD" });
        assert_eq!(post("/revenue/calculate", &ask, role).await.with(200)["totalDistributed"], 190_000);
    }
    world
        .send(world.request(Method::POST, "/revenue/schedule-payouts").json(&body))
        .await
        .refused(401, "unauthenticated");
    assert!(world.all("/payouts/batches", "batchId").await.is_empty());

    post("/revenue/schedule-payouts", &body, "admin").await.with(201);
    post("/revenue/schedule-payouts", &release("esc_2", "prj_film", 1, "USD"), "system").await.with(201);
}

async fn t32_4_what_does_not_add_up_is_not_scheduled(engine: Engine) {
    let world = World::new(engine).await;
    let body = release("esc_1", "prj_film", 200_000, "USD");
    world.schedule(&body).await.refused(404, "project_not_found");

    // 70 % and 20 %, and a fee that contradicts itself: both are told, and nothing is stored.
    let lines = json!([{ "recipientId": "rec_ana", "percent": "70" }, { "recipientId": "rec_ben", "percent": "20" }]);
    let fee = json!({ "min": 2, "max": 1 });
    let wrong = json!({ "steps": [{ "type": "share", "lines": lines }], "platformFee": fee });
    let put = async |model: &Value| world.put("/projects/prj_film/revenue-model", model).await;
    let faults = ["/platformFee/min fee_min_exceeds_max", "/steps/0/lines share_sum_not_100"];
    let error = put(&wrong).await.faults("split_invalid", &faults);
    assert_eq!(error["details"][1]["meta"], json!({ "sumPpm": 900_000, "missingPpm": 100_000 }));
    world.schedule(&body).await.refused(404, "project_not_found");

    // As a draft it is stored, faults and all, and splits nothing.
    let draft = put(&with(wrong.clone(), "status", json!("draft"))).await.with(201);
    assert_eq!((&draft["version"], &draft["status"]), (&json!(1), &json!("draft")));
    let codes: Vec<String> = list(&draft, "faults").iter().map(|fault| text(fault, "code")).collect();
    assert_eq!(codes, ["fee_min_exceeds_max", "share_sum_not_100"]);
    world.schedule(&body).await.faults("split_invalid", &["/asOf no_effective_model"]);
    assert!(world.all("/payouts/batches", "batchId").await.is_empty());

    // Nor does it stand in the way of the right one.
    assert_eq!(put(&seventy_thirty()).await.with(201)["version"], 2);
    let batch = world.scheduled(&body).await;
    assert_eq!(world.settled(&batch).await["status"], "completed");
    world.assert_books_balanced().await;
}
