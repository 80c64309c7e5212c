//! The specification for programs, and a page for people that lets them try it.
//!
//! Nothing comes from outside: the scripts are those that the framework carries, served from here. They are
//! separate files, not inlined, so that the policy of the page can forbid every inline script.

use super::{openapi::Document, payload::JSON, problem::ApiError, routes};
use poem::{
    Endpoint, Response, Route,
    endpoint::make_sync,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
};
use poem_openapi::OpenApiService;
use std::sync::{Arc, LazyLock};

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"#;

const START: &str = "SwaggerUIBundle({ dom_id: '#ui', url: 'openapi.json', deepLinking: true, validatorUrl: null });\n";

/// Styles may be inline because the page's script sets them on elements; scripts may not.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Script and style of the page, cut out of the framework's own page once somebody asks for one of them.
static ASSETS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let page = OpenApiService::new((), "", "").swagger_ui_html();
    let between = |from: &str, to: &str| {
        let (_, rest) = page.split_once(from)?;
        rest.split_once(to).map(|(inside, _)| inside.to_owned())
    };
    [
        between("<script charset=\"UTF-8\">", "</script>\n</head>").unwrap_or_default(),
        between("<style charset=\"UTF-8\">", "</style>").unwrap_or_default(),
    ]
});

/// How a specification is written.
pub type Writer = fn() -> serde_json::Result<Document>;

/// Adds the specification, in both forms, and its page to the routes. It is written when somebody asks for it: few
/// processes are ever asked.
pub fn mount(route: Route, writer: Writer) -> Route {
    let document = Arc::new(LazyLock::new(writer));
    let page = make_sync(|_| {
        Response::builder().content_type("text/html; charset=utf-8").header(CONTENT_SECURITY_POLICY, POLICY).body(PAGE)
    });
    route
        .at("/openapi.json", routes::get(written(&document, JSON, Document::json)))
        .at("/openapi.yaml", routes::get(written(&document, "application/yaml", Document::yaml)))
        .at("/docs", routes::get(page))
        .at("/docs/start.js", routes::get(asset("text/javascript; charset=utf-8", || START)))
        .at("/docs/swagger-ui.js", routes::get(asset("text/javascript; charset=utf-8", || &ASSETS[0])))
        .at("/docs/swagger-ui.css", routes::get(asset("text/css; charset=utf-8", || &ASSETS[1])))
}

/// The specification in one of its forms.
fn written(
    document: &Arc<LazyLock<serde_json::Result<Document>, Writer>>,
    media_type: &'static str,
    form: fn(&Document) -> &str,
) -> impl Endpoint<Output = Response> + use<> {
    let document = Arc::clone(document);
    make_sync(move |_| match &**document {
        Ok(document) => Response::builder().content_type(media_type).body(form(document).to_owned()),
        Err(error) => ApiError::internal(error).response(),
    })
}

/// A file that changes with the binary and never else.
fn asset(media_type: &'static str, text: fn() -> &'static str) -> impl Endpoint<Output = Response> {
    make_sync(move |_| Response::builder().content_type(media_type).header(CACHE_CONTROL, "max-age=3600").body(text()))
}
