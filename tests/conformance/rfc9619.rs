//! RFC 9619: in the DNS, QDCOUNT is (usually) one.

use dns64_tests::in_process::Query;
use dns64_tests::reply::Reply;

use crate::{FORMERR, responder};

/// A query with so many questions, the count telling the truth or not.
fn questions(count: u8, said: u8) -> Vec<u8> {
    let query = Query::of("v4.example. AAAA").without_edns();
    let mut octets = query.octets()[..12].to_vec();
    octets[5] = said;
    for _question in 0..count {
        octets.extend(query.question());
    }
    octets
}

//= rfc9619#4
//= type=test
//# A DNS message with OPCODE = 0 and QDCOUNT > 1 MUST be treated as an incorrectly formatted
//# message.
//= rfc9619#4
//= type=test
//# The value of the RCODE parameter in the response message MUST be set to 1 (FORMERR).
#[test]
fn a_query_with_more_than_one_question_is_a_format_error() {
    for (count, said) in [(2, 2), (3, 3), (1, 2), (1, 255)] {
        let mut responder = responder();
        let reply = Reply::parse(responder.ask_octets(&questions(count, said)).unwrap()).unwrap();
        assert_eq!(reply.rcode, FORMERR, "{count} questions, {said} said");
        assert!(responder.upstream_queries().is_empty());
    }
}

//= rfc9619#4
//= type=test
//# A DNS message with OPCODE = 0 MUST NOT include a QDCOUNT parameter whose value is greater than
//# 1.
#[test]
fn our_own_queries_have_one_question() {
    let mut responder = crate::responder_with_v4();
    responder.ask(&crate::v4_query());
    for query in responder.upstream_queries() {
        assert_eq!(query.octets[2] & 0x78, 0, "OPCODE");
        assert_eq!(query.octets[4..6], [0, 1]);
    }
}

//= rfc9619#4
//= type=test
//# (paraphrase) A query without a question asks nothing; only cookies (RFC 7873 5.4) would make
//# sense of it.
#[test]
fn a_query_without_a_question_is_a_format_error() {
    let reply = responder().ask_octets(&questions(0, 0)).unwrap();
    assert_eq!(Reply::parse(reply).unwrap().rcode, FORMERR);
}
