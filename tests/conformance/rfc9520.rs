//! RFC 9520: negative caching of DNS resolution failures.

use dns64_tests::in_process::{Query, Responder, Response};

use crate::{NOERROR, SERVFAIL, responder};

const QUESTION: &str = "dead.example. MX";

/// A responder whose upstream fails.
fn failing(failure: Response) -> Responder {
    let mut responder = responder();
    responder.says(QUESTION, failure);
    assert_eq!(responder.ask(&Query::of(QUESTION)).rcode(), SERVFAIL);
    // A look-up goes on for ten seconds after its start; by now it has failed, a moment ago.
    responder.pass_ms(8_500);
    responder.upstream_queries();
    responder
}

/// Seconds from the next failure until upstream is asked again.
fn next_life_secs(responder: &mut Responder) -> u64 {
    responder.ask(&Query::of(QUESTION));
    assert_ne!(responder.upstream_queries(), [], "the failure before is over");
    for age_secs in 1..=400 {
        responder.pass_secs(1);
        responder.ask(&Query::of(QUESTION));
        if !responder.upstream_queries().is_empty() {
            return age_secs;
        }
    }
    panic!("a failure is cached for more than five minutes");
}

//= rfc9520#3.2
//= type=test
//# Resolvers MUST implement a cache for resolution failures.
#[test]
fn while_a_failure_is_cached_nobody_is_asked() {
    for failure in [Response::error(2), Response::error(5), Response::error(4)] {
        let mut responder = responder();
        responder.says(QUESTION, failure);
        responder.ask(&Query::of(QUESTION));
        responder.upstream_queries();
        for _query in 0..100 {
            let answered = responder.ask(&Query::of(QUESTION));
            assert_eq!((answered.rcode(), answered.after_ms), (SERVFAIL, 0));
        }
        assert!(responder.upstream_queries().is_empty());
    }
}

//= rfc9520#3.2
//= type=test
//# Resolvers MUST cache resolution failures for at least 1 second.
#[test]
fn a_failure_is_cached_for_a_second_at_least() {
    let mut responder = responder();
    responder.says(QUESTION, Response::error(2));
    responder.ask(&Query::of(QUESTION));
    responder.upstream_queries();
    responder.pass_ms(1_000);
    responder.ask(&Query::of(QUESTION));
    assert!(responder.upstream_queries().is_empty());
}

//= rfc9520#3.2
//= type=test
//# Consistent with [RFC2308], resolution failures MUST NOT be cached for longer than 5 minutes.
//= rfc9520#3.2
//= type=test
//# Resolvers SHOULD employ an exponential or linear backoff algorithm to increase the cache
//# lifetime for persistent resolution failures.
#[test]
fn failures_in_a_row_are_cached_ever_longer_up_to_a_bound() {
    let mut responder = failing(Response::error(2));
    let lives: Vec<u64> = (0..6)
        .map(|_| {
            let life_secs = next_life_secs(&mut responder);
            responder.pass_secs(40);
            life_secs
        })
        .collect();
    assert!(lives.is_sorted(), "{lives:?}");
    assert!(lives[5] > lives[0], "{lives:?}");
    assert!(lives[5] <= 300, "{lives:?}");
}

//= rfc9520#3.2
//= type=test
//# (paraphrase) A success ends the series of failures.
#[test]
fn after_an_answer_the_series_begins_anew() {
    let mut responder = failing(Response::error(2));
    let answer = Response::answer(&["dead.example. 1 IN MX 1 m.example."]);
    responder.pass_secs(30);
    responder.says(QUESTION, answer);
    assert_eq!(responder.ask(&Query::of(QUESTION)).rcode(), NOERROR);
}

//= rfc9520#3.1
//= type=test
//# (paraphrase) Retries are bounded, and equal queries of clients make no further ones.
#[test]
fn a_silent_server_causes_no_storm_however_many_ask() {
    let mut responder = responder();
    responder.says(QUESTION, Response::silence());
    for client in 0..100_u8 {
        let client = format!("127.0.0.{}", client + 1);
        responder.send(&Query::of(QUESTION).from_client(&client));
    }
    responder.pass_secs(15);
    assert_eq!(responder.replies().len(), 100);
    let tries = responder.upstream_queries().len();
    assert!(tries <= 30, "{tries} queries for one question");
}

//= rfc9520#3.2
//= type=test
//# (paraphrase) A time-out is a resolution failure like an error.
#[test]
fn a_time_out_is_cached_too() {
    let mut responder = failing(Response::silence());
    let answered = responder.ask(&Query::of(QUESTION));
    assert_eq!((answered.rcode(), answered.after_ms), (SERVFAIL, 0));
    assert!(responder.upstream_queries().is_empty());
}

//= rfc9520#3.2
//= type=test
//# (paraphrase) A failed AAAA look-up that is cached does not make every client ask for A.
#[test]
fn a_cached_failure_of_both_queries_asks_for_neither() {
    let mut responder = responder();
    responder
        .says("both.example. AAAA", Response::error(2))
        .says("both.example. A", Response::error(2));
    responder.ask(&Query::of("both.example. AAAA"));
    responder.upstream_queries();
    for _query in 0..10 {
        assert_eq!(responder.ask(&Query::of("both.example. AAAA")).rcode(), SERVFAIL);
    }
    assert!(responder.upstream_queries().is_empty());
}

//= rfc9520#3.4
//= type=test
//# (paraphrase) DNSSEC validation failures MUST be cached.
#[test]
fn a_dnssec_failure_is_cached() {
    let mut responder = responder();
    responder.says(QUESTION, Response::error(2).extended_error(6));
    responder.ask(&Query::of(QUESTION));
    responder.upstream_queries();
    assert_eq!(responder.ask(&Query::of(QUESTION)).rcode(), SERVFAIL);
    assert!(responder.upstream_queries().is_empty());
}
