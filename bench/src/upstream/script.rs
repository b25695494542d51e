//! Names that say their own answer: from a name to what the upstream does with questions for it.
//!
//! The first label is a list of words with `--` between them:
//! `a-11-22-33-44--ttl60--d50.v4.test`.
//!
//! | word | means |
//! |---|---|
//! | `a-W-X-Y-Z` | an A record; may repeat |
//! | `q-HEX32` | an AAAA record, 32 hexadecimal digits; may repeat |
//! | `ttlN` | TTL of the records, in seconds (300) |
//! | `negN` | TTL and MINIMUM of the SOA record of negative answers (60) |
//! | `dN`, `daaaaN` | the answer comes after N milliseconds; for AAAA questions only |
//! | `rcN`, `rcaaaaN` | this RCODE; for AAAA questions only |
//! | `lossN` | N per cent of the answers over UDP are lost |
//! | `tc` | truncated over UDP, whole over TCP |
//! | `nx` | NXDOMAIN |
//! | `cN` | N CNAME records before the answer |
//! | `junk` | over UDP, a malformed answer before the good one |
//!
//! A label with any other word names nothing (NXDOMAIN). The letters' case does not matter.
//! `Z.Y.X.W.in-addr.arpa` has a PTR record, `a-W-X-Y-Z.v4.test.`, and
//! `WWW-XXX-YYY-ZZZ.dns64perf.test` has the A record that dns64perf++ expects.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::{HEADER_LEN, labels, rtype};

/// The most A records a label of 63 octets has room for: `a-1-1-1-1` five times, `--` between.
pub const A_MAX: usize = 5;
/// The most AAAA records a label has room for.
pub const AAAA_MAX: usize = 1;
/// The longest chain of CNAME records.
pub const CHAIN_MAX: u8 = 32;
/// The longest delay.
pub const DELAY_MAX_MS: u32 = 60_000;

/// What the upstream knows about a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Script {
    /// There is no such name.
    Absent,
    /// A name that says its own answer.
    Host(Host),
    /// The name of an IPv4 address under in-addr.arpa.
    Reverse(Ipv4Addr),
    /// in-addr.arpa, or a part of an address under it: exists and has no records.
    ReverseParent,
}

/// What the words of a label say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Host {
    /// The A records; the first `a_len` are valid.
    a: [Ipv4Addr; A_MAX],
    /// How many A records.
    a_len: u8,
    /// The AAAA records; the first `aaaa_len` are valid.
    aaaa: [Ipv6Addr; AAAA_MAX],
    /// How many AAAA records.
    aaaa_len: u8,
    /// TTL of the records.
    pub ttl_secs: u32,
    /// TTL and MINIMUM of the SOA record of negative answers.
    pub negative_ttl_secs: u32,
    /// RCODE to any question.
    pub rcode: Option<u8>,
    /// RCODE to AAAA questions.
    pub rcode_aaaa: Option<u8>,
    /// Delay of any answer, if the name says one.
    pub delay_ms: Option<u32>,
    /// Delay of answers to AAAA questions.
    pub delay_aaaa_ms: Option<u32>,
    /// Per cent of answers that get lost, 0 to 100, if the name says it.
    pub loss_percent: Option<u8>,
    /// Whether answers over UDP are truncated.
    pub truncate: bool,
    /// Whether a malformed answer goes before the good one.
    pub junk: bool,
    /// The CNAME records before the answer.
    pub chain: Chain,
}

/// A chain of CNAME records: the target of `..cN..` is the same name with `c(N-1)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// How many records; at most [`CHAIN_MAX`].
    pub length: u8,
    /// Where in the label its number starts.
    pub digits_at: u8,
    /// How many digits the number has.
    pub digits_len: u8,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            a: [Ipv4Addr::UNSPECIFIED; A_MAX],
            a_len: 0,
            aaaa: [Ipv6Addr::UNSPECIFIED; AAAA_MAX],
            aaaa_len: 0,
            ttl_secs: 300,
            negative_ttl_secs: 60,
            rcode: None,
            rcode_aaaa: None,
            delay_ms: None,
            delay_aaaa_ms: None,
            loss_percent: None,
            truncate: false,
            junk: false,
            chain: Chain::default(),
        }
    }
}

