//! The names of the simulated world, and what is true of each: the one source that the simulated
//! servers answer from and that the oracle judges replies by.
//!
//! Nothing is stored. What a name means follows from the seed and the name alone:
//!
//! | name | meaning |
//! |---|---|
//! | `n5.sim.test.` | name 5 |
//! | `x.d5.sim.test.` | name 5, behind a DNAME |
//! | `4.3.2.1.in-addr.arpa.` | the PTR of 1.2.3.4, of which two in three exist |
//! | anything else | no such name |

use std::net::{Ipv4Addr, Ipv6Addr};

use super::random::Random;

/// Names that are asked for.
pub(crate) const NAMES: u64 = 40;

/// Types, by number.
pub(crate) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const PTR: u16 = 12;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const DNAME: u16 = 39;
    pub(crate) const RRSIG: u16 = 46;
    pub(crate) const ANY: u16 = 255;
}

/// RCODEs, by number.
pub(crate) mod rcode {
    pub(crate) const NOERROR: u8 = 0;
    pub(crate) const SERVFAIL: u8 = 2;
    pub(crate) const NXDOMAIN: u8 = 3;
    pub(crate) const REFUSED: u8 = 5;
}

/// How a name leads to its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// It has them.
    None,
    /// By so many CNAME.
    Cname(u64),
    /// By a DNAME; a CNAME goes with it if this is set.
    Dname(bool),
    /// By CNAME that come back.
    Loop,
}

/// What one type of a name comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Records, or none.
    Answer,
    /// No such name.
    NxDomain,
    /// An RCODE that means failure.
    Failure(u8),
    /// SERVFAIL, and an Extended Error that says validation failed.
    Bogus,
}

/// What is true of a name.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    pub(crate) a: Vec<Ipv4Addr>,
    pub(crate) a_ttl: u32,
    pub(crate) aaaa: Vec<Ipv6Addr>,
    pub(crate) aaaa_ttl: u32,
    /// TTL and MINIMUM of the SOA in denials, if they have one.
    pub(crate) soa: Option<(u32, u32)>,
    pub(crate) links: Links,
    pub(crate) link_ttl: u32,
    pub(crate) fate_a: Fate,
    pub(crate) fate_aaaa: Fate,
    /// The servers vouch for it.
    pub(crate) authentic: bool,
    /// There are RRSIG for who asks for them.
    pub(crate) signed: bool,
    /// How long the servers think about it.
    pub(crate) delay_ms: u64,
    /// By UDP it comes truncated.
    pub(crate) truncated: bool,
    /// Records of other names come with it.
    pub(crate) extra: bool,
}

const TTLS: [u32; 12] = [0, 1, 1, 2, 3, 5, 30, 300, 599, 900, 100_000, 0x8000_0001];

