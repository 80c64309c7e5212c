//! The specification, corrected: what the framework writes is close to the truth, and clients are generated
//! from it.

use super::routes;
use poem::endpoint::BoxEndpoint;
use poem_openapi::{
    OpenApi, OpenApiService,
    registry::{MetaApi, Registry},
};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, marker::PhantomData};

/// What the specification says about itself.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The name of the API.
    pub title: &'static str,
    /// The version of the service.
    pub version: &'static str,
    /// What it is for; Markdown.
    pub description: &'static str,
}

/// The finished specification. The same API gives the same bytes, always.
#[derive(Clone, Debug)]
pub struct Document(Value);

impl Document {
    /// The specification of an API.
    pub fn of<T: OpenApi>(about: About) -> serde_json::Result<Self> {
        let service = OpenApiService::new(Described::<T>(PhantomData), about.title, about.version)
            .description(about.description)
            .server("/");
        let mut document = serde_json::from_str(&service.spec())?;
        correct(&mut document);
        Ok(Self(document))
    }

    /// As JSON, indented.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&self.0)
    }

    /// As YAML.
    pub fn yaml(&self) -> serde_yaml::Result<String> {
        serde_yaml::to_string(&self.0)
    }
}

/// The API as [`routes`] describes it. It is only looked at, never served.
struct Described<T>(PhantomData<T>);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        vec![MetaApi { paths: routes::describe::<T>() }]
    }

    fn register(registry: &mut Registry) {
        routes::register::<T>(registry);
    }

    fn add_routes(self, _table: &mut HashMap<String, HashMap<poem::http::Method, BoxEndpoint<'static>>>) {}
}

fn correct(document: &mut Value) {
    // The framework writes 3.0.0, whose schema has known faults; 3.0.3 is the same language.
    document["openapi"] = json!("3.0.3");
    if let Some(schemas) = document["components"]["schemas"].as_object_mut() {
        flatten_variants(schemas);
    }
    correct_below(document);
}

/// A variant of a tagged union is written as "the tag, and all of the object". Once objects are closed, each
/// half would refuse the other's fields, so the two become one object.
fn flatten_variants(schemas: &mut Map<String, Value>) {
    let originals = schemas.clone();
    for schema in schemas.values_mut() {
        let Some(parts) = schema["allOf"].as_array() else { continue };
        let resolved: Vec<_> = parts.iter().filter_map(|part| resolve(part, &originals)).collect();
        if resolved.len() != parts.len() || !resolved.iter().all(|part| part["properties"].is_object()) {
            continue;
        }
        let mut whole = json!({"type": "object", "required": [], "properties": {}});
        for part in resolved {
            let required = part["required"].as_array().cloned().unwrap_or_default();
            whole["required"].as_array_mut().into_iter().for_each(|all| all.extend(required.clone()));
            let properties = part["properties"].as_object().cloned().unwrap_or_default();
            whole["properties"].as_object_mut().into_iter().for_each(|all| all.extend(properties.clone()));
            if let Some(about) = part.get("description") {
                whole["description"] = about.clone();
            }
        }
        *schema = whole;
    }
}

fn resolve<'a>(part: &'a Value, schemas: &'a Map<String, Value>) -> Option<&'a Value> {
    match part["$ref"].as_str() {
        Some(reference) => schemas.get(reference.rsplit('/').next()?),
        None => Some(part),
    }
}

fn correct_below(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // Unknown fields are refused, which the framework enforces on nobody and writes nowhere.
            let closed = object.get("type") == Some(&json!("object")) && object.contains_key("properties");
            if closed {
                object.entry("additionalProperties").or_insert(json!(false));
            }
            for (key, inner) in object {
                match key.as_str() {
                    // Bounds are floats inside the framework: 100.0 is no bound of an integer.
                    "minimum" | "maximum" | "multipleOf" if inner.is_f64() => *inner = whole(inner),
                    _ => correct_below(inner),
                }
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(correct_below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The integer, where a float is one. A float of 2^63 or more was meant as the largest integer there is.
fn whole(bound: &Value) -> Value {
    match bound.as_f64() {
        Some(float) if float >= 9_223_372_036_854_775_807.0 => json!(i64::MAX),
        Some(float) if float <= -9_223_372_036_854_775_808.0 => json!(i64::MIN),
        Some(float) if float.fract() == 0.0 => {
            float.to_string().parse::<i64>().map_or_else(|_| bound.clone(), Value::from)
        }
        _ => bound.clone(),
    }
}
