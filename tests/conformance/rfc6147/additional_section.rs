//! RFC 6147 5.3.2: handling the additional section.

use dns64_tests::in_process::{Query, Response};

use crate::{SOA, responder};

//= rfc6147#5.3.2
//= type=test
//# DNS64 synthesis MUST NOT be performed on any records in the additional section of synthesized
//# answers.
#[test]
fn nothing_is_synthesized_in_the_additional_section() {
    let glue = ["ns.example. 60 IN A 192.0.2.53"];
    let a = Response::answer(&["g.example. 60 IN A 192.0.2.1"])
        .authority(&["example. 60 IN NS ns.example."])
        .additional(&glue);
    let mut responder = responder();
    responder.says("g.example. AAAA", Response::no_data(SOA)).says("g.example. A", a);
    let mx = Response::answer(&["g.example. 60 IN MX 1 ns.example."]).additional(&glue);
    responder.says("g.example. MX", mx);
    for question in ["g.example. AAAA", "g.example. MX"] {
        let reply = responder.ask(&Query::of(question)).reply;
        let aaaa = reply.additional.iter().filter(|record| record.wire.rtype.to_int() == 28);
        assert_eq!(aaaa.count(), 0, "{question}");
    }
}
