//! RFC 6147 5.3.3: other resource records.

use dns64_tests::in_process::{Query, Response};

use crate::responder;

//= rfc6147#5.3.3
//= type=test
//# All other RRs MUST be returned unchanged.
#[test]
fn records_of_other_types_are_returned_unchanged() {
    for (rtype, record) in [
        ("MX", "o.example. 60 IN MX 10 mail.example."),
        ("TXT", "o.example. 60 IN TXT \"64:ff9b::\""),
        ("SRV", "o.example. 60 IN SRV 1 2 443 Host.Example."),
        ("NS", "o.example. 60 IN NS ns.example."),
        ("HTTPS", "o.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.1"),
        ("TYPE65280", "o.example. 60 IN TYPE65280 \\# 4 c0000201"),
    ] {
        let mut responder = responder();
        responder.says(&format!("o.example. {rtype}"), Response::answer(&[record]));
        let answered = responder.ask(&Query::of(&format!("o.example. {rtype}")));
        let expected = dns64_tests::presentation::parse_record(record).unwrap();
        assert_eq!(answered.reply.answer.len(), 1, "{rtype}");
        assert_eq!(answered.reply.answer[0].wire, expected, "{rtype}");
    }
}

//= rfc6147#5.3.3
//= type=test
//# This includes responses to queries for A RRs.
#[test]
fn a_queries_are_answered_with_a() {
    let mut responder = responder();
    let a = "v4.example. 60 IN A 192.0.2.1";
    responder.says("v4.example. A", Response::answer(&[a]));
    assert_eq!(responder.ask(&Query::of("v4.example. A")).answer(), [a]);
}
