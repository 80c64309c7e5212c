//! What is counted, printed and asked for by a word of its own.

/// An enum, a list of all of it, and the word of each.
macro_rules! words {
    ($(#[$about:meta])+ pub enum $enum:ident { $($(#[$doc:meta])+ $name:ident $word:literal,)+ }) => {
        $(#[$about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $enum {
            $($(#[$doc])+ $name,)+
        }
        impl $enum {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}
pub(crate) use words;
