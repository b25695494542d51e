//! RFC 6147 5.3.1: PTR resource records.

use std::net::{Ipv4Addr, Ipv6Addr};

use dns64::reverse::ip6_arpa;
use dns64_tests::in_process::{Query, Responder, Response};

use crate::{NOERROR, NXDOMAIN, SOA, responder};

const TARGET: &str = "1.2.0.192.in-addr.arpa.";
const PTR: &str = "1.2.0.192.in-addr.arpa. 300 IN PTR v4.example.";
const ARPA_SOA: &str = "192.in-addr.arpa. 300 IN SOA ns.example. h.example. 1 3600 600 86400 300";

/// The name of an address in ip6.arpa.
fn reverse_name(address: &str) -> String {
    let address: Ipv6Addr = address.parse().unwrap();
    let nibbles = address.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
    let name: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
    let name = name + "ip6.arpa.";
    let wire = dns64_tests::presentation::parse_name(&name).unwrap();
    assert_eq!(ip6_arpa(address).as_wire(), wire, "RFC 3596 2.5");
    name
}

/// What a responder that knows the PTR of 192.0.2.1 says to the PTR of an address.
fn answer_of(responder: &mut Responder, address: &str) -> Vec<String> {
    responder.says(&format!("{TARGET} PTR"), Response::answer(&[PTR]));
    let answered = responder.ask(&Query::of(&format!("{} PTR", reverse_name(address))));
    assert_eq!(answered.rcode(), NOERROR);
    answered.answer().into_iter().map(str::to_owned).collect()
}

fn cname_and_ptr(address: &str) -> [String; 2] {
    [format!("{} 300 IN CNAME {TARGET}", reverse_name(address)), PTR.to_owned()]
}

//= rfc6147#5.3.1
//= type=test
//# it MUST strip the IP6.ARPA labels from the QNAME, reverse the address portion of the QNAME
//# according to the encoding scheme outlined in Section 2.5 of [RFC3596], and examine the resulting
//# address to see whether its prefix matches any of the locally configured Pref64::/n or the
//# default Well-Known Prefix.
#[test]
fn names_under_configured_prefixes_and_the_well_known_prefix_are_recognized() {
    let mut responder =
        Responder::new(r#"prefixes = ["2001:db8:64::/96", "2001:db8:40:4000::/64"]"#);
    for address in ["2001:db8:64::c000:201", "2001:db8:40:4000:c0:2:100:0", "64:ff9b::c000:201"] {
        assert_eq!(answer_of(&mut responder, address), cname_and_ptr(address), "{address}");
    }
}

//= rfc6147#5.3.1
//= type=test
//# the DNS64 name server to synthesize a CNAME mapping the IP6.ARPA namespace to the corresponding
//# IN-ADDR.ARPA name.
#[test]
fn a_ptr_query_gets_a_cname_and_the_ptr_behind_it() {
    let address = "64:ff9b::c000:201";
    assert_eq!(answer_of(&mut responder(), address), cname_and_ptr(address));
}

//= rfc6147#5.3.1
//= type=test
//# A DNS64 server MUST provide one of these, and SHOULD NOT provide both at the same time unless
//# different IP6.ARPA zones require answers of different sorts
#[test]
fn one_alternative_holds_for_all_names_and_the_other_can_be_chosen() {
    let mut responder = Responder::new(r#"ptr = "direct""#);
    let address = "64:ff9b::c000:201";
    let direct = format!("{} 300 IN PTR v4.example.", reverse_name(address));
    assert_eq!(answer_of(&mut responder, address), [direct]);
}

//= rfc6147#5.3.1
//= type=test
//# the DNS64 name server SHOULD ensure that there is RDATA at the PTR of the corresponding
//# IN-ADDR.ARPA name
#[test]
fn there_is_no_cname_to_a_name_without_ptr() {
    let denials =
        [(Response::no_such_name(ARPA_SOA), NXDOMAIN), (Response::no_data(ARPA_SOA), NOERROR)];
    for (denial, rcode) in denials {
        let mut responder = responder();
        responder.says(&format!("{TARGET} PTR"), denial);
        let question = format!("{} PTR", reverse_name("64:ff9b::c000:201"));
        let answered = responder.ask(&Query::of(&question));
        assert_eq!(answered.rcode(), rcode);
        assert!(answered.answer().is_empty());
        assert_eq!(answered.authority(), [ARPA_SOA]);
    }
}

//= rfc6147#5.3.1
//= type=test
//# If the address prefix does not match any Pref64::/n, then the DNS64 server MUST process the
//# query as though it were any other query
#[test]
fn a_name_under_no_prefix_is_resolved_like_any_other() {
    let name = reverse_name("2001:db8::1");
    let ptr = format!("{name} 60 IN PTR host.example.");
    let mut responder = responder();
    responder.says(&format!("{name} PTR"), Response::answer(&[&ptr]));
    let answered = responder.ask(&Query::of(&format!("{name} PTR")));
    assert_eq!(answered.answer(), [ptr]);
    assert_eq!(responder.questions_asked(), [format!("{name} PTR")]);
}

//= rfc6147#5.3.1
//= type=test
//# (paraphrase) Names are compared without letter case (RFC 4343), those in IP6.ARPA too.
#[test]
fn letter_case_of_the_nibbles_does_not_matter() {
    let name = reverse_name("64:ff9b::c000:201").to_uppercase();
    let mut responder = responder();
    responder.says(&format!("{TARGET} PTR"), Response::answer(&[PTR]));
    let answered = responder.ask(&Query::of(&format!("{name} PTR")));
    assert_eq!(answered.answer(), [format!("{name} 300 IN CNAME {TARGET}"), PTR.to_owned()]);
}

//= rfc6147#5.3.1
//= type=test
//# (paraphrase) Names under a prefix that stand for no address of the IPv4 Internet are not asked
//# for.
#[test]
fn private_addresses_under_the_well_known_prefix_stay_here() {
    let private = Ipv4Addr::new(10, 0, 0, 1).to_bits();
    let address = format!("64:ff9b::{:x}:{:x}", private >> 16, private & 0xffff);
    let mut responder = responder();
    let answered = responder.ask(&Query::of(&format!("{} PTR", reverse_name(&address))));
    assert_eq!(answered.rcode(), NXDOMAIN);
    assert!(responder.upstream_queries().is_empty());
    assert_ne!(answered.authority(), [SOA]);
}