impl Script {
    /// What the upstream knows about this name (wire form).
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        if is_under_in_addr_arpa(name) {
            return Self::of_reverse(name);
        }
        let Some(label) = labels(name).next() else { return Self::Absent };
        if let Some(host) = Host::parse(label) {
            return Self::Host(host);
        }
        match dns64perf_address(name, label) {
            Some(address) => Self::Host(Host::with_a(address)),
            None => Self::Absent,
        }
    }

    /// A name under in-addr.arpa.
    fn of_reverse(name: &[u8]) -> Self {
        let mut octets = [0; 4];
        let octet_labels = labels(name).count().saturating_sub(2);
        if octet_labels > octets.len() {
            return Self::Absent;
        }
        for (place, label) in labels(name).take(octet_labels).enumerate() {
            let Some(octet) = decimal_u8(label) else { return Self::Absent };
            octets[3 - place] = octet;
        }
        if octet_labels == octets.len() {
            Self::Reverse(Ipv4Addr::from(octets))
        } else {
            Self::ReverseParent
        }
    }

    /// Where in a message the zone of this name starts: the owner of its SOA record. The parent of
    /// the name, or in-addr.arpa.
    #[must_use]
    pub fn zone_at(&self, name: &[u8]) -> usize {
        match self {
            Self::Reverse(_) | Self::ReverseParent => HEADER_LEN + name.len() - IN_ADDR_ARPA.len(),
            Self::Absent | Self::Host(_) => {
                HEADER_LEN + labels(name).next().map_or(0, |label| 1 + label.len())
            }
        }
    }

    /// How the answer to a question of this type is delivered.
    #[must_use]
    pub fn delivery(&self, qtype: u16) -> Delivery {
        let Self::Host(host) = self else { return Delivery::default() };
        let delay_ms = match host.delay_aaaa_ms {
            Some(delay_ms) if qtype == rtype::AAAA => Some(delay_ms),
            Some(_) | None => host.delay_ms,
        };
        Delivery { delay_ms, loss_percent: host.loss_percent, junk: host.junk }
    }
}

/// How an answer is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// It comes so much later, at most [`DELAY_MAX_MS`]; `None` if the name does not say.
    pub delay_ms: Option<u32>,
    /// It gets lost with this probability, 0 to 100; `None` if the name does not say.
    pub loss_percent: Option<u8>,
    /// A malformed answer goes before it.
    pub junk: bool,
}

impl Host {
    /// A name with one A record.
    #[must_use]
    pub fn with_a(address: Ipv4Addr) -> Self {
        let mut host = Self::default();
        host.a[0] = address;
        host.a_len = 1;
        host
    }

    /// The A records.
    #[must_use]
    pub fn a(&self) -> &[Ipv4Addr] {
        &self.a[..usize::from(self.a_len)]
    }

    /// The AAAA records.
    #[must_use]
    pub fn aaaa(&self) -> &[Ipv6Addr] {
        &self.aaaa[..usize::from(self.aaaa_len)]
    }

    /// The RCODE to questions of this type.
    #[must_use]
    pub fn rcode_for(&self, qtype: u16) -> u8 {
        let for_type = if qtype == rtype::AAAA { self.rcode_aaaa } else { None };
        for_type.or(self.rcode).unwrap_or(0)
    }

    /// Reads a label; `None` if one of its words is none of ours.
    fn parse(label: &[u8]) -> Option<Self> {
        let mut host = Self::default();
        let mut at = 0;
        loop {
            let rest = label.get(at..)?;
            let end = rest.windows(2).position(|pair| pair == b"--").unwrap_or(rest.len());
            host.take_word(&rest[..end], at)?;
            at += end + 2;
            if end == rest.len() {
                return Some(host);
            }
        }
    }

