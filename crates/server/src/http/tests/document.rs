//! The specification says what the server does.

use super::*;
use poem_openapi::OpenApi;
use serde_json::json;

fn document() -> Value {
    serde_json::from_str(Document::of::<Api>(ABOUT).unwrap().json()).unwrap()
}

#[test]
fn it_is_the_same_every_time_in_both_forms() {
    let one = Document::of::<Api>(ABOUT).unwrap();
    let two = Document::of::<Api>(ABOUT).unwrap();
    assert_eq!(one.yaml(), two.yaml());
    assert_eq!(one.json(), two.json());
    let from_yaml: Value = serde_yaml::from_str(one.yaml()).unwrap();
    assert_eq!(from_yaml, document());
    assert_eq!(document()["openapi"], "3.0.3");
}

#[test]
fn each_path_is_there_once_with_all_its_methods() {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let methods = |path: &str| paths[path].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths.len(), 3);
    assert_eq!(methods("/things"), ["get", "post"]);
    assert_eq!(methods("/things/{thing}/parts/{part}"), ["get"]);
}

#[test]
fn the_edge_declares_its_own_errors() {
    let document = document();
    let statuses = |path: &str, method: &str| {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        for (status, response) in responses {
            assert!(response["headers"]["X-Request-Id"].is_object(), "{status}");
            if status.starts_with(['4', '5']) {
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/ErrorBody", "{status}");
            }
        }
        responses.keys().map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(statuses("/things", "post"), "200 201 400 401 403 404 408 409 413 415 422 429 500 503");
    assert_eq!(statuses("/things", "get"), "200 401 403 422 429 500 503");
    assert_eq!(statuses("/health", "get"), "200 422 500 503");
    let responses = &document["paths"]["/things"]["post"]["responses"];
    assert_eq!(responses["201"]["description"], "The thing is made, and there it is.");
    assert_eq!(responses["201"]["headers"]["Location"]["schema"]["type"], "string");
    assert!(responses["401"]["headers"]["WWW-Authenticate"].is_object());
    for later in ["429", "503"] {
        assert!(responses[later]["headers"]["Retry-After"].is_object(), "{later}");
    }
}

#[test]
fn each_operation_says_who_may() {
    let document = document();
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes.keys().collect::<Vec<_>>(), ["bearerAuth"]);
    let told = |path: &str, method: &str| {
        let operation = &document["paths"][path][method];
        assert_eq!(operation["security"], json!([{ "bearerAuth": [] }]), "{method} {path}");
        let forbidden = &operation["responses"]["403"]["description"];
        json!([operation["x-permission"], operation["x-roles"], operation["description"], forbidden])
    };
    let make = "The id decides what becomes of it.\n\nRoles: `admin`, `system`.";
    let only = "Only `admin` and `system` may schedule payouts.";
    assert_eq!(told("/things", "post"), json!(["schedule", ["admin", "system"], make, only]));
    let part = "The arguments are in another order than the path has them.\n\nRoles: any.";
    let default = "The role of the bearer token does not allow this.";
    assert_eq!(told("/things/{thing}/parts/{part}", "get"), json!(["calculate", ["*"], part, default]));
    assert_eq!(told("/things", "get")[1].as_array().unwrap().len(), 6);
    let open = document["paths"]["/health"]["get"].as_object().unwrap();
    for key in ["security", "x-permission", "x-roles"] {
        assert!(!open.contains_key(key), "{key}");
    }
}

#[test]
fn parameters_bear_their_own_names() {
    let document = document();
    let names = |path: &str| {
        let params = document["paths"][path]["get"]["parameters"].as_array().unwrap();
        let name = |param: &Value| format!("{} {} {}", param["in"], param["name"], param["required"]).replace('"', "");
        params.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names("/things"), ["query limit false", "query starting_after false"]);
    assert_eq!(names("/things/{thing}/parts/{part}"), ["path part true", "path thing true"]);
}

