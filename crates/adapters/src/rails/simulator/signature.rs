//! How the simulator signs what it tells: HMAC-SHA256 over the instant, a full stop and the body.

use domain::timestamp::Timestamp;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::Write;

/// The header with the signature: `t=<seconds since 1970>,v1=<hexadecimal digits>`.
pub const HEADER: &str = "disburse-simulator-signature";
/// How old or how far ahead a signature may be.
const TOLERANCE_SECONDS: i64 = 300;
/// Microseconds in a second.
const MICROS: i64 = 1_000_000;

fn mac(secret: &[u8], seconds: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    Some(mac)
}

/// The value of the header.
pub(crate) fn sign(secret: &[u8], at: Timestamp, body: &[u8]) -> String {
    let seconds = at.unix_micros().div_euclid(MICROS);
    let digest = mac(secret, seconds, body).map(|mac| mac.finalize().into_bytes()).unwrap_or_default();
    let mut value = format!("t={seconds},v1=");
    for byte in digest {
        let _ = write!(value, "{byte:02x}");
    }
    value
}

/// Whether whoever knows the secret signed that body not long ago. Any of several `v1` may be the right one.
///
/// # Errors
/// Why not.
pub(crate) fn verify(secret: &[u8], value: &str, body: &[u8], now: Timestamp) -> Result<(), &'static str> {
    let parts = || value.split(',').filter_map(|part| part.trim().split_once('='));
    let mut instants = parts().filter(|(name, _)| *name == "t").map(|(_, value)| value);
    let (Some(seconds), None) = (instants.next(), instants.next()) else { return Err("it has not one instant") };
    let seconds: i64 = seconds.parse().map_err(|_| "its instant is none")?;
    let is_good = parts().filter(|(name, _)| *name == "v1").any(|(_, digits)| {
        // Compares in constant time.
        unhex(digits).zip(mac(secret, seconds, body)).is_some_and(|(given, mac)| mac.verify_slice(&given).is_ok())
    });
    if !is_good {
        return Err("it does not match");
    }
    let age = now.unix_micros().div_euclid(MICROS).saturating_sub(seconds);
    if age.saturating_abs() > TOLERANCE_SECONDS { Err("it is too old") } else { Ok(()) }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    if !digits.is_ascii() || digits.len() != 64 {
        return None;
    }
    (0..64).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"secret";
    const BODY: &[u8] = b"{\"id\":\"evt_1\"}";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * MICROS)
    }

    /// The digits come from `printf '1000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn the_signature_is_what_others_calculate() {
        let digits = "9a87814c353fb728b2a0563fc1b83be3f731d47017373fd4cf10c07c21eccf6f";
        assert_eq!(sign(SECRET, at(1_000), BODY), format!("t=1000,v1={digits}"));
    }

    #[test]
    fn only_what_was_signed_not_long_ago_is_believed() {
        let check = |value: &str, body: &[u8], now: i64, believed: Result<(), &str>| {
            assert_eq!(verify(SECRET, value, body, at(now)), believed, "{value} at {now}");
        };
        let good = sign(SECRET, at(1_000), BODY);
        check(&good, BODY, 1_000, Ok(()));
        check(&good, BODY, 1_300, Ok(()));
        check(&good, BODY, 700, Ok(()));
        check(&good, BODY, 1_301, Err("it is too old"));
        check(&good, BODY, 699, Err("it is too old"));
        check(&good, b"{}", 1_000, Err("it does not match"));
        check(&good.replace("t=1000", "t=1001"), BODY, 1_000, Err("it does not match"));
        check(&sign(b"other", at(1_000), BODY), BODY, 1_000, Err("it does not match"));
        check(&good.replace("v1=", "v0="), BODY, 1_000, Err("it does not match"));
        check(&format!("{good},t=1000"), BODY, 1_000, Err("it has not one instant"));
        check(&good.replace("t=1000,", ""), BODY, 1_000, Err("it has not one instant"));
        check("", BODY, 1_000, Err("it has not one instant"));
        check("t=x,v1=", BODY, 1_000, Err("its instant is none"));
        let second = format!("t=1000,v1={},{}", "0".repeat(64), good.split_once(',').unwrap().1);
        check(&second, BODY, 1_000, Ok(()));
    }
}
