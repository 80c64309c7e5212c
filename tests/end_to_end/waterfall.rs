//! The waterfall of a film, from the distributor's cut to the net profits: it closes to the unit, every column of it is
//! explained, and what was counted once is not counted again.

use super::{release, with};
use crate::harness::{
    home::Engine,
    on_both_databases,
    world::{World, list, text},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

on_both_databases! {
    the_film_closes_to_the_unit_and_every_column_is_explained
    fees_taxes_debts_and_holds_are_explained_in_every_column_too
    the_film_is_booked_and_paid_as_it_was_calculated
    what_was_given_back_once_is_not_given_back_again
    it_makes_no_difference_how_the_money_comes_in
    an_item_is_explained_as_it_was_booked
}

const INVESTORS: [&str; 5] = ["rec_inv1", "rec_inv2", "rec_inv3", "rec_inv4", "rec_inv5"];
const TALENT: [&str; 4] = ["rec_star1", "rec_star2", "rec_star3", "rec_writer"];

/// 25 % for the distributor and their costs, 10 % for the sales agent and theirs, 120 % for the investors, and the rest
/// in shares.
fn film() -> Value {
    let all = |recipient: &str| json!([{ "recipientId": recipient, "ppm": 1_000_000 }]);
    let advanced = INVESTORS.map(|investor| json!({ "recipientId": investor, "principal": 5_000_000 }));
    let mut profits: Vec<Value> =
        INVESTORS.iter().map(|investor| json!({ "recipientId": investor, "ppm": 100_000 })).collect();
    profits.push(json!({ "recipientId": "rec_company", "ppm": 300_000 }));
    profits.extend(TALENT.iter().map(|talent| json!({ "recipientId": talent, "ppm": 50_000 })));
    json!({ "currency": "USD", "tieBreak": "declaration", "steps": [
        { "type": "share", "portionPpm": 250_000, "lines": all("rec_distributor") },
        { "type": "recoup", "lines": [{ "recipientId": "rec_distributor", "principal": 2_500_000 }], "feeable": false },
        { "type": "share", "portionPpm": 100_000, "lines": all("rec_agent") },
        { "type": "fixed", "amount": 1_000_000, "per": "lifetime", "recipientId": "rec_agent", "feeable": false },
        { "type": "recoup", "multiplePpm": 1_200_000, "lines": advanced },
        { "type": "share", "lines": profits }
    ] })
}

/// The same, with names for what is counted: so it can be stored.
fn stored_film() -> Value {
    let mut film = film();
    for (step, key) in [(1, "distribution"), (3, "sales"), (4, "investors")] {
        film["steps"][step]["key"] = json!(key);
    }
    film
}

/// What 500,000.00 come to.
fn half_a_million() -> BTreeMap<String, i64> {
    let mut gross =
        BTreeMap::from([("rec_distributor", 15_000_000), ("rec_agent", 4_500_000), ("rec_company", 150_000)]);
    gross.extend(INVESTORS.map(|investor| (investor, 6_050_000)));
    gross.extend(TALENT.map(|talent| (talent, 25_000)));
    gross.into_iter().map(|(recipient, amount)| (recipient.to_owned(), amount)).collect()
}

/// The columns of a line, by their names in the explanation.
const COLUMNS: [(&str, &str); 10] = [
    ("gross", "grossShare"),
    ("platformFee", "platformFeeShare"),
    ("feeTax", "feeTaxShare"),
    ("taxWithheld", "taxWithheldShare"),
    ("net", "netAmount"),
    ("carriedIn", "carriedIn"),
    ("recovered", "recovered"),
    ("held", "held"),
    ("carriedForward", "carriedForward"),
    ("payable", "payableAmount"),
];

#[track_caller]
fn number(value: &Value, name: &str) -> i64 {
    value[name].as_i64().unwrap_or_else(|| panic!("no number `{name}` in {value:#}"))
}

fn column(lines: &[Value], name: &str) -> BTreeMap<String, i64> {
    lines.iter().map(|line| (text(line, "recipientId"), number(line, name))).collect()
}

/// Each line adds up, and the explanation gives each of its columns.
#[track_caller]
fn assert_line_is_explained(line: &Value, explanation: &[Value]) {
    let value = |name: &str| number(line, name);
    assert_eq!(
        value("grossShare"),
        value("platformFeeShare") + value("taxWithheldShare") + value("netAmount"),
        "{line}"
    );
    let out = value("recovered") + value("held") + value("carriedForward") + value("payableAmount");
    assert_eq!(value("netAmount") + value("carriedIn"), out, "{line}");
    let taxes: i64 = list(line, "taxes").iter().map(|tax| number(tax, "amount")).sum();
    assert_eq!(taxes, value("taxWithheldShare"), "{line}");
    for (column, field) in COLUMNS {
        let ours =
            explanation.iter().filter(|why| why["recipientId"] == line["recipientId"] && why["column"] == column);
        let sum: i64 = ours.map(|why| number(why, "value")).sum();
        assert_eq!(sum, value(field), "{column} of {line}");
    }
}

/// Every line adds up and is explained, and the totals are the sums of the lines.
#[track_caller]
fn assert_closed(calculated: &Value) {
    let (lines, explanation) = (list(calculated, "breakdown"), list(calculated, "explanation"));
    for line in lines {
        assert_line_is_explained(line, explanation);
    }
    let totals = &calculated["totals"];
    for (name, field) in COLUMNS {
        let sum: i64 = lines.iter().map(|line| number(line, field)).sum();
        assert_eq!(sum, number(totals, name), "{name}");
    }
    assert_eq!(number(totals, "gross") + number(totals, "deductions"), number(calculated, "amount"));
    assert_eq!(number(calculated, "totalDistributed"), number(totals, "net"));
    let seqs: Vec<i64> = explanation.iter().map(|why| number(why, "seq")).collect();
    assert_eq!(seqs, (1..).take(seqs.len()).collect::<Vec<_>>());
}

async fn the_film_closes_to_the_unit_and_every_column_is_explained(engine: Engine) {
    let world = World::shared("waterfall", engine).await;
    let calculate = async |amount: i64| {
        let ask = json!({ "revenueModel": film(), "amount": amount, "currency": "USD" });
        let calculated = world.post("/revenue/calculate", &ask).await.with(200);
        assert_closed(&calculated);
        calculated
    };
    let calculated = calculate(50_000_000).await;
    assert_eq!(column(list(&calculated, "breakdown"), "grossShare"), half_a_million());
    let operations: Vec<_> = list(&calculated, "explanation").iter().map(|why| text(why, "op")).collect();
    for operation in ["apportion", "recoup", "fixed", "difference"] {
        assert!(operations.iter().any(|known| known == operation), "{operation} in {operations:?}");
    }
    // What would be counted: the costs, the advances of five, and nothing that is not a target.
    let counted: i64 = list(&calculated, "stateDelta").iter().map(|step| number(step, "add")).sum();
    assert_eq!((list(&calculated, "stateDelta").len(), counted), (7, 2_500_000 + 1_000_000 + 30_000_000));
    // A cent less or more, and on both sides of every target.
    for amount in [1, 2, 3, 7, 99, 3_333_333, 3_333_334, 13_333_333, 49_999_999, 50_000_001, 9_007_199_254_740_991] {
        calculate(amount).await;
    }
}

async fn fees_taxes_debts_and_holds_are_explained_in_every_column_too(engine: Engine) {
    let world = World::shared("waterfall", engine).await;
    let profile = json!({ "form": "W-8BEN", "rules": [
        { "code": "us_nra", "ratePpm": 300_000, "taxablePpm": 333_333 },
        { "code": "in_tds", "ratePpm": 1_000, "base": "net_of_fee", "granularity": 100, "priority": -1 }
    ] });
    world.register("rec_distributor", &json!({ "taxProfile": profile })).await;
    world.register("rec_inv1", &json!({ "status": "pending" })).await;
    world.register("rec_company", &json!({ "payoutMinimums": [{ "currency": "USD", "amount": 200_000 }] })).await;
    let mut model = with(film(), "platformFee", json!({ "ratePpm": 33_333, "fixed": 7, "feeTaxPpm": 190_000 }));
    model["defaultTaxProfile"] = json!({ "rules": [{ "code": "us_backup", "ratePpm": 240_000 }] });
    let deductions = json!([{ "type": "psp_fee", "amount": 1_234 }, { "type": "refund", "amount": 5 }]);
    let ask = json!({ "revenueModel": model, "amount": 50_001_239, "currency": "USD", "deductions": deductions });
    let calculated = world.post("/revenue/calculate", &ask).await.with(200);
    assert_closed(&calculated);
    assert_eq!(column(list(&calculated, "breakdown"), "grossShare"), half_a_million());
    assert_eq!(calculated["totals"]["deductions"], 1_239);

    let line = |recipient: &str| {
        let found = list(&calculated, "breakdown").iter().find(|line| line["recipientId"] == recipient);
        found.unwrap_or_else(|| panic!("no line of {recipient}")).clone()
    };
    let rules: Vec<_> = list(&line("rec_distributor"), "taxes").iter().map(|tax| text(tax, "rule")).collect();
    assert_eq!(rules, ["in_tds", "us_nra"], "by priority");
    assert_eq!(line("rec_distributor")["disposition"], "payable");
    assert_eq!(line("rec_star1")["taxes"][0]["rule"], "us_backup", "nobody told of their tax");
    let held = line("rec_inv1");
    assert_eq!((&held["disposition"], &held["holdReason"]), (&json!("held"), &json!("recipient_pending")));
    assert_eq!((&held["held"], &held["payableAmount"]), (&held["netAmount"], &json!(0)));
    let carried = line("rec_company");
    assert_eq!((&carried["disposition"], &carried["carriedForward"]), (&json!("carried"), &carried["netAmount"]));
    let warnings: BTreeMap<String, Value> =
        list(&calculated, "warnings").iter().map(|warning| (text(warning, "code"), warning.clone())).collect();
    assert_eq!(warnings["recipient_held"]["reason"], "recipient_pending");
    assert_eq!(warnings["carried_forward"]["carried"], carried["netAmount"]);

    // Less is said if less is asked for; the cents are the same.
    for (detail, about_recipients) in [("none", false), ("summary", false), ("full", true)] {
        let less = world.post("/revenue/calculate", &with(ask.clone(), "explain", json!(detail))).await.with(200);
        assert_eq!(less["breakdown"], calculated["breakdown"], "{detail}");
        assert_eq!(list(&less, "explanation").is_empty(), detail == "none");
        let about = list(&less, "explanation").iter().any(|why| why["recipientId"].is_string());
        assert_eq!(about, about_recipients, "{detail}");
    }
}

/// What each recipient was sent, by the book of the rail.
async fn sent(world: &World, batch: &Value) -> BTreeMap<String, i64> {
    let items: Vec<String> = list(batch, "items").iter().map(|item| text(item, "itemId")).collect();
    let transfers = world.transfers().await;
    let ours = transfers.iter().filter(|transfer| items.contains(&text(transfer, "itemId")));
    column(&ours.cloned().collect::<Vec<_>>(), "amount")
}

async fn the_film_is_booked_and_paid_as_it_was_calculated(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_film", &stored_film()).await;
    let ask = json!({ "projectId": "prj_film", "amount": 50_000_000, "currency": "USD" });
    let calculated = world.post("/revenue/calculate", &ask).await.with(200);
    assert_closed(&calculated);
    assert_eq!(column(list(&calculated, "breakdown"), "payableAmount"), half_a_million());
    let counters: Vec<_> = list(&calculated, "stateDelta").iter().map(|step| text(step, "counter")).collect();
    for counter in [
        "recouped:prj_film:USD:distribution:rec_distributor",
        "fixed:prj_film:USD:sales",
        "recouped:prj_film:USD:investors:rec_inv1",
    ] {
        assert!(counters.iter().any(|known| known == counter), "{counter} in {counters:?}");
    }

    let batch = world.settled(&world.scheduled(&release("esc_film", "prj_film", 50_000_000, "USD")).await).await;
    assert_eq!((&batch["status"], &batch["kind"]), (&json!("completed"), &json!("release")));
    assert_eq!(batch["modelHash"], calculated["modelHash"]);
    assert_eq!(column(list(&batch, "items"), "payableAmount"), half_a_million());
    assert_eq!(sent(&world, &batch).await, half_a_million());
    assert_eq!(world.balance("cash:simulator", "USD").await, -50_000_000);
    world.assert_books_balanced().await;
}

async fn what_was_given_back_once_is_not_given_back_again(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_film", &stored_film()).await;
    let ask = json!({ "projectId": "prj_film", "amount": 10_000_000, "currency": "USD" });
    let before = world.post("/revenue/calculate", &ask).await.with(200);
    world.settled(&world.scheduled(&release("esc_film1", "prj_film", 50_000_000, "USD")).await).await;

    let after = world.post("/revenue/calculate", &ask).await.with(200);
    assert_closed(&after);
    assert!(number(&after, "ledgerVersion") > number(&before, "ledgerVersion"));
    assert_eq!(after["stateDelta"], json!([]), "every target is reached");
    let mut gross =
        BTreeMap::from([("rec_distributor", 2_500_000), ("rec_agent", 750_000), ("rec_company", 2_025_000)]);
    gross.extend(INVESTORS.map(|investor| (investor, 675_000)));
    gross.extend(TALENT.map(|talent| (talent, 337_500)));
    let gross: BTreeMap<String, i64> = gross.into_iter().map(|(name, amount)| (name.to_owned(), amount)).collect();
    assert_eq!(column(list(&after, "breakdown"), "grossShare"), gross);
    let batch = world.settled(&world.scheduled(&release("esc_film2", "prj_film", 10_000_000, "USD")).await).await;
    assert_eq!(sent(&world, &batch).await, gross);
    // A copy of the model in the request has no past.
    let inline = json!({ "revenueModel": stored_film(), "amount": 10_000_000, "currency": "USD" });
    let inline = world.post("/revenue/calculate", &inline).await.with(200);
    assert_eq!(inline["breakdown"], before["breakdown"]);
    world.assert_books_balanced().await;
}

/// Everybody gets the same, however many releases it takes, but for a unit a release.
async fn it_makes_no_difference_how_the_money_comes_in(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_film", &stored_film()).await;
    let parts = [13_333_333, 20_000_000, 1, 16_666_666];
    assert_eq!(parts.iter().sum::<i64>(), 50_000_000);
    let mut total: BTreeMap<String, i64> = BTreeMap::new();
    for (number, part) in parts.iter().enumerate() {
        let batch = world.scheduled(&release(&format!("esc_part{number}"), "prj_film", *part, "USD")).await;
        for (recipient, amount) in sent(&world, &world.settled(&batch).await).await {
            *total.entry(recipient).or_default() += amount;
        }
    }
    assert_eq!(total.values().sum::<i64>(), 50_000_000);
    for (recipient, at_once) in half_a_million() {
        let difference = total.get(&recipient).map(|amount| (amount - at_once).abs());
        assert!(difference.is_some_and(|units| units <= 4), "{recipient}: {difference:?}");
    }
    world.assert_books_balanced().await;
}

async fn an_item_is_explained_as_it_was_booked(engine: Engine) {
    let world = World::new(engine).await;
    let model = with(stored_film(), "platformFee", json!({ "ratePpm": 50_000, "feeTaxPpm": 200_000 }));
    world.publish_model("prj_film", &model).await;
    world.register("rec_inv1", &json!({ "status": "pending", "taxRatePpm": 150_000 })).await;
    let ask =
        json!({ "projectId": "prj_film", "amount": 50_000_000, "currency": "USD", "asOf": "2026-06-01T00:00:00Z" });
    world.publish_model("prj_film", &with(model, "effectiveFrom", json!("2026-01-01T00:00:00Z"))).await;
    let calculated = world.post("/revenue/calculate", &ask).await.with(200);
    let body = with(release("esc_film", "prj_film", 50_000_000, "USD"), "asOf", json!("2026-06-01T00:00:00Z"));
    let batch = world.batch(&world.scheduled(&body).await).await;

    // What happens afterwards is not in it: neither the recipient's new standing nor what else was released.
    world.put("/recipients/rec_inv1", &json!({ "status": "active", "taxRatePpm": 0 })).await.with(200);
    world.settled(&text(&batch, "batchId")).await;
    world.settled(&world.scheduled(&release("esc_more", "prj_film", 7, "USD")).await).await;

    assert_eq!(list(&batch, "items").len(), half_a_million().len());
    for item in list(&batch, "items") {
        let id = text(item, "itemId");
        let explained = world.get(&format!("/payouts/items/{id}/explanation")).await.with(200);
        for (name, expected) in [
            ("itemId", &json!(id)),
            ("batchId", &batch["batchId"]),
            ("recipientId", &item["recipientId"]),
            ("currency", &json!("USD")),
            ("modelVersion", &batch["modelVersion"]),
            ("modelHash", &batch["modelHash"]),
            ("asOf", &batch["asOf"]),
        ] {
            assert_eq!(&explained[name], expected, "{name}");
        }
        let line = list(&calculated, "breakdown").iter().find(|line| line["recipientId"] == item["recipientId"]);
        assert_eq!(Some(&explained["amounts"]), line);
        let why = list(&explained, "explanation");
        assert_line_is_explained(&explained["amounts"], why);
        let is_ours = |line: &&Value| line["recipientId"].is_null() || line["recipientId"] == item["recipientId"];
        let expected: Vec<Value> = list(&calculated, "explanation").iter().filter(is_ours).cloned().collect();
        assert_eq!(why, expected);
    }
    let nobody = "/payouts/items/item_00000000000000000000000000/explanation";
    assert_eq!(world.get(nobody).await.status, 404);
}
