//! RFC 8767: serving stale data to improve DNS resiliency.

use dns64_tests::in_process::{Query, Responder, Response};

use crate::{NXDOMAIN, SERVFAIL, SOA, responder, responder_with_v4, v4_query};

/// A responder whose cached A of `s.example.` is past its TTL and cannot be renewed.
fn responder_with_stale(now: Response) -> Responder {
    let mut responder = responder();
    responder.says("s.example. A", Response::answer(&["s.example. 60 IN A 192.0.2.1"]));
    responder.ask(&Query::of("s.example. A"));
    responder.says("s.example. A", now).pass_secs(100);
    responder.upstream_queries();
    responder
}

const STALE: &str = "s.example. 30 IN A 192.0.2.1";

//= rfc8767#4
//= type=test
//# If the data is unable to be authoritatively refreshed when the TTL expires, the record MAY be
//# used as though it is unexpired.
//= rfc8767#4
//= type=test
//# MUST set the TTL of each expired record in the message to a value greater than 0, with a
//# RECOMMENDED value of 30 seconds.
#[test]
fn a_stale_answer_is_given_with_30_seconds_when_the_server_is_silent_or_fails() {
    for failure in [Response::silence(), Response::error(2), Response::error(5)] {
        let mut responder = responder_with_stale(failure);
        let answered = responder.ask(&Query::of("s.example. A"));
        assert_eq!(answered.answer(), [STALE]);
        assert_eq!(answered.extended_errors(), [3]);
    }
}

//= rfc8767#5
//= type=test
//# (paraphrase) The client response timer, 1.8 seconds, is how long a client waits at most for a
//# fresh answer.
#[test]
fn the_stale_answer_comes_after_1_8_seconds() {
    let mut responder = responder_with_stale(Response::silence());
    assert_eq!(responder.ask(&Query::of("s.example. A")).after_ms, 1_800);
}

//= rfc8767#5
//= type=test
//# (paraphrase) A fresh answer that comes in time is the one that is given.
#[test]
fn a_slow_fresh_answer_is_better_than_a_stale_one() {
    let fresh = "s.example. 60 IN A 192.0.2.2";
    let mut responder = responder_with_stale(Response::answer(&[fresh]).after_ms(1_500));
    assert_eq!(responder.ask(&Query::of("s.example. A")).answer(), [fresh]);
}

//= rfc8767#5
//= type=test
//# (paraphrase) Resolution goes on after the client was answered, and its result is cached.
#[test]
fn an_answer_after_the_stale_one_is_cached() {
    let fresh = "s.example. 60 IN A 192.0.2.2";
    let mut responder = responder_with_stale(Response::answer(&[fresh]).after_ms(3_000));
    assert_eq!(responder.ask(&Query::of("s.example. A")).answer(), [STALE]);
    responder.pass_secs(4);
    let answered = responder.ask(&Query::of("s.example. A"));
    assert_eq!(answered.after_ms, 0);
    assert!(answered.answer()[0].ends_with("192.0.2.2"), "{:?}", answered.answer());
}

//= rfc8767#5
//= type=test
//# (paraphrase) The failure recheck timer keeps a failed refresh from being repeated for each
//# query.
#[test]
fn between_two_refreshes_stale_answers_are_given_at_once() {
    let mut responder = responder_with_stale(Response::error(2));
    responder.ask(&Query::of("s.example. A"));
    responder.upstream_queries();
    for _query in 0..10 {
        let answered = responder.ask(&Query::of("s.example. A"));
        assert_eq!((answered.answer(), answered.after_ms), (vec![STALE], 0));
    }
    assert!(responder.upstream_queries().is_empty());
}

//= rfc8767#5
//= type=test
//# (paraphrase) The maximum stale timer ends the use of an answer.
#[test]
fn an_answer_is_not_given_a_day_after_its_end() {
    let mut responder = responder_with_stale(Response::error(2));
    responder.pass_secs(86_400);
    let answered = responder.ask(&Query::of("s.example. A"));
    assert_eq!(answered.rcode(), SERVFAIL);
}

//= rfc8767#4
//= type=test
//# (paraphrase) A denial is a refresh like any other: stale data is not used against it.
#[test]
fn a_name_that_has_gone_is_not_served_stale() {
    let mut responder = responder_with_stale(Response::no_such_name(SOA));
    assert_eq!(responder.ask(&Query::of("s.example. A")).rcode(), NXDOMAIN);
    assert_eq!(responder.ask(&Query::of("s.example. A")).rcode(), NXDOMAIN);
}

//= rfc8767#4
//= type=test
//# (paraphrase) Synthetic records made from stale data are stale.
#[test]
fn a_synthetic_answer_from_stale_data_has_30_seconds() {
    let mut responder = responder_with_v4();
    responder.ask(&v4_query());
    responder
        .says("v4.example. AAAA", Response::silence())
        .says("v4.example. A", Response::silence())
        .pass_secs(400);
    let answered = responder.ask(&v4_query());
    assert_eq!(answered.answer(), ["v4.example. 30 IN AAAA 64:ff9b::c000:201"]);
    assert!(answered.extended_errors().contains(&3));
}

//= rfc8767#4
//= type=test
//# (paraphrase) It is a matter of local policy: it can be turned off.
#[test]
fn without_serve_stale_the_client_is_told_of_the_failure() {
    let mut responder = Responder::configured(
        "[upstream]\nservers = [\"192.0.2.53\"]\n[cache]\nserve_stale = false\n",
    );
    responder.says("s.example. A", Response::answer(&["s.example. 60 IN A 192.0.2.1"]));
    responder.ask(&Query::of("s.example. A"));
    responder.says("s.example. A", Response::error(2)).pass_secs(100);
    assert_eq!(responder.ask(&Query::of("s.example. A")).rcode(), SERVFAIL);
}
