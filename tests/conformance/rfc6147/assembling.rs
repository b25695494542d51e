//! RFC 6147 5.4: assembling a synthesized response to a AAAA query.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, SOA, responder, responder_with_v4, v4_query};

//= rfc6147#5.4
//= type=test
//# If there is an empty answer, then the DNS64 responds to the original querying client with the
//# answer the DNS64 received to the original (initiator's) query.
#[test]
fn where_there_is_no_a_either_the_client_gets_a_denial_it_can_cache() {
    let mut responder = responder();
    responder
        .says("n.example. AAAA", Response::no_data(SOA))
        .says("n.example. A", Response::answer(&[]));
    let answered = responder.ask(&Query::of("n.example. AAAA"));
    assert_eq!(answered.rcode(), NOERROR);
    assert!(answered.answer().is_empty());
    assert_eq!(answered.authority(), [SOA]);
}

//= rfc6147#5.4
//= type=test
//# The header fields are set according to the usual rules for recursive or authoritative servers,
//# depending on the role that the DNS64 is serving.
#[test]
fn the_header_is_that_of_a_recursive_server() {
    let mut responder = responder_with_v4();
    for _from_upstream_then_cache in 0..2 {
        let reply = responder.ask(&v4_query()).reply;
        assert!(reply.is_response() && reply.recursion_available() && reply.recursion_desired());
        assert_eq!(reply.octets[2] & 0b0111_1110, 0, "OPCODE, AA and TC");
        assert_eq!(reply.octets[3] & 0b0111_1111, 0, "Z, AD, CD and RCODE");
    }
}

//= rfc6147#5.4
//= type=test
//# The question section is copied from the original (initiator's) query.
#[test]
fn the_question_is_copied_octet_for_octet() {
    let mut responder = responder_with_v4();
    for name in ["V4.eXample.", "v4.EXAMPLE."] {
        let query = Query::of(&format!("{name} AAAA"));
        let reply = responder.ask(&query).reply;
        assert!(reply.octets[12..].starts_with(&query.question()), "{name}");
    }
}

//= rfc6147#5.4
//= type=test
//# The authority and additional sections are copied from the response to the final query that the
//# DNS64 performed, and used as the basis for synthesis.
#[test]
fn the_denial_of_aaaa_does_not_stand_beside_synthetic_records() {
    let mut responder = responder();
    let nsec = "v4.example. 300 IN NSEC w.example. A NSEC";
    responder
        .says("v4.example. AAAA", Response::answer(&[]).authority(&[SOA, nsec]))
        .says("v4.example. A", Response::answer(&["v4.example. 300 IN A 192.0.2.1"]));
    let answered = responder.ask(&v4_query().dnssec_ok());
    assert_eq!(answered.answer(), ["v4.example. 300 IN AAAA 64:ff9b::c000:201"]);
    assert!(answered.authority().is_empty(), "{:?}", answered.authority());
}

/// A responder that knows a name with so many A records.
fn responder_with_many(addresses: u8) -> dns64_tests::in_process::Responder {
    let records: Vec<String> =
        (0..addresses).map(|last| format!("m.example. 60 IN A 192.0.2.{last}")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let mut responder = responder();
    responder
        .says("m.example. AAAA", Response::no_data(SOA))
        .says("m.example. A", Response::answer(&records));
    responder
}

//= rfc6147#5.4
//= type=test
//# The final response from the DNS64 is subject to all the standard DNS rules, including truncation
//# [RFC1035] and EDNS0 handling [RFC2671].
#[test]
fn an_answer_that_synthesis_makes_too_large_is_truncated() {
    // 27 octets of header and question: 17 AAAA of 28 octets fit into 512, 18 do not.
    for (addresses, truncated) in [(17, false), (18, true)] {
        let mut responder = responder_with_many(addresses);
        let reply = responder.ask(&Query::of("m.example. AAAA").without_edns()).reply;
        assert_eq!(reply.is_truncated(), truncated, "{addresses} addresses");
        assert!(reply.octets.len() <= 512);
        let whole = responder.ask(&Query::of("m.example. AAAA").without_edns().by_tcp()).reply;
        assert_eq!(whole.answer.len(), usize::from(addresses));
        assert!(!whole.is_truncated());
    }
}

//= rfc6147#5.4
//= type=test
//# (paraphrase) A truncated A answer is asked for by TCP before anything is made from it.
#[test]
fn a_truncated_a_answer_is_asked_for_again_by_tcp() {
    let mut responder = responder();
    let records = ["b.example. 60 IN A 192.0.2.1", "b.example. 60 IN A 192.0.2.2"];
    responder
        .says("b.example. AAAA", Response::no_data(SOA))
        .says("b.example. A", Response::answer(&records).truncated_by_udp());
    let answered = responder.ask(&Query::of("b.example. AAAA"));
    assert_eq!(answered.answer().len(), 2);
    let queries = responder.upstream_queries();
    let by_tcp: Vec<&str> = queries
        .iter()
        .filter(|query| query.is_tcp())
        .map(|query| query.question.as_str())
        .collect();
    assert_eq!(by_tcp, ["b.example. A"]);
}
