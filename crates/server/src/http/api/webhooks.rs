//! `POST /rails/{rail}/webhooks`: what rails send us, byte by byte as they signed it.
//!
//! No token admits a rail: its signature does. So this is no operation of the API, takes no `Idempotency-Key` (what
//! comes again is known by the rail's own name for it), and answers 2xx only after everything is committed.

use crate::{
    compose::Service,
    http::{
        payload,
        problem::{ApiError, Problem},
    },
};
use app::{
    payouts::receive_notification::{Ears, receive_notification},
    ports::rail::Inbound,
};
use domain::recipient::RailId;
use poem::{Endpoint, IntoResponse, Request, Response, endpoint::make};
use std::sync::Arc;

/// Bytes of a message that are read at most.
const LIMIT: usize = 1024 * 1024;

/// The endpoint.
pub(super) fn webhooks(service: Arc<Service>) -> impl Endpoint<Output = Response> {
    make(move |mut request: Request| {
        let service = Arc::clone(&service);
        async move {
            let word = request.raw_path_param("rail").unwrap_or_default().to_owned();
            let headers = request
                .headers()
                .iter()
                .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
            let headers = headers.collect();
            let answer = match payload::read_whole(request.take_body(), LIMIT).await {
                Ok(body) => take(&service, &word, headers, body.to_vec()).await,
                Err(error) => Err(error),
            };
            Ok::<Response, poem::Error>(answer.unwrap_or_else(|error| error.response()))
        }
    })
}

async fn take(
    service: &Service,
    word: &str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Result<Response, ApiError> {
    let rail = rail_of(service, word).ok_or_else(|| ApiError {
        code: "rail_not_found",
        ..ApiError::new(Problem::NotFound, "There is no such rail.")
    })?;
    let message = Inbound { headers, body, received_at: service.clock.now().await? };
    let ears = Ears {
        repository: service.repository.as_ref(),
        rails: &service.rails,
        ids: service.ids.as_ref(),
        dice: service.dice.as_ref(),
    };
    let heard = receive_notification(ears, &rail, message).await?;
    let body = serde_json::json!({ "taken": heard.taken, "known": heard.known });
    Ok(Response::builder().content_type("application/json").body(body.to_string()).into_response())
}

/// A rail goes by its name, or by what stands before the first underscore of it.
fn rail_of(service: &Service, word: &str) -> Option<RailId> {
    let ids: Vec<RailId> = service.rails.all().map(|rail| rail.profile().id).collect();
    let short = |id: &&RailId| id.as_str().split('_').next() == Some(word);
    ids.iter().find(|id| id.as_str() == word).or_else(|| ids.iter().find(short)).cloned()
}
