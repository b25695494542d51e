//! Whether a server contradicts itself: for names that say nothing, the only judge of an answer is
//! the server's answer to the same question before.
//!
//! Two answers agree if their RCODEs and their sets of records do, whatever the order, the TTLs,
//! the letters' case and the compression. An answer is compared for as long as its TTL holds: after
//! that the data may have changed. Nobody can judge an answer without a TTL, or with TTL 0.
//! A contradiction is no proof of an untruth: data may be renewed before their time, and a server
//! may be several machines behind one address. So it is counted apart.
//!
//! The table is small and has one place for a question: of two questions with one place the later
//! is remembered. Each thread compares what it asks itself.
#![forbid(unsafe_code)]

use std::hash::{DefaultHasher, Hasher};

use crate::wire::{HEADER_LEN, flag, labels, name_len, rtype, u16_at};

use super::records::{Record, Records, Section, labels_at};

/// Questions that are remembered: 24 octets each.
const PLACES: usize = 1 << 16;

/// Types of RFC 1035 3.3 whose data have a name that may be compressed, as those of [`rtype`] do.
const NS: u16 = 2;
const MX: u16 = 15;

/// Signatures, which are made anew without the data being others (RFC 4034 3).
const RRSIG: u16 = 46;

/// What is added to a question's name to tell it from others: type, class, and what of the query
/// may rightly change the answer.
type Rest = [u8; 6];

/// Answers that were seen, by question.
#[derive(Debug, Default)]
pub struct Seen {
    /// By the last bits of the question's hash; empty until there is a first answer.
    places: Vec<Place>,
}

/// What was answered to a question.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The hash of the question.
    question: u64,
    /// The hash of the answer.
    answer: u64,
    /// Until when it holds, in nanoseconds since the start.
    until_ns: u64,
}

impl Seen {
    /// Whether this answer contradicts the one before to the same question. Remembers it.
    pub fn contradicts(&mut self, query: &[u8], response: &[u8], now_ns: u64) -> bool {
        let (Some(question), Some((answer, ttl_secs))) =
            (hash_of_question(query), hash_of_answer(query, response))
        else {
            return false;
        };
        if self.places.is_empty() {
            self.places = vec![Place::default(); PLACES];
        }
        let place = &mut self.places[question as usize % PLACES];
        let holds = place.question == question && now_ns < place.until_ns;
        if holds && place.answer == answer {
            return false;
        }
        let until_ns = now_ns.saturating_add(u64::from(ttl_secs) * 1_000_000_000);
        *place = Place { question, answer, until_ns };
        holds
    }
}

/// The hash of what is asked; `None` if the query cannot be read.
fn hash_of_question(query: &[u8]) -> Option<u64> {
    let name_len = name_len(query, HEADER_LEN)?;
    let name = query.get(HEADER_LEN..HEADER_LEN + name_len)?;
    let question_end = HEADER_LEN + name_len + 4;
    let kind: [u8; 4] = query.get(question_end - 4..question_end)?.try_into().ok()?;
    let checking_disabled = u16_at(query, 2)? & flag::CD != 0;
    let mut rest: Rest = [0; 6];
    rest[..4].copy_from_slice(&kind);
    rest[4] = u8::from(checking_disabled);
    rest[5] = u8::from(dnssec_ok(query, question_end));
    let mut hasher = DefaultHasher::new();
    for label in labels(name) {
        hash_label(&mut hasher, label);
    }
    hasher.write(&rest);
    Some(hasher.finish())
}

/// Whether the query has an OPT record behind its question with DO set (RFC 3225 3).
fn dnssec_ok(query: &[u8], question_end: usize) -> bool {
    let flags = Records::behind(query, question_end)
        .into_iter()
        .flatten()
        .map_while(|record| record)
        .find(|record| record.rtype == rtype::OPT)
        .map_or(0, |record| record.ttl_secs);
    flags & 0x8000 != 0
}

/// The hash of what is answered, and for how many seconds it holds; `None` if the response cannot
/// be read or says no TTL.
fn hash_of_answer(query: &[u8], response: &[u8]) -> Option<(u64, u32)> {
    let question_end = HEADER_LEN + name_len(query, HEADER_LEN)? + 4;
    let mut sum = u64::from(response.get(3)? & 0x0f);
    let (mut of_answer, mut of_authority) = (None, None);
    let least = |known: Option<u32>, ttl: u32| Some(known.map_or(ttl, |known| known.min(ttl)));
    for record in Records::behind(response, question_end)? {
        let record = record?;
        match (record.section, record.rtype) {
            (Section::Answer, RRSIG) => {}
            (Section::Answer, _) => {
                // A sum, so that the order does not matter.
                sum = sum.wrapping_add(hash_of_record(response, &record)?);
                of_answer = least(of_answer, record.ttl_secs);
            }
            (Section::Authority, rtype::SOA) => of_authority = least(of_authority, record.ttl_secs),
            (Section::Authority | Section::Additional, _) => {}
        }
    }
    Some((sum, of_answer.or(of_authority)?))
}

