//! RFC 8482: minimal-sized responses to queries that have QTYPE=ANY.

use dns64_tests::in_process::Query;

use crate::{NOERROR, responder};

//= rfc8482#4.2
//= type=test
//# The CPU field of the HINFO RDATA SHOULD be set to "RFC8482".
//= rfc8482#4.2
//= type=test
//# (paraphrase) The OS field SHOULD be the null string.
#[test]
fn any_is_answered_by_one_hinfo_record() {
    let mut responder = responder();
    let answered = responder.ask(&Query::of("any.example. ANY"));
    assert_eq!(answered.rcode(), NOERROR);
    let [record] = &answered.reply.answer[..] else { panic!("{:?}", answered.answer()) };
    assert_eq!(record.wire.rtype.to_int(), 13);
    assert_eq!(record.wire.rdata, b"\x07RFC8482\0");
    assert!(responder.upstream_queries().is_empty());
}

//= rfc8482#4.2
//= type=test
//# (paraphrase) Its TTL SHOULD be large enough to suppress frequent ANY queries.
#[test]
fn the_ttl_of_the_hinfo_record_is_an_hour() {
    let answered = responder().ask(&Query::of("any.example. ANY"));
    assert_eq!(answered.reply.answer[0].wire.ttl_secs, 3_600);
}

//= rfc8482#4.4
//= type=test
//# (paraphrase) A responder may behave in the same way whatever the transport.
#[test]
fn by_tcp_the_answer_is_the_same() {
    let query = Query::of("any.example. ANY");
    let by_udp = responder().ask(&query).reply.octets;
    assert_eq!(responder().ask(&query.by_tcp()).reply.octets, by_udp);
}
