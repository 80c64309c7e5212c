#![no_main]
#![allow(dead_code)]

#[path = "../../tests/fuzzed/laws.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| laws::stripe_messages(bytes));
