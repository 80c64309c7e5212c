//! Enums of stable words.

/// An enum of faults: each variant with its stable word, and all of them for the printed list.
macro_rules! fault_codes {
    ($(#[$doc:meta])* pub enum $codes:ident; $($(#[$of:meta])* $name:ident = $word:literal;)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $codes {
            $($(#[$of])* $name,)+
        }
        impl $codes {
            /// Every code, for the printed list.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// The stable word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}
pub(crate) use fault_codes;
