//! The simulator as a process of its own: what its provider answers, as HTTP. It knows nobody: whoever reaches it may
//! ask anything, so it belongs on a loopback address or into a test network.

use crate::compose::{HttpAnswer, HttpRequest, SimulatorHttp};
use poem::{
    Endpoint, Request, Response,
    endpoint::make,
    error::{BadRequest, InternalServerError},
    http::StatusCode,
};
use std::time::Duration;

/// Largest body that is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a caller waits in vain who is to get no answer: longer than anybody's patience.
const SILENCE: Duration = Duration::from_secs(60);

/// Everything the provider answers.
pub fn endpoint(simulator: SimulatorHttp) -> impl Endpoint<Output = Response> {
    make(move |request: Request| answer(simulator.clone(), request))
}

async fn answer(simulator: SimulatorHttp, mut request: Request) -> poem::Result<Response> {
    let body = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await?;
    let key = request.headers().get("idempotency-key").map(|value| value.to_str());
    let answer = simulator.answer(HttpRequest {
        method: request.method().as_str(),
        path: request.uri().path(),
        query: request.uri().query().unwrap_or_default(),
        idempotency_key: key.transpose().map_err(BadRequest)?,
        body: &body,
    });
    match answer.await {
        HttpAnswer::Answer { status, headers, body } => {
            let mut response = Response::builder().status(StatusCode::from_u16(status).map_err(InternalServerError)?);
            if !body.is_empty() {
                response = response.content_type("application/json");
            }
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(body))
        }
        HttpAnswer::Silence => {
            tokio::time::sleep(SILENCE).await;
            Ok(StatusCode::GATEWAY_TIMEOUT.into())
        }
    }
}