/// The hash of a record without its TTL; `None` if it cannot be read.
fn hash_of_record(response: &[u8], record: &Record<'_>) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    hash_name(&mut hasher, response, record.owner_at)?;
    hasher.write_u16(record.rtype);
    hasher.write_u16(record.class);
    match record.rtype {
        // Of SOA the zone's first server: its number may grow at any time.
        NS | rtype::CNAME | rtype::SOA | rtype::PTR => {
            hash_name(&mut hasher, response, record.data_at)?;
        }
        MX => {
            hasher.write(record.data.get(..2)?);
            hash_name(&mut hasher, response, record.data_at + 2)?;
        }
        _ => hasher.write(record.data),
    }
    Some(hasher.finish())
}

/// Adds the possibly compressed name at this place, in small letters.
fn hash_name(hasher: &mut DefaultHasher, message: &[u8], at: usize) -> Option<()> {
    labels_at(message, at).try_for_each(|label| label.map(|label| hash_label(hasher, label)))
}

/// Adds a label in small letters.
fn hash_label(hasher: &mut DefaultHasher, label: &[u8]) {
    let mut folded = [0; 64];
    // A label has at most 63 octets.
    let len = label.len().min(folded.len() - 1);
    folded[0] = len as u8;
    for (octet, letter) in folded[1..].iter_mut().zip(label) {
        *octet = letter.to_ascii_lowercase();
    }
    hasher.write(&folded[..=len]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Edns, name_from_text, write_query};

    const SECOND_NS: u64 = 1_000_000_000;

    fn query(name: &str, dnssec_ok: bool) -> Vec<u8> {
        let mut query = vec![0; 512];
        let edns = Some(Edns { payload_size: 1232, dnssec_ok });
        let name = name_from_text(name).unwrap();
        let len = write_query(&mut query, 7, &name, rtype::A, edns);
        query.truncate(len);
        query
    }

    /// An answer with A records of these last octets, under the name asked for.
    fn answer(name: &str, ttl_secs: u32, last_octets: &[u8]) -> Vec<u8> {
        let mut answer = query(name, false);
        answer.truncate(answer.len() - 11);
        answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, last_octets.len() as u8, 0, 0, 0, 0]);
        for octet in last_octets {
            answer.extend(b"\xc0\x0c\x00\x01\x00\x01");
            answer.extend(ttl_secs.to_be_bytes());
            answer.extend([0, 4, 192, 0, 2, *octet]);
        }
        answer
    }

    #[test]
    fn other_records_contradict_and_another_order_ttl_or_case_does_not() {
        let mut seen = Seen::default();
        let query = query("www.test", false);
        assert!(!seen.contradicts(&query, &answer("www.test", 60, &[1, 2]), 0));
        assert!(!seen.contradicts(&query, &answer("wWw.test", 9, &[2, 1]), SECOND_NS));
        assert!(seen.contradicts(&query, &answer("www.test", 60, &[1, 3]), SECOND_NS));
        assert!(!seen.contradicts(&query, &answer("www.test", 60, &[3, 1]), SECOND_NS), "the last");
        assert!(seen.contradicts(&query, &answer("www.test", 60, &[3]), SECOND_NS));
        let mut refused = answer("www.test", 60, &[3]);
        refused[3] |= 5;
        assert!(seen.contradicts(&query, &refused, SECOND_NS), "another RCODE");
    }

    #[test]
    fn what_has_no_time_left_is_compared_with_nothing() {
        let mut seen = Seen::default();
        let query = query("www.test", false);
        for (octet, ttl, at) in [(1, 5, 0), (2, 5, 5 * SECOND_NS), (3, 0, 10 * SECOND_NS)] {
            assert!(!seen.contradicts(&query, &answer("www.test", ttl, &[octet]), at), "{octet}");
        }
        assert!(!seen.contradicts(&query, &answer("www.test", 5, &[4]), 10 * SECOND_NS));
        assert!(!seen.contradicts(&query, &answer("www.test", 5, &[]), 0), "no TTL at all");
        assert!(!seen.contradicts(&query, b"short", 0));
    }

    #[test]
    fn other_questions_have_other_answers() {
        let mut seen = Seen::default();
        assert!(!seen.contradicts(&query("a.test", false), &answer("a.test", 60, &[1]), 0));
        assert!(!seen.contradicts(&query("b.test", false), &answer("b.test", 60, &[2]), 0));
        assert!(!seen.contradicts(&query("a.test", true), &answer("a.test", 60, &[2]), 0), "DO");
        assert!(seen.contradicts(&query("A.test", false), &answer("a.test", 60, &[2]), 0));
    }

    #[test]
    fn compression_changes_nothing() {
        let mut seen = Seen::default();
        let query = query("www.test", false);
        let cname = |target: &[u8]| {
            let mut answer = answer("www.test", 60, &[]);
            answer[7] = 1;
            answer.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00");
            answer.push(target.len() as u8);
            answer.extend(target);
            answer
        };
        assert!(!seen.contradicts(&query, &cname(b"\x01a\xc0\x10"), 0));
        assert!(!seen.contradicts(&query, &cname(b"\x01A\x04test\x00"), 0));
        assert!(seen.contradicts(&query, &cname(b"\x01a\x05other\x00"), 0));
    }
}
