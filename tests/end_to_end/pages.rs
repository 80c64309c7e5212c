//! What the service says about itself: its API, its page, its counters, its health.

use super::{release, shares};
use crate::harness::{
    answer::Answer,
    home::Engine,
    on_both_databases,
    world::{Shared, World},
};
use reqwest::Method;
use serde_json::Value;
use std::collections::BTreeMap;

on_both_databases! {
    the_description_served_is_the_one_that_is_printed
    the_page_needs_nothing_from_outside
    the_counters_can_be_read
    the_probes_answer_without_a_token
    head_is_get_without_a_body
    every_request_is_logged_under_its_id_and_without_its_token
}

async fn world(engine: Engine) -> Shared {
    World::shared("pages", engine).await
}

/// Without a token.
async fn read(world: &World, path: &str) -> Answer {
    world.send(world.request(Method::GET, path)).await
}

async fn the_description_served_is_the_one_that_is_printed(engine: Engine) {
    let world = world(engine).await;
    for (path, arguments, media_type) in [
        ("/openapi.yaml", &["openapi"][..], "application/yaml"),
        ("/openapi.yaml", &["openapi", "--format", "yaml"], "application/yaml"),
        ("/openapi.json", &["openapi", "--format", "json"], "application/json"),
    ] {
        let served = read(&world, path).await;
        let printed = world.home().run(arguments).await;
        assert_eq!((served.status, printed.code, served.header("content-type")), (200, 0, Some(media_type)));
        assert_eq!(served.text.trim_end(), printed.stdout.trim_end());
    }
    let json: Value = read(&world, "/openapi.json").await.json();
    let yaml: Value = serde_yaml::from_str(&read(&world, "/openapi.yaml").await.text).expect("YAML");
    assert_eq!(json, yaml);
    assert_eq!(json["openapi"], "3.0.3");
}

async fn the_page_needs_nothing_from_outside(engine: Engine) {
    let world = world(engine).await;
    let page = read(&world, "/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("http"), "{policy}");
    let mut parts = 0;
    for attribute in ["src=\"", "href=\""] {
        for address in page.text.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(!address.contains("//"), "{address} lies outside");
            if !address.starts_with("data:") {
                parts += 1;
                let part = read(&world, &format!("/{address}")).await;
                assert!(part.status == 200 && !part.text.is_empty(), "{address}: {}", part.status);
            }
        }
    }
    assert!(parts >= 3, "the page has {parts} parts");
    assert!(read(&world, "/docs/start.js").await.text.contains("openapi.json"));
    for asset in ["/docs/start.js", "/docs/swagger-ui.css"] {
        let text = read(&world, asset).await.text;
        assert!(!text.contains("url(http") && !text.contains("@import"), "{asset} loads something from outside");
    }
}

async fn the_counters_can_be_read(engine: Engine) {
    let world = World::new(engine).await;
    world.publish_model("prj_1", &shares(&[("rec_ana", 1)])).await;
    world.scheduled(&release("esc_1", "prj_1", 100, "USD")).await;
    world.schedule(&release("esc_1", "prj_1", 100, "USD")).await.refused(409, "already_scheduled");
    world.get("/nothing/of/the/kind").await.refused(404, "not_found");
    world.get("/payouts/batches/1").await.refused(422, "validation_error");

    let answer = read(&world, "/metrics").await;
    let media_type = answer.header("content-type").expect("a media type");
    assert!(media_type.starts_with("application/openmetrics-text"), "{media_type}");
    let mut samples = BTreeMap::new();
    let mut lines = answer.text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            let known =
                ["# HELP ", "# TYPE ", "# UNIT "].iter().any(|start| line.starts_with(start)) || line == "# EOF";
            assert!(known, "{line}");
            assert!(line != "# EOF" || lines.peek().is_none(), "something follows the end");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a sample has a name and a value");
        assert!(
            samples.insert(name, value.parse::<f64>().expect("a value is a number")).is_none(),
            "{name} comes twice"
        );
    }
    for (labels, count) in [
        (r#"method="POST",route="/revenue/schedule-payouts",status="201""#, 1.0),
        (r#"method="POST",route="/revenue/schedule-payouts",status="409""#, 1.0),
        (r#"method="GET",route="unmatched",status="404""#, 1.0),
        (r#"method="GET",route="/payouts/batches/{batchId}",status="422""#, 1.0),
    ] {
        assert_eq!(samples.get(format!("disburse_http_requests_total{{{labels}}}").as_str()), Some(&count), "{labels}");
    }
    assert!(!answer.text.contains("esc_1") && !answer.text.contains("nothing"), "names of callers are no labels");
}

async fn the_probes_answer_without_a_token(engine: Engine) {
    let world = world(engine).await;
    for path in ["/livez", "/readyz"] {
        let answer = read(&world, path).await;
        assert_eq!(answer.with(200), serde_json::json!({ "status": "ok" }));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

async fn head_is_get_without_a_body(engine: Engine) {
    let world = world(engine).await;
    for path in
        ["/livez", "/readyz", "/docs", "/openapi.json", "/openapi.yaml", "/metrics", "/payouts/batches", "/nothing"]
    {
        let get = world.get(path).await;
        let head = world.send(world.request(Method::HEAD, path).bearer_auth(world.token("admin"))).await;
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

async fn every_request_is_logged_under_its_id_and_without_its_token(engine: Engine) {
    let world = world(engine).await;
    let token = world.token("admin");
    for (id, path, status) in [
        ("trace-1", "/payouts/batches", 200),
        ("trace-2", "/nothing", 404),
        ("trace-3", "/payouts/batches?limit=0", 422),
    ] {
        let request = world.request(Method::GET, path).bearer_auth(&token).header("x-request-id", id);
        assert_eq!(world.send(request).await.status, status);
        let said = std::fs::read_to_string(world.home().log()).expect("the log");
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let answered: Vec<Value> =
            lines.filter(|line| line["message"] == "answered" && line["request_id"] == id).collect();
        let [line] = answered.as_slice() else { panic!("{id}: {answered:#?}") };
        assert_eq!((&line["status"], &line["path"]), (&Value::from(status), &Value::from(path.split('?').next())));
    }
    let said = std::fs::read_to_string(world.home().log()).expect("the log");
    assert!(!said.contains(&token), "a token is in the log");
}
