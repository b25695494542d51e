//! The wire form of DNS messages, as far as a server needs it for queries and replies (RFC 1035 4,
//! RFC 6891, RFC 8914, RFC 9619).
//!
//! ```text
//!  bytes of a client ──► query::Query::parse ──► Query { header, question, opt }
//!                              │
//!                              └─ QueryError ──► build::error_reply ──► bytes of a reply
//!
//!  build::ReplyBuilder ──► header │ question │ answer │ authority │ additional │ OPT
//! ```
//!
//! What arrives is looked at through borrowed views ([`Name`], [`Question`], [`Opt`], [`Query`]):
//! their constructors check every length once, and after that nothing can fail. What leaves is
//! written into the caller's buffer by [`ReplyBuilder`]. Nothing here allocates, knows the time or
//! keeps state, and no input makes it panic: octets are reached with `get`, `split_at_checked` and
//! `split_first_chunk` only.
//!
//! Numbers that IANA may extend ([`Rtype`], [`Class`], [`Opcode`], [`Rcode`], [`InfoCode`]) are
//! open newtypes: a value without a mnemonic is kept as it came and shown as RFC 3597 asks.
#![forbid(unsafe_code)]

#[macro_use]
mod mnemonic;

pub mod build;
pub mod edns;
pub mod error;
pub mod header;
pub mod name;
pub mod plain;
pub mod query;
pub mod question;

pub use build::{Owner, ReplyBuilder, Section, error_reply};
pub use edns::{ExtendedError, InfoCode, Opt, ReplyOpt};
pub use error::{NameError, ParseError, TruncationError, UnknownMnemonic};
pub use header::{Flags, Header, Opcode, Rcode, SectionCounts};
pub use name::{Name, NameBuf};
pub use plain::PlainQuery;
pub use query::{Query, QueryError};
pub use question::{Class, Question, Rtype};
