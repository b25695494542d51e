//! Names of the reverse trees: ip6.arpa (RFC 3596 2.5) and in-addr.arpa (RFC 1035 3.5).
//!
//! ```text
//!  2001:db8::1    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.
//!  192.0.2.33     33.2.0.192.in-addr.arpa.
//! ```
//!
//! A DNS64 answers PTR questions about its own prefixes (RFC 6147 5.3.1), and it is the only one
//! who can: nothing in the public tree is right about them. So [`parse_ip6_arpa`] also tells of
//! names that are no address how far they lead towards one, and whoever asks can decide whether
//! that is inside a prefix.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::NAME_LEN_MAX;
use crate::wire::name::{Name, NameBuf};

/// Nibbles of an IPv6 address.
pub const NIBBLES: usize = 32;

/// Labels of the longest name.
const LABELS_MAX: usize = NAME_LEN_MAX / 2;

/// What a name says about an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReverseV6 {
    /// The name of this address: exactly 32 nibbles.
    Address(Ipv6Addr),
    /// The name of a prefix, 0 to 31 nibbles: addresses lie below it, so it exists but has no
    /// records (an empty non-terminal, RFC 8020 2).
    Partial {
        /// The nibbles, then zeros.
        octets: [u8; 16],
        /// How many nibbles: 0 to 31.
        nibbles: u8,
    },
    /// A name below that of this address: nothing is there.
    Below(Ipv6Addr),
    /// Before the address is complete there is a label that is no nibble: nothing is there.
    Malformed {
        /// The nibbles between the root and the bad label, then zeros.
        octets: [u8; 16],
        /// How many nibbles: 0 to 31.
        nibbles: u8,
    },
    /// Not in ip6.arpa.
    NotReverse,
}

impl ReverseV6 {
    /// The leading bits of an address that the name gives, and how many they are: 0 to 128, four
    /// at a time; `None` outside ip6.arpa.
    #[must_use]
    pub const fn known_bits(self) -> Option<(Ipv6Addr, u8)> {
        match self {
            Self::Address(address) | Self::Below(address) => Some((address, 128)),
            Self::Partial { octets, nibbles } | Self::Malformed { octets, nibbles } => {
                Some((Ipv6Addr::from_octets(octets), nibbles * 4))
            }
            Self::NotReverse => None,
        }
    }
}

/// Reads a name of ip6.arpa, in any letter case.
#[must_use]
pub fn parse_ip6_arpa(name: Name<'_>) -> ReverseV6 {
    if let Some(address) = whole_address(name.as_wire()) {
        return ReverseV6::Address(address);
    }
    let mut stack: [&[u8]; LABELS_MAX] = [&[]; LABELS_MAX];
    let mut count = 0;
    for (place, label) in stack.iter_mut().zip(name.labels()) {
        *place = label;
        count += 1;
    }
    let labels = stack.get(..count).unwrap_or_default();
    let [labels @ .., ip6, arpa] = labels else { return ReverseV6::NotReverse };
    if !ip6.eq_ignore_ascii_case(b"ip6") || !arpa.eq_ignore_ascii_case(b"arpa") {
        return ReverseV6::NotReverse;
    }
    let mut bits = 0_u128;
    let mut nibbles = 0_u8;
    // From the root down: the first nibble is the highest.
    for label in labels.iter().rev().take(NIBBLES) {
        let Some(nibble) = nibble_of(label) else {
            return ReverseV6::Malformed { octets: bits.to_be_bytes(), nibbles };
        };
        // At most 31 before this one, so that the shift is 0 or more.
        bits |= u128::from(nibble) << (124 - 4 * u32::from(nibbles));
        nibbles += 1;
    }
    if usize::from(nibbles) < NIBBLES {
        ReverseV6::Partial { octets: bits.to_be_bytes(), nibbles }
    } else if labels.len() > NIBBLES {
        ReverseV6::Below(Ipv6Addr::from_bits(bits))
    } else {
        ReverseV6::Address(Ipv6Addr::from_bits(bits))
    }
}

