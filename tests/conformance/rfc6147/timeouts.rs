//! RFC 6147 5.1.3: dealing with timeouts.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, SERVFAIL, responder};

//= rfc6147#5.1.3
//= type=test
//# it is treated as RCODE=2 (Server failure).
#[test]
fn aaaa_without_answer_leads_to_synthesis_while_the_client_still_waits() {
    let mut responder = responder();
    responder
        .says("mute.example. AAAA", Response::silence())
        .says("mute.example. A", Response::answer(&["mute.example. 3600 IN A 192.0.2.1"]));
    let answered = responder.ask(&Query::of("mute.example. AAAA"));
    assert_eq!(answered.rcode(), NOERROR);
    assert_eq!(answered.answer(), ["mute.example. 600 IN AAAA 64:ff9b::c000:201"]);
    assert!(answered.after_ms < 2_000, "{} ms", answered.after_ms);
}

//= rfc6147#5.1.3
//= type=test
//# (paraphrase) Without an answer to either query the client gets a server failure.
#[test]
fn no_answer_at_all_is_a_server_failure() {
    let mut responder = responder();
    responder
        .says("dead.example. AAAA", Response::silence())
        .says("dead.example. A", Response::silence());
    let answered = responder.ask(&Query::of("dead.example. AAAA"));
    assert_eq!(answered.rcode(), SERVFAIL);
    assert!(answered.after_ms <= 2_000, "{} ms", answered.after_ms);
}
