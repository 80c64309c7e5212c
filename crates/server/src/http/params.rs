//! Path and query parameters, typed, with faults that name the parameter as the client wrote it.
//!
//! The framework numbers path parameters and ignores query parameters that nobody reads; both would mislead
//! a client. [`super::routes`] hands each request what its operation declares, and the extractors here go
//! by that.

use super::{fault::Fault, problem::ApiError};
use app::failure::Detail;
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::Type,
};
use std::{collections::BTreeMap, sync::Arc};

/// A value that can be sent as a parameter.
pub trait Parameter: Type + Sized {
    /// The value, from its text.
    fn parse(text: &str) -> Result<Self, Fault>;

    /// What it means that the parameter was not sent; `None` if it has to be.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn parse(text: &str) -> Result<Self, Fault> {
        T::parse(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// What an operation declares, and what this request sent in its query.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method and the pattern of the path, as in `GET /payouts/items/{itemId}`.
    pub operation: Arc<str>,
    /// The names in the path, in order.
    pub path_names: Arc<[String]>,
    /// The names that the query may hold.
    pub query_names: Arc<[String]>,
    /// The query as sent.
    pub query: Arc<[(String, String)]>,
    /// Whether the operation reads a body; the faults of the query are then told with those of the body.
    pub reads_body: bool,
}

/// The faults of the query as a whole: parameters that nobody reads, and parameters sent twice.
pub fn strays(request: &Request) -> Vec<Detail> {
    request.data::<Asked>().map(Asked::strays).unwrap_or_default()
}

/// Refuses a request with a stray in its query, unless its body is still to be read.
pub fn refuse_strays(request: &Request) -> Result<(), ApiError> {
    match request.data::<Asked>() {
        Some(asked) if !asked.reads_body => match asked.strays() {
            strays if strays.is_empty() => Ok(()),
            strays => Err(ApiError::validation(strays)),
        },
        _ => Ok(()),
    }
}

impl Asked {
    /// See [`strays`].
    pub fn strays(&self) -> Vec<Detail> {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, _) in self.query.iter() {
            *count.entry(name).or_default() += 1;
        }
        let fault = |(name, times): (&str, usize)| {
            if !self.query_names.iter().any(|known| known == name) {
                Some(Fault::new("unknown_parameter", "There is no such query parameter here.").at(pointer(name)))
            } else if times > 1 {
                let message = format!("This query parameter was sent {times} times.");
                Some(Fault::new("repeated_parameter", message).at(pointer(name)))
            } else {
                None
            }
        };
        count.into_iter().filter_map(fault).collect()
    }
}

/// The text of a path parameter, by its place in the path.
pub fn path_value(request: &Request, at: usize) -> Option<&str> {
    request.raw_path_param(&format!("param{at}"))
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The value of a parameter, given its text if it was sent.
fn read<T: Parameter>(text: Option<&str>, options: &ExtractParamOptions<T>) -> poem::Result<T> {
    let value = match text {
        // As in bodies: PostgreSQL cannot store it.
        Some(text) if text.contains('\0') => Err(Fault::invalid_format("This must not contain the character U+0000.")),
        Some(text) => T::parse(text),
        None => match options.default_value {
            Some(default) => Ok(default()),
            None => T::absent().ok_or_else(Fault::required),
        },
    };
    Ok(value.map_err(|fault| ApiError::validation(vec![fault.at(pointer(options.name))]))?)
}

/// Makes an extractor of one parameter.
macro_rules! parameter {
    ($(#[$about:meta])* $name:ident in $place:ident, $read:expr) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $name<T>(pub T);

        impl<'a, T: Parameter> ApiExtractor<'a> for $name<T> {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];
            const PARAM_IS_REQUIRED: bool = T::IS_REQUIRED;
            type ParamType = T;
            type ParamRawType = T::RawValueType;

            fn register(registry: &mut Registry) {
                T::register(registry);
            }

            fn param_in() -> Option<MetaParamIn> {
                Some(MetaParamIn::$place)
            }

            fn param_schema_ref() -> Option<MetaSchemaRef> {
                Some(T::schema_ref())
            }

            fn param_raw_type(&self) -> Option<&Self::ParamRawType> {
                self.0.as_raw_value()
            }

            async fn from_request(
                request: &'a Request,
                _body: &mut RequestBody,
                options: ExtractParamOptions<T>,
            ) -> poem::Result<Self> {
                let find: fn(&'a Request, &str) -> poem::Result<Option<&'a str>> = $read;
                read(find(request, options.name)?, &options).map(Self)
            }
        }
    };
}

parameter! {
    /// A parameter in the path. The argument has to bear the name that the path gives it.
    ///
    /// The name of this type matters: the framework numbers everything that is called `Path`.
    PathParam in Path, |request, name| {
        let asked = request.data::<Asked>();
        let at = asked.and_then(|asked| asked.path_names.iter().position(|known| known == name));
        let Some(at) = at else {
            return Err(ApiError::internal(format_args!("no path parameter `{name}` here")).into());
        };
        Ok(path_value(request, at))
    }
}

parameter! {
    /// A parameter in the query.
    QueryParam in Query, |request, name| {
        let sent = request.data::<Asked>().map(|asked| asked.query.iter());
        Ok(sent.into_iter().flatten().find(|(known, _)| known == name).map(|(_, value)| value.as_str()))
    }
}
