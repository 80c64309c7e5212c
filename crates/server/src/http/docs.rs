//! The specification for programs, and a page for people that lets them try it.
//!
//! Nothing comes from outside: the scripts are those that the framework carries, served from here. They are
//! separate files, not inlined, so that the policy of the page can forbid every inline script.

use super::{openapi::Document, payload::JSON, routes};
use poem::{
    Endpoint, Response, Route,
    endpoint::make_sync,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
};
use poem_openapi::OpenApiService;
use std::sync::LazyLock;

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

/// Script and style of the page, cut out of the framework's own page once.
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

/// Adds the specification, in both forms, and its page to the routes.
pub fn mount(route: Route, document: &Document) -> Route {
    let (json, yaml) = (document.json().to_owned(), document.yaml().to_owned());
    let json = make_sync(move |_| Response::builder().content_type(JSON).body(json.clone()));
    let yaml = make_sync(move |_| Response::builder().content_type("application/yaml").body(yaml.clone()));
    let page = make_sync(|_| {
        Response::builder().content_type("text/html; charset=utf-8").header(CONTENT_SECURITY_POLICY, POLICY).body(PAGE)
    });
    let [script, style] = &*ASSETS;
    route
        .at("/openapi.json", routes::get(json))
        .at("/openapi.yaml", routes::get(yaml))
        .at("/docs", routes::get(page))
        .at("/docs/start.js", routes::get(asset("text/javascript; charset=utf-8", START)))
        .at("/docs/swagger-ui.js", routes::get(asset("text/javascript; charset=utf-8", script)))
        .at("/docs/swagger-ui.css", routes::get(asset("text/css; charset=utf-8", style)))
}

/// A file that changes with the binary and never else.
fn asset(media_type: &'static str, text: &'static str) -> impl Endpoint<Output = Response> {
    make_sync(move |_| Response::builder().content_type(media_type).header(CACHE_CONTROL, "max-age=3600").body(text))
}
