//! IPv4-embedded addresses and reverse names lead there and back.

use std::net::{Ipv4Addr, Ipv6Addr};

use dns64::pref64::{Pref64, UOctet};
use dns64::reverse::{ReverseV6, in_addr_arpa, ip6_arpa, parse_in_addr_arpa, parse_ip6_arpa};
use dns64::wire::NameBuf;
use proptest::prelude::*;

/// A Pref64 of any length with a random prefix and suffix.
fn any_pref64() -> impl Strategy<Value = Pref64> {
    let lengths = prop::sample::select(vec![32_u8, 40, 48, 56, 64, 96]);
    (any::<u128>(), any::<u128>(), lengths).prop_map(|(prefix, suffix, bits)| {
        // Bits 64 to 71 stay zero (RFC 6052 2.2).
        let prefix = prefix & !(0xff << 56) & (u128::MAX << (128 - bits));
        // The IPv4 address ends at bit 64 for /32, and 8 bits later than prefix + 32 otherwise.
        let suffix_start = match bits {
            32 => 72,
            96 => 128,
            _ => u32::from(bits) + 40,
        };
        let suffix = suffix & u128::MAX.checked_shr(suffix_start).unwrap_or(0);
        let network = format!("{}/{bits}", Ipv6Addr::from_bits(prefix)).parse().unwrap();
        Pref64::new(network, Ipv6Addr::from_bits(suffix), UOctet::Zero).unwrap()
    })
}

/// Letter case at random, bit by bit.
fn mixed_case(name: &NameBuf, cases: u128) -> NameBuf {
    let text: String = name
        .to_string()
        .chars()
        .enumerate()
        .map(|(place, c)| if cases >> (place % 128) & 1 == 1 { c.to_ascii_uppercase() } else { c })
        .collect();
    text.parse().unwrap()
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn what_is_embedded_is_extracted(pref64 in any_pref64(), bits in any::<u32>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        let v6 = pref64.embed(v4);
        prop_assert!(pref64.covers(v6));
        prop_assert_eq!(v6.octets()[8], 0);
        prop_assert_eq!(pref64.extract(v6), Some(v4));
    }

    #[test]
    fn the_suffix_does_not_matter_to_extraction(
        pref64 in any_pref64(), bits in any::<u32>(), noise in any::<u128>(),
    ) {
        let v4 = Ipv4Addr::from_bits(bits);
        let end = pref64.length().ipv4_octets()[3].max(8) + 1;
        let noise = u128::MAX.checked_shr(8 * end as u32).unwrap_or(0) & noise;
        let v6 = Ipv6Addr::from_bits(pref64.embed(v4).to_bits() ^ noise);
        prop_assert_eq!(pref64.extract(v6), Some(v4));
    }

    #[test]
    fn an_ipv6_address_and_its_reverse_name_are_one(bits in any::<u128>(), cases in any::<u128>()) {
        let address = Ipv6Addr::from_bits(bits);
        let name = mixed_case(&ip6_arpa(address), cases);
        prop_assert_eq!(parse_ip6_arpa(name.as_name()), ReverseV6::Address(address));
    }

    #[test]
    fn an_ipv4_address_and_its_reverse_name_are_one(bits in any::<u32>(), cases in any::<u128>()) {
        let address = Ipv4Addr::from_bits(bits);
        let name = mixed_case(&in_addr_arpa(address), cases);
        prop_assert_eq!(parse_in_addr_arpa(name.as_name()), Some(address));
    }

    #[test]
    fn every_ancestor_of_a_reverse_name_tells_its_leading_bits(
        bits in any::<u128>(), skipped in 1..32_usize, child in "[a-z]{2,5}",
    ) {
        let full = ip6_arpa(Ipv6Addr::from_bits(bits));
        let mut name = full.as_name();
        for _ in 0..skipped {
            name = name.parent().unwrap();
        }
        let nibbles = 32 - skipped as u8;
        let octets = (bits & (u128::MAX << (4 * skipped))).to_be_bytes();
        prop_assert_eq!(parse_ip6_arpa(name), ReverseV6::Partial { octets, nibbles });
        // A child that is no nibble leads no further.
        let child: NameBuf = format!("{child}.{name}").parse().unwrap();
        let malformed = ReverseV6::Malformed { octets, nibbles };
        prop_assert_eq!(parse_ip6_arpa(child.as_name()), malformed);
    }
}
