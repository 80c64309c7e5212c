//! `disburse token`: prints a token, and nothing else.

use super::{Exit, Outcome, say};
use crate::{
    config::Config,
    http::roles::{Role, listed},
    signing_key::signing_key,
};
use domain::ids::Requester;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[arg(long, help = roles())]
    role: Word,
    /// Who the bearer is: a UUID, an ObjectId, or a prefixed id
    #[arg(long, default_value = "usr_cli", value_name = "SUBJECT")]
    sub: Requester,
    /// How long it is good for: a number and s, m, h or d
    #[arg(long, default_value = "1h", value_name = "SPAN")]
    ttl: Span,
}

/// What the bearer may be. Words of others are signed, too: whoever has one is known by name, and may do little.
fn roles() -> String {
    format!("What the bearer is: {}; any other word may only calculate", listed(&Role::ALL, "or"))
}

/// One word.
#[derive(Clone, Debug)]
struct Word(String);

impl std::str::FromStr for Word {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let is_word = (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_word { Ok(Self(text.to_owned())) } else { Err("a role is one word, such as `admin`".to_owned()) }
    }
}

/// A span of time as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span(Duration);

impl std::str::FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a span is a number and s, m, h or d, such as `1h`".to_owned();
        let unit = text.chars().last().ok_or_else(wrong)?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
        let span = count.checked_mul(seconds).filter(|span| *span > 0).ok_or_else(wrong)?;
        Ok(Self(Duration::from_secs(span)))
    }
}

pub(super) fn run(config: &Config, args: &Args) -> Outcome {
    let key = signing_key(config).map_err(|error| say(Exit::Usage, &error))?;
    let token = key.sign(&args.sub, &args.role.0, args.ttl.0).map_err(|error| say(Exit::Failed, &error))?;
    outln!("{token}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h", 3_600), ("2d", 172_800)] {
            assert_eq!(text.parse(), Ok(Span(Duration::from_secs(seconds))));
        }
        for text in ["", "h", "1", "-1h", "1w", "1.5h", "0s", "99999999999999999999d", "1\u{e9}"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
