//! Texts that are never printed.

use std::fmt;

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret, without the white space around it that comes with a file.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
    /// The text, for the places that need it.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new(" sk_test_1\n")), "[secret]");
        assert_eq!(Secret::new(" sk_test_1\n").expose(), "sk_test_1");
    }
}
