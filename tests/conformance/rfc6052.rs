//! RFC 6052: IPv6 addressing of IPv4/IPv6 translators.

use std::net::{Ipv4Addr, Ipv6Addr};

use dns64::config;
use dns64::pref64::{Pref64, Pref64Error, UOctet, WELL_KNOWN};
use dns64_tests::in_process::{Query, Responder, Response};

use crate::{NOERROR, SOA, responder};

fn pref64(prefix: &str) -> Pref64 {
    Pref64::new(prefix.parse().unwrap(), Ipv6Addr::UNSPECIFIED, UOctet::Zero).unwrap()
}

/// Whether a configuration with these prefixes is accepted.
fn accepts(prefixes: &str) -> bool {
    config::parse(&format!("[dns64]\nprefixes = [{prefixes}]\n"), "test.toml").is_ok()
}

//= rfc6052#2.1
//= type=test
//# (paraphrase) The Well-Known Prefix is 64:ff9b::/96.
#[test]
fn the_well_known_prefix_has_its_value() {
    assert_eq!(WELL_KNOWN.network().to_string(), "64:ff9b::/96");
}

//= rfc6052#2.2
//= type=test
//# The prefixes can only have one of the following lengths: 32, 40, 48, 56, 64, or 96.
#[test]
fn other_prefix_lengths_are_refused() {
    for bits in 0..=128_u8 {
        let prefix = format!("::/{bits}").parse().unwrap();
        let made = Pref64::new(prefix, Ipv6Addr::UNSPECIFIED, UOctet::Zero);
        if [32, 40, 48, 56, 64, 96].contains(&bits) {
            assert!(made.is_ok(), "/{bits}");
        } else {
            assert_eq!(made.unwrap_err(), Pref64Error::Length(bits));
            assert!(!accepts(&format!("\"::/{bits}\"")), "/{bits}");
        }
    }
}

//= rfc6052#2.2
//= type=test
//# These bits MUST be set to zero.
#[test]
fn bits_64_to_71_of_every_address_are_zero() {
    for bits in [32, 40, 48, 56, 64, 96] {
        let prefix = Ipv6Addr::from_bits(u128::MAX << (128 - bits) & !(0xff << 56));
        let pref64 = pref64(&format!("{prefix}/{bits}"));
        let address = pref64.embed(Ipv4Addr::BROADCAST);
        assert_eq!(address.octets()[8], 0, "/{bits}");
        let mut odd = address.octets();
        odd[8] = 1;
        assert_eq!(pref64.extract(odd.into()), None, "/{bits}");
    }
}

//= rfc6052#2.2
//= type=test
//# When using a /96 Network-Specific Prefix, the administrators MUST ensure that the bits 64 to 71
//# are set to zero.
#[test]
fn a_96_bit_prefix_with_bits_64_to_71_set_is_refused_unless_allowed() {
    let prefix = "\"fe80::21b:77ff:0:0/96\"";
    assert!(!accepts(prefix));
    let text = format!("[dns64]\nallow_nonzero_u = true\nprefixes = [{prefix}]\n");
    assert!(config::parse(&text, "test.toml").is_ok());
}

//= rfc6052#2.2
//= type=test
//# The bits of the suffix are reserved for future extensions and SHOULD be set to zero.
#[test]
fn the_suffix_is_zero_unless_configured() {
    for (bits, suffix_bits) in [(32, 64), (40, 48), (48, 40), (56, 32), (64, 24)] {
        let address = pref64(&format!("2001:db8::/{bits}")).embed(Ipv4Addr::BROADCAST);
        assert_eq!(address.to_bits().trailing_zeros(), suffix_bits, "/{bits}");
    }
}

//= rfc6052#2.2
//= type=test
//# SHOULD ignore the bits' value and proceed as if the bits' value were zero.
#[test]
fn suffix_bits_of_a_ptr_query_are_ignored() {
    // 2001:db8:c000:201:0:1234:5678:9abc under 2001:db8::/32.
    let name = "c.b.a.9.8.7.6.5.4.3.2.1.0.0.0.0.1.0.2.0.0.0.0.c.8.b.d.0.1.0.0.2.ip6.arpa.";
    let mut responder = Responder::new(r#"prefixes = ["2001:db8::/32"]"#);
    let ptr = "1.2.0.192.in-addr.arpa. 60 IN PTR v4.example.";
    responder.says("1.2.0.192.in-addr.arpa. PTR", Response::answer(&[ptr]));
    let answered = responder.ask(&Query::of(&format!("{name} PTR")));
    assert_eq!(answered.rcode(), NOERROR);
    assert_eq!(answered.answer()[1], ptr);
}

//= rfc6052#2.3
//= type=test
//# Concatenate the prefix, the 32 bits of the IPv4 address, and the suffix (if needed) to obtain a
//# 128-bit address.
//= rfc6052#2.3
//= type=test
//# insert the null octet "u" at the appropriate position (bits 64 to 71)
//= rfc6052#2.4
//= type=test
//# (paraphrase) Table 1: 192.0.2.33 under a prefix of each length.
#[test]
fn the_tables_of_2_4_hold() {
    let v4 = Ipv4Addr::new(192, 0, 2, 33);
    for (prefix, expected) in [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
        ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
    ] {
        let expected: Ipv6Addr = expected.parse().unwrap();
        assert_eq!(pref64(prefix).embed(v4), expected, "{prefix}");
    }
}

//= rfc6052#2.3
//= type=test
//# (paraphrase) The IPv4 address is taken out of an address: its last 32 bits, or those behind the
//# prefix without the octet "u".
#[test]
fn the_addresses_of_the_tables_lead_back() {
    let v4 = Some(Ipv4Addr::new(192, 0, 2, 33));
    for (prefix, address) in [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ] {
        assert_eq!(pref64(prefix).extract(address.parse().unwrap()), v4, "{prefix}");
        assert_eq!(pref64(prefix).extract("2001:db9::".parse().unwrap()), None, "{prefix}");
    }
}

//= rfc6052#3.1
//= type=test
//# The Well-Known Prefix MUST NOT be used to represent non-global IPv4 addresses, such as those
//# defined in [RFC1918] or listed in Section 3 of [RFC5735].
#[test]
fn non_global_addresses_are_not_mapped_under_the_well_known_prefix() {
    for address in [
        "0.0.0.1",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.19.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        let a = format!("p.example. 60 IN A {address}");
        let mut responder = responder();
        responder
            .says("p.example. AAAA", Response::no_data(SOA))
            .says("p.example. A", Response::answer(&[&a]));
        let answered = responder.ask(&Query::of("p.example. AAAA"));
        assert_eq!(answered.rcode(), NOERROR, "{address}");
        assert!(answered.answer().is_empty(), "{address}");
    }
}

//= rfc6052#3.1
//= type=test
//# (paraphrase) Network-Specific Prefixes may represent any IPv4 address.
#[test]
fn a_network_specific_prefix_maps_private_addresses() {
    let mut responder = Responder::new(r#"prefixes = ["2001:db8:64::/96"]"#);
    responder
        .says("p.example. AAAA", Response::no_data(SOA))
        .says("p.example. A", Response::answer(&["p.example. 60 IN A 10.0.0.1"]));
    let answered = responder.ask(&Query::of("p.example. AAAA"));
    assert_eq!(answered.answer(), ["p.example. 60 IN AAAA 2001:db8:64::a00:1"]);
}
