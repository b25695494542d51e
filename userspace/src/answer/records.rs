//! Answers as lists of records, for those who make or change them one by one, and back again.
//!
//! A record is taken apart as far as its owner, type, TTL and RDATA; names in it are written whole.
//! The text of RDATA is that of a master file (RFC 1035 5.1).

use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable;

use super::compile::{CompileError, uncompressed_rdata, wire_name_as_received};
use super::encode::{Age, Request, write_native};
use super::{Answer, AnswerFlags, Head, Outcome, POINTER_TO_QUESTION, write_head};
use crate::limits::HEADER_LEN;
use crate::wire::edns::InfoCode;
use crate::wire::header::Rcode;
use crate::wire::name::NameBuf;
use crate::wire::question::{Class, Rtype};

/// The last place a compression pointer can name (RFC 1035 4.1.4).
const POINTER_MAX: usize = 0x3fff;

/// The section a record stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The answer section.
    Answer = 1,
    /// The authority section.
    Authority = 2,
    /// The additional section.
    Additional = 3,
}

/// A record, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainRecord {
    /// Where it stands.
    pub section: Section,
    /// Its owner.
    pub name: NameBuf,
    /// Its type.
    pub rtype: Rtype,
    /// Its TTL, in seconds.
    pub ttl_secs: u32,
    /// Its RDATA, names in it written whole.
    pub rdata: Vec<u8>,
}

impl PlainRecord {
    /// The RDATA as text: that of a master file for types that are known, `\# n hex` for others
    /// (RFC 3597 5).
    #[must_use]
    pub fn text(&self) -> String {
        let rdata = self.rdata.as_slice();
        let name = |wire: &[u8]| NameBuf::from_wire(wire).map(|name| name.to_string());
        let text = match self.rtype {
            Rtype::A => <[u8; 4]>::try_from(rdata).ok().map(|a| Ipv4Addr::from(a).to_string()),
            Rtype::AAAA => <[u8; 16]>::try_from(rdata).ok().map(|a| Ipv6Addr::from(a).to_string()),
            Rtype::CNAME | Rtype::NS | Rtype::PTR | Rtype::DNAME => name(rdata).ok(),
            Rtype::TXT => strings_text(rdata),
            _ => parsed_text(self.rtype, rdata),
        };
        text.unwrap_or_else(|| {
            let hex: String = rdata.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("\\# {} {hex}", rdata.len())
        })
    }
}

/// The records of a message in wire form, but for the OPT record; none if it cannot be read.
#[must_use]
pub fn read(message: &[u8]) -> Vec<PlainRecord> {
    let Ok(message) = Message::from_vec(message) else { return Vec::new() };
    let sections = [
        (Section::Answer, &message.answers),
        (Section::Authority, &message.authorities),
        (Section::Additional, &message.additionals),
    ];
    let mut records = Vec::new();
    for (section, list) in sections {
        records.extend(list.iter().filter_map(|record| plain(section, record)));
    }
    records
}

/// The records of a compiled answer to a question for `name`, in wire form, of this type and class;
/// their TTLs are what is left at this age.
#[must_use]
pub fn of_answer(
    answer: &Answer<'_>,
    name: &[u8],
    (rtype, class): (Rtype, Class),
    age: Age,
) -> Vec<PlainRecord> {
    let question = [name, &rtype.0.to_be_bytes(), &class.0.to_be_bytes()].concat();
    let limit = HEADER_LEN + question.len() + answer.compiled_len();
    let request = Request {
        id: 0,
        recursion_desired: true,
        checking_disabled: false,
        wants_authentic: false,
        edns: false,
        dnssec_ok: false,
        limit,
        question: &question,
        alias: None,
    };
    let mut message = vec![0; limit];
    let len = write_native(&mut message, &request, answer, age, false, None);
    read(&message[..len])
}

