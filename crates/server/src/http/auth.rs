//! Who may call: an [`Auth`] argument turns a bearer token into a caller, or the request away.
//!
//! It is the first argument of a handler, so that 401 and 403 come before anything is said about the rest
//! of the request.

use super::{
    params,
    problem::{ApiError, Problem},
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

const SCHEME: &str = "bearerAuth";

/// Which roles an endpoint admits, and the code it promised to the others.
pub trait Policy: Send + Sync {
    /// The code of the 403.
    const CODE: &'static str = "forbidden";

    /// Whether the role may call.
    fn admits(role: &str) -> bool;
}

/// Anybody with a good token.
#[derive(Debug)]
pub struct Authenticated;

impl Policy for Authenticated {
    fn admits(_role: &str) -> bool {
        true
    }
}

/// Everything that reads or moves money: denied by default, until there is a table of roles.
#[derive(Debug)]
pub struct AdminOrSystem;

impl Policy for AdminOrSystem {
    fn admits(role: &str) -> bool {
        matches!(role, "admin" | "system")
    }
}

/// As [`AdminOrSystem`], with the code that `schedule-payouts` has always had.
#[derive(Debug)]
pub struct Scheduler;

impl Policy for Scheduler {
    const CODE: &'static str = "not_system";

    fn admits(role: &str) -> bool {
        AdminOrSystem::admits(role)
    }
}

/// A caller whom the policy admits.
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

    fn security_schemes() -> Vec<&'static str> {
        vec![SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let caller = authenticate(request)?;
        if !P::admits(&caller.role) {
            return Err(ApiError::forbidden(P::CODE, Problem::Forbidden.sentence()).into());
        }
        params::refuse_strays(request)?;
        Ok(Self(caller, PhantomData))
    }
}

fn authenticate(request: &Request) -> Result<Caller, ApiError> {
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

    #[test]
    fn an_unknown_role_is_somebody_who_may_little() {
        assert!(Authenticated::admits("auditor"));
        for role in ["admin", "system"] {
            assert!(AdminOrSystem::admits(role) && Scheduler::admits(role));
        }
        for role in ["auditor", "Admin", "admin2", "superadmin"] {
            assert!(!AdminOrSystem::admits(role) && !Scheduler::admits(role), "{role}");
        }
    }
}
