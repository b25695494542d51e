//! RFC 6147 5.1.4: special exclusion set for AAAA records.

use dns64_tests::in_process::{Query, Responder, Response};

use crate::{SOA, responder};

/// Says what the AAAA of `x.example.` are; its A is 192.0.2.1.
fn with_aaaa(mut responder: Responder, aaaa: &[&str]) -> Responder {
    responder
        .says("x.example. AAAA", Response::answer(aaaa))
        .says("x.example. A", Response::answer(&["x.example. 60 IN A 192.0.2.1"]));
    responder
}

const MAPPED: &str = "x.example. 60 IN AAAA ::ffff:192.0.2.9";
const REAL: &str = "x.example. 60 IN AAAA 2001:db8::1";
const SYNTHETIC: &str = "x.example. 60 IN AAAA 64:ff9b::c000:201";

//= rfc6147#5.1.4
//= type=test
//# A DNS64 implementation SHOULD provide a mechanism to specify IPv6 prefix ranges to be treated as
//# though the AAAA containing them were an empty answer.
#[test]
fn the_excluded_ranges_can_be_configured() {
    let responder = Responder::new(r#"exclude_aaaa = ["2001:db8::/64"]"#);
    let mut responder = with_aaaa(responder, &[REAL]);
    assert_eq!(responder.ask(&Query::of("x.example. AAAA")).answer(), [SYNTHETIC]);
}

//= rfc6147#5.1.4
//= type=test
//# An implementation SHOULD include the ::ffff/96 network in that range by default.
#[test]
fn ipv4_mapped_addresses_are_excluded_by_default() {
    let mut responder = with_aaaa(responder(), &[MAPPED]);
    assert_eq!(responder.ask(&Query::of("x.example. AAAA")).answer(), [SYNTHETIC]);
}

//= rfc6147#5.1.4
//= type=test
//# if it receives an answer with only AAAA records containing addresses in the excluded range(s),
//# then it MUST treat the answer as though it were an empty answer, and proceed accordingly.
#[test]
fn an_answer_of_excluded_aaaa_alone_counts_as_empty() {
    let other = "x.example. 60 IN AAAA ::ffff:198.51.100.9";
    let mut responder = with_aaaa(responder(), &[MAPPED, other]);
    assert_eq!(responder.ask(&Query::of("x.example. AAAA")).answer(), [SYNTHETIC]);
    responder.says("x.example. A", Response::no_data(SOA)).pass_secs(120);
    let answered = responder.ask(&Query::of("x.example. AAAA"));
    assert!(answered.answer().is_empty());
}

//= rfc6147#5.1.4
//= type=test
//# then it by default SHOULD build an answer section for a response including only the AAAA
//# record(s) that do not contain any of the addresses inside the excluded ranges.
#[test]
fn of_a_mixed_answer_the_rest_is_returned() {
    let mut responder = with_aaaa(responder(), &[MAPPED, REAL]);
    assert_eq!(responder.ask(&Query::of("x.example. AAAA")).answer(), [REAL]);
    assert_eq!(responder.questions_asked(), ["x.example. AAAA"]);
}

//= rfc6147#5.1.4
//= type=test
//# It MUST NOT return the offending AAAA records as part of a response.
#[test]
fn an_excluded_aaaa_is_not_returned_even_if_there_is_no_a() {
    for a in [Response::no_data(SOA), Response::error(2), Response::no_such_name(SOA)] {
        let mut responder = with_aaaa(responder(), &[MAPPED]);
        responder.says("x.example. A", a);
        assert!(responder.ask(&Query::of("x.example. AAAA")).answer().is_empty());
    }
}
