//! Providers as processes of their own: the simulator, which may be killed, and a Stripe that remembers.

use super::{
    promises::{assert_paid_exactly_once, projects},
    release, shares,
    states::payment::{NET, Payment},
};
use crate::harness::{
    home::{Engine, Home},
    on_both_databases,
    process::{PATIENCE, Process, Ran, disburse, run},
    sql::{connect, execute, value},
    stripe::{SECRET_KEY, Stripe, sign},
    tools::free_port,
    world::{World, list, text},
};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

on_both_databases! {
    a_provider_of_its_own_pays_and_tells
    a_provider_that_is_killed_pays_everything_once
    a_book_that_verify_cannot_see_is_no_difference
    without_a_key_there_is_no_stripe
    what_stripe_did_not_sign_is_refused_and_what_it_says_twice_is_known
    a_payday_over_stripe
    in_live_mode_there_is_no_simulator_and_no_clock_to_move
}

const SIMULATOR_SECRET: &str = "a secret between two processes";
const WEBHOOK_SECRET: &str = "whsec_between_two";

/// A server, and where its simulator is to listen.
async fn world_of_two(engine: Engine) -> (World, u16) {
    let port = free_port();
    let home = Home::new(engine).await;
    let home = home.with("DISBURSE_SIMULATOR_URL", &format!("http://127.0.0.1:{port}"));
    let home = home.with("DISBURSE_SIMULATOR_SECRET", SIMULATOR_SECRET);
    (World::in_home(home, &[]).await, port)
}

/// The simulator, over the book in the home of that world, which is told what happens.
async fn simulator(world: &World, port: u16) -> Process {
    let notify = format!("{}/rails/simulator/webhooks", world.url());
    let listen = format!("127.0.0.1:{port}");
    let arguments = ["simulator", "--notify", &notify, "--listen", &listen, "--data-dir", "provider"];
    let mut command = disburse(world.home().folder(), &arguments);
    command.env("DISBURSE_SIMULATOR_SECRET", SIMULATOR_SECRET);
    let mut simulator = Process::start(command, world.home().folder().join("simulator.log"));
    simulator.says("simulating a provider").await;
    simulator
}

/// How many messages of the provider were taken over HTTP.
async fn delivered(world: &World) -> i64 {
    let file = world.home().folder().join("provider/simulator.db");
    let book = connect(&format!("sqlite://{}", file.display())).await;
    value(&book, "SELECT count(*) FROM notifications WHERE is_done = 1 AND tries = 1").await
}

