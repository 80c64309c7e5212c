//! The text form of a SHA-256 digest, the same for everything that is known by one.

use std::fmt;

/// The text is not `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `sha256:` and 64 hexadecimal digits")]
pub struct InvalidHash;

/// `sha256:` and the digits.
pub(crate) fn write(digest: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("sha256:")?;
    digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The digest of exactly the text that [`write`] makes of it.
pub(crate) fn parse(text: &str) -> Result<[u8; 32], InvalidHash> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let digits = text.strip_prefix("sha256:").filter(|digits| digits.len() == 64 && digits.bytes().all(is_digit));
    let digits = digits.ok_or(InvalidHash)?;
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).map_err(|_| InvalidHash)?;
    }
    Ok(digest)
}
