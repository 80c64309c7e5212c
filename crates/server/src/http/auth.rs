//! Who may call: an [`Auth`] argument turns a bearer token into a caller, or the request away.
//!
//! It is the first argument of a handler, so that 401 and 403 come before anything is said about the rest
//! of the request.

use super::{
    params,
    problem::{ApiError, Problem},
    rate::RateLimit,
    roles::{Permission, may::Policy},
    token::{Caller, TokenKey},
};
use poem::{
    Request, RequestBody,
    http::{HeaderMap, header::AUTHORIZATION},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};
use std::marker::PhantomData;

/// The name of bearer tokens in the specification.
pub const SCHEME: &str = "bearerAuth";

/// A caller who holds the permission.
#[derive(Debug)]
pub struct Auth<P>(pub Caller, PhantomData<P>);

impl<'a, P: Policy> ApiExtractor<'a> for Auth<P> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some("A JSON web token (HS256) with the claims `sub`, `role` and `exp`."),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: Some("JWT"),
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(SCHEME, scheme);
    }

    /// The permission, since this is all that the framework lets an argument say about its operation.
    /// [`openapi`](super::openapi) publishes it, and puts the scheme in its place.
    fn security_schemes() -> Vec<&'static str> {
        vec![P::PERMISSION.as_str()]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let caller = authenticate(request)?;
        if let Some(limit) = request.data::<RateLimit>() {
            limit.admit(&caller.subject)?;
        }
        if !P::PERMISSION.admits(caller.known_role()) {
            return Err(refusal(P::PERMISSION, &caller).into());
        }
        params::refuse_strays(request)?;
        Ok(Self(caller, PhantomData))
    }
}

/// Says who may instead: it is no secret, and whoever set up the token has to know.
fn refusal(permission: Permission, caller: &Caller) -> ApiError {
    let message = format!("The role `{}` does not allow this. {}", caller.role, permission.sentence());
    ApiError::forbidden(permission.refusal_code(), message)
}

/// Who is asking, whatever they may do.
pub fn authenticate(request: &Request) -> Result<Caller, ApiError> {
    let Some(key) = request.data::<TokenKey>() else {
        return Err(ApiError::internal("no token key was handed to the endpoints"));
    };
    let token = bearer(request.headers()).ok_or_else(|| {
        ApiError::new(Problem::Unauthenticated, "Send one header `Authorization: Bearer` with a token.")
    })?;
    key.verify(token).map_err(|bad| ApiError::new(Problem::Unauthenticated, bad.to_string()))
}

/// The token of the one and only authorization header. With two of them, which one counts would depend on
/// who reads.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (sent.next()?, sent.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ')).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    fn found(sent: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in sent {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        bearer(&headers).map(str::to_owned)
    }

    #[test]
    fn one_header_one_token() {
        for good in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c", "Bearer a.b.c "] {
            assert_eq!(found(&[good]).as_deref(), Some("a.b.c"), "{good}");
        }
        for bad in ["", "Bearer", "Bearer ", "Bearera.b.c", "Basic a.b.c", "a.b.c", "Bearer a.b.c d", "Bearer é"] {
            assert_eq!(found(&[bad]), None, "{bad}");
        }
        assert_eq!(found(&[]), None);
        assert_eq!(found(&["Bearer a.b.c", "Bearer a.b.c"]), None);
    }
}