    /// Takes in one word, which starts at this place of the label.
    fn take_word(&mut self, word: &[u8], at: usize) -> Option<()> {
        let letters = word.iter().take_while(|octet| octet.is_ascii_alphabetic()).count();
        let (keyword, value) = word.split_at(letters);
        let mut folded = [0_u8; 6];
        let folded = folded.get_mut(..letters)?;
        folded.copy_from_slice(keyword);
        folded.make_ascii_lowercase();
        match &*folded {
            b"a" => self.push_a(dashed_address(value.strip_prefix(b"-")?)?)?,
            b"q" => self.push_aaaa(hexadecimal(value.strip_prefix(b"-")?)?)?,
            b"ttl" => self.ttl_secs = decimal(value)?,
            b"neg" => self.negative_ttl_secs = decimal(value)?,
            b"d" => self.delay_ms = Some(at_most(decimal(value)?, DELAY_MAX_MS)?),
            b"daaaa" => self.delay_aaaa_ms = Some(at_most(decimal(value)?, DELAY_MAX_MS)?),
            b"rc" => self.rcode = Some(at_most(decimal(value)?, 15)? as u8),
            b"rcaaaa" => self.rcode_aaaa = Some(at_most(decimal(value)?, 15)? as u8),
            b"loss" => self.loss_percent = Some(at_most(decimal(value)?, 100)? as u8),
            b"tc" => self.truncate = value.is_empty().then_some(true)?,
            b"nx" => self.rcode = value.is_empty().then_some(Some(crate::wire::rcode::NXDOMAIN))?,
            b"junk" => self.junk = value.is_empty().then_some(true)?,
            b"c" => {
                let length = at_most(decimal(value)?, u32::from(CHAIN_MAX))? as u8;
                let digits_at = (at + letters) as u8;
                self.chain = Chain { length, digits_at, digits_len: value.len() as u8 };
            }
            _ => return None,
        }
        Some(())
    }

    /// Appends an A record.
    fn push_a(&mut self, address: Ipv4Addr) -> Option<()> {
        *self.a.get_mut(usize::from(self.a_len))? = address;
        self.a_len += 1;
        Some(())
    }

    /// Appends an AAAA record.
    fn push_aaaa(&mut self, address: Ipv6Addr) -> Option<()> {
        *self.aaaa.get_mut(usize::from(self.aaaa_len))? = address;
        self.aaaa_len += 1;
        Some(())
    }
}

/// in-addr.arpa in wire form.
const IN_ADDR_ARPA: &[u8] = b"\x07in-addr\x04arpa\x00";
/// The zone of dns64perf++, in wire form.
const DNS64PERF_TEST: &[u8] = b"\x09dns64perf\x04test\x00";

/// Whether the name is in-addr.arpa or below it.
fn is_under_in_addr_arpa(name: &[u8]) -> bool {
    let Some(at) = name.len().checked_sub(IN_ADDR_ARPA.len()) else { return false };
    if !name[at..].eq_ignore_ascii_case(IN_ADDR_ARPA) {
        return false;
    }
    // The octets agree; a label must start there too, for a label can hold such octets.
    let mut start = 0;
    for label in labels(name) {
        if start == at {
            return true;
        }
        start += 1 + label.len();
    }
    false
}

/// The address in a name of dns64perf++: four numbers of three digits.
fn dns64perf_address(name: &[u8], label: &[u8]) -> Option<Ipv4Addr> {
    let zone = name.get(1 + label.len()..)?;
    let plain = label.len() == 15 && zone.eq_ignore_ascii_case(DNS64PERF_TEST);
    if !plain {
        return None;
    }
    let mut octets = [0; 4];
    for (octet, digits) in octets.iter_mut().zip(label.chunks(4)) {
        let (digits, dash) = digits.split_at(3);
        if !matches!(dash, b"-" | b"") {
            return None;
        }
        *octet = u8::try_from(decimal(digits)?).ok()?;
    }
    Some(Ipv4Addr::from(octets))
}

/// `W-X-Y-Z`.
fn dashed_address(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut numbers = text.split(|octet| *octet == b'-');
    for octet in &mut octets {
        *octet = decimal_u8(numbers.next()?)?;
    }
    numbers.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// 32 hexadecimal digits.
fn hexadecimal(digits: &[u8]) -> Option<Ipv6Addr> {
    if digits.len() != 32 {
        return None;
    }
    let mut bits = 0_u128;
    for digit in digits {
        bits = bits << 4 | u128::from(char::from(*digit).to_digit(16)?);
    }
    Some(Ipv6Addr::from_bits(bits))
}

/// A decimal number of one to nine digits.
fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u32::from(digit);
    }
    Some(value)
}

/// An octet of an IPv4 address in its shortest form, so that each address has one name.
fn decimal_u8(digits: &[u8]) -> Option<u8> {
    if digits.len() > 1 && digits.first() == Some(&b'0') {
        return None;
    }
    u8::try_from(decimal(digits)?).ok()
}

