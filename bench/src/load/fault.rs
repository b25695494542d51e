//! What can be wrong with an answer, and what answers are judged by.
#![forbid(unsafe_code)]

use dns64::pref64::Pref64;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It comes from another address than the one that was asked.
    Source,
    /// Its ID is that of no query.
    Id,
    /// Its question is not that of the query with its ID.
    Question,
    /// The letters of its question are not those of the query.
    LetterCase,
    /// It cannot be read.
    Malformed,
    /// Another RCODE than the name says.
    Rcode,
    /// A synthesized address is not under the prefix.
    Prefix,
    /// A synthesized address holds another IPv4 address than the name says.
    Ipv4,
    /// An address that the name does not say, or one twice.
    Address,
    /// A record is missing.
    Missing,
    /// A PTR record points to another name.
    Ptr,
    /// A record or a chain of CNAME records belongs to another name.
    Owner,
    /// A TTL is longer than the name allows.
    Ttl,
    /// The client's part of the COOKIE option is another.
    Cookie,
}

impl Fault {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Source,
        Self::Id,
        Self::Question,
        Self::LetterCase,
        Self::Malformed,
        Self::Rcode,
        Self::Prefix,
        Self::Ipv4,
        Self::Address,
        Self::Missing,
        Self::Ptr,
        Self::Owner,
        Self::Ttl,
        Self::Cookie,
    ];

    /// Its word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Id => "id",
            Self::Question => "question",
            Self::LetterCase => "letter_case",
            Self::Malformed => "malformed",
            Self::Rcode => "rcode",
            Self::Prefix => "prefix",
            Self::Ipv4 => "ipv4",
            Self::Address => "address",
            Self::Missing => "missing",
            Self::Ptr => "ptr",
            Self::Owner => "owner",
            Self::Ttl => "ttl",
            Self::Cookie => "cookie",
        }
    }
}

/// What answers are judged by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The NAT64 prefixes of the server; at least one, at most [`PREFIXES_MAX`]. It makes an
    /// address of each with each IPv4 address.
    pub prefixes: Vec<Pref64>,
    /// Whether answers are compared with what the names say; otherwise ID, question and source
    /// only.
    pub by_name: bool,
    /// What is right as well: the server may change to another configuration and back. An answer is
    /// of one of them, whole.
    pub alternative: Option<Box<Self>>,
}

/// The most NAT64 prefixes.
pub const PREFIXES_MAX: usize = 12;
