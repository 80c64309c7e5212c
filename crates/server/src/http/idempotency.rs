//! `Idempotency-Key`: a request that was answered before gets the same answer, and is not done again.
//!
//! Every `POST` takes a [`Key`], after its body, but for one whose body is [`Lines`](super::ndjson::Lines). Most do
//! their work through [`Key::once`]: the key is claimed, the use case commits the answer with what it does, and the
//! same request again is answered from there. A request that is known by something else, as a release is by its escrow,
//! goes through [`Key::bound`].

use super::{
    auth::authenticate,
    fault::Fault,
    json,
    params::{Asked, path_value},
    problem::{Answer, ApiError, Problem},
    responses::{RETRY_AFTER, Storable, declare, header, restored},
    scalars::{Sc, Scalar},
};
use app::{
    change::Change,
    idempotency::{
        Claim, IdempotencyKey, KeyedRequest, Remember, Remembering, StoredAnswer,
        claim_key::{Claimed, claim_key, refuse_another_request},
    },
    ports::{CommitError, IdempotencyKeys, Ids, PayoutRepository},
};
use domain::batch::Fingerprint;
use poem::{
    IntoResponse, Request, RequestBody, Response,
    http::{HeaderMap, HeaderValue},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions,
    registry::{MetaParamIn, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
    types::Type,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The header that names a request.
pub const HEADER: &str = "Idempotency-Key";
/// The header of an answer that was given before.
pub const REPLAYED: &str = "Idempotent-Replayed";

impl Scalar for IdempotencyKey {
    const NAME: &'static str = "IdempotencyKey";

    fn describe(schema: &mut MetaSchema) {
        schema.description = Some(
            "Your own name for this request, such as a UUID: 1 to 255 printable ASCII characters, bare or as a quoted \
             string. The same request under the same key is done once, and answered alike for at least 30 days.",
        );
        schema.pattern = Some(r#"^(?:[!#-~](?:[ -~]{0,253}[!-~])?|"(?:[ !#-\[\]-~]|\\["\\]){1,255}")$"#.to_owned());
        schema.example = Some("0199c8a4-5f6e-7c1d-9b2a-3e4f5a6b7c8d".into());
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let key = if text.starts_with('"') { unquoted(text)? } else { text.to_owned() };
        Self::try_new(&key).map_err(|bad| Fault::invalid_format(format!("A key {bad}.")))
    }

    fn wire(&self) -> Value {
        self.as_str().into()
    }
}

/// What stands between the quotes of a string of RFC 8941.
fn unquoted(text: &str) -> Result<String, Fault> {
    let refusal =
        || Fault::invalid_format("What starts with a quote must be one quoted string, with `\\\"` and `\\\\`.");
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(refusal)?;
    let (mut key, mut characters) = (String::new(), inner.chars());
    while let Some(character) = characters.next() {
        key.push(match character {
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\')).ok_or_else(refusal)?,
            '"' => return Err(refusal()),
            plain => plain,
        });
    }
    Ok(key)
}

/// The key of a request, if it came with one, and what the request says. It belongs behind the body.
#[derive(Debug)]
pub struct Key(Option<KeyedRequest>);

impl<'a> ApiExtractor<'a> for Key {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Sc<IdempotencyKey> as Type>::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(<Sc<IdempotencyKey> as Type>::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let sent =
            sent(request.headers()).map_err(|fault| ApiError::validation(vec![fault.at(format!("/{HEADER}"))]))?;
        let Some(key) = sent else { return Ok(Self(None)) };
        let Some(asked) = request.data::<Asked>() else {
            return Err(ApiError::internal("nobody says what was asked for").into());
        };
        let operation = asked.operation.to_string();
        let fingerprint = fingerprint(request, asked, body).await?;
        Ok(Self(Some(KeyedRequest { operation, key, fingerprint })))
    }
}

fn sent(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Fault> {
    let mut sent = headers.get_all(HEADER).iter();
    match (sent.next(), sent.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => {
            let text =
                only.to_str().map_err(|_| Fault::invalid_format("A key must consist of printable ASCII characters."));
            IdempotencyKey::parse(text?.trim_matches(' ')).map(Some)
        }
        (Some(_), Some(_)) => Err(Fault::new("repeated_parameter", "This header was sent more than once.")),
    }
}

/// What a request says: who asks, its parameters, and its body in canonical form. Two people who say yes under one key
/// are two people: the second must not be told that they did.
async fn fingerprint(request: &Request, asked: &Asked, body: &mut RequestBody) -> Result<Fingerprint, ApiError> {
    let path: Vec<&str> = (0..asked.path_names.len()).filter_map(|at| path_value(request, at)).collect();
    let mut query = asked.query.to_vec();
    query.sort();
    let caller = authenticate(request).ok().map(|caller| caller.subject.to_string());
    let mut said = serde_json::json!([caller, path, query]).to_string();
    if asked.reads_body {
        let bytes = body.take().map_err(ApiError::internal)?.into_bytes().await.map_err(ApiError::internal)?;
        said += &json::parse(&bytes).map_err(ApiError::internal)?.canonical();
        *body = RequestBody::new(bytes.into());
    }
    Ok(Fingerprint(Sha256::digest(said.as_bytes()).into()))
}

/// Where keys and answers are kept.
#[derive(Clone, Copy)]
pub struct Keeper<'a> {
    /// Who works on what.
    pub keys: &'a Arc<dyn IdempotencyKeys>,
    /// Where answers are committed.
    pub repository: &'a dyn PayoutRepository,
    /// Names for claims.
    pub ids: &'a dyn Ids,
}

impl Key {
    /// Does the work once under the key. `show` makes the answer of its outcome. The use case puts what it is given to
    /// remember into its change; an outcome that commits nothing is remembered by itself. What fails is not, so that
    /// the same request again is done anew.
    pub async fn once<T: 'static, A: Storable + 'static>(
        self,
        keeper: Keeper<'_>,
        show: fn(&T) -> A,
        work: impl AsyncFnOnce(Remembering<T>) -> Answer<T>,
    ) -> Answer<Once<A>> {
        let Some(request) = self.0 else {
            let outcome = work(Remembering::nothing()).await?;
            return Ok(Once::First(show(&outcome)));
        };
        let claim = match claim_key(keeper.keys.as_ref(), keeper.ids, request).await? {
            Claimed::Answered(answer) => return Ok(Once::Replayed(answer)),
            Claimed::Ours(claim) => claim,
        };
        let held = Held { claim: Some(claim.clone()), keys: Arc::clone(keeper.keys) };
        let remembering = Remembering::new(move |outcome| Remember::Claimed(claim.clone(), show(outcome).stored()));
        match work(remembering.clone()).await {
            Ok(outcome) => {
                held.answered(keeper.repository, remembering.of(&outcome)).await;
                Ok(Once::First(show(&outcome)))
            }
            Err(error) => {
                held.give_up().await;
                Err(error)
            }
        }
    }

    /// Does the work of a request that is known by more than its key. The same request again takes its usual way; only
    /// another one under the same key is refused.
    pub async fn bound<T: 'static, A: Storable + 'static>(
        self,
        keeper: Keeper<'_>,
        show: fn(&T) -> A,
        work: impl AsyncFnOnce(Remembering<T>) -> Answer<T>,
    ) -> Answer<A> {
        let remembering = match self.0 {
            Some(request) => {
                refuse_another_request(keeper.keys.as_ref(), &request).await?;
                Remembering::new(move |outcome| Remember::Unclaimed(request.clone(), show(outcome).stored()))
            }
            None => Remembering::nothing(),
        };
        Ok(show(&work(remembering).await?))
    }
}

/// A claim that is given up when nobody waits for the answer any more, or a handler panics.
struct Held {
    claim: Option<Claim>,
    keys: Arc<dyn IdempotencyKeys>,
}

impl Held {
    /// Stores the answer of an outcome that committed nothing. If it was committed with the outcome, there is nothing
    /// left of the claim.
    async fn answered(mut self, repository: &dyn PayoutRepository, remember: Option<Remember>) {
        match repository.commit(Change { remember, ..Change::default() }).await {
            Ok(()) | Err(CommitError::LeaseLost) => self.claim = None,
            Err(error) => tracing::warn!(error = ?error, "an answer is not remembered"),
        }
    }

    async fn give_up(mut self) {
        if let Some(claim) = self.claim.take() {
            give_up(self.keys.as_ref(), &claim).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let (Some(claim), Ok(runtime)) = (self.claim.take(), tokio::runtime::Handle::try_current()) else { return };
        let keys = Arc::clone(&self.keys);
        runtime.spawn(async move { give_up(keys.as_ref(), &claim).await });
    }
}

/// Safe at any time: a claim whose answer is stored is none any more.
async fn give_up(keys: &dyn IdempotencyKeys, claim: &Claim) {
    if let Err(error) = keys.give_up(claim).await {
        tracing::warn!(error = ?error, "a claim on an idempotency key is left to run out");
    }
}

/// An answer to something that is done once.
#[derive(Debug)]
pub enum Once<A> {
    /// It was done now.
    First(A),
    /// It was done before, and this was the answer.
    Replayed(StoredAnswer),
}

impl<A: IntoResponse> IntoResponse for Once<A> {
    fn into_response(self) -> Response {
        match self {
            Self::First(answer) => answer.into_response(),
            Self::Replayed(answer) => {
                let mut response = restored(answer);
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                response
            }
        }
    }
}

impl<A: ApiResponse> ApiResponse for Once<A> {
    /// What the operation answers, perhaps for the second time, and that it is not done yet.
    fn meta() -> MetaResponses {
        let mut meta = A::meta();
        let in_progress = declare(Problem::InProgress);
        for response in &mut meta.responses {
            match response.status {
                Some(200..=299) => response.headers.push(header::<Option<bool>>(REPLAYED)),
                conflict if conflict == in_progress.status => response.headers.push(header::<Option<u32>>(RETRY_AFTER)),
                _ => {}
            }
        }
        if !meta.responses.iter().any(|response| response.status == in_progress.status) {
            meta.responses.push(in_progress);
        }
        meta
    }

    fn register(registry: &mut Registry) {
        A::register(registry);
    }
}
