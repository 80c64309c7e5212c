//! Whether a message is Stripe's: `Stripe-Signature: t=..,v1=..[,v1=..]`, HMAC-SHA256 over `t.body`.

use super::secret::Secret;
use domain::timestamp::Timestamp;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::time::Duration;

/// The header.
pub(super) const HEADER: &str = "stripe-signature";
/// How far its instant and ours may be apart, either way.
const TOLERANCE: Duration = Duration::from_secs(300);
/// More signatures than this is no message of Stripe's: it sends one for each secret, which are two while one rolls.
const SIGNATURES_MAX: usize = 16;

/// Any of its signatures may be made with any of our secrets: while a secret is rolled there are two of each.
pub(super) fn verify(header: &str, body: &[u8], secrets: &[Secret], received_at: Timestamp) -> Result<(), String> {
    let (signed_at, signatures) = parse(header)?;
    let seconds: i64 = signed_at.parse().map_err(|_| "its instant is no number".to_owned())?;
    let instant = Timestamp::from_unix_micros(seconds.saturating_mul(1_000_000));
    if instant.since(received_at).max(received_at.since(instant)) > TOLERANCE {
        return Err("it was signed too long ago, or in the future".to_owned());
    }
    // Every pair is compared, so that the time taken tells nothing.
    let mut is_signed = false;
    for secret in secrets {
        let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).map_err(|error| error.to_string())?;
        let mac = mac.chain_update(signed_at).chain_update(b".").chain_update(body);
        for signature in &signatures {
            is_signed |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    if is_signed { Ok(()) } else { Err("no signature is made with a secret of ours".to_owned()) }
}

/// The instant as it stands there, and every signature of the scheme `v1` that can be one.
fn parse(header: &str) -> Result<(&str, Vec<[u8; 32]>), String> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let instants: Vec<&str> = parts().filter(|(name, _)| *name == "t").map(|(_, value)| value).collect();
    let [instant] = instants[..] else { return Err("it has not one instant".to_owned()) };
    if instant.is_empty() || !instant.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its instant is no number".to_owned());
    }
    let signatures: Vec<[u8; 32]> =
        parts().filter(|(name, _)| *name == "v1").filter_map(|(_, value)| unhex(value)).collect();
    match signatures.len() {
        0 => Err("it has no signature of the scheme `v1`".to_owned()),
        1..=SIGNATURES_MAX => Ok((instant, signatures)),
        _ => Err("it has too many signatures".to_owned()),
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let bytes: Vec<u8> =
        digits.filter(|digits| digits.len() == 64)?.chunks(2).map(|two| two[0] << 4 | two[1]).collect();
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_one";
    const BODY: &[u8] = br#"{"id":"evt_1"}"#;
    /// `1700000000.{"id":"evt_1"}` under `whsec_one`, as the official SDK computes it.
    const SIGNATURE: &str = "401fbbceeb3818dc562ff77127ba1c62e47e24c9c6cde4d7a6eba85e32dbd058";

    fn check(header: &str, body: &[u8], secrets: &[&str], seconds: i64) -> Result<(), String> {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::new(secret)).collect();
        verify(header, body, &secrets, Timestamp::from_unix_micros(seconds * 1_000_000))
    }
    fn header() -> String {
        format!("t=1700000000,v1={SIGNATURE}")
    }

    #[test]
    fn what_stripe_signed_is_believed() {
        assert_eq!(check(&header(), BODY, &[SECRET], 1_700_000_000), Ok(()));
        assert_eq!(check(&header(), BODY, &["whsec_two", SECRET], 1_700_000_000), Ok(()), "a secret is rolled");
        let two = format!("t=1700000000,v1={},v1={SIGNATURE},v0=ff", "0".repeat(64));
        assert_eq!(check(&two, BODY, &[SECRET], 1_700_000_000), Ok(()), "any may match");
        assert_eq!(
            check(&header().to_uppercase().replace("T=", "t=").replace("V1=", "v1="), BODY, &[SECRET], 1_700_000_000),
            Ok(())
        );
    }

    #[test]
    fn what_is_too_old_or_of_tomorrow_is_not() {
        for (seconds, is_fresh) in [(300, true), (301, false), (-300, true), (-301, false)] {
            assert_eq!(check(&header(), BODY, &[SECRET], 1_700_000_000 + seconds).is_ok(), is_fresh, "{seconds}");
        }
    }

    #[test]
    fn what_anybody_else_made_is_not() {
        assert!(check(&header(), br#"{"id":"evt_2"}"#, &[SECRET], 1_700_000_000).is_err());
        assert!(check(&header(), BODY, &["whsec_two"], 1_700_000_000).is_err());
        assert!(check(&header(), BODY, &[], 1_700_000_000).is_err());
        let moved = header().replace("1700000000", "1700000001");
        assert!(check(&moved, BODY, &[SECRET], 1_700_000_000).is_err());
        for broken in [
            String::new(),
            "t=1700000000".to_owned(),
            format!("v1={SIGNATURE}"),
            format!("t=,v1={SIGNATURE}"),
            format!("t=-1,v1={SIGNATURE}"),
            format!("t=+1700000000,v1={SIGNATURE}"),
            format!("t=1700000000,t=1700000000,v1={SIGNATURE}"),
            format!("t=1700000000,v0={SIGNATURE}"),
            format!("t=1700000000,v1={}", &SIGNATURE[1..]),
            format!("t=1700000000,v1={SIGNATURE}00"),
            "t=1700000000,v1=zz".to_owned(),
            "t=99999999999999999999,v1=00".to_owned(),
            format!("t=1700000000{}", ",v1=00".repeat(99)),
        ] {
            assert!(check(&broken, BODY, &[SECRET], 1_700_000_000).is_err(), "{broken}");
        }
    }
}
