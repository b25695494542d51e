//! Response policy zones against each part of DNS64: who comes first.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, NXDOMAIN, SOA, ask, only_a, with_zones};

#[test]
fn a_zone_comes_before_ipv4only_arpa() {
    let (mut responder, _files) = with_zones(&[("", "ipv4only.arpa CNAME .\n")], "");
    let answered = ask(&mut responder, "ipv4only.arpa. AAAA");
    assert_eq!(answered.rcode(), NXDOMAIN);
    // A wildcard for everything with an exception for discovery.
    let zone = "* CNAME .\nipv4only.arpa CNAME rpz-passthru.\n";
    let (mut responder, _files) = with_zones(&[("", zone)], "");
    assert_eq!(ask(&mut responder, "ipv4only.arpa. AAAA").answer().len(), 2);
    assert_eq!(ask(&mut responder, "a.example. AAAA").rcode(), NXDOMAIN);
}

#[test]
fn the_ptr_of_an_address_under_the_prefix_obeys_the_zone_for_in_addr_arpa() {
    let asked = "1.0.2.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.";
    for (zone, rcode, records) in [
        ("1.2.0.192.in-addr.arpa CNAME .\n", NXDOMAIN, 0),
        ("*.192.in-addr.arpa CNAME *.\n", NOERROR, 0),
        ("1.2.0.192.in-addr.arpa PTR desk.example.\n", NOERROR, 1),
    ] {
        for mode in ["cname", "direct"] {
            let dns64 = format!("[dns64]\nptr = \"{mode}\"");
            let (mut responder, _files) = with_zones(&[("", zone)], &dns64);
            let answered = ask(&mut responder, &format!("{asked} PTR"));
            assert_eq!(answered.rcode(), rcode, "{zone}");
            assert_eq!(answered.answer().len(), records, "{zone}");
            assert!(responder.upstream_queries().is_empty(), "{zone}");
        }
    }
    // And for its own name, which comes first.
    let zone = format!(
        "{} CNAME rpz-passthru.\n1.2.0.192.in-addr.arpa CNAME .\n",
        &asked[..asked.len() - 1]
    );
    let (mut responder, _files) = with_zones(&[("", &zone)], "");
    responder.says(
        "1.2.0.192.in-addr.arpa. PTR",
        Response::answer(&["1.2.0.192.in-addr.arpa. 60 IN PTR host.example."]),
    );
    assert_eq!(ask(&mut responder, &format!("{asked} PTR")).answer().len(), 2);
}

#[test]
fn a_zone_comes_before_bypass_ignore_aaaa_and_exclusion() {
    let zone = "a.example A 192.0.2.80\nb.example AAAA ::ffff:192.0.2.1\n";
    let dns64 = "[dns64]\nbypass = [\"a.example.\"]";
    let (mut responder, _files) = with_zones(&[("", zone)], dns64);
    // Bypass: the rule's A is given, and no AAAA is made of it.
    assert_eq!(ask(&mut responder, "a.example. A").answer().len(), 1);
    let answered = ask(&mut responder, "a.example. AAAA");
    assert_eq!((answered.rcode(), answered.answer().len()), (NOERROR, 0));
    // The operator's own AAAA are not excluded.
    let answered = ask(&mut responder, "b.example. AAAA");
    assert_eq!(answered.answer(), ["b.example. 3600 IN AAAA ::ffff:192.0.2.1"]);
    assert!(responder.upstream_queries().is_empty());
}

#[test]
fn a_blocked_a_does_not_surface_as_aaaa() {
    // The A of the chain's end is what would be synthesized from; its name is blocked.
    let (mut responder, _files) = with_zones(&[("", "end.example CNAME *.\n")], "");
    let chain = "a.example. 60 IN CNAME end.example.";
    responder
        .says("a.example. AAAA", Response::answer(&[chain]).authority(&[SOA]))
        .says("a.example. A", Response::answer(&[chain, "end.example. 60 IN A 192.0.2.1"]));
    for _ in 0..3 {
        let answered = ask(&mut responder, "a.example. AAAA");
        assert_eq!((answered.rcode(), answered.answer().len()), (NOERROR, 0));
        assert_eq!(answered.extended_errors(), [15]);
    }
}

#[test]
fn a_chain_that_only_the_a_answer_has_is_seen() {
    // The AAAA answer comes without the chain, as some servers send it.
    let (mut responder, _files) = with_zones(&[("", "end.example CNAME .\n")], "");
    let chain = "a.example. 60 IN CNAME end.example.";
    responder
        .says("a.example. AAAA", Response::no_data(SOA))
        .says("a.example. A", Response::answer(&[chain, "end.example. 60 IN A 192.0.2.1"]));
    for _ in 0..3 {
        assert_eq!(ask(&mut responder, "a.example. AAAA").rcode(), NXDOMAIN);
    }
}

#[test]
fn neither_dnssec_bits_nor_missing_recursion_lead_around_a_zone() {
    let (mut responder, _files) = with_zones(&[("", "nx.example CNAME .\n")], "");
    let query = || Query::of("nx.example. AAAA");
    for query in [
        query().dnssec_ok(),
        query().checking_disabled(),
        query().dnssec_ok().checking_disabled(),
        query().without_recursion(),
        query().by_tcp(),
        query().without_edns(),
    ] {
        assert_eq!(responder.ask(&query).rcode(), NXDOMAIN, "{query:?}");
    }
    // Zones are about the Internet.
    responder.says("nx.example. AAAA", Response::error(4));
    let answered = responder.ask(&query().class(3));
    assert_ne!(answered.rcode(), NXDOMAIN);
}

#[test]
fn an_upstream_that_fails_behind_a_redirect_is_a_failure() {
    let zone = "garden.example CNAME walled.example.\n";
    let (mut responder, _files) = with_zones(&[("", zone)], "");
    responder
        .says("walled.example. AAAA", Response::silence())
        .says("walled.example. A", Response::silence());
    let answered = ask(&mut responder, "garden.example. AAAA");
    assert_eq!(answered.rcode(), 2);
    assert!(answered.answer().is_empty());
}

#[test]
fn a_redirect_whose_target_answers_aaaa_late_uses_its_a() {
    let zone = "garden.example CNAME walled.example.\n";
    let (mut responder, _files) = with_zones(&[("", zone)], "");
    only_a(&mut responder, "walled.example.", "192.0.2.99");
    responder.says("walled.example. AAAA", Response::silence());
    let answered = ask(&mut responder, "garden.example. AAAA");
    assert!(answered.answer()[1].ends_with(" IN AAAA 64:ff9b::c000:263"));
    assert!(answered.after_ms < 2_000);
}
