//! A request with two faults always gets the same answer: the checks have an order.

use super::{send, world};
use crate::harness::{home::Engine, on_both_databases, world::World};
use reqwest::Method;
use serde_json::json;

on_both_databases! {
    the_first_fault_in_the_order_of_checks_is_told
    an_existing_escrow_is_told_before_an_unknown_project
}

async fn the_first_fault_in_the_order_of_checks_is_told(engine: Engine) {
    let world = world(engine).await;
    let path = "/revenue/schedule-payouts?stray=1";
    let large = format!("{{ \"amount\": {}", " ".repeat(300_000));
    let post = async |role: Option<&str>, media_type: &str, body: &str| {
        let mut request = world.request(Method::POST, path).header("content-type", media_type).body(body.to_owned());
        if let Some(role) = role {
            request = request.bearer_auth(world.token(role));
        }
        world.send(request).await
    };
    // Each turn puts the fault right that was told the turn before.
    post(None, "text/plain", &large).await.refused(401, "unauthenticated");
    post(Some("creator"), "text/plain", &large).await.refused(403, "not_system");
    post(Some("admin"), "text/plain", &large).await.refused(415, "unsupported_media_type");
    post(Some("admin"), "application/json", &large).await.refused(413, "payload_too_large");
    post(Some("admin"), "application/json", "{ \"amount\": ").await.refused(400, "malformed_json");
    let faults = ["/amount amount_not_positive", "/currency required", "/escrowId required", "/projectId required"];
    let all: Vec<&str> = faults.iter().copied().chain(["/stray unknown_parameter"]).collect();
    post(Some("admin"), "application/json", "{ \"amount\": 0 }").await.faults("validation_error", &all);
}

async fn an_existing_escrow_is_told_before_an_unknown_project(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &super::super::shares(&[("rec_1", 1)])).await;
    let body = |escrow: &str, project: &str, amount: i64| super::super::release(escrow, project, amount, "USD");
    world.scheduled(&body("esc_1", "prj_1", 5)).await;

    world.schedule(&body("esc_1", "prj_nobody", 5)).await.refused(409, "already_scheduled");
    world.schedule(&body("esc_2", "prj_nobody", 5)).await.refused(404, "project_not_found");
    // But not before a field that is wrong: nobody knows which release was meant.
    let wrong = json!({ "escrowId": "esc_1", "projectId": "prj_nobody", "amount": 0, "currency": "USD" });
    world.schedule(&wrong).await.faults("validation_error", &["/amount amount_not_positive"]);
    // The project is looked for before its model is.
    let draft = r#"{"status":"draft","steps":[]}"#;
    send(&world, Method::PUT, "/projects/prj_draft/revenue-model", draft).await.with(201);
    world.schedule(&body("esc_1", "prj_draft", 5)).await.refused(409, "already_scheduled");
    world.schedule(&body("esc_2", "prj_draft", 5)).await.faults("split_invalid", &["/asOf no_effective_model"]);
}
