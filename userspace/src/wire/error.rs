//! What can be wrong with bytes and texts from outside, one variant a reason.

use std::fmt;

use super::header::Rcode;

/// Makes an error enum whose variants are also counters: `COUNT`, `index` and `Display`.
macro_rules! reasons {
    (
        $(#[$type_doc:meta])*
        pub enum $type:ident { $( $(#[$doc:meta])* $variant:ident => $text:literal, )* }
    ) => {
        $(#[$type_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $( $(#[$doc])* $variant, )*
        }

        impl $type {
            /// Every reason, in the order of their [`index`](Self::index).
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The place of this reason in a table of counters: 0 to `COUNT - 1`.
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self {
                    $( Self::$variant => $text, )*
                })
            }
        }

        impl std::error::Error for $type {}
    };
}

reasons! {
    /// Why octets are not a message or a name that we accept.
    pub enum ParseError {
        /// The message ends before its header does (RFC 1035 4.1.1).
        ShortHeader => "the message is shorter than a header",
        /// The QR bit says that this is a response (RFC 1035 4.1.1).
        NotAQuery => "the message is a response, not a query",
        /// The OPCODE is not QUERY.
        Opcode => "the operation is not QUERY",
        /// A QUERY asks one question, neither none nor several (RFC 9619 4).
        QuestionCount => "the number of questions is not one",
        /// A query has no answer section.
        AnswerInQuery => "the query has records in its answer section",
        /// Only an IXFR query has an authority section, of one SOA record (RFC 1995 3).
        AuthorityInQuery => "the query has records in its authority section",
        /// More additional records than a query has any use for.
        AdditionalCount => "the query has too many additional records",
        /// The octets end before the name does.
        ShortName => "the name is cut short",
        /// A name of more than 255 octets (RFC 1035 2.3.4).
        NameTooLong => "the name is longer than 255 octets",
        /// A label that starts with the bits 01 or 10 (RFC 6891 5: extended label types are gone).
        LabelType => "a label has a type that does not exist",
        /// A compression pointer where no earlier name exists to point at.
        PointerInQuestion => "the question holds a compression pointer",
        /// A compression pointer to itself or to what follows it (RFC 1035 4.1.4: "prior").
        ForwardPointer => "a compression pointer does not point back",
        /// A compression pointer into the message header, where no name can be.
        PointerIntoHeader => "a compression pointer points into the header",
        /// More compression pointers in one name than it can have labels.
        PointerChain => "a name is made of too many compression pointers",
        /// Octets behind a name that should have been all there is.
        TrailingOctets => "octets follow the name",
        /// The message ends before type and class of the question do.
        ShortQuestion => "the question is cut short",
        /// The message ends before a record that the header counted does.
        ShortRecord => "a record is cut short or missing",
        /// An OPT record belongs to the root (RFC 6891 6.1.2).
        OptNotRoot => "the OPT record is not owned by the root",
        /// A message has at most one OPT record (RFC 6891 6.1.1).
        SecondOpt => "the message has more than one OPT record",
        /// An EDNS option is longer than the OPT record that holds it (RFC 6891 6.1.2).
        OptionLength => "an EDNS option does not fit its record",
        /// An EDNS version that we do not speak (RFC 6891 6.1.3).
        EdnsVersion => "the EDNS version is not 0",
    }
}

impl ParseError {
    /// The RCODE that tells the client; `None` where silence is right: to answer what is no query
    /// would let two servers talk to each other for ever.
    #[must_use]
    pub const fn rcode(self) -> Option<Rcode> {
        match self {
            Self::ShortHeader | Self::NotAQuery => None,
            Self::Opcode => Some(Rcode::NOTIMP),
            Self::EdnsVersion => Some(Rcode::BADVERS),
            Self::QuestionCount
            | Self::AnswerInQuery
            | Self::AuthorityInQuery
            | Self::AdditionalCount
            | Self::ShortName
            | Self::NameTooLong
            | Self::LabelType
            | Self::PointerInQuestion
            | Self::ForwardPointer
            | Self::PointerIntoHeader
            | Self::PointerChain
            | Self::TrailingOctets
            | Self::ShortQuestion
            | Self::ShortRecord
            | Self::OptNotRoot
            | Self::SecondOpt
            | Self::OptionLength => Some(Rcode::FORMERR),
        }
    }
}

reasons! {
    /// Why labels or a text make no domain name.
    pub enum NameError {
        /// The text is empty; the root is written as a single dot.
        Empty => "a domain name is not empty; the root is \".\"",
        /// Two dots in a row, a dot in front, or an empty label pushed.
        EmptyLabel => "a label of a domain name is empty",
        /// A label of more than 63 octets (RFC 1035 2.3.4).
        LabelTooLong => "a label of a domain name is longer than 63 octets",
        /// A name of more than 255 octets (RFC 1035 2.3.4).
        NameTooLong => "the domain name is longer than 255 octets",
        /// A backslash without a character or three digits up to 255 behind it (RFC 1035 5.1).
        Escape => "a backslash in a domain name is not followed by a character or by 000 to 255",
        /// Letters outside ASCII: such a name is asked for in its A-label form (RFC 5890 2.3.2.1).
        NotAscii => "the domain name has letters outside ASCII; write its xn-- form",
    }
}

/// What was to be written does not fit the reply: finish it as truncated (RFC 2181 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruncationError;

impl fmt::Display for TruncationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reply is full")
    }
}

impl std::error::Error for TruncationError {}

/// A text is neither a registered mnemonic nor the generic form with a number (RFC 3597 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMnemonic;

impl fmt::Display for UnknownMnemonic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a known mnemonic")
    }
}

impl std::error::Error for UnknownMnemonic {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        assert_eq!(ParseError::COUNT, ParseError::ALL.len());
        for (place, reason) in ParseError::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place, "{reason}");
        }
    }

    #[test]
    fn only_what_is_no_query_meets_silence() {
        let silent: Vec<_> =
            ParseError::ALL.iter().filter(|reason| reason.rcode().is_none()).collect();
        assert_eq!(silent, [&ParseError::ShortHeader, &ParseError::NotAQuery]);
    }
}
