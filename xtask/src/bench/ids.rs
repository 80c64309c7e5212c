//! Ids of ours as numbers: a time in milliseconds, 48 bits, and what tells those of one time apart.

/// Digits of base 32, smallest first.
pub const DIGITS: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// The number behind the prefix of an id as it is written: 26 digits of base 32.
pub fn decode(text: &str) -> Option<u128> {
    digits(text.split_once('_')?.1)
}

/// The number of 26 digits in either case.
pub fn digits(text: &str) -> Option<u128> {
    if text.len() != 26 || !text.starts_with(|first: char| matches!(first, '0'..='7')) {
        return None;
    }
    text.bytes().try_fold(0, |value: u128, byte| {
        let digit = DIGITS.bytes().position(|known| known == byte.to_ascii_lowercase())?;
        Some(value << 5 | digit as u128)
    })
}

/// The 26 digits of a number.
pub fn encode(value: u128) -> String {
    (0..26).rev().map(|place| char::from(DIGITS.as_bytes()[((value >> (place * 5)) & 31) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_they_are_read() {
        let id = 0x01a2_2b49_b641_72c0_8a05_c026_d829_55bf;
        assert_eq!(encode(id), "01m8nmkdj1eb08m1e04vc2jndz");
        assert_eq!(decode("batch_01m8nmkdj1eb08m1e04vc2jndz"), Some(id));
        assert_eq!(digits("01M8NMKDJ1EB08M1E04VC2JNDZ"), Some(id));
        for bad in ["batch_1", "batch", "batch_81m8nmkdj1eb08m1e04vc2jndz", "batch_u1m8nmkdj1eb08m1e04vc2jndz"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
