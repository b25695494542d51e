//! A query: a message that passed every check a server must make before it thinks about an answer.
//!
//! ```text
//!  header (12) │ QNAME │ QTYPE │ QCLASS │ additional: OPT, TSIG, ... │ anything (ignored)
//! ```
//!
//! One pass, in the order of the octets; the first fault decides. A fault says which RCODE tells
//! the client, and what of the query can be given back to it ([`QueryError`]).

use std::fmt;

use super::build::error_reply;
use super::edns::{Opt, ReplyOpt};
use super::error::ParseError;
use super::header::{Flags, Header, Opcode, Rcode};
use super::name::{LABEL_LEN_MAX, Name};
use super::question::{Class, Question, Rtype};
use crate::limits::{HEADER_LEN, NAME_LEN_MAX, UDP_PLAIN_LEN_MAX};

/// Additional records in a query that we are willing to walk over: an OPT, a TSIG, and some that
/// nobody has thought of yet.
pub const ADDITIONAL_RECORDS_MAX: u16 = 16;

/// Octets of the longest question: name, type and class.
pub const QUESTION_LEN_MAX: usize = NAME_LEN_MAX + 4;

/// A query as a view into the octets it came in.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The header: the OPCODE is QUERY and QR is clear.
    pub header: Header,
    /// What is asked.
    pub question: Question<'a>,
    /// EDNS version 0, if the client speaks EDNS.
    pub opt: Option<Opt<'a>>,
    /// The question's octets.
    question_octets: &'a [u8],
}

impl<'a> Query<'a> {
    /// Reads a message from a client. Octets behind the last record are ignored.
    ///
    /// # Errors
    /// [`QueryError`] if it must not be answered, or only with an error.
    pub fn parse(message: &'a [u8]) -> Result<Self, QueryError<'a>> {
        let Some(header) = Header::parse(message) else {
            return Err(QueryError::bare(ParseError::ShortHeader));
        };
        if let Some(kind) = header_fault(&header) {
            return Err(QueryError::in_header(kind, &header, message));
        }
        let (question, question_octets, rest) =
            split_question(message).map_err(QueryError::bare)?;
        let fault = |kind, opt| QueryError {
            question: Some(question_octets),
            opt,
            ..QueryError::bare(kind)
        };
        let mut records = Records { message, rest };
        if header.counts.authorities != 0 {
            // An IXFR client tells its version of the zone by an SOA record (RFC 1995 3).
            if question.rtype != Rtype::IXFR || header.counts.authorities != 1 {
                return Err(fault(ParseError::AuthorityInQuery, None));
            }
            records.split().map_err(|kind| fault(kind, None))?;
        }
        let mut opt = None;
        if let Err(kind) = find_opt(records, header.counts.additionals, &mut opt) {
            return Err(fault(kind, opt));
        }
        // RFC 6891 6.1.3: a version that is not implemented is BADVERS, whatever else it brings.
        if opt.is_some_and(|opt| opt.version != 0) {
            return Err(fault(ParseError::EdnsVersion, opt));
        }
        Ok(Self { header, question, opt, question_octets })
    }

    /// Name, type and class exactly as asked, for the reply to repeat.
    #[must_use]
    pub const fn question_octets(&self) -> &'a [u8] {
        self.question_octets
    }

    /// Whether the client wants DNSSEC records.
    #[must_use]
    pub const fn dnssec_ok(&self) -> bool {
        matches!(self.opt, Some(Opt { dnssec_ok: true, .. }))
    }

    /// The octets a UDP reply may have: what the client takes (RFC 6891 6.2.3), but no more than
    /// `ours` and no less than every client takes.
    #[must_use]
    pub fn udp_limit(&self, ours: usize) -> usize {
        let theirs = self.opt.map_or(UDP_PLAIN_LEN_MAX, |opt| usize::from(opt.payload_len));
        theirs.min(ours).max(UDP_PLAIN_LEN_MAX)
    }

    /// The flags that a reply to this query starts from.
    #[must_use]
    pub const fn reply_flags(&self) -> Flags {
        Flags::reply_to(self.header.flags)
    }

    /// The bare OPT record of the reply: there is one if the query had one (RFC 6891 6.1.1).
    #[must_use]
    pub fn reply_opt(&self, payload_len: u16) -> Option<ReplyOpt<'static>> {
        self.opt.map(|opt| ReplyOpt { payload_len, dnssec_ok: opt.dnssec_ok, errors: &[] })
    }
}

/// What the header alone says against a query. The operation comes first, because it decides what
/// the counts mean: an unknown one is NOTIMP even without a question (RFC 8906 3.1.4).
fn header_fault(header: &Header) -> Option<ParseError> {
    if header.flags.qr() {
        Some(ParseError::NotAQuery)
    } else if header.flags.opcode() != Opcode::QUERY {
        Some(ParseError::Opcode)
    } else if header.counts.questions != 1 {
        Some(ParseError::QuestionCount)
    } else if header.counts.answers != 0 {
        Some(ParseError::AnswerInQuery)
    } else if header.counts.additionals > ADDITIONAL_RECORDS_MAX {
        Some(ParseError::AdditionalCount)
    } else {
        None
    }
}

/// The question as a view, its octets, and what follows.
type SplitQuestion<'a> = (Question<'a>, &'a [u8], &'a [u8]);

/// Takes the question that follows the header.
fn split_question(message: &[u8]) -> Result<SplitQuestion<'_>, ParseError> {
    let body = message.get(HEADER_LEN..).ok_or(ParseError::ShortHeader)?;
    let (name, rest) = Name::split(body)?;
    let Some((octets, behind)) = body.split_at_checked(name.as_wire().len() + 4) else {
        return Err(ParseError::ShortQuestion);
    };
    let Some(&[a, b, c, d]) = rest.first_chunk::<4>() else {
        return Err(ParseError::ShortQuestion);
    };
    let rtype = Rtype(u16::from_be_bytes([a, b]));
    let class = Class(u16::from_be_bytes([c, d]));
    Ok((Question { name, rtype, class }, octets, behind))
}

