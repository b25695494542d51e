//! Is an answer right? By the rule of the names that say their own answer.
//!
//! Names that say nothing are judged by form (all of the message can be read, its records belong
//! to the name that was asked), by prefix (an address under a NAT64 prefix is one that the prefix
//! makes of an IPv4 address), and must have no records where the RCODE says there is no such name.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::upstream::script::{A_MAX, AAAA_MAX, Host, Script};
use crate::wire::{
    CLASS_IN, HEADER_LEN, NAME_MAX, OPT_LEN, flag, labels, name_len, rcode, rtype, u16_at,
};

use super::records::{Record, Records, Section, name_is, same_name};

pub use super::fault::{Fault, PREFIXES_MAX, Rules};

/// TTL of PTR records, in seconds.
const PTR_TTL_SECS: u32 = 300;

/// TTL of answers that are given though their time is over (RFC 8767 5: "a value of 30 seconds is
/// RECOMMENDED"), in seconds.
const STALE_TTL_SECS: u32 = 30;

/// The number of the COOKIE option (RFC 7873 4).
const OPTION_COOKIE: u16 = 10;

/// Octets of a client's cookie.
const CLIENT_COOKIE_LEN: usize = 8;

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What the name says.
    Verified,
    /// Something else, or unreadable.
    Wrong(Fault),
    /// An RCODE of failure, or truncated: no answer, but no untruth.
    Failed,
    /// The name says nothing, and nothing is wrong with the form.
    Unchecked,
}

/// Whether a response belongs to the query whose ID it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belonging {
    /// It has the same question, letter for letter.
    Exact,
    /// It has the same question in other letters.
    LetterCase,
    /// It has another question.
    Other,
}

/// Whether a message has a header that says it is a response.
#[must_use]
pub fn is_response(message: &[u8]) -> bool {
    message.len() >= HEADER_LEN && message[2] & 0x80 != 0
}

/// Compares the questions of a response and the query with its ID. A response without a question
/// that says that it could not read or serve the query belongs to it (RFC 1035 4.1.1).
#[must_use]
pub fn belonging(response: &[u8], query: &[u8]) -> Belonging {
    let Some(name_len) = name_len(query, HEADER_LEN) else {
        // A binary query that is no DNS message: its ID is all there is.
        return Belonging::Exact;
    };
    let range = HEADER_LEN..HEADER_LEN + name_len + 4;
    let (Some(asked), Some(answered)) = (query.get(range.clone()), response.get(range)) else {
        let unread = u16_at(response, 4) == Some(0)
            && matches!(response[3] & 0x0f, rcode::FORMERR | rcode::NOTIMP | rcode::REFUSED | 2);
        return if unread { Belonging::Exact } else { Belonging::Other };
    };
    if asked == answered {
        Belonging::Exact
    } else if asked[name_len..] == answered[name_len..]
        && asked[..name_len].eq_ignore_ascii_case(&answered[..name_len])
    {
        Belonging::LetterCase
    } else {
        Belonging::Other
    }
}

/// Judges a response that belongs to its query.
#[must_use]
pub fn judge(response: &[u8], query: &[u8], rules: &Rules) -> Verdict {
    if !rules.by_name {
        return Verdict::Unchecked;
    }
    let flags = u16_at(response, 2).unwrap_or(0);
    let code = (flags & 0x0f) as u8;
    if flags & flag::TC != 0 || !matches!(code, rcode::NOERROR | rcode::NXDOMAIN) {
        return Verdict::Failed;
    }
    match Case::of(response, query, code, rules) {
        Some(case) => match (case.judge(), &rules.alternative) {
            (Ok(verdict), _) => verdict,
            (Err(fault), Some(other)) => match judge(response, query, other) {
                Verdict::Wrong(_) => Verdict::Wrong(fault),
                right @ (Verdict::Verified | Verdict::Failed | Verdict::Unchecked) => right,
            },
            (Err(fault), None) => Verdict::Wrong(fault),
        },
        // A binary query that is no DNS message.
        None => Verdict::Unchecked,
    }
}

