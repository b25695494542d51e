//! RFC 6147 5.5 where we validate: what the engine makes of the validator's verdicts. Whether the
//! verdicts are right is the affair of `tests/dnssec`.

use dns64::engine::Validation;
use dns64::wire::edns::InfoCode;
use dns64_tests::in_process::{Query, Responder, Response};

use crate::{NOERROR, SERVFAIL, SOA, v4_query, with_v4};

const SECURE: Validation = Validation::Secure { ttl_max_secs: 86_400 };
const BOGUS: Validation = Validation::Bogus(InfoCode::SIGNATURE_EXPIRED);
const UNDECIDED: Validation = Validation::Indeterminate(InfoCode::NO_REACHABLE_AUTHORITY);

/// CD in the second octet of the flags.
const CD: u8 = 0x10;

/// A responder that validates, and whose upstream knows `v4.example.`.
fn validating() -> Responder {
    with_v4(configured("validate"))
}

fn configured(mode: &str) -> Responder {
    Responder::configured(&format!(
        "[upstream]\nservers = [\"192.0.2.53\", \"192.0.2.54\"]\n[dnssec]\nmode = \"{mode}\"\n"
    ))
}

//= rfc6147#5.5
//= type=test
//# it MUST validate the negative answer for AAAA queries before proceeding to query for A records
//# for the same name, in order to be sure that there is not a legitimate AAAA record on the
//# Internet.
#[test]
fn a_is_not_asked_for_before_the_denial_of_aaaa_is_validated() {
    let mut responder = validating();
    assert_eq!(responder.send(&v4_query().dnssec_ok()), None);
    responder.pass_ms(1_000);
    assert_eq!(responder.questions_asked(), ["v4.example. AAAA"], "the validator is silent");
    for verdict in [BOGUS, UNDECIDED] {
        let mut responder = validating();
        responder.validates_as("v4.example. AAAA", verdict);
        let answered = responder.ask(&v4_query().dnssec_ok());
        assert_eq!(answered.rcode(), SERVFAIL);
        let asked = responder.questions_asked();
        assert_eq!(asked, ["v4.example. AAAA"; 2], "both servers, and nobody for A");
    }
}

//= rfc6147#5.5
//= type=test
//# If the negative response validates, and the response to the A query validates, then the vDNS64
//# MAY perform synthesis and SHOULD set the AD bit in the answer to the client.
#[test]
fn ad_is_set_with_do_if_denial_and_a_are_secure() {
    for (aaaa, a) in
        [(SECURE, SECURE), (SECURE, Validation::Insecure), (Validation::Insecure, SECURE)]
    {
        let mut responder = validating();
        responder.validates_as("v4.example. AAAA", aaaa).validates_as("v4.example. A", a);
        for _looked_up_then_cached in 0..2 {
            let both = (aaaa, a) == (SECURE, SECURE);
            let answered = responder.ask(&v4_query().dnssec_ok());
            assert_eq!(answered.answer().len(), 1);
            assert_eq!(answered.reply.authentic_data(), both, "{aaaa:?} {a:?}");
            let mut plain = validating();
            plain.validates_as("v4.example. AAAA", aaaa).validates_as("v4.example. A", a);
            for _looked_up_then_cached in 0..2 {
                let answered = plain.ask(&v4_query().authentic_data());
                assert!(!answered.reply.authentic_data(), "AD is asked for, DO is not");
            }
        }
    }
}

//= rfc6147#5.5
//= type=test
//# If the data does not validate, the vDNS64 MUST respond with RCODE=2 (Server failure).
#[test]
fn a_that_is_bogus_is_not_synthesized_from() {
    let mut responder = validating();
    responder.validates_as("v4.example. AAAA", SECURE).validates_as("v4.example. A", BOGUS);
    for _looked_up_then_cached in 0..2 {
        assert_eq!(responder.ask(&v4_query()).rcode(), SERVFAIL);
    }
}

//= rfc6147#5.5
//= type=test
//# (paraphrase) An absence of AAAA that nobody has proved is none in a zone that proves things.
#[test]
fn a_failure_of_aaaa_is_made_up_for_by_insecure_a_only() {
    for silent in [true, false] {
        for (verdict, rcode) in [(SECURE, SERVFAIL), (Validation::Insecure, NOERROR)] {
            let mut responder = validating();
            let fails = if silent { Response::silence() } else { Response::error(2) };
            responder.says("v4.example. AAAA", fails).validates_as("v4.example. A", verdict);
            let answered = responder.ask(&v4_query().dnssec_ok());
            assert_eq!(answered.rcode(), rcode, "{verdict:?}, silent: {silent}");
            assert_eq!(answered.answer().is_empty(), rcode == SERVFAIL);
        }
    }
}

//= rfc6147#5.5
//= type=test
//# (paraphrase) A DNSSEC failure is not undone by a later failure of another kind.
#[test]
fn after_a_bogus_answer_another_failure_does_not_lead_to_synthesis() {
    let mut responder = validating();
    let query = v4_query();
    responder
        .says("v4.example. AAAA", Response::error(2))
        .says_once("v4.example. AAAA", Response::no_data(SOA))
        .validates_as("v4.example. AAAA", BOGUS)
        .validates_as("v4.example. A", Validation::Insecure);
    assert_eq!(responder.ask(&query).rcode(), SERVFAIL);
    assert!(!responder.questions_asked().contains(&"v4.example. A".to_owned()));
}

//= rfc6147#5.5
//= type=test
//# If CD is not set and DO is set, then vDNS64 SHOULD perform validation.
#[test]
fn what_is_validated_is_asked_for_with_do_and_cd() {
    let mut responder = validating();
    responder.validates_as("v4.example. AAAA", SECURE).validates_as("v4.example. A", SECURE);
    responder.ask(&v4_query());
    let queries = responder.upstream_queries();
    assert_eq!(queries.len(), 2);
    for query in queries {
        assert_eq!(query.octets[3] & CD, CD, "{}", query.question);
        // The flags of the OPT record at the end: DO is the first bit.
        let flags = query.octets[query.octets.len() - 4];
        assert_eq!(flags & 0x80, 0x80, "{}", query.question);
    }
}

//= rfc6147#5.5
//= type=test
//# (paraphrase) Where DNSSEC is off, a server's word for a DNSSEC failure is a failure like others.
#[test]
fn with_dnssec_off_a_reported_dnssec_failure_is_a_failure_like_others() {
    let mut responder = with_v4(configured("off"));
    responder.says("v4.example. AAAA", Response::error(2).extended_error(6));
    assert_eq!(responder.ask(&v4_query()).answer().len(), 1);
    let mut responder = with_v4(configured("off"));
    let real = Response::answer(&["d.example. 60 IN AAAA 2001:db8::1"]).authentic();
    responder.says("d.example. AAAA", real);
    let query = Query::of("d.example. AAAA");
    for query in [query.clone().dnssec_ok(), query.clone().authentic_data(), query] {
        assert!(!responder.ask(&query).reply.authentic_data(), "{query:?}");
    }
    assert!(responder.upstream_queries().iter().all(|query| query.octets[3] & 0x20 == 0));
}