impl Meaning {
    /// What is true of name `number` in the world of this seed.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed, 1_000 + number);
        let count = match random.below(20) {
            0..4 => 0,
            4..16 => random.within(1..4),
            16..19 => random.within(4..12),
            _ => random.within(12..70),
        };
        let a = (0..count).map(|_| ipv4(&mut random)).collect();
        let count = if random.per_mille(400) { random.within(1..5) } else { 0 };
        let mapped = random.per_mille(300);
        let aaaa = (0..count).map(|_| ipv6(&mut random, mapped)).collect();
        let links = match random.below(40) {
            0..28 => Links::None,
            28..35 => Links::Cname(random.within(1..4)),
            35..38 => Links::Dname(random.per_mille(700)),
            38 => Links::Cname(random.within(14..20)),
            _ => Links::Loop,
        };
        let failure = |random: &mut Random| match random.below(30) {
            0 => Fate::Failure(2),
            1 => Fate::Failure(4),
            2 => Fate::Failure(5),
            3 => Fate::Bogus,
            _ => Fate::Answer,
        };
        let (mut fate_aaaa, mut fate_a) = (failure(&mut random), failure(&mut random));
        if random.per_mille(80) {
            (fate_aaaa, fate_a) = (Fate::NxDomain, Fate::NxDomain);
        } else if random.per_mille(30) {
            fate_a = Fate::NxDomain;
        }
        let delay_ms = match random.below(30) {
            0 => random.within(100..1_300),
            1 => random.within(1_300..4_000),
            _ => 0,
        };
        Self {
            a,
            a_ttl: *random.pick(&TTLS),
            aaaa,
            aaaa_ttl: *random.pick(&TTLS),
            soa: random.per_mille(900).then(|| (*random.pick(&TTLS), *random.pick(&TTLS))),
            links,
            link_ttl: *random.pick(&TTLS),
            fate_a,
            fate_aaaa,
            authentic: random.per_mille(300),
            signed: random.per_mille(200),
            delay_ms,
            truncated: random.per_mille(50),
            extra: random.per_mille(200),
        }
    }

    /// A name without any quirk: two A, no AAAA.
    pub(crate) fn plain(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed, 2_000 + number);
        Self {
            a: vec![ipv4(&mut random), ipv4(&mut random)],
            a_ttl: 300,
            aaaa: Vec::new(),
            aaaa_ttl: 300,
            soa: Some((300, 300)),
            links: Links::None,
            link_ttl: 300,
            fate_a: Fate::Answer,
            fate_aaaa: Fate::Answer,
            authentic: false,
            signed: false,
            delay_ms: 0,
            truncated: false,
            extra: false,
        }
    }

    /// What this type comes to.
    pub(crate) fn fate(&self, rtype: u16) -> Fate {
        match rtype {
            rtype::A => self.fate_a,
            rtype::AAAA => self.fate_aaaa,
            _ if self.fate_a == Fate::NxDomain && self.fate_aaaa == Fate::NxDomain => {
                Fate::NxDomain
            }
            _ => Fate::Answer,
        }
    }

    /// The RDATA of the records of a type.
    pub(crate) fn rdata(&self, rtype: u16) -> Vec<Vec<u8>> {
        match rtype {
            rtype::A => self.a.iter().map(|address| address.octets().to_vec()).collect(),
            rtype::AAAA => self.aaaa.iter().map(|address| address.octets().to_vec()).collect(),
            rtype::TXT if self.a_ttl.is_multiple_of(2) => vec![b"\x04text".to_vec()],
            _ => Vec::new(),
        }
    }

    /// The TTL of the records of a type, as it comes.
    pub(crate) fn ttl(&self, rtype: u16) -> u32 {
        if rtype == rtype::AAAA { self.aaaa_ttl } else { self.a_ttl }
    }
}

fn ipv4(random: &mut Random) -> Ipv4Addr {
    let [a, b, c, ..] = random.octets();
    match random.below(12) {
        0 => Ipv4Addr::new(10, a, b, c),
        1 => Ipv4Addr::new(192, 168, b, c),
        2 => Ipv4Addr::new(9, 9, b, c),
        _ => Ipv4Addr::new(20 + a % 60, a, b, c),
    }
}

fn ipv6(random: &mut Random, mapped: bool) -> Ipv6Addr {
    let word = random.next();
    if mapped && random.per_mille(700) {
        Ipv4Addr::from_bits(word as u32).to_ipv6_mapped()
    } else {
        Ipv6Addr::from_bits(0x2a00_u128 << 112 | u128::from(word))
    }
}

/// A name in wire form from labels.
pub(crate) fn wire(labels: &[&[u8]]) -> Vec<u8> {
    let mut name = Vec::new();
    for label in labels {
        name.push(label.len() as u8);
        name.extend_from_slice(label);
    }
    name.push(0);
    name
}

