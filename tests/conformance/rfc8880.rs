//! RFC 8880: the special-use domain name ipv4only.arpa.

use dns64_tests::in_process::{Query, Responder, Response};

use crate::{NOERROR, NXDOMAIN, responder};

//= rfc8880#7.1
//= type=test
//# (paraphrase) DNS64 recursive resolvers MUST act as authoritative for ipv4only.arpa and MUST NOT
//# ask others for it or for names below it.
#[test]
fn nobody_is_asked_for_the_name() {
    let mut responder = responder();
    for rtype in ["A", "AAAA", "SOA", "NS", "MX", "TXT", "TYPE65280"] {
        let answered = responder.ask(&Query::of(&format!("ipv4only.arpa. {rtype}")));
        assert_eq!(answered.rcode(), NOERROR, "{rtype}");
        responder.ask(&Query::of(&format!("below.IPv4Only.ARPA. {rtype}")));
    }
    assert!(responder.upstream_queries().is_empty());
}

//= rfc8880#7.1
//= type=test
//# (paraphrase) They MUST generate the A and the synthesized AAAA, and a negative answer for all
//# other types but DS.
#[test]
fn other_types_get_a_negative_answer() {
    let mut responder = responder();
    for rtype in ["MX", "TXT", "HTTPS", "TYPE65280"] {
        let answered = responder.ask(&Query::of(&format!("ipv4only.arpa. {rtype}")));
        assert_eq!(answered.rcode(), NOERROR, "{rtype}");
        assert!(answered.answer().is_empty(), "{rtype}");
        assert_eq!(answered.reply.authority[0].wire.rtype.to_int(), 6, "{rtype}");
    }
}

//= rfc8880#7.1
//= type=test
//# (paraphrase) DS is resolved in the usual way.
#[test]
fn ds_is_resolved_the_usual_way() {
    let soa = "arpa. 300 IN SOA ns.example. h.example. 1 3600 600 86400 300";
    let mut responder = responder();
    responder.says("ipv4only.arpa. DS", Response::no_data(soa));
    let answered = responder.ask(&Query::of("ipv4only.arpa. DS"));
    assert_eq!(answered.authority(), [soa]);
    assert_eq!(responder.questions_asked(), ["ipv4only.arpa. DS"]);
}

//= rfc8880#7.1
//= type=test
//# (paraphrase) Names below it do not exist.
#[test]
fn names_below_do_not_exist() {
    for rtype in ["A", "AAAA", "NS"] {
        let answered = responder().ask(&Query::of(&format!("a.ipv4only.arpa. {rtype}")));
        assert_eq!(answered.rcode(), NXDOMAIN, "{rtype}");
        assert!(answered.authority()[0].starts_with("ipv4only.arpa. 600 IN SOA"));
    }
}

//= rfc8880#7.2
//= type=test
//# (paraphrase) The reverse names of 192.0.0.170 and 192.0.0.171 MUST be answered here, with a PTR
//# to ipv4only.arpa.
#[test]
fn the_reverse_names_are_answered_here() {
    let mut responder = responder();
    for last in [170, 171] {
        let name = format!("{last}.0.0.192.in-addr.arpa.");
        let answered = responder.ask(&Query::of(&format!("{name} PTR")));
        assert_eq!(answered.answer(), [format!("{name} 600 IN PTR ipv4only.arpa.")]);
        let answered = responder.ask(&Query::of(&format!("{name} TXT")));
        assert_eq!(answered.rcode(), NOERROR);
        assert!(answered.answer().is_empty());
    }
    assert!(responder.upstream_queries().is_empty());
}

//= rfc8880#7.1
//= type=test
//# (paraphrase) A resolver that is no DNS64 does not treat the name specially: another DNS64 may
//# stand behind it.
#[test]
fn clients_without_dns64_get_what_upstream_says() {
    let mut responder = Responder::new("enabled = false");
    let aaaa = "ipv4only.arpa. 60 IN AAAA 2001:db8:1::c000:aa";
    responder.says("ipv4only.arpa. AAAA", Response::answer(&[aaaa]));
    assert_eq!(responder.ask(&Query::of("ipv4only.arpa. AAAA")).answer(), [aaaa]);
}