/// One record of a parsed message.
fn plain(section: Section, record: &Record) -> Option<PlainRecord> {
    Some(PlainRecord {
        section,
        name: NameBuf::from_wire(&wire_name_as_received(&record.name)).ok()?,
        rtype: Rtype(u16::from(record.record_type())),
        ttl_secs: record.ttl,
        rdata: uncompressed_rdata(&record.data).ok()?,
    })
}

/// RDATA from its text; `None` if it is not the text of this type.
#[must_use]
pub fn rdata_of(rtype: Rtype, text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    if let Some(generic) = text.strip_prefix("\\#") {
        return well_formed(rtype, generic_rdata(generic)?);
    }
    match rtype {
        Rtype::A => Some(text.parse::<Ipv4Addr>().ok()?.octets().to_vec()),
        Rtype::AAAA => Some(text.parse::<Ipv6Addr>().ok()?.octets().to_vec()),
        Rtype::CNAME | Rtype::NS | Rtype::PTR | Rtype::DNAME => {
            Some(text.parse::<NameBuf>().ok()?.as_wire().to_vec())
        }
        Rtype::TXT => strings_rdata(text),
        _ => {
            // Names without the final dot are absolute all the same.
            let ends_with_name = matches!(rtype, Rtype::MX | Rtype::SRV);
            let dot = if ends_with_name && !text.ends_with('.') { "." } else { "" };
            let parsed = RData::try_from_str(RecordType::from(rtype.0), &format!("{text}{dot}"));
            uncompressed_rdata(&parsed.ok()?).ok()
        }
    }
}

/// RDATA of any type, as RFC 3597 5 writes it behind `\#`.
fn generic_rdata(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_whitespace();
    let len: usize = words.next()?.parse().ok()?;
    let digits: String = words.collect();
    let pairs = digits.as_bytes().chunks(2);
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let rdata: Vec<u8> = pairs.map(octet).collect::<Option<_>>()?;
    (rdata.len() == len && digits.len() == 2 * len).then_some(rdata)
}

/// RDATA that is what its type says, if the type is known (RFC 3597 5).
fn well_formed(rtype: Rtype, rdata: Vec<u8>) -> Option<Vec<u8>> {
    let known = RecordType::from(rtype.0);
    if rdata.is_empty() {
        return matches!(known, RecordType::NULL | RecordType::Unknown(_)).then_some(rdata);
    }
    // A record of the root.
    let mut record = vec![0];
    record.extend(rtype.0.to_be_bytes());
    record.extend(Class::IN.0.to_be_bytes());
    record.extend([0; 4]);
    record.extend(u16::try_from(rdata.len()).ok()?.to_be_bytes());
    record.extend(rdata);
    uncompressed_rdata(&Record::from_bytes(&record).ok()?.data).ok()
}

/// Character strings from their text: in quotes, or separated by white space.
fn strings_rdata(text: &str) -> Option<Vec<u8>> {
    let mut rdata = Vec::with_capacity(text.len() + 1);
    let mut letters = text.bytes().peekable();
    while let Some(first) = letters.next() {
        if first.is_ascii_whitespace() {
            continue;
        }
        let quoted = first == b'"';
        let mut string = Vec::new();
        let mut next = if quoted { letters.next() } else { Some(first) };
        loop {
            match next {
                None if quoted => return None,
                None => break,
                Some(b'"') if quoted => break,
                Some(octet) if !quoted && octet.is_ascii_whitespace() => break,
                Some(b'\\') => string.push(escaped(&mut letters)?),
                Some(octet) => string.push(octet),
            }
            next = letters.next();
        }
        let len = u8::try_from(string.len()).ok()?;
        rdata.push(len);
        rdata.extend_from_slice(&string);
    }
    (!rdata.is_empty()).then_some(rdata)
}

