//! RFC 8020: NXDOMAIN, there really is nothing underneath. A forwarder keeps to it where it answers
//! itself; it does not derive denials from other denials.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, NXDOMAIN, SOA, responder};

//= rfc8020#2
//= type=test
//# (paraphrase) An empty non-terminal exists: it has no data, but it is no NXDOMAIN.
#[test]
fn a_name_between_the_prefix_and_its_addresses_has_no_data() {
    let prefix = "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.";
    for nibbles in ["", "c.", "0.c.", "0.0.c.", "2.0.0.0.0.c."] {
        let answered = responder().ask(&Query::of(&format!("{nibbles}{prefix} PTR")));
        assert_eq!(answered.rcode(), NOERROR, "{nibbles}");
        assert!(answered.answer().is_empty(), "{nibbles}");
        assert!(answered.authority()[0].starts_with(prefix), "{:?}", answered.authority());
    }
}

//= rfc8020#2
//= type=test
//# (paraphrase) Below a name that cannot exist nothing exists.
#[test]
fn below_an_address_there_is_nothing() {
    let name = "1.0.2.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.";
    for label in ["f", "www", "0.0"] {
        let answered = responder().ask(&Query::of(&format!("{label}.{name} PTR")));
        assert_eq!(answered.rcode(), NXDOMAIN, "{label}");
    }
}

//= rfc8020#2
//= type=test
//# (paraphrase) NXDOMAIN of a name says nothing of the names above it.
#[test]
fn a_name_above_one_that_does_not_exist_is_asked_for() {
    let a = "up.example. 60 IN A 192.0.2.1";
    let mut responder = responder();
    responder
        .says("down.up.example. A", Response::no_such_name(SOA))
        .says("up.example. A", Response::answer(&[a]));
    assert_eq!(responder.ask(&Query::of("down.up.example. A")).rcode(), NXDOMAIN);
    assert_eq!(responder.ask(&Query::of("up.example. A")).answer(), [a]);
}

//= rfc8020#2
//= type=test
//# (paraphrase) NXDOMAIN behind a chain is about the end of the chain.
#[test]
fn the_name_that_leads_to_a_missing_name_is_returned_with_its_chain() {
    let cname = "w.example. 60 IN CNAME gone.example.";
    let mut responder = responder();
    responder.says("w.example. AAAA", Response::answer(&[cname]).authority(&[SOA]).rcode(3));
    let answered = responder.ask(&Query::of("w.example. AAAA"));
    assert_eq!(answered.rcode(), NXDOMAIN);
    assert_eq!(answered.answer(), [cname]);
    assert_eq!(responder.questions_asked(), ["w.example. AAAA"]);
}
