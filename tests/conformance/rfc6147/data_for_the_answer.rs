//! RFC 6147 5.1.6: data for the answer when performing synthesis.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, NXDOMAIN, SERVFAIL, SOA, responder, responder_with_v4, v4_query};

//= rfc6147#5.1.6
//= type=test
//# If this new A RR query results in an empty answer or in an error, then the empty result or error
//# is used as the basis for the answer returned to the querying client.
#[test]
fn an_empty_a_answer_is_returned_empty_and_an_error_as_an_error() {
    for (a, rcode) in [
        (Response::no_data(SOA), NOERROR),
        (Response::no_such_name(SOA), NXDOMAIN),
        (Response::error(2), SERVFAIL),
        (Response::error(5), SERVFAIL),
    ] {
        let mut responder = responder();
        responder.says("n.example. AAAA", Response::no_data(SOA)).says("n.example. A", a);
        let answered = responder.ask(&Query::of("n.example. AAAA"));
        assert_eq!(answered.rcode(), rcode);
        assert!(answered.answer().is_empty());
    }
}

//= rfc6147#5.1.6
//= type=test
//# the DNS64 synthesizes AAAA RRs based on the A RRs according to the procedure outlined in
//# Section 5.1.7.
#[test]
fn every_a_record_gets_an_aaaa_record() {
    let mut responder = responder();
    responder.says("m.example. AAAA", Response::no_data(SOA)).says(
        "m.example. A",
        Response::answer(&["m.example. 60 IN A 192.0.2.1", "m.example. 60 IN A 198.51.100.2"]),
    );
    let answered = responder.ask(&Query::of("m.example. AAAA"));
    assert_eq!(
        answered.answer(),
        ["m.example. 60 IN AAAA 64:ff9b::c000:201", "m.example. 60 IN AAAA 64:ff9b::c633:6402"]
    );
}

//= rfc6147#5.1.6
//= type=test
//# The DNS64 returns the synthesized AAAA records in the answer section, removing the A records
//# that form the basis of the synthesis.
#[test]
fn the_a_records_are_removed() {
    let mut responder = responder_with_v4();
    let answered = responder.ask(&v4_query());
    let records = &answered.reply;
    for record in records.answer.iter().chain(&records.authority).chain(&records.additional) {
        assert_ne!(record.wire.rtype.to_int(), 1, "{}", record.text);
    }
}

//= rfc6147#5.1.6
//= type=test
//# (paraphrase) A records in the answer to the AAAA query are not what synthesis is made from.
#[test]
fn a_records_in_the_aaaa_answer_are_ignored() {
    let stray = Response::answer(&["n.example. 60 IN A 198.51.100.9"]).authority(&[SOA]);
    let mut responder = responder();
    responder
        .says("n.example. AAAA", stray)
        .says("n.example. A", Response::answer(&["n.example. 60 IN A 192.0.2.1"]));
    let answered = responder.ask(&Query::of("n.example. AAAA"));
    assert_eq!(answered.answer(), ["n.example. 60 IN AAAA 64:ff9b::c000:201"]);
}