/// The octet behind a backslash: three digits, or itself.
fn escaped(letters: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let first = letters.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let digits = [first, letters.next()?, letters.next()?];
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// The text of character strings, each in quotes.
fn strings_text(rdata: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(rdata.len() + 2);
    let mut rest = rdata;
    while let Some((&len, after)) = rest.split_first() {
        let (string, after) = after.split_at_checked(usize::from(len))?;
        text.push_str(if text.is_empty() { "\"" } else { " \"" });
        for octet in string {
            match octet {
                b'"' | b'\\' => text.extend(['\\', char::from(*octet)]),
                0x20..=0x7e => text.push(char::from(*octet)),
                _ => text.push_str(&format!("\\{octet:03}")),
            }
        }
        text.push('"');
        rest = after;
    }
    Some(text)
}

/// The text of RDATA of a type that the parser knows.
fn parsed_text(rtype: Rtype, rdata: &[u8]) -> Option<String> {
    // The parser reads messages: a header that counts one answer, and the record of the root.
    let mut message = vec![0, 0, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    message.extend_from_slice(&rtype.0.to_be_bytes());
    message.extend_from_slice(&Class::IN.0.to_be_bytes());
    message.extend_from_slice(&0_u32.to_be_bytes());
    message.extend_from_slice(&u16::try_from(rdata.len()).ok()?.to_be_bytes());
    message.extend_from_slice(rdata);
    let message = Message::from_vec(&message).ok()?;
    let data = &message.answers.first()?.data;
    (!matches!(data, RData::Unknown { .. })).then(|| data.to_string())
}

/// What is compiled besides the records.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The name of the question in wire form.
    pub question_name: &'a [u8],
    /// The RCODE.
    pub rcode: Rcode,
    /// The Extended Error.
    pub info_code: Option<InfoCode>,
    /// The class of all records.
    pub class: Class,
    /// Seconds for which the answer holds.
    pub ttl_secs: u32,
}

/// Compiles an answer of these records into `into`, as they stand. Those of the additional section
/// are left out: replies from compiled answers have none.
///
/// # Errors
/// If they are too long for a message.
pub fn compile(
    made: &Made<'_>,
    records: &[PlainRecord],
    into: &mut Vec<u8>,
) -> Result<(), CompileError> {
    let mut image = Vec::with_capacity(512);
    let mut ttl_slots: Vec<u16> = Vec::with_capacity(records.len());
    let mut pointer_slots: Vec<u16> = Vec::with_capacity(records.len());
    // Owners that can be pointed to.
    let mut known: Vec<(&[u8], u16)> = vec![(made.question_name, POINTER_TO_QUESTION)];
    let base = HEADER_LEN + made.question_name.len() + 4;
    let short = |len: usize| u16::try_from(len).map_err(|_| CompileError::TooLong);
    let mut counts = [0_u16; 2];
    let mut lens = [0_usize; 2];
    for (place, section) in [Section::Answer, Section::Authority].into_iter().enumerate() {
        let start = image.len();
        for record in records.iter().filter(|record| record.section == section) {
            let name = record.name.as_wire();
            let pointer = known.iter().find(|(target, _)| target.eq_ignore_ascii_case(name));
            if let Some((_, pointer)) = pointer {
                pointer_slots.push(short(image.len())?);
                image.extend_from_slice(&pointer.to_be_bytes());
            } else {
                let target = base + image.len();
                if target <= POINTER_MAX && name.len() > 1 {
                    known.push((name, 0xc000 | short(target)?));
                }
                image.extend_from_slice(name);
            }
            image.extend_from_slice(&record.rtype.0.to_be_bytes());
            image.extend_from_slice(&made.class.0.to_be_bytes());
            ttl_slots.push(short(image.len())?);
            image.extend_from_slice(&record.ttl_secs.to_be_bytes());
            image.extend_from_slice(&short(record.rdata.len())?.to_be_bytes());
            image.extend_from_slice(&record.rdata);
            counts[place] = counts[place].checked_add(1).ok_or(CompileError::TooLong)?;
        }
        lens[place] = image.len() - start;
    }
    let head = Head {
        outcome: Outcome::Records,
        flags: AnswerFlags::default(),
        rcode: made.rcode,
        info_code: made.info_code,
        chain_len: 0,
        chain_count: 0,
        rrset_count: 0,
        rrset_len: 0,
        tail_count: counts[0],
        tail_len: short(lens[0])?,
        authority_count: counts[1],
        authority_len: short(lens[1])?,
        soa_len: 0,
        owner: POINTER_TO_QUESTION,
        name_len: short(made.question_name.len())?,
        ttl_secs: made.ttl_secs,
        rrset_ttl_secs: 0,
        ttl_slots: short(ttl_slots.len())?,
        pointer_slots: short(pointer_slots.len())?,
    };
    into.clear();
    write_head(&head, into);
    into.extend_from_slice(&image);
    for slot in ttl_slots.iter().chain(&pointer_slots) {
        into.extend_from_slice(&slot.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;
    use crate::answer::encode::{Age, Request, write_native};

    const QUESTION: &[u8] = b"\x03www\x04test\0\0\x1c\0\x01";

    fn record(section: Section, name: &str, rtype: Rtype, text: &str) -> PlainRecord {
        let rdata = rdata_of(rtype, text).unwrap_or_else(|| panic!("{text}"));
        PlainRecord { section, name: name.parse().unwrap(), rtype, ttl_secs: 60, rdata }
    }

    #[test]
    fn text_of_every_kind_reads_back() {
        for (rtype, text) in [
            (Rtype::A, "192.0.2.1"),
            (Rtype::AAAA, "2001:db8::1"),
            (Rtype::CNAME, "web.test."),
            (Rtype::TXT, r#""a \"quoted\" word" "\007""#),
            (Rtype::MX, "10 mail.test."),
            (Rtype::SRV, "1 2 443 host.test."),
            (Rtype(65_400), "\\# 3 0a0b0c"),
        ] {
            let made = record(Section::Answer, "www.test.", rtype, text);
            assert_eq!(made.text(), text, "{rtype}");
        }
        let dot = |rtype, text| rdata_of(rtype, text).unwrap();
        assert_eq!(dot(Rtype::CNAME, "web.test"), dot(Rtype::CNAME, "web.test."));
        assert_eq!(dot(Rtype::MX, "1 web.test"), dot(Rtype::MX, "1 web.test."));
        assert_eq!(dot(Rtype::TXT, "plain words"), b"\x05plain\x05words");
        for (rtype, text) in
            [(Rtype::A, "2001:db8::1"), (Rtype::TXT, "\"open"), (Rtype(65_400), "\\# 2 0a")]
        {
            assert_eq!(rdata_of(rtype, text), None, "{text}");
        }
    }

    #[test]
    fn records_come_back_from_the_reply_they_are_compiled_for() {
        let records = [
            record(Section::Answer, "www.test.", Rtype::CNAME, "web.other.test."),
            record(Section::Answer, "web.other.test.", Rtype::AAAA, "2001:db8::1"),
            record(Section::Answer, "web.other.test.", Rtype::AAAA, "2001:db8::2"),
            record(Section::Authority, "other.test.", Rtype::NS, "ns.other.test."),
        ];
        let mut compiled = Vec::new();
        let made = Made {
            question_name: &QUESTION[..QUESTION.len() - 4],
            rcode: Rcode::NOERROR,
            info_code: None,
            class: Class::IN,
            ttl_secs: 60,
        };
        compile(&made, &records, &mut compiled).unwrap();
        let answer = Answer::read(&compiled).unwrap();
        let request = Request {
            id: 7,
            recursion_desired: true,
            checking_disabled: false,
            wants_authentic: false,
            edns: true,
            dnssec_ok: false,
            limit: 1_232,
            question: QUESTION,
            alias: None,
        };
        let mut out = [0; 1_232];
        let len = write_native(&mut out, &request, &answer, Age::Secs(20), false, None);
        let read_back = read(&out[..len]);
        let aged: Vec<PlainRecord> =
            records.iter().map(|made| PlainRecord { ttl_secs: 40, ..made.clone() }).collect();
        assert_eq!(read_back, aged);
    }

    #[test]
    fn a_broken_message_has_no_records() {
        assert!(read(b"").is_empty());
        assert!(read(&[0xff; 40]).is_empty());
    }
}
