//! From questions to encoded queries: EDNS, its options, and letters of random case.
#![forbid(unsafe_code)]

use crate::wire::{CLASS_IN, Writer, flag, rtype};

use super::queries::{QUERY_MAX, Queries};
use super::random::Random;

/// The number of the COOKIE option (RFC 7873 4).
const OPTION_COOKIE: u16 = 10;

/// The most octets that the EDNS options of a query may take together.
pub const OPTIONS_MAX: usize = 2_048;

/// What queries have besides their question. Shares are per cent of the queries, 0 to 100.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoding {
    /// Share with an OPT record; those with DO or a cookie have one in any case.
    pub edns_share: f64,
    /// Share with DNSSEC OK (RFC 3225).
    pub dnssec_ok_share: f64,
    /// Share with a client's cookie (RFC 7873).
    pub cookie_share: f64,
    /// Share whose letters are of random case (DNS 0x20).
    pub letter_case_share: f64,
    /// The UDP payload size of OPT records.
    pub payload_size: u16,
    /// Encoded options of every OPT record; at most [`OPTIONS_MAX`] octets.
    pub options: Vec<u8>,
    /// Of the random numbers that decide.
    pub seed: u64,
}

impl Default for Encoding {
    fn default() -> Self {
        Self {
            edns_share: 0.0,
            dnssec_ok_share: 0.0,
            cookie_share: 0.0,
            letter_case_share: 0.0,
            payload_size: 1232,
            options: Vec::new(),
            seed: 0,
        }
    }
}

/// Encodes questions one after the other.
pub struct Encoder {
    /// How.
    encoding: Encoding,
    /// Decides.
    random: Random,
    /// What is encoded.
    queries: Queries,
}

impl Encoder {
    /// Starts with no query.
    #[must_use]
    pub fn new(encoding: Encoding) -> Self {
        let random = Random::new(encoding.seed, 0x20);
        Self { encoding, random, queries: Queries::default() }
    }

    /// Encodes a question; `false` if there are too many.
    #[must_use]
    pub fn push(&mut self, name: &[u8], qtype: u16) -> bool {
        let Encoding { edns_share, dnssec_ok_share, cookie_share, letter_case_share, .. } =
            self.encoding;
        let dnssec_ok = self.random.percent(dnssec_ok_share);
        let cookie = self.random.percent(cookie_share);
        let edns = self.random.percent(edns_share) || dnssec_ok || cookie;
        let mut room = [0; QUERY_MAX];
        let mut writer = Writer::new(&mut room);
        for half in [0, flag::RD, 1, 0, 0, u16::from(edns)] {
            writer.u16(half);
        }
        if self.random.percent(letter_case_share) {
            for octet in name {
                // Lengths of labels are below 64 and no letters.
                let flip = octet.is_ascii_alphabetic() && self.random.next_u64() & 1 == 1;
                writer.u8(if flip { octet ^ 0x20 } else { *octet });
            }
        } else {
            writer.bytes(name);
        }
        writer.u16(qtype);
        writer.u16(CLASS_IN);
        if edns {
            let options = &self.encoding.options;
            writer.u8(0);
            writer.u16(rtype::OPT);
            writer.u16(self.encoding.payload_size);
            writer.u32(if dnssec_ok { 0x8000 } else { 0 });
            writer.u16((options.len() + if cookie { 12 } else { 0 }) as u16);
            writer.bytes(options);
            if cookie {
                writer.u16(OPTION_COOKIE);
                writer.u16(8);
                writer.bytes(&self.random.next_u64().to_be_bytes());
            }
        }
        let len = writer.len();
        self.queries.push(&room[..len])
    }

    /// Appends a query that is encoded already; `false` if it is too short or too long, or there
    /// are too many.
    #[must_use]
    pub fn push_encoded(&mut self, query: &[u8]) -> bool {
        self.queries.push(query)
    }

    /// What was encoded.
    #[must_use]
    pub fn finish(self) -> Queries {
        self.queries
    }
}

/// Reads dnsperf's `code:hex` and appends the option; `None` if it is not of this form.
#[must_use]
pub fn push_option(options: &mut Vec<u8>, text: &str) -> Option<()> {
    let (code, value) = text.split_once(':')?;
    let code: u16 = code.parse().ok()?;
    if value.is_empty() || !value.len().is_multiple_of(2) || !value.is_ascii() {
        return None;
    }
    let digits: Option<Vec<u32>> = value.chars().map(|digit| digit.to_digit(16)).collect();
    let octets: Vec<u8> = digits?.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect();
    options.extend(code.to_be_bytes());
    options.extend(u16::try_from(octets.len()).ok()?.to_be_bytes());
    options.extend(octets);
    (options.len() <= OPTIONS_MAX).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Edns, Query, name_from_text};

    fn encode(encoding: Encoding, count: usize) -> Queries {
        let name = name_from_text("www.Example.test").unwrap();
        let mut encoder = Encoder::new(encoding);
        for _ in 0..count {
            assert!(encoder.push(&name, rtype::AAAA));
        }
        encoder.finish()
    }

    #[test]
    fn a_plain_query_has_a_question_and_nothing_else() {
        let queries = encode(Encoding::default(), 1);
        let query = Query::parse(queries.query(0)).unwrap();
        assert_eq!((query.flags(), query.qtype, query.edns), (flag::RD, rtype::AAAA, None));
        assert_eq!(queries.query(0).len(), 12 + query.question().len());
    }

    #[test]
    fn edns_options_are_written_as_they_are_given() {
        let mut options = Vec::new();
        push_option(&mut options, "65001:0aFf").unwrap();
        push_option(&mut options, "3:00").unwrap();
        let encoding = Encoding { edns_share: 100.0, options, ..Encoding::default() };
        let queries = encode(encoding, 1);
        assert!(queries.query(0).ends_with(
            b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0b\xfd\xe9\x00\x02\x0a\xff\x00\x03\x00\x01\x00"
        ));
        for bad in ["", "3", "3:", "3:0", "3:0x", "65536:00", "x:00", "3:\u{e4}"] {
            assert_eq!(push_option(&mut Vec::new(), bad), None, "{bad}");
        }
    }

    #[test]
    fn shares_are_kept() {
        let encoding = Encoding {
            edns_share: 50.0,
            dnssec_ok_share: 20.0,
            cookie_share: 10.0,
            letter_case_share: 30.0,
            ..Encoding::default()
        };
        let queries = encode(encoding, 10_000);
        let (mut edns, mut dnssec_ok, mut cookies, mut mixed) = (0, 0, 0, 0);
        for place in 0..queries.len() {
            let octets = queries.query(place);
            let query = Query::parse(octets).unwrap();
            edns += u32::from(query.edns.is_some());
            dnssec_ok += u32::from(matches!(query.edns, Some(Edns { dnssec_ok: true, .. })));
            cookies += u32::from(octets.len() > 12 + query.question().len() + 11);
            mixed += u32::from(query.name != name_from_text("www.Example.test").unwrap());
        }
        // 1 - 0.5 * 0.8 * 0.9
        assert!((6_200..6_600).contains(&edns), "{edns}");
        assert!((1_850..2_150).contains(&dnssec_ok), "{dnssec_ok}");
        assert!((900..1_100).contains(&cookies), "{cookies}");
        assert!((2_800..3_200).contains(&mixed), "{mixed}");
    }
}
