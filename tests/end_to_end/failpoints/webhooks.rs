//! The process dies while a provider tells it something. The provider is a process of its own, and tells it again.

use super::super::{release, shares};
use crate::harness::{
    home::Engine,
    on_both_databases,
    process::Process,
    world::{World, list, text},
};
use poem::{Body, EndpointExt, IntoResponse, Request, Response, Server, http::StatusCode, listener::TcpAcceptor};
use serde_json::{Value, json};
use std::{
    os::unix::process::ExitStatusExt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

on_both_databases! {
    what_a_provider_tells_a_process_that_dies_has_effect_once
}

const SECRET: &str = "a secret for the provider, of more than 32 bytes";

/// What stands between the provider and us: it knows where we are after a restart, and what we answered.
#[derive(Clone, Default)]
struct Gateway {
    to: Arc<Mutex<String>>,
    answers: Arc<Mutex<Vec<Option<Value>>>>,
}

impl Gateway {
    async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let gateway = self.clone();
        let endpoint = poem::endpoint::make(move |request| {
            let gateway = gateway.clone();
            async move { Ok::<_, poem::Error>(gateway.pass_on(request).await) }
        });
        let acceptor = TcpAcceptor::from_tokio(listener).expect("an acceptor");
        tokio::spawn(async move { Server::new_with_acceptor(acceptor).run(endpoint.boxed()).await });
        url
    }

    async fn pass_on(&self, mut request: Request) -> Response {
        let to = self.to.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut message = client.post(format!("{to}/rails/simulator/webhooks"));
        for (name, value) in request.headers().iter().filter(|(name, _)| name.as_str().starts_with("disburse-")) {
            message = message.header(name, value);
        }
        let body: Body = request.take_body();
        let sent = message.body(body.into_vec().await.expect("a body")).send().await;
        let (status, answer) = match sent {
            Ok(answer) if answer.status().is_success() => (StatusCode::OK, answer.json().await.ok()),
            _ => (StatusCode::BAD_GATEWAY, None),
        };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        status.into_response()
    }

    fn leads_to(&self, url: String) {
        *self.to.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    fn answers(&self) -> Vec<Option<Value>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn what_a_provider_tells_a_process_that_dies_has_effect_once(engine: Engine) {
    // The only commit of a server without a worker that nobody calls is that of what the provider tells.
    dies_and_is_told_again(engine, "api.repository.commit.before:1", &json!({ "taken": 1, "known": 0 })).await;
    dies_and_is_told_again(engine, "api.repository.commit.after:1", &json!({ "taken": 0, "known": 1 })).await;
}

async fn dies_and_is_told_again(engine: Engine, point: &str, second_answer: &Value) {
    let gateway = Gateway::default();
    let notify = format!("{}/", gateway.listen().await);
    let home = crate::harness::home::Home::new(engine).await;
    let mut command = home.command(&["simulator", "--notify", &notify]);
    command.env("DISBURSE_SIMULATOR_SECRET", SECRET);
    let mut simulator = Process::start(command, home.folder().join("simulator.log"));
    let simulator_url = text(&simulator.says("simulating a provider").await, "url");
    let world = World::asleep(home, &["--no-worker"]);
    let simulated = [("DISBURSE_SIMULATOR_URL", simulator_url.as_str()), ("DISBURSE_SIMULATOR_SECRET", SECRET)];
    world.start_with(&simulated).await;
    let slow = json!({ "rail": "simulator", "details": { "behaviour": "slow", "after": "3s" } });
    world.register("rec_slow", &json!({ "destination": slow })).await;
    world.publish_model("prj_slow", &shares(&[("rec_slow", 1)])).await;
    let batch = world.scheduled(&release("esc_1", "prj_slow", 100, "USD")).await;
    world.kill();

    // Nobody is asked: only what the provider tells says that it is paid.
    let mut command = world.home().command(&["worker"]);
    command.envs(simulated);
    let mut worker = Process::start(command, world.home().folder().join("worker.log"));
    let deadly: Vec<_> = simulated.into_iter().chain([("DISBURSE_CRASH_AT", point)]).collect();
    world.start_with(&deadly).await;
    gateway.leads_to(world.url());
    world.batch_once(&batch, |batch| batch["attempts"][0]["status"] == "accepted").await;
    worker.kill();

    let deadline = Instant::now() + Duration::from_secs(30);
    let (status, said) = loop {
        if let Some(ended) = world.ended() {
            break ended;
        }
        assert!(Instant::now() < deadline, "it was told nothing: {:?}", gateway.answers());
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(status.signal(), Some(9), "{said}");
    assert!(said.lines().any(|line| line == format!("disburse: dies at {point}")), "{said}");
    assert!(gateway.answers().iter().all(Option::is_none), "it answered: {:?}", gateway.answers());
    world.start_with(&simulated).await;
    gateway.leads_to(world.url());
    let paid = world.settled(&batch).await;
    assert_eq!((&paid["status"], &paid["items"][0]["status"]), (&json!("completed"), &json!("paid")));
    while !gateway.answers().iter().any(Option::is_some) {
        assert!(Instant::now() < deadline, "the provider does not tell it again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(gateway.answers().into_iter().flatten().collect::<Vec<_>>(), std::slice::from_ref(second_answer));
    let told = list(&paid, "timeline").iter().filter(|event| event["type"] == "payout.item.paid");
    assert_eq!(told.count(), 1, "{paid:#}");
    let transfers = world.transfers().await;
    assert_eq!(transfers.iter().filter_map(|transfer| transfer["executed"].as_i64()).collect::<Vec<_>>(), [100]);
    world.assert_books_balanced().await;
    world.stop().await;
    assert!(simulator.stop().await.success());
}
