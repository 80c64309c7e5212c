//! The decoder of request bodies, beside an ordinary one.

#![no_main]
#![allow(dead_code)]

#[path = "../../crates/server/src/http/json.rs"]
mod json;

use serde_json::Value;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(node) = json::parse(bytes) else { return };
    // What is canonical stays so, and is what an ordinary decoder reads, if it can: of two equal keys it keeps the last.
    let canonical = node.canonical();
    let again = json::parse(canonical.as_bytes()).expect("the canonical form can be read");
    assert_eq!(again.canonical(), canonical);
    if let Ok(ordinary) = serde_json::from_slice::<Value>(bytes) {
        let read: Value = serde_json::from_str(&canonical).expect("the canonical form is JSON");
        assert_eq!(read, ordinary);
    }
});
