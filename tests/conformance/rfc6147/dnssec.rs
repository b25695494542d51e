//! RFC 6147 5.5: DNSSEC processing where the upstream server validates, not we: the rules are kept
//! by what is asked of it and what becomes of its word.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, SERVFAIL, SOA, responder, responder_with_v4, v4_query};

/// CD in the second octet of the flags.
const CD: u8 = 0x10;

//= rfc6147#5.5
//= type=test
//# In this case, however, vDNS64 MUST NOT set the AD bit in any response.
#[test]
fn without_do_ad_is_never_set() {
    let mut responder = responder();
    let real = Response::answer(&["d.example. 60 IN AAAA 2001:db8::1"]).authentic();
    responder
        .says("d.example. AAAA", real)
        .says("v4.example. AAAA", Response::no_data(SOA).authentic())
        .says("v4.example. A", Response::answer(&["v4.example. 60 IN A 192.0.2.1"]).authentic());
    for question in ["d.example. AAAA", "v4.example. AAAA", "v4.example. A"] {
        for _from_upstream_then_cache in 0..2 {
            assert!(!responder.ask(&Query::of(question)).reply.authentic_data(), "{question}");
        }
    }
}

//= rfc6147#5.5
//= type=test
//# (paraphrase) AD says that all RRsets of answer and authority are authentic; synthetic ones that
//# nobody here has validated are not.
#[test]
fn synthetic_and_filtered_answers_never_have_ad() {
    let mut responder = responder_with_v4();
    let mixed = ["x.example. 60 IN AAAA ::ffff:192.0.2.9", "x.example. 60 IN AAAA 2001:db8::1"];
    responder
        .says("v4.example. AAAA", Response::no_data(SOA).authentic())
        .says("x.example. AAAA", Response::answer(&mixed).authentic());
    for question in ["v4.example. AAAA", "x.example. AAAA"] {
        let answered = responder.ask(&Query::of(question).dnssec_ok().authentic_data());
        assert_eq!(answered.answer().len(), 1);
        assert!(!answered.reply.authentic_data(), "{question}");
    }
}

//= rfc6147#5.5
//= type=test
//# If CD is not set and DO is not set, vDNS64 SHOULD perform validation and do synthesis as needed.
#[test]
fn the_upstream_server_is_asked_to_validate() {
    let mut responder = responder_with_v4();
    responder.ask(&v4_query());
    let queries = responder.upstream_queries();
    assert_eq!(queries.len(), 2);
    for query in queries {
        assert_eq!(query.octets[3] & CD, 0, "{}", query.question);
    }
}

//= rfc6147#5.5
//= type=test
//# it MUST validate the negative answer for AAAA queries before proceeding to query for A records
//# for the same name, in order to be sure that there is not a legitimate AAAA record on the
//# Internet.
#[test]
fn a_denial_that_does_not_validate_upstream_ends_in_a_server_failure_with_do() {
    let mut responder = responder();
    responder.says("b.example. AAAA", Response::error(2).extended_error(6));
    let answered = responder.ask(&Query::of("b.example. AAAA").dnssec_ok());
    assert_eq!(answered.rcode(), SERVFAIL);
    assert_eq!(responder.questions_asked(), ["b.example. AAAA"]);
}

//= rfc6147#5.5
//= type=test
//# If the CD bit is set and DO is set, then vDNS64 MAY perform validation, but MUST NOT perform
//# synthesis.
#[test]
fn with_cd_and_do_nothing_is_synthesized() {
    let mut responder = responder_with_v4();
    responder.ask(&v4_query());
    responder.upstream_queries();
    let answered = responder.ask(&v4_query().checking_disabled().dnssec_ok());
    assert_eq!(answered.rcode(), NOERROR);
    assert!(answered.answer().is_empty());
    assert_eq!(answered.authority(), [SOA]);
    let queries = responder.upstream_queries();
    assert_eq!(queries.len(), 1);
    assert_eq!(queries[0].octets[3] & CD, CD);
}

//= rfc6147#5.5
//= type=test
//# It MUST return the data to the query initiator, just like a regular recursive resolver, and
//# depend on the client to do the validation and the synthesis itself.
#[test]
fn with_cd_and_do_excluded_aaaa_and_signatures_are_returned() {
    let records = [
        "x.example. 60 IN AAAA ::ffff:192.0.2.9",
        "x.example. 60 IN RRSIG AAAA 13 2 60 20330101000000 20230101000000 1 example. AAAA",
    ];
    let mut responder = responder();
    responder.says("x.example. AAAA", Response::answer(&records));
    let answered = responder.ask(&Query::of("x.example. AAAA").checking_disabled().dnssec_ok());
    let types: Vec<u16> =
        answered.reply.answer.iter().map(|record| record.wire.rtype.to_int()).collect();
    assert_eq!(types, [28, 46]);
}

//= rfc6147#5.5
//= type=test
//# (paraphrase) CD without DO is not spoken of; clients clear CD when they want synthesis (RFC 7050
//# 3), so with it they get none.
#[test]
fn with_cd_alone_nothing_is_synthesized() {
    let mut responder = responder_with_v4();
    let answered = responder.ask(&v4_query().checking_disabled());
    assert!(answered.answer().is_empty());
}
