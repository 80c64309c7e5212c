//! The specification, corrected: what the framework writes is close to the truth, and clients are generated
//! from it.

use super::{
    auth,
    ndjson::NDJSON,
    roles::{Admitted, Permission, Role},
    routes,
};
use poem::endpoint::BoxEndpoint;
use poem_openapi::{
    OpenApi, OpenApiService,
    registry::{MetaApi, Registry},
};
use serde::ser::Error as _;
use serde_json::{Map, Value, json};
use std::{
    collections::{HashMap, HashSet},
    marker::PhantomData,
};

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

/// The finished specification, in both forms. The same API gives the same bytes, always.
#[derive(Clone, Debug)]
pub struct Document {
    json: String,
    yaml: String,
}

impl Document {
    /// The specification of an API.
    pub fn of<T: OpenApi>(about: About) -> serde_json::Result<Self> {
        let service = OpenApiService::new(Described::<T>(PhantomData), about.title, about.version)
            .description(about.description)
            .server("/");
        let mut document = serde_json::from_str(&service.spec())?;
        correct(&mut document);
        let json = serde_json::to_string_pretty(&document)?;
        let yaml = serde_yaml::to_string(&document).map_err(serde_json::Error::custom)?;
        Ok(Self { json, yaml })
    }

    /// As JSON, indented.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// As YAML.
    pub fn yaml(&self) -> &str {
        &self.yaml
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
    drop_unused_schemas(document);
    tell_roles(document);
    tell_lines(document);
    correct_below(document);
}

/// An operation is secured by the name of its permission ([`auth`]). What is published is the scheme that there is,
/// and who may.
fn tell_roles(document: &mut Value) {
    let paths = document["paths"].as_object_mut();
    let operations = paths.into_iter().flatten().filter_map(|(_, path)| path.as_object_mut());
    for operation in operations.flatten().filter_map(|(_, operation)| operation.as_object_mut()) {
        let Some(permission) = permission_of(operation) else { continue };
        let (roles, named) = match permission.admitted() {
            Admitted::Anybody => (vec!["*"], "any".to_owned()),
            Admitted::Only(roles) => {
                let words: Vec<_> = roles.iter().copied().map(Role::as_str).collect();
                let named = format!("`{}`", words.join("`, `"));
                (words, named)
            }
        };
        operation.insert("security".to_owned(), json!([{ auth::SCHEME: [] }]));
        operation.insert("x-permission".to_owned(), permission.as_str().into());
        operation.insert("x-roles".to_owned(), roles.into());
        let about = operation.get("description").and_then(Value::as_str).unwrap_or_default();
        let about = format!("{about}\n\nRoles: {named}.").trim_start().to_owned();
        operation.insert("description".to_owned(), about.into());
        if permission.admitted() != Admitted::Anybody {
            operation["responses"]["403"]["description"] = permission.sentence().into();
        }
    }
}

/// What a line of a body of lines is: this version of the language has no word for it, so it is put beside the schema.
fn tell_lines(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Object(content)) = object.get_mut(NDJSON) {
                let line = content.get_mut("schema").and_then(Value::as_object_mut).and_then(|all| all.remove("items"));
                content.extend(line.map(|line| ("x-itemSchema".to_owned(), line)));
            }
            object.values_mut().for_each(tell_lines);
        }
        Value::Array(elements) => elements.iter_mut().for_each(tell_lines),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn permission_of(operation: &Map<String, Value>) -> Option<Permission> {
    let schemes = operation.get("security")?.get(0)?.as_object()?;
    schemes.keys().find_map(|scheme| Permission::named(scheme))
}

/// A variant of a tagged union is written as "the tag, and all of the object". Once objects are closed, each
/// half would refuse the other's fields, so the two become one object.
fn flatten_variants(schemas: &mut Map<String, Value>) {
    let originals = schemas.clone();
    for schema in schemas.values_mut() {
        let Some(parts) = schema["allOf"].as_array() else { continue };
        let resolved: Vec<_> = parts.iter().filter_map(|part| resolve(part, &originals)).collect();
        if resolved.len() == parts.len() && resolved.iter().all(|part| part["properties"].is_object()) {
            *schema = one_object(&resolved);
        }
    }
}

/// What was only a half of something, or a part of an object that was written out, is referred to by nobody.
fn drop_unused_schemas(document: &mut Value) {
    loop {
        let mut used = HashSet::new();
        note_references(document, &mut used);
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else { return };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(name));
        if schemas.len() == before {
            return;
        }
    }
}

fn note_references(value: &Value, used: &mut HashSet<String>) {
    match value {
        Value::Object(object) => {
            used.extend(referenced(value).map(str::to_owned));
            object.values().for_each(|inner| note_references(inner, used));
        }
        Value::Array(elements) => elements.iter().for_each(|inner| note_references(inner, used)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn one_object(parts: &[&Value]) -> Value {
    let mut required = Vec::new();
    let mut properties = Map::new();
    let mut whole = json!({"type": "object"});
    for part in parts {
        required.extend(part["required"].as_array().into_iter().flatten().cloned());
        properties.extend(part["properties"].as_object().cloned().unwrap_or_default());
        if let Some(about) = part.get("description") {
            whole["description"] = about.clone();
        }
    }
    whole["required"] = required.into();
    whole["properties"] = properties.into();
    whole
}

/// The name of the schema that this one refers to.
fn referenced(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.rsplit('/').next()
}

fn resolve<'a>(part: &'a Value, schemas: &'a Map<String, Value>) -> Option<&'a Value> {
    match referenced(part) {
        Some(name) => schemas.get(name),
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
            drop_repeated_parts(object);
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

/// A description beside a reference is written twice: beside `allOf`, where it belongs, and inside.
fn drop_repeated_parts(object: &mut Map<String, Value>) {
    let Some(Value::Array(mut parts)) = object.remove("allOf") else { return };
    let repeated = |part: &Map<String, Value>| part.iter().all(|(key, inner)| object.get(key) == Some(inner));
    parts.retain(|part| !part.as_object().is_some_and(repeated));
    object.insert("allOf".to_owned(), parts.into());
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
