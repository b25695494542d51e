//! RFC 6147 5.1.8: querying in parallel.

use dns64_tests::in_process::{Responder, Response};

use crate::{SOA, v4_query, with_v4};

//= rfc6147#5.1.8
//= type=test
//# The DNS64 MAY perform the query for the AAAA RR and for the A RR in parallel, in order to
//# minimize the delay.
#[test]
fn a_is_asked_for_while_aaaa_is_slow() {
    let mut responder = with_v4(Responder::new("hold_ms = 50"));
    responder.says("v4.example. AAAA", Response::no_data(SOA).after_ms(200));
    let answered = responder.ask(&v4_query());
    assert_eq!(answered.after_ms, 200, "A has come in the meantime");
    let queries = responder.upstream_queries();
    let a = queries.iter().find(|query| query.question == "v4.example. A").unwrap();
    assert_eq!(a.sent_ms, 50);
}

//= rfc6147#5.1.8
//= type=test
//# if we obtain a fast reply, we avoid doing the additional query.
#[test]
fn a_fast_aaaa_answer_saves_the_a_query() {
    let mut responder = Responder::new("hold_ms = 50");
    let real = "fast.example. 60 IN AAAA 2001:db8::1";
    responder.says("fast.example. AAAA", Response::answer(&[real]).after_ms(49));
    responder.ask(&dns64_tests::in_process::Query::of("fast.example. AAAA"));
    responder.pass_ms(1_000);
    assert_eq!(responder.questions_asked(), ["fast.example. AAAA"]);
}
