//! Every path that is described is called by an end-to-end test.

use super::root;
use serde_yaml::Value;
use std::fs;

/// Methods and paths of the description.
fn described() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("openapi.yaml")).expect("openapi.yaml is there");
    let document: Value = serde_yaml::from_str(&text).expect("openapi.yaml is YAML");
    let paths = document["paths"].as_mapping().expect("there are paths");
    let text = |value: &Value| value.as_str().expect("a key is text").to_owned();
    let methods = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_mapping().expect("a path has methods");
        methods.keys().map(move |method| (text(method), text(path)))
    });
    methods.collect()
}

/// All sources of the end-to-end tests and their harness.
fn tests() -> String {
    let mut folders = vec![root().join("tests/end_to_end"), root().join("tests/harness")];
    let mut all = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the tests can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                all += &fs::read_to_string(path).expect("the test can be read");
            }
        }
    }
    all
}

#[test]
fn every_path_is_called() {
    let tests = tests();
    let described = described();
    assert!(described.len() >= 15, "{described:?}");
    for (method, path) in described {
        // What stands between the parameters: the parameters themselves are made up by the test.
        let mut fixed = path.split('{').map(|part| part.rsplit('}').next().unwrap_or_default());
        assert!(fixed.all(|part| tests.contains(part)), "nobody calls {method} {path}");
    }
}
