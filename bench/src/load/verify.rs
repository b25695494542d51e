//! Is an answer right? By the rule of the names that say their own answer.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr};

use dns64::pref64::Pref64;

use crate::upstream::script::{Host, Script};
use crate::wire::{
    HEADER_LEN, flag, labels, name_from_text, name_len, rcode, rtype, skip_name, u16_at,
};

/// What an answer is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What the name says.
    Verified,
    /// Something else, or unreadable.
    Wrong,
    /// An RCODE of failure, or truncated: no answer, but no untruth.
    Failed,
    /// The name says nothing that could be checked.
    Unchecked,
}

/// Whether a response carries the question of its query. IDs were compared before.
#[must_use]
pub fn is_response_to(response: &[u8], query: &[u8]) -> bool {
    let Some(name_len) = name_len(query, HEADER_LEN) else { return false };
    let question = HEADER_LEN..HEADER_LEN + name_len + 4;
    let is_response = response.get(2).is_some_and(|octet| octet & 0x80 != 0);
    is_response && response.get(question.clone()) == query.get(question)
}

/// Judges a response that carries the question of its query.
#[must_use]
pub fn judge(response: &[u8], prefix: &Pref64) -> Verdict {
    judge_readable(response, prefix).unwrap_or(Verdict::Wrong)
}

/// [`judge`]; `None` if the response cannot be read.
fn judge_readable(response: &[u8], prefix: &Pref64) -> Option<Verdict> {
    let flags = u16_at(response, 2)?;
    let code = (flags & 0x0f) as u8;
    if flags & flag::TC != 0 || !matches!(code, rcode::NOERROR | rcode::NXDOMAIN) {
        return Some(Verdict::Failed);
    }
    let name_len = name_len(response, HEADER_LEN)?;
    let name = response.get(HEADER_LEN..HEADER_LEN + name_len)?;
    let qtype = u16_at(response, HEADER_LEN + name_len)?;
    let records =
        Records { message: response, at: HEADER_LEN + name_len + 4, left: u16_at(response, 6)? };
    let right = match (Script::of(name), qtype) {
        (Script::Host(host), rtype::AAAA | rtype::A) => {
            if host.rcode_for(qtype) == rcode::NXDOMAIN {
                code == rcode::NXDOMAIN
            } else if qtype == rtype::A {
                addresses_are(records, rtype::A, host.a().iter().map(Ipv4Addr::octets))?
            } else if host.aaaa().is_empty() {
                let mapped = host.a().iter().map(|address| prefix.embed(*address).octets());
                addresses_are(records, rtype::AAAA, mapped)?
            } else {
                addresses_are(records, rtype::AAAA, host.aaaa().iter().map(Ipv6Addr::octets))?
            }
        }
        (_, rtype::PTR) => match reverse_address(name).and_then(|name| prefix.extract(name)) {
            Some(address) => has_ptr(records, address)?,
            None => return Some(Verdict::Unchecked),
        },
        _ => return Some(Verdict::Unchecked),
    };
    Some(if right { Verdict::Verified } else { Verdict::Wrong })
}

/// Whether the address records of this type are the expected ones, in any order.
fn addresses_are<const N: usize>(
    records: Records<'_>,
    wanted: u16,
    expected: impl ExactSizeIterator<Item = [u8; N]> + Clone,
) -> Option<bool> {
    let mut seen = 0_u32;
    for record in records {
        let record = record?;
        if record.rtype == wanted {
            let Some(place) = expected.clone().position(|address| address == record.data) else {
                return Some(false);
            };
            // Each once.
            if seen >> place & 1 == 1 {
                return Some(false);
            }
            seen |= 1 << place;
        }
    }
    Some(seen.count_ones() as usize == expected.len())
}

/// Whether there is one PTR record, and it has the name of the address.
fn has_ptr(records: Records<'_>, address: Ipv4Addr) -> Option<bool> {
    let [w, x, y, z] = address.octets();
    let expected = name_from_text(&format!("a-{w}-{x}-{y}-{z}.v4.test"))?;
    let mut found = 0;
    let message = records.message;
    for record in records {
        let record = record?;
        if record.rtype == rtype::PTR {
            found += 1;
            if !name_is(message, record.data_at, &expected)? {
                return Some(false);
            }
        }
    }
    Some(found == 1)
}

/// Whether the possibly compressed name at this place is this one.
fn name_is(message: &[u8], mut at: usize, expected: &[u8]) -> Option<bool> {
    let mut rest = expected;
    // A name has at most 127 labels, with a pointer before each at worst.
    for _ in 0..256 {
        let octet = *message.get(at)?;
        if octet >= 0xc0 {
            at = usize::from(u16_at(message, at)? & 0x3fff);
            continue;
        }
        let end = 1 + usize::from(octet);
        let label = message.get(at..at + end)?;
        let Some((expected_label, behind)) = rest.split_at_checked(end) else {
            return Some(false);
        };
        if !label.eq_ignore_ascii_case(expected_label) {
            return Some(false);
        }
        if octet == 0 {
            return Some(true);
        }
        (rest, at) = (behind, at + end);
    }
    None
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

/// The records of the answer section; an item `None` if one is cut, and then no more.
#[derive(Clone, Copy)]
struct Records<'a> {
    /// The whole message.
    message: &'a [u8],
    /// Where the next one starts.
    at: usize,
    /// How many are left.
    left: u16,
}