#[test]
fn schemas_are_named_bounded_and_closed() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["ThingId"]["pattern"], "^thing_[0-9]+$");
    assert_eq!(schemas["Amount"]["minimum"].to_string(), "1");
    assert_eq!(schemas["Amount"]["maximum"].to_string(), "9223372036854775807");
    assert_eq!(schemas["PageLimit"]["default"], 20);
    assert_eq!(schemas["PageLimit"]["maximum"].to_string(), "100");
    for name in ["NewThing", "Thing", "Page_Thing", "ErrorBody", "Error", "ErrorDetail"] {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
    assert_eq!(schemas["Error"]["required"], json!(["code", "message"]));
    assert_eq!(schemas["ErrorDetail"]["properties"]["meta"]["additionalProperties"], json!({}));
    let existing = &schemas["Error"]["properties"]["existing"];
    assert_eq!(existing["properties"]["requestMatches"]["type"], "boolean");
    assert_eq!(existing["additionalProperties"], json!({}));
    assert_eq!(schemas["NewThing"]["properties"]["thingId"]["$ref"], "#/components/schemas/ThingId");
}

/// As the framework writes it, `allOf` of two closed halves would refuse every value there is.
#[test]
fn the_variants_of_a_union_are_one_closed_object_each() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let rule = &schemas["Rule"];
    assert_eq!(rule["oneOf"].as_array().unwrap().len(), 2);
    assert_eq!(rule.get("additionalProperties"), None);
    let flat = &schemas["Rule_Flat"];
    assert_eq!(flat["required"], json!(["kind", "ppm"]));
    assert_eq!(flat["properties"]["kind"]["enum"], json!(["flat"]));
    assert_eq!(flat["additionalProperties"], false);
    assert_eq!(flat.get("allOf"), None);
    assert_eq!(schemas.get("Flat"), None, "nobody refers to it any more");
}

#[tokio::test]
async fn it_is_served_with_a_page_that_needs_nothing_from_outside() {
    let server = server();
    let get = async |path: &str| Answer::of(server.get(path)).await;

    let json = get("/openapi.json").await;
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(serde_json::from_str::<Value>(&json.body).unwrap(), document());
    let yaml = get("/openapi.yaml").await;
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    assert_eq!(yaml.body, Document::of::<Api>(ABOUT).unwrap().yaml());

    let page = get("/docs").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    assert!(!page.body.contains("://") && !page.body.contains("<script>"), "{}", page.body);
    for part in page.body.split('"').filter(|part| part.starts_with("docs/")) {
        let asset = get(&format!("/{part}")).await;
        assert_eq!(asset.status, 200, "{part}");
        assert_eq!(asset.header("cache-control"), Some("max-age=3600"), "{part}");
    }
    assert!(get("/docs/swagger-ui.js").await.body.len() > 1_000_000);
    assert!(get("/docs/swagger-ui.css").await.body.len() > 100_000);
}

#[test]
fn every_post_takes_a_key() {
    let params = &document()["paths"]["/things"]["post"]["parameters"];
    assert_eq!(params[0]["name"], "Idempotency-Key");
    assert_eq!((&params[0]["in"], &params[0]["required"]), (&json!("header"), &json!(false)));
    assert_eq!(params[0]["schema"]["$ref"], "#/components/schemas/IdempotencyKey");
}

struct NoKey;

#[OpenApi]
impl NoKey {
    /// Make a thing twice.
    #[oai(path = "/things", method = "post")]
    async fn make(&self) {}
}

#[test]
#[should_panic(expected = "POST /things: a POST, and nothing else, takes a `Key` named `Idempotency-Key`")]
fn an_api_with_a_post_without_a_key_does_not_start() {
    routes::describe::<NoKey>();
}

struct WrongName;

#[OpenApi]
impl WrongName {
    /// Read a thing by a name that the path does not have.
    #[oai(path = "/things/:thing", method = "get")]
    async fn read(&self, _id: super::super::params::PathParam<Option<super::super::scalars::Sc<sample::ThingId>>>) {}
}

#[test]
#[should_panic(expected = "GET /things/{thing}: the handler reads {\"_id\"} from the path")]
fn an_api_that_misnames_a_path_parameter_does_not_start() {
    routes::describe::<WrongName>();
}

#[test]
#[should_panic(expected = "GET /things is declared twice")]
fn an_api_with_two_handlers_for_one_operation_does_not_start() {
    routes::describe::<(Lists, Lists)>();
}
