//! RFC 7050: discovery of the IPv6 prefix used for IPv6 address synthesis, seen from the server.

use dns64_tests::in_process::{Query, Responder};

use crate::{NOERROR, responder};

//= rfc7050#2.2
//= type=test
//# (paraphrase) The well-known IPv4 addresses are 192.0.0.170 and 192.0.0.171.
#[test]
fn the_name_has_the_well_known_addresses() {
    let answered = responder().ask(&Query::of("ipv4only.arpa. A"));
    assert_eq!(
        answered.answer(),
        ["ipv4only.arpa. 600 IN A 192.0.0.170", "ipv4only.arpa. 600 IN A 192.0.0.171"]
    );
}

//= rfc7050#3
//= type=test
//# (paraphrase) A node finds each prefix in the AAAA of the well-known name.
#[test]
fn every_prefix_of_the_client_carries_both_addresses() {
    let mut responder =
        Responder::new(r#"prefixes = ["2001:db8:64::/96", "2001:db8:122:344::/64"]"#);
    let answered = responder.ask(&Query::of("ipv4only.arpa. AAAA"));
    let mut answer = answered.answer();
    answer.sort_unstable();
    assert_eq!(
        answer,
        [
            "ipv4only.arpa. 600 IN AAAA 2001:db8:122:344:c0:0:aa00:0",
            "ipv4only.arpa. 600 IN AAAA 2001:db8:122:344:c0:0:ab00:0",
            "ipv4only.arpa. 600 IN AAAA 2001:db8:64::c000:aa",
            "ipv4only.arpa. 600 IN AAAA 2001:db8:64::c000:ab",
        ]
    );
}

//= rfc7050#3
//= type=test
//# (paraphrase) A node that wants the prefix clears CD; a DNS64 does not synthesize when it is set.
#[test]
fn with_cd_the_name_has_no_aaaa() {
    for query in [
        Query::of("ipv4only.arpa. AAAA").checking_disabled(),
        Query::of("ipv4only.arpa. AAAA").checking_disabled().dnssec_ok(),
    ] {
        let answered = responder().ask(&query);
        assert_eq!(answered.rcode(), NOERROR);
        assert!(answered.answer().is_empty());
    }
}

//= rfc7050#3
//= type=test
//# (paraphrase) A node asks again before the TTL is over: it must not be zero.
#[test]
fn the_ttl_lets_clients_ask_again_in_time() {
    let answered = responder().ask(&Query::of("ipv4only.arpa. AAAA"));
    for record in &answered.reply.answer {
        assert!((1..=3_600).contains(&record.wire.ttl_secs), "{}", record.text);
    }
}

//= rfc7050#3.1
//= type=test
//# (paraphrase) The operator of a NAT64 has a PTR for the synthetic address of the well-known name.
#[test]
fn the_synthetic_address_has_a_ptr() {
    let name = "a.a.0.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.";
    let answered = responder().ask(&Query::of(&format!("{name} PTR")));
    assert_eq!(answered.answer(), [format!("{name} 600 IN PTR ipv4only.arpa.")]);
}
