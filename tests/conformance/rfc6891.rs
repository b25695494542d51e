//! RFC 6891: extension mechanisms for DNS, EDNS(0).

use dns64_tests::in_process::{Query, Response};
use dns64_tests::reply::Reply;

use crate::{FORMERR, NOERROR, SOA, responder, responder_with_v4, v4_query};

/// BADVERS.
const BADVERS: u16 = 16;

/// The question for the AAAA of `v4.example.` with these additional records.
fn query_with(additional: &[&[u8]]) -> Vec<u8> {
    let mut octets = v4_query().without_edns().octets();
    octets[11] = u8::try_from(additional.len()).unwrap();
    octets.extend(additional.concat());
    octets
}

/// What a responder says to octets.
fn reply_to(octets: &[u8]) -> Reply {
    Reply::parse(responder_with_v4().ask_octets(octets).unwrap()).unwrap()
}

//= rfc6891#6.1.1
//= type=test
//# If an OPT record is present in a received request, compliant responders MUST include an OPT
//# record in their respective responses.
#[test]
fn a_query_with_opt_gets_a_reply_with_opt() {
    let mut responder = responder_with_v4();
    for question in ["v4.example. AAAA", "ipv4only.arpa. AAAA", "v4.example. RRSIG", "x. AXFR"] {
        assert!(responder.ask(&Query::of(question)).reply.opt.is_some(), "{question}");
    }
    assert!(responder.ask(&v4_query()).reply.opt.is_some(), "from the cache");
    responder.says("dead.example. A", Response::error(2));
    assert!(responder.ask(&Query::of("dead.example. A")).reply.opt.is_some(), "a failure");
}

//= rfc6891#7
//= type=test
//# the responder MUST NOT include an OPT record in its response.
#[test]
fn a_query_without_opt_gets_a_reply_without_opt() {
    let mut responder = responder_with_v4();
    responder.says("dead.example. A", Response::error(2).extended_error(22));
    for question in ["v4.example. AAAA", "v4.example. AAAA", "v4.example. RRSIG", "dead.example. A"]
    {
        let reply = responder.ask(&Query::of(question).without_edns()).reply;
        assert!(reply.opt.is_none(), "{question}");
    }
}

//= rfc6891#6.1.1
//= type=test
//# If a query message with more than one OPT RR is received, a FORMERR (RCODE=1) MUST be returned.
#[test]
fn a_second_opt_record_is_a_format_error() {
    let opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_eq!(reply_to(&query_with(&[opt])).rcode, NOERROR);
    assert_eq!(reply_to(&query_with(&[opt, opt])).rcode, FORMERR);
}

//= rfc6891#6.1.2
//= type=test
//# (paraphrase) NAME MUST be 0 (root domain).
#[test]
fn an_opt_record_of_another_name_is_a_format_error() {
    let opt = b"\x01a\0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_eq!(reply_to(&query_with(&[opt])).rcode, FORMERR);
}

//= rfc6891#6.1.2
//= type=test
//# Any OPTION-CODE values not understood by a responder or requestor MUST be ignored.
#[test]
fn unknown_options_are_ignored() {
    let opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\x09\xff\x01\0\x05hello";
    let reply = reply_to(&query_with(&[opt]));
    assert_eq!(reply.rcode, NOERROR);
    assert_eq!(reply.answer.len(), 1);
}

//= rfc6891#6.1.3
//= type=test
//# If a responder does not implement the VERSION level of the request, then it MUST respond with
//# RCODE=BADVERS.
//= rfc6891#6.1.3
//= type=test
//# the VERSION of each response SHOULD be the highest implementation level of the responder.
#[test]
fn an_unknown_version_is_badvers_and_the_reply_tells_version_0() {
    for version in [1, 255] {
        let opt = [0, 0, 41, 4, 0xd0, 0, version, 0, 0, 0, 0];
        let reply = reply_to(&query_with(&[&opt]));
        assert_eq!(reply.rcode, BADVERS, "version {version}");
        assert_eq!(reply.opt.unwrap().version, 0, "version {version}");
    }
}

//= rfc6891#6.1.4
//= type=test
//# Set to zero by senders and ignored by receivers, unless modified in a subsequent specification.
#[test]
fn unknown_flags_are_ignored_and_not_sent_back() {
    let opt = b"\0\0\x29\x04\xd0\0\0\x7f\xff\0\0";
    let reply = reply_to(&query_with(&[opt]));
    assert_eq!(reply.rcode, NOERROR);
    let opt = reply.octets.windows(3).rposition(|window| window == [0, 0, 41]).unwrap();
    assert_eq!(reply.octets[opt + 7..opt + 9], [0, 0]);
}

//= rfc6891#6.2.3
//= type=test
//# Values lower than 512 MUST be treated as equal to 512.
#[test]
fn a_payload_size_below_512_counts_as_512() {
    let records: Vec<String> =
        (0..16).map(|last| format!("m.example. 60 IN A 192.0.2.{last}")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let mut responder = responder();
    responder
        .says("m.example. AAAA", Response::no_data(SOA))
        .says("m.example. A", Response::answer(&records));
    for payload_len in [0, 1, 12, 511, 512] {
        let query = Query::of("m.example. AAAA").payload_len(payload_len);
        let reply = responder.ask(&query).reply;
        assert!(!reply.is_truncated(), "{payload_len}");
        assert!((480..=512).contains(&reply.octets.len()), "{} octets", reply.octets.len());
    }
}

//= rfc6891#6.2.3
//= type=test
//# (paraphrase) A larger reply than the requestor's payload size is truncated; with a larger size
//# it is not.
#[test]
fn the_payload_size_of_the_client_bounds_the_reply() {
    let records: Vec<String> =
        (0..40).map(|last| format!("m.example. 60 IN A 192.0.2.{last}")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    let mut responder = responder();
    responder
        .says("m.example. AAAA", Response::no_data(SOA))
        .says("m.example. A", Response::answer(&records));
    for (payload_len, truncated) in [(600, true), (1_100, true), (1_232, false), (4_096, false)] {
        let query = Query::of("m.example. AAAA").payload_len(payload_len);
        let reply = responder.ask(&query).reply;
        assert_eq!(reply.is_truncated(), truncated, "{payload_len}");
        assert!(reply.octets.len() <= usize::from(payload_len), "{payload_len}");
    }
}

//= rfc6891#7
//= type=test
//# (paraphrase) Responders from before EDNS answer FORMERR without OPT; they are asked without it.
#[test]
fn a_server_from_before_edns_is_asked_again_without() {
    let a = "old.example. 60 IN A 192.0.2.1";
    let mut responder = responder();
    responder
        .says("old.example. A", Response::answer(&[a]))
        .says_once("old.example. A", Response::error(1).without_edns());
    assert_eq!(responder.ask(&Query::of("old.example. A")).answer(), [a]);
    let with_opt: Vec<u8> =
        responder.upstream_queries().iter().map(|query| query.octets[11]).collect();
    assert_eq!(with_opt, [1, 0]);
}