async fn a_provider_of_its_own_pays_and_tells(engine: Engine) {
    let (world, port) = world_of_two(engine).await;
    // Before anybody is there, nothing leaves.
    let early = Payment::to(&world, "early", json!({})).await;
    world.item_once(&early.item, |item| item["why"]["code"] == "rail_unreachable").await;
    let simulator = simulator(&world, port).await;
    early.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    let told = Payment::to(&world, "told", json!({ "behaviour": "slow", "after": "300ms" })).await;
    told.stands("paid", &["worker record_intent", "rail settle"], &["sent", "paid"], "paid").await;
    let deadline = Instant::now() + PATIENCE;
    while delivered(&world).await < 1 {
        assert!(Instant::now() < deadline, "nothing is told:\n{}", simulator.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let back = Payment::to(&world, "back", json!({ "behaviour": "late_return", "after": "300ms" })).await;
    let moved = ["worker record_intent", "rail settle", "rail return"];
    back.stands("returned", &moved, &["sent", "paid", "returned"], "returned").await;
    for payment in [early, told, back] {
        payment.end().await;
    }
}

async fn a_provider_that_is_killed_pays_everything_once(engine: Engine) {
    let (world, port) = world_of_two(engine).await;
    let mut provider = simulator(&world, port).await;
    projects(&world).await;
    let mut batches = BTreeSet::new();
    for number in 0..20 {
        let project = if number % 2 == 0 { "prj_good" } else { "prj_mixed" };
        let body = release(&format!("esc_{number}"), project, 10_000 + number, "USD");
        batches.insert(world.scheduled(&body).await);
        if number % 8 == 4 {
            provider.kill();
            provider = simulator(&world, port).await;
        }
    }
    assert_paid_exactly_once(&world, &batches).await;
    assert!(provider.stop().await.success());
}

/// `verify` by somebody who was not told where the simulator is.
async fn verify_without_url(world: &World) -> Ran {
    let mut command = world.home().command(&["verify"]);
    command.env_remove("DISBURSE_SIMULATOR_URL");
    run(command).await
}

/// That the simulator's book is said not to have been compared, with that reason, and all the rest is.
fn assert_unseen(verified: &Ran, why: &str) {
    let Ran { code, stdout, stderr } = verified;
    assert_eq!(*code, 69, "{stdout}{stderr}");
    let unseen = stdout.lines().find(|line| line.starts_with("UNSEEN")).expect("what was not compared");
    assert!(unseen.contains("rail_book:simulator") && unseen.contains(why), "{unseen}");
    assert!(stdout.ends_with("\nwhat was compared balances; NOT COMPARED: rail_book:simulator\n"), "{stdout}");
    assert!(!stdout.contains("DIFFERS") && !stdout.contains("ok       rail_book:simulator"), "{stdout}");
    assert!(stdout.lines().any(|line| line.starts_with("ok       cash ")), "{stdout}");
}

async fn a_book_that_verify_cannot_see_is_no_difference(engine: Engine) {
    let (world, port) = world_of_two(engine).await;
    let mut provider = simulator(&world, port).await;
    let payment = Payment::to(&world, "elsewhere", json!({})).await;
    world.item_is(&payment.item, "paid").await;
    let verified = world.verify().await;
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
    assert!(verified.stdout.ends_with("\nbooks balanced\n"), "{}", verified.stdout);

    let own_book = world.home().folder().join("data/simulator.db");
    assert_unseen(&verify_without_url(&world).await, "--simulator-url");
    assert!(!own_book.exists(), "who only looks makes no book");
    // Somebody made a blank one there: it is not the one over which anybody was paid.
    let made = disburse(world.home().folder(), &["simulator", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    let mut made = Process::start(made, world.home().folder().join("blank.log"));
    made.says("simulating a provider").await;
    assert!(made.stop().await.success() && own_book.exists());
    assert_unseen(&verify_without_url(&world).await, "blank");
    // What does not answer says nothing either; and what is wrong elsewhere is found without it.
    provider.kill();
    assert_unseen(&world.verify().await, "cannot be asked now");
    let database = connect(&world.home().database_url()).await;
    execute(&database, "UPDATE items SET status = 'failed', reason = 'x', reference = NULL").await;
    let verified = world.verify().await;
    assert_eq!(verified.code, 6, "{}{}", verified.stdout, verified.stderr);
    let last = verified.stdout.ends_with("\nBOOKS NOT BALANCED\n");
    assert!(last && verified.stdout.contains("UNSEEN   rail_book:simulator"), "{}", verified.stdout);
}

async fn without_a_key_there_is_no_stripe(engine: Engine) {
    let world = World::shared("states", engine).await;
    for rail in ["stripe", "stripe_connect"] {
        let request = world.request(Method::POST, &format!("/rails/{rail}/webhooks")).body("{}");
        world.send(request).await.refused(404, "rail_not_found");
    }
}

/// A server that may pay over a Stripe.
async fn world_with(engine: Engine, stripe_url: &str) -> World {
    let home = Home::new(engine).await.with("DISBURSE_STRIPE_SECRET_KEY", SECRET_KEY);
    let home = home.with("DISBURSE_STRIPE_WEBHOOK_SECRETS", WEBHOOK_SECRET);
    World::in_home(home.with("DISBURSE_STRIPE_API_BASE", stripe_url), &[]).await
}

/// A message comes over HTTP, signed with that.
async fn stripe_says(world: &World, body: &str, secret: &str) -> crate::harness::answer::Answer {
    let request = world.request(Method::POST, "/rails/stripe/webhooks");
    let now = world.advance(1).await.unix_micros() / 1_000_000;
    let request = request.header("Stripe-Signature", sign(body, &[secret], now));
    world.send(request.header("Content-Type", "application/json").body(body.to_owned())).await
}

async fn what_stripe_did_not_sign_is_refused_and_what_it_says_twice_is_known(engine: Engine) {
    let stripe = Stripe::default();
    stripe.account("acct_paid", "active");
    let listening = stripe.listen().await;
    let world = world_with(engine, &listening.url).await;
    let body = stripe.events()[0].to_string();
    stripe_says(&world, &body, "whsec_other").await.refused(403, "bad_signature");
    let unsigned = world.request(Method::POST, "/rails/stripe/webhooks").body(body.clone());
    world.send(unsigned).await.refused(403, "bad_signature");
    assert_eq!(stripe_says(&world, &body, WEBHOOK_SECRET).await.with(200), json!({ "taken": 1, "known": 0 }));
    assert_eq!(stripe_says(&world, &body, WEBHOOK_SECRET).await.with(200), json!({ "taken": 0, "known": 1 }));
}

/// Somebody who is paid at that account.
async fn over_stripe<'w>(world: &'w World, name: &str, account: &str) -> Payment<'w> {
    let destination = json!({ "rail": "stripe_connect", "details": { "account": account } });
    Payment::of(world, name, json!({ "destination": destination }), None).await
}

async fn a_payday_over_stripe(engine: Engine) {
    let stripe = Stripe::default();
    stripe.account("acct_paid", "active");
    stripe.account("acct_waiting", "pending");
    let listening = stripe.listen().await;
    let world = world_with(engine, &listening.url).await;
    let paid = over_stripe(&world, "paid", "acct_paid").await;
    let item = world.item_is(&paid.item, "paid").await;
    let transfers = stripe.transfers();
    assert_eq!(transfers.len(), 1, "{transfers:#?}");
    assert_eq!((&transfers[0]["id"], &transfers[0]["amount"]), (&item["providerPayoutId"], &json!(NET)));
    assert_eq!(world.balance("cash:stripe_connect", "USD").await, -NET);

    // Who is not ready there is held, and paid when Stripe says that they are.
    let waiting = over_stripe(&world, "waiting", "acct_waiting").await;
    let held = world.item_is(&waiting.item, "pending_kyc").await;
    assert_eq!(held["why"]["code"], "recipient_must_act");
    stripe.account("acct_waiting", "active");
    let updated = stripe.events().last().expect("it is told").to_string();
    assert_eq!(stripe_says(&world, &updated, WEBHOOK_SECRET).await.with(200)["taken"], 1);
    world.item_is(&waiting.item, "paid").await;
    assert_eq!(stripe.transfers().len(), 2);

    // An operator at Stripe takes one back.
    stripe.reverse(&text(&transfers[0], "id"), NET);
    let reversed = stripe.events().last().expect("it is told").to_string();
    assert_eq!(stripe_says(&world, &reversed, WEBHOOK_SECRET).await.with(200)["taken"], 1);
    let item = world.item_is(&paid.item, "returned").await;
    assert_eq!(item["failureReason"], "transfer_reversed");
    assert_eq!(stripe_says(&world, &reversed, WEBHOOK_SECRET).await.with(200)["known"], 1);
    assert_eq!(world.balance("cash:stripe_connect", "USD").await, -NET);
    world.assert_books_balanced().await;
    // Both rails in one batch.
    world.publish_model("prj_both", &shares(&[("rec_waiting", 1), ("rec_somebody", 1)])).await;
    let batch = world.settled(&world.scheduled(&release("esc_both", "prj_both", 10_000, "USD")).await).await;
    let rails: BTreeSet<String> = list(&batch, "attempts").iter().map(|attempt| text(attempt, "rail")).collect();
    assert_eq!((batch["status"].as_str(), rails.len()), (Some("completed"), 2), "{batch:#}");
    world.assert_books_balanced().await;
}

async fn in_live_mode_there_is_no_simulator_and_no_clock_to_move(engine: Engine) {
    let home = Home::new(engine).await.with("DISBURSE_MODE", "live");
    let ran = home.run(&["serve"]).await;
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("live mode needs a real rail"), "{}", ran.stderr);
    let ran = home.with("DISBURSE_STRIPE_SECRET_KEY", SECRET_KEY);
    let refused = ran.run(&["serve"]).await;
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("not one of live mode"), "{}", refused.stderr);

    let world = World::in_home(ran.with("DISBURSE_STRIPE_SECRET_KEY", "sk_live_nobody"), &[]).await;
    let nothing = json!({});
    let admin = world.person("admin", "usr_boss");
    for (method, path, body) in [
        (Method::GET, "/simulator/transfers", &nothing),
        (Method::GET, "/simulator/faults", &nothing),
        (Method::DELETE, "/simulator/faults", &nothing),
        (Method::POST, "/simulator/faults", &json!({ "behaviour": "paid" })),
        (Method::PUT, "/simulator/settings", &nothing),
        (Method::POST, "/test/clock/advance", &json!({ "seconds": 1 })),
    ] {
        let answer = admin.ask(method, path, body).await;
        assert_eq!(answer.status, 404, "{}: {}", answer.asked, answer.text);
    }
    let request = world.request(Method::POST, "/rails/simulator/webhooks").body("{}");
    world.send(request).await.refused(404, "rail_not_found");
    assert_eq!(world.get("/payouts/batches").await.with(200)["data"], Value::Array(Vec::new()));
}
