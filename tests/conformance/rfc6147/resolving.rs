//! RFC 6147 5.1: resolving AAAA queries and the answer section.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, SOA, responder, responder_with_v4, v4_query};

//= rfc6147#5.1
//= type=test
//# it first attempts to retrieve non-synthetic RRs of this type and class
#[test]
fn aaaa_is_asked_for_before_a() {
    let mut responder = responder_with_v4();
    let answered = responder.ask(&v4_query());
    assert_eq!(responder.questions_asked(), ["v4.example. AAAA", "v4.example. A"]);
    assert_eq!(answered.answer(), ["v4.example. 300 IN AAAA 64:ff9b::c000:201"]);
}

//= rfc6147#5.1
//= type=test
//# The query may be answered from a local cache, if one is available.
#[test]
fn a_second_query_is_answered_from_the_cache() {
    let mut responder = responder_with_v4();
    responder.ask(&v4_query());
    responder.upstream_queries();
    responder.pass_secs(100);
    let answered = responder.ask(&v4_query());
    assert_eq!(answered.answer(), ["v4.example. 200 IN AAAA 64:ff9b::c000:201"]);
    assert_eq!(answered.after_ms, 0);
    assert!(responder.upstream_queries().is_empty());
}

//= rfc6147#5.1
//= type=test
//# DNS64 operation for classes other than IN is undefined, and a DNS64 MUST behave as though no
//# DNS64 function is configured.
#[test]
fn a_question_of_class_chaos_gets_no_synthetic_answer() {
    let mut responder = responder();
    responder.says("v4.example. AAAA", Response::no_data(SOA));
    let answered = responder.ask(&v4_query().class(3));
    assert_eq!(answered.rcode(), NOERROR);
    assert!(answered.answer().is_empty());
    assert_eq!(responder.questions_asked(), ["v4.example. AAAA"]);
}

//= rfc6147#5
//= type=test
//# The implementation SHOULD support mapping of separate IPv4 address ranges to separate IPv6
//# prefixes for AAAA record synthesis.
#[test]
fn each_ipv4_range_may_have_a_prefix_of_its_own() {
    let mut responder = dns64_tests::in_process::Responder::new(
        r#"prefixes = [
            { prefix = "2001:db8:10::/96", mapped = ["10.0.0.0/8"] },
            { prefix = "2001:db8:64::/96", mapped = ["!10.0.0.0/8", "0.0.0.0/0"] },
        ]"#,
    );
    responder.says("two.example. AAAA", Response::no_data(SOA)).says(
        "two.example. A",
        Response::answer(&["two.example. 60 IN A 10.0.0.1", "two.example. 60 IN A 192.0.2.1"]),
    );
    let answered = responder.ask(&Query::of("two.example. AAAA"));
    let mut answer = answered.answer();
    answer.sort_unstable();
    assert_eq!(
        answer,
        [
            "two.example. 60 IN AAAA 2001:db8:10::a00:1",
            "two.example. 60 IN AAAA 2001:db8:64::c000:201"
        ]
    );
}