/// The address of a name that is one of an address, which nearly every question for PTR is: it can
/// be read where it stands.
fn whole_address(wire: &[u8]) -> Option<Ipv6Addr> {
    let (labels, end) = wire.split_first_chunk::<{ 2 * NIBBLES }>()?;
    if !end.eq_ignore_ascii_case(b"\x03ip6\x04arpa\0") {
        return None;
    }
    // The first label is the lowest nibble.
    let (low, high) = labels.split_at(NIBBLES);
    let half = |labels: &[u8]| {
        labels.as_chunks::<2>().0.iter().rev().try_fold(0_u64, |bits, &[len, digit]| {
            let nibble = nibble_of(&[digit]).filter(|_| len == 1)?;
            Some(bits << 4 | u64::from(nibble))
        })
    };
    Some(Ipv6Addr::from_bits(u128::from(half(high)?) << 64 | u128::from(half(low)?)))
}

/// The value of a label that is one hexadecimal digit.
fn nibble_of(label: &[u8]) -> Option<u8> {
    let &[digit] = label else { return None };
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The name of an IPv6 address in ip6.arpa.
#[must_use]
pub fn ip6_arpa(address: Ipv6Addr) -> NameBuf {
    let mut bits = address.to_bits();
    let mut labels = [0_u8; NIBBLES];
    for label in &mut labels {
        *label = b"0123456789abcdef".get((bits & 0xf) as usize).copied().unwrap_or_default();
        bits >>= 4;
    }
    joined(labels.iter().map(std::slice::from_ref).chain([&b"ip6"[..], b"arpa"]))
}

/// Reads the name of an IPv4 address in in-addr.arpa, in any letter case; `None` for every other
/// name. Numbers are written as everybody writes them, without leading zeros.
#[must_use]
pub fn parse_in_addr_arpa(name: Name<'_>) -> Option<Ipv4Addr> {
    let mut labels = name.labels();
    let mut octets = [0; 4];
    for octet in octets.iter_mut().rev() {
        *octet = decimal_of(labels.next()?)?;
    }
    let in_addr = labels.next()?.eq_ignore_ascii_case(b"in-addr");
    let arpa = labels.next()?.eq_ignore_ascii_case(b"arpa");
    (in_addr && arpa && labels.next().is_none()).then_some(Ipv4Addr::from(octets))
}

/// The value of a label that is a decimal number from 0 to 255.
fn decimal_of(label: &[u8]) -> Option<u8> {
    let canonical = match label {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() <= 2 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !canonical {
        return None;
    }
    let value = label.iter().fold(0_u16, |value, digit| value * 10 + u16::from(digit - b'0'));
    u8::try_from(value).ok()
}

/// The name of an IPv4 address in in-addr.arpa.
#[must_use]
pub fn in_addr_arpa(address: Ipv4Addr) -> NameBuf {
    let [a, b, c, d] = address.octets();
    let digits = [d, c, b, a].map(decimal_digits);
    let labels = digits.iter().map(|digits| match &digits[..] {
        [b'0', b'0', digits @ ..] => digits,
        [b'0', digits @ ..] => digits,
        digits => digits,
    });
    joined(labels.chain([&b"in-addr"[..], b"arpa"]))
}

/// Three decimal digits.
const fn decimal_digits(octet: u8) -> [u8; 3] {
    [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10]
}

/// A name of these labels.
fn joined<'a>(labels: impl Iterator<Item = &'a [u8]>) -> NameBuf {
    let mut name = NameBuf::ROOT;
    for label in labels {
        let pushed = name.push_label(label);
        // 74 octets at most, in labels of 1 to 7.
        debug_assert!(pushed.is_ok(), "a reverse name always fits");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ReverseV6 {
        parse_ip6_arpa(text.parse::<NameBuf>().unwrap().as_name())
    }

    const FULL: &str = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";

    #[test]
    fn an_address_has_32_nibbles_in_any_case() {
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(parse(FULL), ReverseV6::Address(address));
        assert_eq!(parse(&FULL.to_uppercase()), ReverseV6::Address(address));
        assert_eq!(ip6_arpa(address).to_string(), FULL);
        assert_eq!(parse(FULL).known_bits(), Some((address, 128)));
    }

    #[test]
    fn fewer_nibbles_are_an_empty_non_terminal() {
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb0]);
        assert_eq!(parse("b.d.0.1.0.0.2.ip6.arpa"), ReverseV6::Partial { octets, nibbles: 7 });
        assert_eq!(
            parse("b.d.0.1.0.0.2.ip6.arpa").known_bits(),
            Some(("2001:db0::".parse().unwrap(), 28))
        );
        assert_eq!(parse("ip6.arpa"), ReverseV6::Partial { octets: [0; 16], nibbles: 0 });
        let last_missing = parse(&FULL[2..]);
        assert!(matches!(last_missing, ReverseV6::Partial { nibbles: 31, .. }));
    }

    #[test]
    fn names_below_an_address_or_with_a_bad_label_tell_how_far_they_lead() {
        let address = "2001:db8::1".parse().unwrap();
        assert_eq!(parse(&format!("x.{FULL}")), ReverseV6::Below(address));
        assert_eq!(parse(&format!("0.{FULL}")), ReverseV6::Below(address));
        let mut octets = [0; 16];
        octets[0] = 0x20;
        for bad in ["g.0.2.ip6.arpa", "00.0.2.ip6.arpa", "a.b.0-f.0.2.ip6.arpa"] {
            assert_eq!(parse(bad), ReverseV6::Malformed { octets, nibbles: 2 }, "{bad}");
        }
        assert_eq!(parse("www.ip6.arpa"), ReverseV6::Malformed { octets: [0; 16], nibbles: 0 });
    }

    #[test]
    fn the_longest_names_are_read_to_the_end() {
        let most = format!("{}{FULL}", "x.".repeat(90));
        assert_eq!(parse(&most), ReverseV6::Below("2001:db8::1".parse().unwrap()));
        assert_eq!(parse(&"a.".repeat(127)), ReverseV6::NotReverse);
    }

    #[test]
    fn other_trees_are_not_reverse() {
        for other in [".", "arpa", "ip6", "1.0.0.127.in-addr.arpa", "0.ip6.int", "2.ip6.arpa.org"] {
            assert_eq!(parse(other), ReverseV6::NotReverse, "{other}");
            assert_eq!(parse(other).known_bits(), None);
        }
        assert_eq!(parse("2.xip6.arpa"), ReverseV6::NotReverse);
    }

    #[test]
    fn ipv4_addresses_are_written_and_read() {
        for (address, text) in [
            ("192.0.2.33", "33.2.0.192.in-addr.arpa."),
            ("0.10.100.255", "255.100.10.0.in-addr.arpa."),
        ] {
            let address: Ipv4Addr = address.parse().unwrap();
            assert_eq!(in_addr_arpa(address).to_string(), text);
            let upper: NameBuf = text.to_uppercase().parse().unwrap();
            assert_eq!(parse_in_addr_arpa(upper.as_name()), Some(address));
        }
    }

    #[test]
    fn other_names_are_no_ipv4_address() {
        for other in [
            ".",
            "in-addr.arpa",
            "2.0.192.in-addr.arpa",
            "1.33.2.0.192.in-addr.arpa",
            "033.2.0.192.in-addr.arpa",
            "00.2.0.192.in-addr.arpa",
            "256.2.0.192.in-addr.arpa",
            "1000.2.0.192.in-addr.arpa",
            "+1.2.0.192.in-addr.arpa",
            "a.2.0.192.in-addr.arpa",
            "0-31.2.0.192.in-addr.arpa",
            "33.2.0.192.in-addr.arpa.org",
            "33.2.0.192.ip6.arpa",
        ] {
            let name: NameBuf = other.parse().unwrap();
            assert_eq!(parse_in_addr_arpa(name.as_name()), None, "{other}");
        }
    }
}