/// A response under judgement.
struct Case<'a> {
    /// The response.
    response: &'a [u8],
    /// Its query.
    query: &'a [u8],
    /// The name asked for.
    name: &'a [u8],
    /// The type asked for.
    qtype: u16,
    /// The response's RCODE: NOERROR or NXDOMAIN.
    code: u8,
    /// The response's records.
    records: Records<'a>,
    /// What is right.
    rules: &'a Rules,
}

impl<'a> Case<'a> {
    /// A case, if the question can be read.
    fn of(response: &'a [u8], query: &'a [u8], code: u8, rules: &'a Rules) -> Option<Self> {
        let name_len = name_len(query, HEADER_LEN)?;
        let name = query.get(HEADER_LEN..HEADER_LEN + name_len)?;
        let qtype = u16_at(query, HEADER_LEN + name_len)?;
        let records = Records::behind(response, HEADER_LEN + name_len + 4)?;
        Some(Self { response, query, name, qtype, code, records, rules })
    }

    /// The verdict.
    fn judge(&self) -> Result<Verdict, Fault> {
        self.check_cookie()?;
        match (Script::of(self.name), self.qtype) {
            (Script::Host(host), _) => self.judge_host(&host),
            (Script::Reverse(address), rtype::PTR) => self.judge_ptr(address, false),
            (Script::Absent | Script::Reverse(_) | Script::ReverseParent, _) => {
                let address = reverse_address(self.name).filter(|_| self.qtype == rtype::PTR);
                let mut prefixes = self.rules.prefixes.iter();
                match address.and_then(|address| prefixes.find_map(|one| one.extract(address))) {
                    Some(address) => self.judge_ptr(address, true),
                    None => self.judge_form(),
                }
            }
        }
    }

    /// A name that says its own answer.
    fn judge_host(&self, host: &Host) -> Result<Verdict, Fault> {
        let mut expected = Expected::default();
        match self.qtype {
            rtype::A => expected.native(host.a().iter().map(|address| address.to_ipv6_mapped())),
            rtype::AAAA => {
                if !is_failure(host.rcode_for(rtype::AAAA)) {
                    // ::ffff:0:0/96 is no IPv6 address of a host (RFC 6147 5.1.4).
                    let usable = |address: &&Ipv6Addr| address.to_ipv4_mapped().is_none();
                    expected.native(host.aaaa().iter().filter(usable).copied());
                }
                if expected.len == 0 && host.rcode_for(rtype::A) == rcode::NOERROR {
                    expected.synthesized(host.a(), self.rules);
                }
            }
            255 => return self.judge_form(),
            _ => {}
        }
        let fails = if self.qtype == rtype::AAAA {
            is_failure(host.rcode_for(rtype::AAAA)) && is_failure(host.rcode_for(rtype::A))
        } else {
            is_failure(host.rcode_for(self.qtype))
        };
        let wanted = host.rcode_for(self.qtype);
        let code = if wanted == rcode::NXDOMAIN { wanted } else { rcode::NOERROR };
        if fails || code != self.code {
            return Err(Fault::Rcode);
        }
        if code == rcode::NXDOMAIN {
            expected.len = 0;
        }
        let mut last_name = [0; NAME_MAX];
        let last_name = self.last_name(host, &mut last_name);
        let mut aliases = 0;
        let mut addresses = 0;
        for record in self.records {
            let record = record.ok_or(Fault::Malformed)?;
            match (record.section, record.rtype) {
                (Section::Answer, rtype::CNAME) => {
                    aliases += 1;
                    self.check_ttl(&record, host.ttl_secs)?;
                }
                (Section::Answer, found) if found == self.qtype => {
                    self.check_class(&record)?;
                    if !name_is(self.response, record.owner_at, last_name)
                        .ok_or(Fault::Malformed)?
                    {
                        return Err(Fault::Owner);
                    }
                    self.check_ttl(&record, host.ttl_secs)?;
                    expected.find(address_of(&record)?, self.rules)?;
                    addresses += 1;
                }
                (Section::Authority, rtype::SOA) if addresses == 0 => {
                    self.check_ttl(&record, host.negative_ttl_secs)?;
                }
                (Section::Answer | Section::Authority | Section::Additional, _) => {}
            }
        }
        let alias_only = self.qtype == rtype::CNAME && host.chain.length > 0;
        let wanted_aliases = if alias_only { 1 } else { u32::from(host.chain.length) };
        if aliases != wanted_aliases {
            return Err(if aliases < wanted_aliases { Fault::Missing } else { Fault::Owner });
        }
        if expected.is_complete() { Ok(Verdict::Verified) } else { Err(Fault::Missing) }
    }

