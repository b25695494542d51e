//! RFC 6147 5.2: generation of the IPv6 representations of IPv4 addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use dns64::config;
use dns64::pref64::{Pref64, UOctet};
use dns64_tests::in_process::Responder;

use crate::{responder_with_v4, v4_query, with_v4};

const PREFIXES: [&str; 6] = [
    "2001:db8::/32",
    "2001:db8:100::/40",
    "2001:db8:122::/48",
    "2001:db8:122:300::/56",
    "2001:db8:122:344::/64",
    "2001:db8:122:344::/96",
];

//= rfc6147#5.2
//= type=test
//# The algorithm MUST be reversible; i.e., it MUST be possible to derive the original IPv4 address
//# from the IPv6 representation.
#[test]
fn every_representation_leads_back_to_its_ipv4_address() {
    for prefix in PREFIXES {
        let pref64 =
            Pref64::new(prefix.parse().unwrap(), Ipv6Addr::UNSPECIFIED, UOctet::Zero).unwrap();
        for bits in (0..=u32::MAX).step_by(65_537 * 101) {
            let address = Ipv4Addr::from_bits(bits);
            assert_eq!(pref64.extract(pref64.embed(address)), Some(address), "{prefix}");
        }
    }
}

//= rfc6147#5.2
//= type=test
//# a set of stable parameters that are configured in the DNS64 and in the NAT64 (such as a fixed
//# string to be used as a suffix).
#[test]
fn a_suffix_is_written_behind_the_address() {
    let prefixes = r#"prefixes = [{ prefix = "2001:db8::/48", suffix = "::1" }]"#;
    let mut responder = with_v4(Responder::new(prefixes));
    let answered = responder.ask(&v4_query());
    assert_eq!(answered.answer(), ["v4.example. 300 IN AAAA 2001:db8:0:c000:2:100:0:1"]);
}

//= rfc6147#5.2
//= type=test
//# For each prefix Pref64::/n, n MUST be less than or equal to 96.
#[test]
fn a_longer_prefix_is_refused() {
    for bits in 97..=128 {
        let text = format!("[dns64]\nprefixes = [\"2001:db8::/{bits}\"]\n");
        assert!(config::parse(&text, "test.toml").is_err(), "/{bits}");
    }
}

//= rfc6147#5.2
//= type=test
//# the default algorithm MUST use these prefixes (and not use the Well-Known Prefix).
#[test]
fn a_configured_prefix_replaces_the_well_known_one() {
    let mut responder = with_v4(Responder::new(r#"prefixes = ["2001:db8:64::/96"]"#));
    let answered = responder.ask(&v4_query());
    assert_eq!(answered.answer(), ["v4.example. 300 IN AAAA 2001:db8:64::c000:201"]);
}

//= rfc6147#5.2
//= type=test
//# If no prefix is available, the algorithm MUST use the Well-Known Prefix 64:ff9b::/96 defined in
//# [RFC6052] to represent the IPv4 unicast address range.
#[test]
fn without_a_configured_prefix_the_well_known_one_is_used() {
    for mut responder in [responder_with_v4(), with_v4(Responder::new("prefixes = []"))] {
        let answered = responder.ask(&v4_query());
        assert_eq!(answered.answer(), ["v4.example. 300 IN AAAA 64:ff9b::c000:201"]);
    }
}

//= rfc6147#5.2
//= type=test
//# A DNS64 MUST support the algorithm for generating IPv6 representations of IPv4 addresses defined
//# in Section 2 of [RFC6052].
#[test]
fn the_responder_uses_the_algorithm_of_rfc_6052_with_every_length() {
    let expected = [
        "2001:db8:c000:201::",
        "2001:db8:1c0:2:1::",
        "2001:db8:122:c000:2:100::",
        "2001:db8:122:3c0:0:201::",
        "2001:db8:122:344:c0:2:100:0",
        "2001:db8:122:344::c000:201",
    ];
    for (prefix, expected) in PREFIXES.into_iter().zip(expected) {
        let mut responder = with_v4(Responder::new(&format!("prefixes = [\"{prefix}\"]")));
        let address: Ipv6Addr = expected.parse().unwrap();
        let answered = responder.ask(&v4_query());
        assert_eq!(answered.answer(), [format!("v4.example. 300 IN AAAA {address}")], "{prefix}");
    }
}