/// The value, if it is not above the limit.
fn at_most(value: u32, limit: u32) -> Option<u32> {
    (value <= limit).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name_from_text;

    fn script(name: &str) -> Script {
        Script::of(&name_from_text(name).unwrap())
    }

    fn host(name: &str) -> Host {
        let Script::Host(host) = script(name) else { panic!("{name} says nothing") };
        host
    }

    #[test]
    fn a_plain_name_has_its_address_and_the_defaults() {
        let host = host("a-11-22-33-44.v4.test");
        assert_eq!(host, Host::with_a(Ipv4Addr::new(11, 22, 33, 44)));
        assert_eq!((host.ttl_secs, host.negative_ttl_secs), (300, 60));
    }

    #[test]
    fn every_word_is_understood() {
        let named = host("a-1-2-3-4--a-255-0-0-1--ttl60--neg5--d50--rc2--c3.test");
        assert_eq!(named.a(), [Ipv4Addr::new(1, 2, 3, 4), Ipv4Addr::new(255, 0, 0, 1)]);
        assert_eq!((named.ttl_secs, named.negative_ttl_secs, named.delay_ms), (60, 5, Some(50)));
        assert_eq!(named.rcode, Some(2));
        assert_eq!(named.chain, Chain { length: 3, digits_at: 48, digits_len: 1 });
        let named = host("loss10--tc--junk--nx.test");
        assert_eq!((named.rcode, named.loss_percent), (Some(3), Some(10)));
        assert!(named.truncate && named.junk);
    }

    #[test]
    fn words_for_aaaa_touch_only_aaaa() {
        let name = "q-20010DB8000000000000000000000001--rcaaaa2--daaaa40--d7.x.test";
        let host = host(name);
        assert_eq!(host.aaaa(), ["2001:db8::1".parse::<Ipv6Addr>().unwrap()]);
        assert_eq!((host.rcode_for(rtype::AAAA), host.rcode_for(rtype::A)), (2, 0));
        assert_eq!(script(name).delivery(rtype::AAAA).delay_ms, Some(40));
        assert_eq!(script(name).delivery(rtype::A).delay_ms, Some(7));
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(script("A-1-2-3-4--TTL9--Nx.V4.tEST"), script("a-1-2-3-4--ttl9--nx.v4.test"));
    }

    #[test]
    fn anything_else_is_no_such_name() {
        for name in [
            ".",
            "www.v4.test",
            "a-1-2-3.v4.test",
            "a-1-2-3-4-5.v4.test",
            "a-1-2-3-256.v4.test",
            "a-1-2-3-04.v4.test",
            "a-1-2-3-4--.v4.test",
            "a-1-2-3-4--salt.v4.test",
            "q-20010db8.v4.test",
            "ttl.v4.test",
            "ttl9999999999.v4.test",
            "tc1.v4.test",
            "rc16--a-1-2-3-4.v4.test",
            "c33--a-1-2-3-4.v4.test",
            "loss101.v4.test",
            "d60001.v4.test",
            "000-001-002-003.v4.test",
            "000-001-002-256.dns64perf.test",
            "000.001.002.003.dns64perf.test",
            "5.4.3.2.1.in-addr.arpa",
            "4.3.2.256.in-addr.arpa",
            "x.in-addr.arpa",
        ] {
            assert_eq!(script(name), Script::Absent, "{name}");
        }
    }

    #[test]
    fn names_of_dns64perf_have_their_address() {
        let expected = Script::Host(Host::with_a(Ipv4Addr::new(0, 1, 2, 3)));
        assert_eq!(script("000-001-002-003.dns64perf.test"), expected);
    }

    #[test]
    fn reverse_names_give_the_address_and_their_parents_exist() {
        let expected = Script::Reverse(Ipv4Addr::new(11, 22, 33, 44));
        assert_eq!(script("44.33.22.11.IN-addr.arpa"), expected);
        assert_eq!(script("22.11.in-addr.arpa"), Script::ReverseParent);
        assert_eq!(script("in-addr.arpa"), Script::ReverseParent);
        let name = name_from_text("44.33.22.11.in-addr.arpa").unwrap();
        assert_eq!(expected.zone_at(&name), 12 + 12);
    }

    #[test]
    fn a_label_that_looks_like_in_addr_arpa_is_not() {
        let mut name = vec![15];
        name.extend_from_slice(b"xx\x07in-addr\x04arpa");
        name.push(0);
        assert_eq!(Script::of(&name), Script::Absent);
    }

    #[test]
    fn no_label_makes_it_panic() {
        // All pairs of octets, alone and behind a good word.
        for first in 0..=255 {
            for second in 0..=255 {
                let _ = Script::of(&[2, first, second, 0]);
                let _ = Script::of(&[6, b'd', b'1', b'-', b'-', first, second, 0]);
            }
        }
    }
}