    /// The name that the chain of CNAME records ends in: its number is 0.
    fn last_name<'b>(&'b self, host: &Host, room: &'b mut [u8; NAME_MAX]) -> &'b [u8] {
        let chain = host.chain;
        if chain.length == 0 {
            return self.name;
        }
        // The label is longer than its number, and the name than its label.
        let before = 1 + usize::from(chain.digits_at);
        let behind = before + usize::from(chain.digits_len);
        let len = self.name.len() - usize::from(chain.digits_len) + 1;
        room[..before].copy_from_slice(&self.name[..before]);
        room[0] = self.name[0] - chain.digits_len + 1;
        room[before] = b'0';
        room[before + 1..len].copy_from_slice(&self.name[behind..]);
        &room[..len]
    }

    /// The reverse name of an IPv4 address, or of one that a prefix makes of it: then a CNAME
    /// record to the IPv4 address's name may stand before (RFC 6147 5.3.1).
    fn judge_ptr(&self, address: Ipv4Addr, mapped: bool) -> Result<Verdict, Fault> {
        if self.code != rcode::NOERROR {
            return Err(Fault::Rcode);
        }
        let mut target = Name::default();
        target.push_label(b"a", &address.octets());
        target.push(b"\x02v4\x04test\x00");
        let mut alias = Name::default();
        for octet in address.octets().iter().rev() {
            alias.push_label(b"", &[*octet]);
        }
        alias.push(b"\x07in-addr\x04arpa\x00");
        let mut found = 0;
        for record in self.records {
            let record = record.ok_or(Fault::Malformed)?;
            let is = |at, name: &[u8]| name_is(self.response, at, name).ok_or(Fault::Malformed);
            match (record.section, record.rtype) {
                (Section::Answer, rtype::CNAME) if mapped => {
                    if !is(record.owner_at, self.name)? || !is(record.data_at, alias.octets())? {
                        return Err(Fault::Owner);
                    }
                }
                (Section::Answer, rtype::PTR) => {
                    found += 1;
                    self.check_class(&record)?;
                    let own = is(record.owner_at, self.name)?;
                    if !(own || mapped && is(record.owner_at, alias.octets())?) {
                        return Err(Fault::Owner);
                    }
                    if !is(record.data_at, target.octets())? {
                        return Err(Fault::Ptr);
                    }
                    self.check_ttl(&record, PTR_TTL_SECS)?;
                }
                (Section::Answer | Section::Authority | Section::Additional, _) => {}
            }
        }
        match found {
            0 => Err(Fault::Missing),
            1 => Ok(Verdict::Verified),
            _ => Err(Fault::Ptr),
        }
    }

    /// A name that says nothing.
    fn judge_form(&self) -> Result<Verdict, Fault> {
        let mut owner_at = HEADER_LEN;
        for record in self.records {
            let record = record.ok_or(Fault::Malformed)?;
            if record.section != Section::Answer {
                continue;
            }
            let wanted = record.rtype == self.qtype;
            if wanted || record.rtype == rtype::CNAME {
                let same = same_name(self.response, owner_at, record.owner_at);
                if !same.ok_or(Fault::Malformed)? {
                    return Err(Fault::Owner);
                }
            }
            if wanted && self.code == rcode::NXDOMAIN {
                return Err(Fault::Rcode);
            }
            if record.rtype == rtype::CNAME && !wanted {
                owner_at = record.data_at;
            }
            if matches!(record.rtype, rtype::A | rtype::AAAA) {
                let address = address_of(&record)?;
                let mut prefixes = self.rules.prefixes.iter();
                let covering = prefixes.find(|prefix| prefix.covers(address));
                if covering.is_some_and(|prefix| prefix.extract(address).is_none()) {
                    return Err(Fault::Prefix);
                }
            }
        }
        Ok(Verdict::Unchecked)
    }

