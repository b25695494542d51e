//! RFC 8914: extended DNS errors.

use dns64_tests::in_process::{Query, Response};

use crate::{SERVFAIL, SOA, responder, responder_with_v4, v4_query};

/// REFUSED.
const REFUSED: u16 = 5;

//= rfc8914#2
//= type=test
//# (paraphrase) An Extended Error may be in any response to a query with OPT, and in no other.
#[test]
fn synthetic_answers_say_so_to_clients_with_edns_only() {
    let mut responder = responder_with_v4();
    for _from_upstream_then_cache in 0..2 {
        assert_eq!(responder.ask(&v4_query()).extended_errors(), [29]);
        assert!(responder.ask(&v4_query().without_edns()).reply.opt.is_none());
    }
    responder.says("d.example. AAAA", Response::answer(&["d.example. 60 IN AAAA 2001:db8::1"]));
    assert!(responder.ask(&Query::of("d.example. AAAA")).extended_errors().is_empty());
}

//= rfc8914#4.4
//= type=test
//# (paraphrase) Code 3: the answer is stale.
#[test]
fn stale_answers_say_so() {
    let mut responder = responder();
    responder.says("s.example. MX", Response::answer(&["s.example. 60 IN MX 1 m.example."]));
    responder.ask(&Query::of("s.example. MX"));
    responder.says("s.example. MX", Response::error(2)).pass_secs(100);
    assert_eq!(responder.ask(&Query::of("s.example. MX")).extended_errors(), [3]);
}

//= rfc8914#4.20
//= type=test
//# (paraphrase) Code 19: the answer is a stale NXDOMAIN.
#[test]
fn stale_denials_say_so() {
    let mut responder = responder();
    responder.says("s.example. MX", Response::no_such_name(SOA));
    responder.ask(&Query::of("s.example. MX"));
    responder.says("s.example. MX", Response::error(2)).pass_secs(400);
    assert_eq!(responder.ask(&Query::of("s.example. MX")).extended_errors(), [19]);
}

//= rfc8914#4.19
//= type=test
//# (paraphrase) Code 18: the client may not ask.
#[test]
fn a_client_that_may_not_ask_is_told() {
    let answered = responder().ask(&v4_query().from_client("198.51.100.1"));
    assert_eq!(answered.rcode(), REFUSED);
    assert_eq!(answered.extended_errors(), [18]);
}

//= rfc8914#4.22
//= type=test
//# (paraphrase) Code 21: the operation is not supported.
#[test]
fn what_is_not_supported_is_told() {
    for question in ["z.example. AXFR", "z.example. RRSIG"] {
        let answered = responder().ask(&Query::of(question));
        assert_eq!(answered.rcode(), REFUSED, "{question}");
        assert_eq!(answered.extended_errors(), [21], "{question}");
    }
}

//= rfc8914#4.23
//= type=test
//# (paraphrase) Code 22: no server could be reached.
#[test]
fn a_failure_for_want_of_servers_is_told() {
    let mut responder = responder();
    responder.says("d.example. MX", Response::silence());
    let answered = responder.ask(&Query::of("d.example. MX"));
    assert_eq!(answered.rcode(), SERVFAIL);
    assert_eq!(answered.extended_errors(), [22]);
}

//= rfc8914#2
//= type=test
//# (paraphrase) What the upstream server says of its failure is passed on.
#[test]
fn the_upstream_servers_error_is_passed_on() {
    for code in [1, 6, 7, 9, 15, 22, 23] {
        let mut responder = responder();
        responder.says("d.example. MX", Response::error(2).extended_error(code));
        assert_eq!(responder.ask(&Query::of("d.example. MX")).extended_errors(), [code]);
    }
}