/// A record.
struct Record<'a> {
    /// Its type.
    rtype: u16,
    /// Where its data starts.
    data_at: usize,
    /// Its data.
    data: &'a [u8],
}

impl<'a> Records<'a> {
    /// The next record.
    fn read(&mut self) -> Option<Record<'a>> {
        let fixed = skip_name(self.message, self.at)?;
        let data_at = fixed + 10;
        let end = data_at + usize::from(u16_at(self.message, fixed + 8)?);
        let data = self.message.get(data_at..end)?;
        self.at = end;
        Some(Record { rtype: u16_at(self.message, fixed)?, data_at, data })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let record = self.read();
        if record.is_none() {
            self.left = 0;
        }
        Some(record)
    }
}

// A place among the expected addresses is a bit of `u32`.
const _: () = assert!(crate::upstream::script::A_MAX <= 32);
const _: () = assert!(size_of::<Host>() <= 128);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Carrier;
    use crate::upstream::answer::{ANSWER_MAX, write_answer};
    use crate::wire::{Query, write_query};
    use dns64::pref64::WELL_KNOWN;

    /// What the upstream answers: right for native names, not yet for those to be synthesized.
    fn answer(name: &str, qtype: u16) -> (Vec<u8>, Vec<u8>) {
        let name = name_from_text(name).unwrap();
        let mut query = [0; 512];
        let len = write_query(&mut query, 0, &name, qtype, None);
        let mut out = [0; ANSWER_MAX];
        let parsed = Query::parse(&query[..len]).unwrap();
        let answer_len = write_answer(&parsed, &Script::of(&name), Carrier::Tcp, &mut out);
        (query[..len].to_vec(), out[..answer_len].to_vec())
    }

    #[test]
    fn an_answer_of_the_upstream_is_right_for_what_it_has() {
        for (name, qtype) in [
            ("a-1-2-3-4--a-11-1-1-1.t", rtype::A),
            ("q-20010db8000000000000000000000001--c3.t", rtype::AAAA),
            ("a-1-2-3-4--nx.t", rtype::AAAA),
        ] {
            let (query, response) = answer(name, qtype);
            assert!(is_response_to(&response, &query));
            assert_eq!(judge(&response, &WELL_KNOWN), Verdict::Verified, "{name}");
        }
    }

    #[test]
    fn a_missing_synthesis_is_wrong_and_a_failure_is_a_failure() {
        assert_eq!(judge(&answer("a-1-2-3-4.t", rtype::AAAA).1, &WELL_KNOWN), Verdict::Wrong);
        let failed = answer("a-1-2-3-4--rc2.t", rtype::AAAA).1;
        assert_eq!(judge(&failed, &WELL_KNOWN), Verdict::Failed);
        assert_eq!(judge(&answer("www.t", rtype::A).1, &WELL_KNOWN), Verdict::Unchecked);
    }

    #[test]
    fn a_synthesized_address_must_be_the_mapped_one() {
        let (query, _) = answer("a-11-22-33-44.t", rtype::AAAA);
        let mut response = query;
        response[2..8].copy_from_slice(b"\x81\x80\x00\x01\x00\x01");
        response.extend(b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x01\x2c\x00\x10");
        response.extend(b"\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00\x0b\x16\x21\x2c");
        assert_eq!(judge(&response, &WELL_KNOWN), Verdict::Verified);
        let last = response.len() - 1;
        response[last] ^= 1;
        assert_eq!(judge(&response, &WELL_KNOWN), Verdict::Wrong);
        for cut in HEADER_LEN..last {
            assert_eq!(judge(&response[..cut], &WELL_KNOWN), Verdict::Wrong, "cut at {cut}");
        }
    }

    #[test]
    fn a_ptr_record_is_followed_through_compression() {
        let name = "1.0.0.0.0.0.b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa";
        let (query, _) = answer(name, rtype::PTR);
        let mut response = query;
        response[2..8].copy_from_slice(b"\x81\x80\x00\x01\x00\x01");
        let mut tail = b"\xc0\x0c\x00\x0c\x00\x01\x00\x00\x01\x2c\x00\x14".to_vec();
        tail.extend(b"\x0aA-11-0-0-1\x02v4\x04test\x00");
        tail[11] = (tail.len() - 12) as u8;
        response.extend(tail);
        assert_eq!(judge(&response, &WELL_KNOWN), Verdict::Verified);
        let place = response.len() - 10;
        response[place] = b'9';
        assert_eq!(judge(&response, &WELL_KNOWN), Verdict::Wrong);
    }

    #[test]
    fn a_pointer_loop_ends() {
        assert_eq!(name_is(b"\xc0\x00", 0, b"\x01a\x00"), None);
    }
}