    /// A record must be of class IN.
    fn check_class(&self, record: &Record<'_>) -> Result<(), Fault> {
        if record.class == CLASS_IN { Ok(()) } else { Err(Fault::Malformed) }
    }

    /// A TTL may have gone down, and be that of a stale answer.
    fn check_ttl(&self, record: &Record<'_>, most: u32) -> Result<(), Fault> {
        let right = record.ttl_secs <= most || record.ttl_secs == STALE_TTL_SECS;
        if right { Ok(()) } else { Err(Fault::Ttl) }
    }

    /// A COOKIE option in the response must begin with that of the query (RFC 7873 5.3).
    fn check_cookie(&self) -> Result<(), Fault> {
        let question_end = HEADER_LEN + self.name.len() + 4;
        // The query has no records but its OPT record.
        let Some(options) =
            self.query.get(question_end + OPT_LEN..).filter(|rest| !rest.is_empty())
        else {
            return Ok(());
        };
        let Some(asked) = cookie_of(options) else { return Ok(()) };
        for record in self.records {
            let record = record.ok_or(Fault::Malformed)?;
            if record.rtype == rtype::OPT
                && cookie_of(record.data).is_some_and(|answered| answered != asked)
            {
                return Err(Fault::Cookie);
            }
        }
        Ok(())
    }
}

/// Whether an RCODE says neither what there is nor that there is nothing.
fn is_failure(code: u8) -> bool {
    !matches!(code, rcode::NOERROR | rcode::NXDOMAIN)
}

/// The client's part of the COOKIE option among these options.
fn cookie_of(mut options: &[u8]) -> Option<&[u8]> {
    loop {
        let (code, len) = (u16_at(options, 0)?, usize::from(u16_at(options, 2)?));
        if code == OPTION_COOKIE {
            return options.get(4..4 + CLIENT_COOKIE_LEN.min(len));
        }
        options = options.get(4 + len..)?;
    }
}

/// The address in an A or AAAA record, that of A as ::ffff:a.b.c.d; for records of other types,
/// one that no name says.
fn address_of(record: &Record<'_>) -> Result<Ipv6Addr, Fault> {
    match (record.rtype, record.data) {
        (rtype::A, &[w, x, y, z]) => Ok(Ipv4Addr::new(w, x, y, z).to_ipv6_mapped()),
        (rtype::AAAA, data) => {
            let octets: [u8; 16] = data.try_into().map_err(|_| Fault::Malformed)?;
            Ok(Ipv6Addr::from(octets))
        }
        (rtype::A, _) => Err(Fault::Malformed),
        _ => Ok(Ipv6Addr::UNSPECIFIED),
    }
}

/// The most addresses that an answer may have.
const EXPECTED_MAX: usize =
    if A_MAX * PREFIXES_MAX > AAAA_MAX { A_MAX * PREFIXES_MAX } else { AAAA_MAX };

/// The addresses that an answer must have, in any order.
struct Expected {
    /// The addresses; the first `len` are valid.
    addresses: [Ipv6Addr; EXPECTED_MAX],
    /// How many.
    len: usize,
    /// Those seen so far, as bits.
    seen: u64,
    /// Those that may be missing, as bits.
    optional: u64,
    /// Whether they are synthesized.
    mapped: bool,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            addresses: [Ipv6Addr::UNSPECIFIED; EXPECTED_MAX],
            len: 0,
            seen: 0,
            optional: 0,
            mapped: false,
        }
    }
}

impl Expected {
    /// Adds addresses as they are.
    fn native(&mut self, addresses: impl Iterator<Item = Ipv6Addr>) {
        for address in addresses {
            self.addresses[self.len] = address;
            self.len += 1;
        }
    }

