//! One macro for the numbers of DNS that have a registry of mnemonics.

/// Makes an open newtype over an integer: a constant for each registered value, `Display` as the
/// mnemonic or as a word and the number (`TYPE65280`, RFC 3597 5), and `FromStr` for both, in any
/// letter case.
macro_rules! mnemonics {
    (
        $(#[$type_doc:meta])*
        pub struct $type:ident($number:ty), else $unknown:literal;
        $( $(#[$doc:meta])* $name:ident = $value:literal, $text:literal; )*
    ) => {
        $(#[$type_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(pub $number);

        impl $type {
            $( $(#[$doc])* pub const $name: Self = Self($value); )*

            /// Every value that has a mnemonic, in the order of the registry.
            pub const REGISTERED: &'static [Self] = &[$( Self::$name ),*];

            /// The registered mnemonic, if there is one.
            #[must_use]
            pub const fn mnemonic(self) -> Option<&'static str> {
                match self {
                    $( Self::$name => Some($text), )*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.mnemonic() {
                    Some(text) => f.pad(text),
                    None => write!(f, concat!($unknown, "{}"), self.0),
                }
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::wire::error::UnknownMnemonic;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $( if text.eq_ignore_ascii_case($text) { return Ok(Self::$name); } )*
                text.split_at_checked($unknown.len())
                    .filter(|(word, digits)| {
                        word.eq_ignore_ascii_case($unknown)
                            && digits.bytes().all(|digit| digit.is_ascii_digit())
                    })
                    .and_then(|(_, digits)| digits.parse().ok())
                    .map(Self)
                    .ok_or($crate::wire::error::UnknownMnemonic)
            }
        }
    };
}
