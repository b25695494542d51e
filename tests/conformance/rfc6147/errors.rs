//! RFC 6147 5.1.2: the answer when there is an error.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, NXDOMAIN, SERVFAIL, SOA, responder};

//= rfc6147#5.1.2
//= type=test
//# A result with RCODE=3 (Name Error) is handled according to normal DNS operation (which is
//# normally to return the error to the client).
#[test]
fn a_name_error_is_returned_and_a_is_not_asked_for() {
    let mut responder = responder();
    responder.says("no.example. AAAA", Response::no_such_name(SOA));
    let answered = responder.ask(&Query::of("no.example. AAAA"));
    assert_eq!(answered.rcode(), NXDOMAIN);
    assert_eq!(answered.authority(), [SOA]);
    assert_eq!(responder.questions_asked(), ["no.example. AAAA"]);
}

//= rfc6147#5.1.2
//= type=test
//# Any other RCODE is treated as though the RCODE were 0
#[test]
fn after_every_other_rcode_a_is_used() {
    for rcode in (1..=15).filter(|rcode| *rcode != 3) {
        let mut responder = responder();
        responder
            .says("odd.example. AAAA", Response::error(rcode))
            .says("odd.example. A", Response::answer(&["odd.example. 60 IN A 192.0.2.1"]));
        let answered = responder.ask(&Query::of("odd.example. AAAA"));
        assert_eq!(answered.rcode(), NOERROR, "RCODE {rcode}");
        let synthetic = ["odd.example. 60 IN AAAA 64:ff9b::c000:201"];
        assert_eq!(answered.answer(), synthetic, "RCODE {rcode}");
    }
}

//= rfc6147#5.1.2
//= type=test
//# several different classes of error in the DNS are all treated as though a AAAA record is not
//# available for that owner name.
#[test]
fn records_in_an_error_response_are_not_used() {
    let mut responder = responder();
    let refused = Response::answer(&["odd.example. 60 IN AAAA 2001:db8::bad"]).rcode(5);
    responder
        .says("odd.example. AAAA", refused)
        .says("odd.example. A", Response::answer(&["odd.example. 60 IN A 192.0.2.1"]));
    let answered = responder.ask(&Query::of("odd.example. AAAA"));
    assert_eq!(answered.answer(), ["odd.example. 60 IN AAAA 64:ff9b::c000:201"]);
}

//= rfc6147#5.5
//= type=test
//# If the data does not validate, the vDNS64 MUST respond with RCODE=2 (Server failure).
#[test]
fn a_dnssec_failure_of_aaaa_is_not_circumvented_by_a() {
    for code in 6..=12 {
        let mut responder = responder();
        responder.says("bogus.example. AAAA", Response::error(2).extended_error(code));
        let answered = responder.ask(&Query::of("bogus.example. AAAA"));
        assert_eq!(answered.rcode(), SERVFAIL);
        assert_eq!(answered.extended_errors(), [code]);
        assert_eq!(responder.questions_asked(), ["bogus.example. AAAA"]);
    }
}
