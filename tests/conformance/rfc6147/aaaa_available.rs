//! RFC 6147 5.1.1: the answer when there is AAAA data available.

use dns64_tests::in_process::{Query, Responder, Response};

use crate::responder;

const REAL: &str = "dual.example. 300 IN AAAA 2001:db8::1";

/// A responder whose upstream knows a name with A and AAAA; AAAA comes after so many milliseconds.
fn responder_with_both(aaaa_after_ms: u64) -> Responder {
    let mut responder = responder();
    responder
        .says("dual.example. AAAA", Response::answer(&[REAL]).after_ms(aaaa_after_ms))
        .says("dual.example. A", Response::answer(&["dual.example. 300 IN A 192.0.2.1"]));
    responder
}

//= rfc6147#5.1.1
//= type=test
//# the result is returned to the requesting client as per normal DNS semantics
#[test]
fn real_aaaa_are_returned_as_they_are() {
    let mut responder = responder_with_both(5);
    let answered = responder.ask(&Query::of("dual.example. AAAA"));
    assert_eq!(answered.answer(), [REAL]);
    assert_eq!(responder.questions_asked(), ["dual.example. AAAA"], "A is not needed");
}

//= rfc6147#5.1.1
//= type=test
//# By default, DNS64 implementations MUST NOT synthesize AAAA RRs when real AAAA RRs exist.
#[test]
fn real_aaaa_that_come_after_a_win_over_synthetic_ones() {
    let mut responder = responder_with_both(200);
    let answered = responder.ask(&Query::of("dual.example. AAAA"));
    assert_eq!(responder.questions_asked()[..2], ["dual.example. AAAA", "dual.example. A"]);
    assert_eq!(answered.answer(), [REAL]);
}

//= rfc6147#5.1.1
//= type=test
//# If there is (non-excluded) AAAA data available, DNS64 SHOULD NOT include synthetic AAAA RRs in
//# the response
#[test]
fn nothing_synthetic_stands_beside_real_aaaa_from_the_cache() {
    let mut responder = responder_with_both(5);
    responder.ask(&Query::of("dual.example. A"));
    responder.ask(&Query::of("dual.example. AAAA"));
    assert_eq!(responder.ask(&Query::of("dual.example. AAAA")).answer(), [REAL]);
}
