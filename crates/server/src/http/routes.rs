//! The table of paths and methods, made from what the API declares about itself.
//!
//! The framework's own table answers 405 without `Allow`, loses one of two operations on a shared path in
//! the specification, and lets an operation answer what it never declared. Here one function,
//! [`describe`], says what there is; the specification shows it and the table holds every request to it.

use super::{
    context::{self, REQUEST_ID},
    error_body::ErrorBody,
    idempotency,
    ndjson::NDJSON,
    params::{self, Asked},
    problem::{ApiError, Problem},
    responses::{declare, header},
};
use poem::{
    Endpoint, EndpointExt, IntoResponse, Request, Response, Route,
    endpoint::BoxEndpoint,
    http::{HeaderValue, Method, header::ALLOW},
};
use poem_openapi::{
    OpenApi,
    registry::{MetaOperation, MetaParamIn, MetaPath, Registry},
    types::Type,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// How long an operation that only reads may take; it is in the data of a request. What changes something is never cut:
/// it may be done, and nobody would know.
#[derive(Clone, Copy, Debug)]
pub struct Patience(pub Duration);

/// What reads everything there is takes as long as there is to read.
const READS_EVERYTHING: [&str; 1] = ["/ledger/trial-balance"];

/// All operations by path, each with the errors that the edge itself may raise for it.
///
/// Panics on an API that contradicts itself. That is found by the first test that starts it.
pub fn describe<T: OpenApi>() -> Vec<MetaPath> {
    let mut merged: Vec<MetaPath> = Vec::new();
    let mut ids = HashSet::new();
    for path in T::meta().into_iter().flat_map(|api| api.paths) {
        let at = merged.iter().position(|known| known.path == path.path).unwrap_or_else(|| {
            merged.push(MetaPath { path: path.path.clone(), operations: Vec::new() });
            merged.len() - 1
        });
        for mut operation in path.operations {
            let twice = merged[at].operations.iter().any(|known| known.method == operation.method);
            assert!(!twice, "{} {} is declared twice", operation.method, path.path);
            assert!(
                operation.operation_id.is_none_or(|id| ids.insert(id)),
                "operation id {:?} is given twice",
                operation.operation_id
            );
            check_path_names(&path.path, &operation);
            check_key(&path.path, &operation);
            declare_own_errors(&mut operation);
            merged[at].operations.push(operation);
        }
    }
    merged
}

/// Registers the schemas of the API and of the errors.
pub fn register<T: OpenApi>(registry: &mut Registry) {
    T::register(registry);
    ErrorBody::register(registry);
}

fn names_in(path: &str) -> Vec<String> {
    let name = |part: &str| part.strip_prefix('{')?.strip_suffix('}').map(str::to_owned);
    path.split('/').filter_map(name).collect()
}

/// The specification names a path parameter after the argument that reads it, right or wrong.
fn check_path_names(path: &str, operation: &MetaOperation) {
    let in_path = names_in(path).into_iter().collect::<HashSet<_>>();
    let read: HashSet<_> = operation
        .params
        .iter()
        .filter(|param| param.in_type == MetaParamIn::Path)
        .map(|param| param.name.clone())
        .collect();
    assert!(in_path == read, "{} {path}: the handler reads {read:?} from the path", operation.method);
}

/// Whatever is done by a `POST` can be done once; the lines of a [`Lines`](super::ndjson::Lines) by what they name.
fn check_key(path: &str, operation: &MetaOperation) {
    let reads_key = operation
        .params
        .iter()
        .any(|param| param.in_type == MetaParamIn::Header && param.name == idempotency::HEADER && !param.required);
    let content = operation.request.iter().flat_map(|request| &request.content);
    let of_lines = content.into_iter().any(|content| content.content_type == NDJSON);
    assert!(
        reads_key == (operation.method == Method::POST && !of_lines),
        "{} {path}: a POST, and nothing else, takes a `Key` named `{}`",
        operation.method,
        idempotency::HEADER
    );
}

fn declare_own_errors(operation: &mut MetaOperation) {
    let mut problems = vec![Problem::Invalid, Problem::Internal, Problem::Unavailable];
    if !operation.security.is_empty() {
        problems.extend([Problem::Unauthenticated, Problem::Forbidden, Problem::RateLimited]);
    }
    if operation.request.is_some() {
        problems.extend([Problem::MalformedJson, Problem::PayloadTooLarge, Problem::UnsupportedMediaType]);
        problems.push(Problem::TooSlow);
    }
    let responses = &mut operation.responses.responses;
    for declared in problems.into_iter().map(declare) {
        if !responses.iter().any(|known| known.status == declared.status) {
            responses.push(declared);
        }
    }
    responses.sort_by_key(|response| response.status);
    for response in responses {
        response.headers.push(header::<String>(REQUEST_ID));
    }
}

/// Adds every operation of an API to the routes.
pub fn mount<T: OpenApi>(route: Route, api: T) -> Route {
    let mut operations = HashMap::new();
    for path in describe::<T>() {
        for operation in &path.operations {
            operations.insert((numbered(&path.path), operation.method.clone()), Operation::of(&path.path, operation));
        }
    }
    let mut table = HashMap::new();
    api.add_routes(&mut table);
    table.into_iter().fold(route, |route, (path, endpoints)| {
        let held = endpoints.into_iter().map(|(method, inner)| {
            let operation = operations.remove(&(path.clone(), method.clone()));
            let operation = operation.unwrap_or_else(|| Operation::hidden(&path));
            (method, Held { operation, inner }.boxed())
        });
        route.at(&path, Methods::new(held.collect()))
    })
}

/// The path as the framework's router wants it: parameters by number.
fn numbered(path: &str) -> String {
    let mut count = 0..;
    let part = |part: &str| match part.starts_with('{') {
        true => format!(":param{}", count.next().unwrap_or_default()),
        false => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// What an operation declares, as far as a request is held to it.
struct Operation {
    route: Arc<str>,
    /// Its method and path.
    name: Arc<str>,
    path_names: Arc<[String]>,
    query_names: Arc<[String]>,
    reads_body: bool,
    secured: bool,
    /// It changes nothing, so it can be given up at any moment.
    only_reads: bool,
    /// `None`: it declares nothing.
    statuses: Option<Vec<u16>>,
}

impl Operation {
    fn of(path: &str, operation: &MetaOperation) -> Self {
        let query = operation.params.iter().filter(|param| param.in_type == MetaParamIn::Query);
        Self {
            route: path.into(),
            name: format!("{} {path}", operation.method).into(),
            path_names: names_in(path).into(),
            query_names: query.map(|param| param.name.clone()).collect(),
            reads_body: operation.request.is_some(),
            secured: !operation.security.is_empty(),
            only_reads: operation.method == Method::GET && !READS_EVERYTHING.contains(&path),
            statuses: Some(operation.responses.responses.iter().filter_map(|known| known.status).collect()),
        }
    }

    /// An operation that the specification does not show. It takes no parameters.
    fn hidden(path: &str) -> Self {
        Self {
            route: path.into(),
            name: path.into(),
            path_names: Arc::new([]),
            query_names: Arc::new([]),
            reads_body: false,
            secured: false,
            only_reads: false,
            statuses: None,
        }
    }

    fn asked(&self, request: &Request) -> Asked {
        Asked {
            operation: Arc::clone(&self.name),
            path_names: Arc::clone(&self.path_names),
            query_names: Arc::clone(&self.query_names),
            query: request.params::<Vec<(String, String)>>().unwrap_or_default().into(),
            reads_body: self.reads_body,
        }
    }

    /// The answer, if the operation declares its status: what is not in the specification is not sent.
    fn hold(&self, answer: Response) -> Response {
        let status = answer.status();
        if self.statuses.as_ref().is_none_or(|declared| declared.contains(&status.as_u16())) {
            return answer;
        }
        debug_assert!(false, "{} answers {status}, which it does not declare", self.route);
        ApiError::internal(format_args!("{} answers {status}, which it does not declare", self.route)).response()
    }
}

/// An endpoint held to its declaration.
struct Held {
    operation: Operation,
    inner: BoxEndpoint<'static>,
}

impl Endpoint for Held {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        context::note_route(&self.operation.route);
        request.set_data(self.operation.asked(&request));
        if !self.operation.secured {
            // Otherwise only after the token: a stranger learns nothing about parameters.
            params::refuse_strays(&request)?;
        }
        let patience = request.data::<Patience>().filter(|_| self.operation.only_reads).copied();
        let call = self.inner.call(request);
        let answer = match patience {
            Some(Patience(at_most)) => {
                tokio::time::timeout(at_most, call).await.unwrap_or_else(|_| Err(takes_too_long().into()))
            }
            None => call.await,
        };
        let answer = answer.unwrap_or_else(|error| ApiError::of_framework(error).response());
        Ok(self.operation.hold(answer))
    }
}

fn takes_too_long() -> ApiError {
    ApiError::new(Problem::Unavailable, "This took too long to read, and was given up. Ask for less, or later.")
}

/// The methods of one path. `HEAD` is `GET` (the shell takes the body off), anything else is 405 with `Allow`.
pub struct Methods {
    endpoints: Vec<(Method, BoxEndpoint<'static>)>,
    allow: String,
}

impl Methods {
    /// The methods and their endpoints.
    pub fn new(endpoints: Vec<(Method, BoxEndpoint<'static>)>) -> Self {
        let mut names: Vec<_> = endpoints.iter().map(|(method, _)| method.as_str()).collect();
        if names.contains(&"GET") && !names.contains(&"HEAD") {
            names.push("HEAD");
        }
        names.sort_unstable();
        Self { allow: names.join(", "), endpoints }
    }

    fn find(&self, method: &Method) -> Option<&BoxEndpoint<'static>> {
        self.endpoints.iter().find(|(known, _)| known == method).map(|(_, endpoint)| endpoint)
    }
}

impl Endpoint for Methods {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        if request.method() == Method::HEAD && self.find(&Method::HEAD).is_none() {
            request.set_method(Method::GET);
        }
        match self.find(request.method()) {
            Some(endpoint) => endpoint.call(request).await,
            None => {
                let mut refusal = ApiError::from(Problem::MethodNotAllowed).response();
                if let Ok(allow) = HeaderValue::from_str(&self.allow) {
                    refusal.headers_mut().insert(ALLOW, allow);
                }
                Ok(refusal)
            }
        }
    }
}

/// A path that only takes messages.
pub fn post<E>(endpoint: E) -> Methods
where
    E: Endpoint + 'static,
    E::Output: IntoResponse,
{
    Methods::new(vec![(Method::POST, endpoint.map_to_response().boxed())])
}

/// A path that can only be read.
pub fn get<E>(endpoint: E) -> Methods
where
    E: Endpoint + 'static,
    E::Output: IntoResponse,
{
    Methods::new(vec![(Method::GET, endpoint.map_to_response().boxed())])
}