// ---- Records behind the question

/// A record of which only OPT is of interest.
struct Record<'a> {
    owner_is_root: bool,
    rtype: Rtype,
    class: u16,
    ttl: u32,
    rdata: &'a [u8],
}

/// The records that are still to be walked over.
struct Records<'a> {
    /// The whole message: pointers count from its start.
    message: &'a [u8],
    /// Its octets from the next record on.
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// Takes the next record.
    fn split(&mut self) -> Result<Record<'a>, ParseError> {
        let (owner_is_root, rest) = self.skip_owner()?;
        let Some((&[a, b, c, d, e, f, g, h, i, j], rest)) = rest.split_first_chunk::<10>() else {
            return Err(ParseError::ShortRecord);
        };
        let rdata_len = usize::from(u16::from_be_bytes([i, j]));
        let (rdata, rest) = rest.split_at_checked(rdata_len).ok_or(ParseError::ShortRecord)?;
        self.rest = rest;
        Ok(Record {
            owner_is_root,
            rtype: Rtype(u16::from_be_bytes([a, b])),
            class: u16::from_be_bytes([c, d]),
            ttl: u32::from_be_bytes([e, f, g, h]),
            rdata,
        })
    }

    /// Walks over the owner name. Nobody needs it, so a pointer is checked but not followed.
    fn skip_owner(&self) -> Result<(bool, &'a [u8]), ParseError> {
        let mut rest = self.rest;
        let mut name_len = 0;
        loop {
            // A record that is missing altogether is a count that lies, not a bad name.
            let missing =
                if name_len == 0 { ParseError::ShortRecord } else { ParseError::ShortName };
            let (&len, behind) = rest.split_first().ok_or(missing)?;
            match len {
                0 => return Ok((name_len == 0, behind)),
                192.. => {
                    let (&low, behind) = behind.split_first().ok_or(ParseError::ShortName)?;
                    let target = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                    if target >= self.message.len() - rest.len() {
                        return Err(ParseError::ForwardPointer);
                    }
                    if target < HEADER_LEN {
                        return Err(ParseError::PointerIntoHeader);
                    }
                    return Ok((false, behind));
                }
                _ if usize::from(len) > LABEL_LEN_MAX => return Err(ParseError::LabelType),
                _ => {}
            }
            name_len += 1 + usize::from(len);
            if name_len >= NAME_LEN_MAX {
                return Err(ParseError::NameTooLong);
            }
            rest = behind.get(usize::from(len)..).ok_or(ParseError::ShortName)?;
        }
    }
}

/// Walks over the additional section and keeps its OPT record, also if a later record is at fault:
/// the reply to a client that speaks EDNS speaks EDNS.
fn find_opt<'a>(
    mut records: Records<'a>,
    count: u16,
    opt: &mut Option<Opt<'a>>,
) -> Result<(), ParseError> {
    for _ in 0..count {
        let record = records.split()?;
        if record.rtype != Rtype::OPT {
            continue;
        }
        if !record.owner_is_root {
            return Err(ParseError::OptNotRoot);
        }
        if opt.is_some() {
            return Err(ParseError::SecondOpt);
        }
        *opt = Some(Opt::without_options(record.class, record.ttl));
        *opt = Some(Opt::parse(record.class, record.ttl, record.rdata)?);
    }
    Ok(())
}

// ---- Errors

/// Why a message is not a query to think about, and what can be told the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryError<'a> {
    /// The fault.
    pub kind: ParseError,
    /// The RCODE of the reply; `None` = stay silent.
    pub rcode: Option<Rcode>,
    /// The octets of the question, if they could be read, for the reply to repeat.
    pub question: Option<&'a [u8]>,
    /// The OPT record, if one was seen: then the reply has one too (RFC 6891 6.1.1).
    pub opt: Option<Opt<'a>>,
}

impl<'a> QueryError<'a> {
    /// A fault of which nothing more is known.
    const fn bare(kind: ParseError) -> Self {
        Self { kind, rcode: kind.rcode(), question: None, opt: None }
    }

    /// A fault in the header: looks whether the rest still has a question and an OPT record.
    #[cold]
    fn in_header(kind: ParseError, header: &Header, message: &'a [u8]) -> Self {
        let mut error = Self::bare(kind);
        if error.rcode.is_none() || header.counts.questions != 1 {
            return error;
        }
        let Ok((_, question, rest)) = split_question(message) else { return error };
        error.question = Some(question);
        if header.counts.answers == 0 && header.counts.authorities == 0 {
            let count = header.counts.additionals.min(ADDITIONAL_RECORDS_MAX);
            // Whatever else is wrong behind the question, the first fault is the one that counts.
            let _ = find_opt(Records { message, rest }, count, &mut error.opt);
        }
        error
    }

    /// Writes the reply that tells the client and returns its length; `None` = stay silent.
    /// `payload_len` is the largest UDP payload that we take.
    ///
    /// # Panics
    /// If the buffer has less than 512 octets.
    pub fn write_reply(
        &self,
        message: &[u8],
        payload_len: u16,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let rcode = self.rcode?;
        let opt =
            self.opt.map(|opt| ReplyOpt { payload_len, dnssec_ok: opt.dnssec_ok, errors: &[] });
        error_reply(message, self.question, rcode, opt.as_ref(), buffer)
    }
}

impl fmt::Display for QueryError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl std::error::Error for QueryError<'_> {}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
