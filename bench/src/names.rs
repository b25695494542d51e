//! Query files in dnsperf's form, a name and a type a line, of names that say their own answer.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use clap::ValueEnum;
use dns64::pref64::Pref64;

use crate::load::rrtype::name_of;
use crate::wire::rtype;

/// The first address: from here to 100.64.0.0 all are ordinary global ones, which even the
/// Well-Known Prefix may stand for (RFC 6052 3.1).
const FIRST_ADDRESS: u32 = u32::from_be_bytes([11, 0, 0, 0]);

/// How many different names there are of a kind.
pub const NAMES_MAX: u32 = u32::from_be_bytes([100, 64, 0, 0]) - FIRST_ADDRESS;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// AAAA of names with an A record only.
    Synth,
    /// AAAA of names with an AAAA record.
    Native,
    /// Of ten questions, six of `synth`, two of `native`, one for A and one of `ptr`.
    Mixed,
    /// PTR of addresses under the NAT64 prefix.
    Ptr,
    /// AAAA of names with an A and an AAAA record.
    Dual,
    /// A of names with an A record.
    A,
    /// AAAA of names that do not exist.
    Absent,
}

/// A question, in the words of a query file.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked for.
    pub kind: Kind,
    /// Its number; different numbers give different names. Below [`NAMES_MAX`].
    pub number: u32,
    /// The zone of the names.
    pub zone: &'a str,
    /// The NAT64 prefix of reverse names.
    pub prefix: &'a Pref64,
}

impl Question<'_> {
    /// The name and the type.
    #[must_use]
    pub fn parts(&self) -> (String, u16) {
        let [w, x, y, z] = (FIRST_ADDRESS + self.number).to_be_bytes();
        let (number, zone) = (self.number, self.zone);
        let kind = match (self.kind, number % 10) {
            (Kind::Mixed, 0..=5) => Kind::Synth,
            (Kind::Mixed, 6) => Kind::A,
            (Kind::Mixed, 7..=8) => Kind::Native,
            (Kind::Mixed, _) => Kind::Ptr,
            (kind, _) => kind,
        };
        match kind {
            Kind::Synth | Kind::Mixed => (format!("a-{w}-{x}-{y}-{z}.{zone}"), rtype::AAAA),
            Kind::A => (format!("a-{w}-{x}-{y}-{z}.{zone}"), rtype::A),
            Kind::Native => (format!("q-20010db8{number:024x}.{zone}"), rtype::AAAA),
            Kind::Dual => {
                (format!("a-{w}-{x}-{y}-{z}--q-20010db8{number:024x}.{zone}"), rtype::AAAA)
            }
            Kind::Absent => (format!("a-{w}-{x}-{y}-{z}--nx.{zone}"), rtype::AAAA),
            Kind::Ptr => {
                let address = self.prefix.embed(Ipv4Addr::new(w, x, y, z));
                (ReverseName(address).to_string(), rtype::PTR)
            }
        }
    }
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, qtype) = self.parts();
        write!(f, "{name} {}", name_of(qtype))
    }
}

/// The name of an address under ip6.arpa (RFC 3596 2.5).
#[derive(Clone, Copy, Debug)]
pub struct ReverseName(pub Ipv6Addr);

impl fmt::Display for ReverseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.0.octets().iter().rev() {
            write!(f, "{:x}.{:x}.", octet & 15, octet >> 4)?;
        }
        f.write_str("ip6.arpa")
    }
}

/// Writes questions to a file, from this number on.
///
/// # Errors
/// Those of writing.
pub fn write_questions(out: &mut impl Write, first: Question<'_>, count: u32) -> io::Result<()> {
    for number in first.number..first.number.saturating_add(count).min(NAMES_MAX) {
        writeln!(out, "{}", Question { number, ..first })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dns64::pref64::WELL_KNOWN;

    fn lines(kind: Kind, number: u32, count: u32) -> Vec<String> {
        let mut out = Vec::new();
        let first = Question { kind, number, zone: "v4.test", prefix: &WELL_KNOWN };
        write_questions(&mut out, first, count).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn numbers_become_addresses() {
        assert_eq!(
            lines(Kind::Synth, 255, 2),
            ["a-11-0-0-255.v4.test AAAA", "a-11-0-1-0.v4.test AAAA"]
        );
        assert_eq!(lines(Kind::Native, 16, 1), ["q-20010db8000000000000000000000010.v4.test AAAA"]);
        assert_eq!(
            lines(Kind::Dual, 16, 1),
            ["a-11-0-0-16--q-20010db8000000000000000000000010.v4.test AAAA"]
        );
        assert_eq!(lines(Kind::Absent, 1, 1), ["a-11-0-0-1--nx.v4.test AAAA"]);
        assert_eq!(lines(Kind::A, 1, 1), ["a-11-0-0-1.v4.test A"]);
        assert_eq!(
            lines(Kind::Ptr, 1, 1),
            ["1.0.0.0.0.0.b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa PTR"]
        );
    }

    #[test]
    fn a_mix_has_its_parts() {
        let lines = lines(Kind::Mixed, 0, 100);
        let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        assert_eq!([count("AAAA"), count("q-"), count(" A"), count(" PTR")], [80, 20, 80 + 10, 10]);
    }

    #[test]
    fn the_last_number_is_the_last() {
        assert_eq!(lines(Kind::Synth, NAMES_MAX - 1, 5), ["a-100-63-255-255.v4.test AAAA"]);
    }
}
