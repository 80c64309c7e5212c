//! A request with several faults is answered for the first one in the order of checks.

use super::*;

#[derive(Clone, Copy)]
struct Wrong {
    token: bool,
    role: bool,
    media: bool,
    size: bool,
    json: bool,
    fields: bool,
}

async fn answer_to(wrong: Wrong) -> Answer {
    let server = server();
    let mut request = server.post("/things?stray=1");
    if !wrong.token {
        request = request.header("Authorization", token(if wrong.role { "guest" } else { "system" }));
    }
    let mut body =
        if wrong.fields { "{\"amount\": 0}" } else { "{\"thingId\": \"thing_1\", \"amount\": 1}" }.to_owned();
    if wrong.json {
        body.push('!');
    }
    if wrong.size {
        body.push_str(&" ".repeat(2000));
    }
    let media_type = if wrong.media { "text/plain" } else { "application/json" };
    Answer::of(request.content_type(media_type).body(body)).await
}

#[tokio::test]
async fn token_then_role_then_media_type_then_size_then_json_then_fields() {
    let mut wrong = Wrong { token: true, role: true, media: true, size: true, json: true, fields: true };
    answer_to(wrong).await.refused(StatusCode::UNAUTHORIZED, "unauthenticated");
    wrong.token = false;
    answer_to(wrong).await.refused(StatusCode::FORBIDDEN, "not_system");
    wrong.role = false;
    answer_to(wrong).await.refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    wrong.media = false;
    answer_to(wrong).await.refused(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large");
    wrong.size = false;
    answer_to(wrong).await.refused(StatusCode::BAD_REQUEST, "malformed_json");
    wrong.json = false;
    answer_to(wrong).await.faults(&["/amount out_of_range", "/stray unknown_parameter", "/thingId required"]);
    wrong.fields = false;
    answer_to(wrong).await.faults(&["/stray unknown_parameter"]);
}

#[tokio::test]
async fn a_stranger_learns_nothing_about_parameters() {
    for path in ["/things?limit=x&stray=1", "/things/x/parts/x"] {
        Answer::of(server().get(path)).await.refused(StatusCode::UNAUTHORIZED, "unauthenticated");
    }
}
