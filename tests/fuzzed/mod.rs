//! A few thousand of the inputs that `cargo xtask soak` fuzzes with: pieces of messages, put together by chance.

mod laws;

use std::time::{Duration, Instant};

/// What is put together.
const PIECES: &[&str] = &[
    "t=1700000000,v1=",
    "t=",
    ",v1=",
    "0123456789abcdef",
    "\n",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\"id\":\"tr_1\"",
    "\"object\":\"event\"",
    "\"object\":\"transfer\"",
    "\"livemode\":false",
    "\"type\":\"transfer.created\"",
    "\"created\":1700000000",
    "\"data\":{\"object\":",
    "\"amount\":100",
    "\"currency\":\"usd\"",
    "\"amount_reversed\":100",
    "\"destination\":\"acct_1\"",
    "\"metadata\":{\"instruction\":\"00000000-0000-0000-0000-000000000001\"",
    "\"wire_ref\":\"00000000000000000000000002\"",
    "\"error\":{\"type\":\"invalid_request_error\"",
    "\"code\":\"rate_limit\"",
    "\"code\":\"account_invalid\"",
    "\"has_more\":true",
    "\"steps\":[",
    "{\"type\":\"share\",\"lines\":[{\"recipientId\":\"rec_1\",\"percent\":\"100\"}]}",
    "{\"type\":\"remainder\"}",
    "null",
    "1e400",
    "-1",
    "9223372036854775808",
    "\\u0000",
    "\u{fffd}",
];

/// Bytes by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap_or(0) % bound
    }
    fn input(&mut self) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(self.below(256)).unwrap(), u8::try_from(self.below(256)).unwrap()];
        for _ in 0..self.below(24) {
            bytes.extend_from_slice(PIECES[self.below(PIECES.len())].as_bytes());
        }
        bytes
    }
}

fn tried(law: fn(&[u8]), most: usize) {
    let (mut chance, started) = (Chance(0x2545_f491_4f6c_dd1d), Instant::now());
    for _ in 0..most {
        law(&chance.input());
        if started.elapsed() > Duration::from_secs(10) {
            return;
        }
    }
}

#[test]
fn a_message_is_believed_only_if_it_is_signed_whatever_it_says() {
    tried(|bytes| laws::stripe_messages(&bytes[2..]), 2_000);
    tried(|bytes| laws::simulator_messages(&bytes[2..]), 2_000);
}

#[test]
fn an_answer_is_believed_only_if_it_is_of_what_was_asked_for() {
    tried(laws::stripe_answers, 300);
    // What is asked for is believed, or the law would say nothing.
    let answer = br#"{"id":"tr_1","object":"transfer","amount":100,"amount_reversed":0,"currency":"usd","created":1,
        "livemode":false,"reversed":false,"destination":"acct_1","transfer_group":"g","metadata":{
        "instruction":"00000000-0000-0000-0000-000000000001","wire_ref":"00000000000000000000000002"}}"#;
    laws::stripe_answers(&[&[0, 0], &answer[..]].concat());
}

#[test]
fn a_model_is_read_back_as_it_was_written_whatever_it_says() {
    tried(|bytes| laws::revenue_models(&bytes[2..]), 2_000);
    laws::revenue_models(br#"{"steps":[{"type":"share","lines":[{"recipientId":"rec_1","percent":"100"}]}]}"#);
}
