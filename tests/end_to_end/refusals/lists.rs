//! What is wrong with the question, where something is only read.

use super::world;
use crate::harness::{home::Engine, on_both_databases};
use serde_json::json;

on_both_databases! {
    a_page_is_asked_for_rightly_or_not_at_all
    a_filter_that_cannot_match_is_a_fault
    a_name_in_the_path_that_cannot_be_is_a_fault
    what_is_not_there_is_told_by_its_kind
}

const LISTS: [&str; 5] =
    ["/payouts/batches", "/ledger/transactions", "/events", "/simulator/transfers", "/projects/prj_1/revenue-models"];

async fn a_page_is_asked_for_rightly_or_not_at_all(engine: Engine) {
    let world = world(engine).await;
    world.put("/projects/prj_1/revenue-model", &super::super::shares(&[("rec_1", 1)])).await;
    for path in LISTS {
        for (query, fault) in [
            ("limit=0", "/limit out_of_range"),
            ("limit=101", "/limit out_of_range"),
            ("limit=99999999999999999999", "/limit out_of_range"),
            ("limit=", "/limit wrong_type"),
            ("limit=-1", "/limit wrong_type"),
            ("limit=ten", "/limit wrong_type"),
            ("limit=1.5", "/limit wrong_type"),
            ("limit=%00", "/limit invalid_format"),
            ("limit=1&limit=2", "/limit repeated_parameter"),
            ("starting_after=", "/starting_after invalid_format"),
            ("starting_after=x", "/starting_after invalid_format"),
            ("starting_after=job_00000000000000000000000000", "/starting_after invalid_format"),
            ("offset=1", "/offset unknown_parameter"),
            ("Limit=1", "/Limit unknown_parameter"),
            ("startingAfter=1", "/startingAfter unknown_parameter"),
        ] {
            world.get(&format!("{path}?{query}")).await.faults("validation_error", &[fault]);
        }
        world
            .get(&format!("{path}?a=1&b=2"))
            .await
            .faults("validation_error", &["/a unknown_parameter", "/b unknown_parameter"]);
        for limit in [1, 100] {
            world.get(&format!("{path}?limit={limit}")).await.with(200);
        }
    }
    for path in ["/ledger/trial-balance", "/recipients/rec_1", "/livez", "/readyz", "/projects/prj_1/revenue-model"] {
        world.get(&format!("{path}?limit=1")).await.faults("validation_error", &["/limit unknown_parameter"]);
    }
}

async fn a_filter_that_cannot_match_is_a_fault(engine: Engine) {
    let world = world(engine).await;
    for (path, fault) in [
        ("/payouts/batches?status=done", "/status"),
        ("/payouts/batches?status=", "/status"),
        ("/payouts/batches?projectId=film", "/projectId"),
        ("/payouts/batches?escrowId=1", "/escrowId"),
        ("/ledger/transactions?batchId=1", "/batchId"),
        ("/ledger/transactions?account=gold", "/account"),
        ("/ledger/transactions?account=payable", "/account"),
        ("/ledger/transactions?account=deductions:gift", "/account"),
        ("/events?batchId=evt_00000000000000000000000000", "/batchId"),
        ("/events?type=payout.batch", "/type"),
        ("/events?type=%ff", "/type"),
    ] {
        world.get(path).await.faults("validation_error", &[&format!("{fault} invalid_format")]);
    }
}

async fn a_name_in_the_path_that_cannot_be_is_a_fault(engine: Engine) {
    let world = world(engine).await;
    for (path, field) in [
        ("/payouts/batches/1", "/batchId"),
        ("/payouts/batches/item_00000000000000000000000000", "/batchId"),
        ("/payouts/batches/batch_80000000000000000000000000", "/batchId"),
        ("/payouts/batches/BATCH_00000000000000000000000000", "/batchId"),
        ("/payouts/batches/%20", "/batchId"),
        ("/payouts/items/batch_00000000000000000000000000", "/itemId"),
        ("/recipients/ana", "/recipientId"),
        ("/recipients/rec_%00", "/recipientId"),
        ("/projects/7/revenue-model", "/projectId"),
        ("/projects/7/revenue-models", "/projectId"),
        ("/projects/7/revenue-models/1", "/projectId"),
        ("/projects/prj_1/revenue-models/0", "/version"),
        ("/projects/prj_1/revenue-models/-1", "/version"),
        ("/projects/prj_1/revenue-models/one", "/version"),
        ("/projects/prj_1/revenue-models/4294967296", "/version"),
    ] {
        world.get(path).await.faults("validation_error", &[&format!("{field} invalid_format")]);
    }
    let body = json!({ "steps": [] });
    world.put("/projects/7/revenue-model", &body).await.faults("validation_error", &["/projectId invalid_format"]);
    world.put("/recipients/7", &json!({})).await.faults("validation_error", &["/recipientId invalid_format"]);
}

async fn what_is_not_there_is_told_by_its_kind(engine: Engine) {
    let world = world(engine).await;
    for (path, code) in [
        ("/payouts/batches/batch_00000000000000000000000000", "batch_not_found"),
        ("/payouts/items/item_00000000000000000000000000", "item_not_found"),
        ("/recipients/rec_nobody", "recipient_not_found"),
        ("/projects/prj_nobody/revenue-model", "project_not_found"),
        ("/projects/prj_nobody/revenue-models", "project_not_found"),
        ("/projects/prj_nobody/revenue-models/1", "model_version_not_found"),
    ] {
        let error = world.get(path).await.refused(404, code);
        assert_eq!((error.get("details"), error.get("existing")), (None, None));
    }
}