    /// Adds what each prefix makes of each address.
    fn synthesized(&mut self, addresses: &[Ipv4Addr], rules: &Rules) {
        self.mapped = true;
        for prefix in rules.prefixes.iter().take(PREFIXES_MAX) {
            for address in addresses {
                if prefix.is_well_known() && !is_global(*address) {
                    // RFC 6052 3.1: must not be made; not all servers keep to it.
                    self.optional |= 1 << self.len;
                }
                self.addresses[self.len] = prefix.embed(*address);
                self.len += 1;
            }
        }
    }

    /// Notes that an address was found.
    fn find(&mut self, address: Ipv6Addr, rules: &Rules) -> Result<(), Fault> {
        let expected = &self.addresses[..self.len];
        let mut places = expected.iter().zip(0..).filter(|(one, _)| **one == address);
        // A name may say an address twice; a server may then give it twice, or once.
        match places.find(|(_, place)| self.seen >> place & 1 == 0) {
            Some((_, place)) => {
                self.seen |= 1 << place;
                Ok(())
            }
            None if !self.mapped || expected.contains(&address) => Err(Fault::Address),
            None if rules.prefixes.iter().any(|prefix| prefix.extract(address).is_some()) => {
                Err(Fault::Ipv4)
            }
            None => Err(Fault::Prefix),
        }
    }

    /// Whether all were found that must be.
    fn is_complete(&self) -> bool {
        let seen = |place: usize| self.seen >> place & 1 == 1;
        (0..self.len).all(|place| {
            let address = self.addresses[place];
            let same = |other: &usize| self.addresses[*other] == address;
            seen(place) || self.optional >> place & 1 == 1 || (0..self.len).filter(same).any(seen)
        })
    }
}

/// A name under construction.
struct Name {
    /// Its octets; the first `len` are valid.
    octets: [u8; 64],
    /// How many.
    len: usize,
}

impl Default for Name {
    fn default() -> Self {
        Self { octets: [0; 64], len: 0 }
    }
}

impl Name {
    /// The octets so far.
    fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }

    /// Appends octets.
    fn push(&mut self, octets: &[u8]) {
        self.octets[self.len..self.len + octets.len()].copy_from_slice(octets);
        self.len += octets.len();
    }

    /// Appends a label: these letters and these numbers, a dash before each number but the first
    /// of a label without letters.
    fn push_label(&mut self, letters: &[u8], numbers: &[u8]) {
        let length_at = self.len;
        self.push(&[0]);
        self.push(letters);
        for number in numbers {
            if self.len > length_at + 1 {
                self.push(b"-");
            }
            let digits = [number / 100, number / 10 % 10, number % 10].map(|digit| b'0' + digit);
            let leading = usize::from(*number < 100) + usize::from(*number < 10);
            self.push(&digits[leading..]);
        }
        self.octets[length_at] = (self.len - length_at - 1) as u8;
    }
}

/// The address of a full name under ip6.arpa.
fn reverse_address(name: &[u8]) -> Option<Ipv6Addr> {
    let mut bits = 0_u128;
    let mut names = labels(name);
    for place in 0..32 {
        let &[digit] = names.next()? else { return None };
        bits |= u128::from(char::from(digit).to_digit(16)?) << (4 * place);
    }
    let arpa = names.next()?.eq_ignore_ascii_case(b"ip6")
        && names.next()?.eq_ignore_ascii_case(b"arpa")
        && names.next().is_none();
    arpa.then(|| Ipv6Addr::from_bits(bits))
}

/// Whether an IPv4 address is one of the Internet at large: not of the special-purpose blocks
/// (RFC 6890) that the Well-Known Prefix must not stand for.
fn is_global(address: Ipv4Addr) -> bool {
    let [w, x, y, _] = address.octets();
    let special = matches!(
        (w, x, y),
        (0 | 10 | 127 | 224.., _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0)
            | (192, 168, _)
            | (198, 18..=19, _)
    );
    !special
}

// A place among the expected addresses is a bit of `u64`.
const _: () = assert!(EXPECTED_MAX <= 64);

#[cfg(test)]
mod tests;