/// The labels of a wire name that is whole.
pub(crate) fn labels(name: &[u8]) -> Vec<&[u8]> {
    let mut labels = Vec::new();
    let mut rest = name;
    while let Some((&len, after)) = rest.split_first().filter(|(len, _)| **len > 0) {
        let (label, after) = after.split_at(usize::from(len));
        labels.push(label);
        rest = after;
    }
    labels
}

/// A name under the zone.
fn in_zone(labels: &[&[u8]]) -> Vec<u8> {
    wire(&[labels, &[b"sim", b"test"]].concat())
}

/// The name that is asked for name `number`.
pub(crate) fn question_name(number: u64, meaning: &Meaning) -> Vec<u8> {
    match meaning.links {
        Links::Dname(_) => in_zone(&[b"x", format!("d{number}").as_bytes()]),
        Links::None | Links::Cname(_) | Links::Loop => in_zone(&[format!("n{number}").as_bytes()]),
    }
}

/// The names of the chain, the asked one first.
pub(crate) fn chain(number: u64, meaning: &Meaning) -> Vec<Vec<u8>> {
    let mut names = vec![question_name(number, meaning)];
    match meaning.links {
        Links::None => {}
        Links::Cname(count) => {
            for step in 0..count {
                names.push(in_zone(&[
                    format!("c{step}").as_bytes(),
                    format!("n{number}").as_bytes(),
                ]));
            }
        }
        Links::Dname(_) => names.push(in_zone(&[b"x", format!("t{number}").as_bytes()])),
        Links::Loop => {
            names.push(in_zone(&[b"loop", format!("n{number}").as_bytes()]));
            names.push(names[0].clone());
        }
    }
    names
}

/// The number of a name that is asked for; the name is in lower case.
pub(crate) fn number_of(name: &[u8]) -> Option<u64> {
    let labels = labels(name);
    let label = match labels.as_slice() {
        [label, b"sim", b"test"] => label.strip_prefix(b"n")?,
        [b"x", label, b"sim", b"test"] => label.strip_prefix(b"d")?,
        _ => return None,
    };
    std::str::from_utf8(label).ok()?.parse().ok().filter(|number| *number < NAMES)
}

/// in-addr.arpa of an address.
pub(crate) fn in_addr_arpa(address: Ipv4Addr) -> Vec<u8> {
    let labels: Vec<String> = address.octets().iter().rev().map(u8::to_string).collect();
    let mut all: Vec<&[u8]> = labels.iter().map(String::as_bytes).collect();
    all.extend([b"in-addr".as_slice(), b"arpa"]);
    wire(&all)
}

/// ip6.arpa of an address.
pub(crate) fn ip6_arpa(address: Ipv6Addr) -> Vec<u8> {
    let mut name = Vec::new();
    for octet in address.octets().iter().rev() {
        for nibble in [octet & 15, octet >> 4] {
            name.extend([1, b"0123456789abcdef"[usize::from(nibble)]]);
        }
    }
    name.extend_from_slice(b"\x03ip6\x04arpa\0");
    name
}

/// The address of a name in in-addr.arpa.
pub(crate) fn ipv4_of(name: &[u8]) -> Option<Ipv4Addr> {
    let labels = labels(name);
    let [d, c, b, a, b"in-addr", b"arpa"] = labels.as_slice() else { return None };
    let octet = |label: &[u8]| std::str::from_utf8(label).ok()?.parse::<u8>().ok();
    Some(Ipv4Addr::new(octet(a)?, octet(b)?, octet(c)?, octet(d)?))
}

/// The name of an address, in wire form, and its TTL; `None` if it has none.
pub(crate) fn ptr_of(seed: u64, address: Ipv4Addr) -> Option<(Vec<u8>, u32)> {
    let mut random = Random::new(seed, 1 << 40 | u64::from(address.to_bits()));
    if random.per_mille(330) {
        return None;
    }
    let [a, b, c, d] = address.octets();
    let host = format!("h-{a}-{b}-{c}-{d}");
    Some((in_zone(&[host.as_bytes()]), *random.pick(&TTLS)))
}
