//! RFC 2308: negative caching of DNS queries.

use dns64_tests::in_process::{Query, Responder, Response};

use crate::{NOERROR, NXDOMAIN, SERVFAIL, SOA, responder};

/// An SOA with this TTL and MINIMUM.
fn soa(ttl_secs: u32, minimum_secs: u32) -> String {
    format!("example. {ttl_secs} IN SOA ns.example. h.example. 1 3600 600 86400 {minimum_secs}")
}

/// Seconds after which the same question is asked upstream again.
fn life_secs(responder: &mut Responder, question: &str, longest_secs: u64) -> u64 {
    responder.ask(&Query::of(question));
    responder.upstream_queries();
    for age_secs in 1..=longest_secs {
        responder.pass_secs(1);
        // Near the end an answer is renewed ahead; that is not what is looked for.
        let answered = responder.ask(&Query::of(question));
        if answered.after_ms > 0 {
            return age_secs;
        }
    }
    panic!("still cached after {longest_secs} s")
}

/// A responder that does not renew answers ahead.
fn plain_responder() -> Responder {
    Responder::configured(
        "[upstream]\nservers = [\"192.0.2.53\"]\n[cache]\nprefetch = false\nserve_stale = false\n",
    )
}

//= rfc2308#3
//= type=test
//# The TTL of this record is set from the minimum of the MINIMUM field of the SOA record and the
//# TTL of the SOA itself
//= rfc2308#5
//= type=test
//# (paraphrase) A negative answer is cached for the TTL of its SOA.
#[test]
fn a_denial_lives_as_long_as_the_lesser_of_soa_ttl_and_minimum() {
    for (ttl_secs, minimum_secs) in [(20, 3_600), (3_600, 20)] {
        for response in [Response::no_data, Response::no_such_name] {
            let mut responder = plain_responder();
            responder.says("no.example. MX", response(&soa(ttl_secs, minimum_secs)));
            let answered = responder.ask(&Query::of("no.example. MX"));
            assert_eq!(answered.reply.authority[0].wire.ttl_secs, 20);
            assert_eq!(life_secs(&mut responder, "no.example. MX", 60), 20);
        }
    }
}

//= rfc2308#6
//= type=test
//# it MUST add the cached SOA record to the authority section of the response with the TTL
//# decremented by the amount of time it was stored in the cache.
#[test]
fn a_cached_denial_has_its_soa_with_the_ttl_that_is_left() {
    let mut responder = plain_responder();
    responder
        .says("no.example. MX", Response::no_data(SOA))
        .says("none.example. MX", Response::no_such_name(SOA));
    for (question, rcode) in [("no.example. MX", NOERROR), ("none.example. MX", NXDOMAIN)] {
        responder.ask(&Query::of(question));
        responder.pass_secs(100);
        let answered = responder.ask(&Query::of(question));
        assert_eq!(answered.after_ms, 0);
        assert_eq!(answered.rcode(), rcode);
        let left = answered.reply.authority[0].wire.ttl_secs;
        assert!((195..=200).contains(&left), "{left}");
    }
}

//= rfc2308#5
//= type=test
//# (paraphrase) A NODATA answer is cached for its name, type and class alone.
#[test]
fn no_data_for_one_type_says_nothing_of_others() {
    let mut responder = responder();
    let a = "mixed.example. 60 IN A 192.0.2.1";
    responder
        .says("mixed.example. MX", Response::no_data(SOA))
        .says("mixed.example. A", Response::answer(&[a]));
    responder.ask(&Query::of("mixed.example. MX"));
    assert_eq!(responder.ask(&Query::of("mixed.example. A")).answer(), [a]);
}

//= rfc2308#5
//= type=test
//# (paraphrase) A server may bound how long it caches negative answers; one to three hours work
//# well.
#[test]
fn denials_are_cached_for_an_hour_at_most() {
    let mut responder = plain_responder();
    responder.says("no.example. MX", Response::no_data(&soa(86_400, 86_400)));
    let answered = responder.ask(&Query::of("no.example. MX"));
    assert_eq!(answered.reply.authority[0].wire.ttl_secs, 3_600);
}

//= rfc2308#5
//= type=test
//# (paraphrase) A denial without SOA is remembered for a few seconds only, and passed on without
//# SOA, so that it loops nowhere.
#[test]
fn a_denial_without_soa_is_soon_forgotten() {
    let mut responder = plain_responder();
    responder.says("no.example. MX", Response::answer(&[]));
    assert!(responder.ask(&Query::of("no.example. MX")).authority().is_empty());
    assert!(life_secs(&mut responder, "no.example. MX", 60) <= 5);
}

//= rfc2308#5
//= type=test
//# (paraphrase) An SOA of a zone that the name does not lie in says nothing.
#[test]
fn an_soa_of_another_zone_is_not_believed() {
    let other = "other.test. 3600 IN SOA ns.other.test. h.other.test. 1 3600 600 86400 3600";
    let mut responder = plain_responder();
    responder.says("no.example. MX", Response::no_data(other));
    assert!(responder.ask(&Query::of("no.example. MX")).authority().is_empty());
    assert!(life_secs(&mut responder, "no.example. MX", 60) <= 5);
}

//= rfc2308#7.1
//= type=test
//# it MUST NOT cache it for longer than five (5) minutes
#[test]
fn a_server_failure_is_asked_for_again_within_five_minutes() {
    let mut responder = plain_responder();
    responder.says("dead.example. MX", Response::error(2));
    for _failures_in_a_row in 0..10 {
        assert_eq!(responder.ask(&Query::of("dead.example. MX")).rcode(), SERVFAIL);
        responder.upstream_queries();
        responder.pass_secs(300);
        responder.ask(&Query::of("dead.example. MX"));
        assert_ne!(responder.upstream_queries(), []);
        responder.pass_secs(300);
    }
}

//= rfc2308#7.2
//= type=test
//# (paraphrase) A server that does not answer is remembered for five minutes at most.
#[test]
fn a_dead_server_is_asked_again_within_five_minutes() {
    let mut responder = plain_responder();
    responder.says("dead.example. MX", Response::silence());
    assert_eq!(responder.ask(&Query::of("dead.example. MX")).rcode(), SERVFAIL);
    responder.pass_secs(300);
    let a = "dead.example. 60 IN MX 1 m.example.";
    responder.says("dead.example. MX", Response::answer(&[a]));
    assert_eq!(responder.ask(&Query::of("dead.example. MX")).answer(), [a]);
}
