//! Response policy zones: every action, in every place where an answer may come from.

use dns64::counters::{DropReason, Source};
use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, NXDOMAIN, SOA, ask, only_a, with_zones};

const ZONE: &str = "\
$TTL 120
@ SOA . . 1 3600 600 86400 30
nx.example CNAME .
*.below.example CNAME .
nodata.example CNAME *.
drop.example CNAME rpz-drop.
tcp.example CNAME rpz-tcp-only.
data.example A 192.0.2.80
data.example TXT \"look here\"
both.example A 192.0.2.81
both.example AAAA 2001:db8::81
garden.example CNAME walled.example.
each.example CNAME *.walled.example.
";

#[test]
fn a_blocked_name_is_denied_for_every_type_and_never_asked_upstream() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    for rtype in ["AAAA", "A", "TXT", "HTTPS", "ANY", "DS"] {
        for name in ["nx.example.", "NX.Example.", "a.below.example.", "a.b.below.example."] {
            let answered = ask(&mut responder, &format!("{name} {rtype}"));
            assert_eq!(answered.rcode(), NXDOMAIN, "{name} {rtype}");
            assert_eq!(answered.extended_errors(), [15], "{name} {rtype}");
            let soa = format!("{name} 30 IN SOA");
            assert!(answered.authority()[0].starts_with(&soa), "{:?}", answered.authority());
        }
        let answered = ask(&mut responder, &format!("nodata.example. {rtype}"));
        assert_eq!((answered.rcode(), answered.answer().len()), (NOERROR, 0));
        assert_eq!(answered.extended_errors(), [15]);
    }
    assert!(responder.upstream_queries().is_empty());
    let counters = responder.engine.counters();
    assert_eq!(counters.responses_from(Source::Policy), 30);
    assert_eq!(counters.rpz, [30]);
}

#[test]
fn a_name_beside_a_trigger_is_synthesized_for_as_ever() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    only_a(&mut responder, "below.example.", "192.0.2.1");
    let answered = ask(&mut responder, "below.example. AAAA");
    assert_eq!(answered.answer(), ["below.example. 300 IN AAAA 64:ff9b::c000:201"]);
    assert_eq!(answered.extended_errors(), [29]);
}

#[test]
fn the_extended_error_is_that_of_the_zone() {
    for (keys, code) in [
        ("ede = \"blocked\"", &[15][..]),
        ("ede = \"censored\"", &[16]),
        ("ede = \"filtered\"", &[17]),
        ("ede = \"none\"", &[]),
    ] {
        let (mut responder, _files) = with_zones(&[(keys, ZONE)], "");
        let answered = ask(&mut responder, "nx.example. AAAA");
        assert_eq!(answered.extended_errors(), code, "{keys}");
        let answered = responder.ask(&Query::of("nx.example. AAAA").without_edns());
        assert_eq!(answered.extended_errors(), [0_u16; 0], "no EDE without OPT");
    }
}

#[test]
fn a_dropped_query_gets_no_reply_and_is_counted() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    assert_eq!(responder.ask_octets(&Query::of("drop.example. AAAA").octets()), None);
    let counters = responder.engine.counters();
    assert_eq!(counters.drops_for(DropReason::Rpz), 1);
    assert_eq!(counters.queries_total(), counters.responses_total() + counters.drops_total());
}

#[test]
fn tcp_only_truncates_by_udp_and_answers_by_tcp() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    only_a(&mut responder, "tcp.example.", "192.0.2.1");
    let answered = ask(&mut responder, "tcp.example. AAAA");
    assert!(answered.reply.is_truncated() && answered.answer().is_empty());
    // From a look-up, from the cache, and from what would be kept ready.
    for _ in 0..3 {
        let answered = responder.ask(&Query::of("tcp.example. AAAA").by_tcp());
        assert_eq!(answered.answer(), ["tcp.example. 300 IN AAAA 64:ff9b::c000:201"]);
    }
    // What TCP has brought into the cache does not come by UDP.
    let answered = ask(&mut responder, "tcp.example. AAAA");
    assert!(answered.answer().is_empty());
}

#[test]
fn local_data_is_all_that_the_name_has() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    let answered = ask(&mut responder, "data.example. A");
    assert_eq!(answered.answer(), ["data.example. 120 IN A 192.0.2.80"]);
    assert_eq!(answered.extended_errors(), [15]);
    let answered = ask(&mut responder, "data.example. TXT");
    assert_eq!(answered.answer(), ["data.example. 120 IN TXT \"look here\""]);
    let answered = ask(&mut responder, "data.example. MX");
    assert_eq!((answered.rcode(), answered.answer().len()), (NOERROR, 0));
    assert!(responder.upstream_queries().is_empty());
}

#[test]
fn aaaa_are_made_of_local_a_and_not_beside_local_aaaa() {
    let dns64 = "[dns64]\nprefixes = [\"64:ff9b::/96\", \"2001:db8:64::/48\"]";
    let (mut responder, _files) = with_zones(&[("", ZONE)], dns64);
    let answered = ask(&mut responder, "data.example. AAAA");
    assert_eq!(
        answered.answer(),
        [
            "data.example. 120 IN AAAA 64:ff9b::c000:250",
            "data.example. 120 IN AAAA 2001:db8:64:c000:2:5000::",
        ]
    );
    let answered = ask(&mut responder, "both.example. AAAA");
    assert_eq!(answered.answer(), ["both.example. 120 IN AAAA 2001:db8::81"]);
    // CD: no synthesis (RFC 6147 5.5), but the rule holds.
    let answered = responder.ask(&Query::of("data.example. AAAA").checking_disabled());
    assert_eq!((answered.rcode(), answered.answer().len()), (NOERROR, 0));
    assert!(responder.upstream_queries().is_empty());
}

#[test]
fn local_a_that_no_prefix_maps_gives_no_aaaa() {
    let zone = "private.example A 10.1.2.3\n";
    let (mut responder, _files) = with_zones(&[("", zone)], "");
    let answered = ask(&mut responder, "private.example. AAAA");
    assert_eq!((answered.rcode(), answered.answer().len()), (NOERROR, 0));
    let (mut responder, _files) = with_zones(&[("", zone)], "[dns64]\nenabled = false");
    let answered = ask(&mut responder, "private.example. AAAA");
    assert_eq!((answered.rcode(), answered.answer().len()), (NOERROR, 0));
}

#[test]
fn a_walled_garden_with_ipv4_only_is_reached_through_the_nat64() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    only_a(&mut responder, "walled.example.", "192.0.2.99");
    for _ in 0..3 {
        // From a look-up, then from the cache.
        let answered = ask(&mut responder, "Garden.example. AAAA");
        assert_eq!(
            answered.answer(),
            [
                "Garden.example. 120 IN CNAME walled.example.",
                "walled.example. 300 IN AAAA 64:ff9b::c000:263",
            ]
        );
        assert_eq!(answered.extended_errors(), [15]);
    }
    assert_eq!(responder.questions_asked(), ["walled.example. AAAA", "walled.example. A"]);
    let answered = ask(&mut responder, "garden.example. A");
    assert_eq!(answered.answer()[1], "walled.example. 300 IN A 192.0.2.99");
    let answered = ask(&mut responder, "garden.example. CNAME");
    assert_eq!(answered.answer(), ["garden.example. 120 IN CNAME walled.example."]);
}

#[test]
fn a_wildcard_target_has_the_asked_name_in_front() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    let target = "each.example.walled.example.";
    only_a(&mut responder, target, "192.0.2.99");
    let answered = ask(&mut responder, "each.example. AAAA");
    assert_eq!(
        answered.answer(),
        [
            format!("each.example. 120 IN CNAME {target}"),
            format!("{target} 300 IN AAAA 64:ff9b::c000:263"),
        ]
    );
}

#[test]
fn the_target_of_a_redirect_may_have_a_chain_and_be_denied() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    let chain = "walled.example. 60 IN CNAME deep.walled.example.";
    responder.says("walled.example. AAAA", Response::answer(&[chain]).authority(&[SOA])).says(
        "walled.example. A",
        Response::answer(&[chain, "deep.walled.example. 60 IN A 192.0.2.7"]),
    );
    let answered = ask(&mut responder, "garden.example. AAAA");
    assert_eq!(
        answered.answer(),
        [
            "garden.example. 120 IN CNAME walled.example.",
            chain,
            "deep.walled.example. 60 IN AAAA 64:ff9b::c000:207",
        ]
    );
    responder.says("walled.example. TXT", Response::no_such_name(SOA));
    let answered = ask(&mut responder, "garden.example. TXT");
    assert_eq!(answered.rcode(), NXDOMAIN);
    assert_eq!(answered.answer(), ["garden.example. 120 IN CNAME walled.example."]);
    assert_eq!(answered.authority(), [SOA]);
}

#[test]
fn a_redirect_of_the_whole_zone_and_every_other_override_hold() {
    let keys = "redirect = \"walled.example.\"";
    let (mut responder, _files) = with_zones(&[(keys, ZONE)], "");
    only_a(&mut responder, "walled.example.", "192.0.2.99");
    let answered = ask(&mut responder, "nx.example. AAAA");
    assert_eq!(answered.answer()[1], "walled.example. 300 IN AAAA 64:ff9b::c000:263");
    for (policy, rcode) in [("nxdomain", NXDOMAIN), ("nodata", NOERROR)] {
        let keys = format!("policy = \"{policy}\"");
        let (mut responder, _files) = with_zones(&[(&keys, ZONE)], "");
        let answered = ask(&mut responder, "data.example. A");
        assert_eq!((answered.rcode(), answered.answer().len()), (rcode, 0), "{policy}");
    }
    for policy in ["passthru", "disabled"] {
        let keys = format!("policy = \"{policy}\"");
        let (mut responder, _files) = with_zones(&[(&keys, ZONE)], "");
        only_a(&mut responder, "nx.example.", "192.0.2.1");
        let answered = ask(&mut responder, "nx.example. AAAA");
        assert_eq!(answered.answer(), ["nx.example. 300 IN AAAA 64:ff9b::c000:201"], "{policy}");
    }
}

#[test]
fn a_name_that_leads_to_a_blocked_one_is_blocked_in_the_look_up_the_cache_and_past_its_ttl() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    let chain = "cloak.example. 60 IN CNAME nx.example.";
    responder
        .says("cloak.example. AAAA", Response::answer(&[chain]).authority(&[SOA]))
        .says("cloak.example. A", Response::answer(&[chain, "nx.example. 60 IN A 192.0.2.1"]));
    for round in 0..4 {
        for rtype in ["AAAA", "A"] {
            let answered = ask(&mut responder, &format!("cloak.example. {rtype}"));
            assert_eq!(answered.rcode(), NXDOMAIN, "{rtype}, round {round}");
            assert_eq!(answered.extended_errors(), [15]);
            assert!(answered.answer().is_empty());
        }
    }
    responder.says("cloak.example. A", Response::silence());
    responder.pass_secs(120);
    let answered = ask(&mut responder, "cloak.example. A");
    assert_eq!(answered.rcode(), NXDOMAIN, "the stale answer is blocked too");
}

#[test]
fn a_chain_into_local_data_and_into_a_redirect_is_answered_by_them() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    let to = |target: &str| format!("a.example. 60 IN CNAME {target}");
    responder.says("a.example. AAAA", Response::answer(&[&to("data.example.")]).authority(&[SOA]));
    responder.says(
        "a.example. A",
        Response::answer(&[&to("data.example."), "data.example. 9 IN A 1.2.3.4"]),
    );
    for _ in 0..3 {
        let answered = ask(&mut responder, "a.example. AAAA");
        assert_eq!(answered.answer(), ["a.example. 120 IN AAAA 64:ff9b::c000:250"]);
    }
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    only_a(&mut responder, "walled.example.", "192.0.2.99");
    responder.says(
        "a.example. AAAA",
        Response::answer(&[&to("garden.example."), "garden.example. 9 IN AAAA 2001:db8::1"]),
    );
    for _ in 0..3 {
        let answered = ask(&mut responder, "a.example. AAAA");
        assert_eq!(
            answered.answer(),
            [
                "a.example. 120 IN CNAME walled.example.",
                "walled.example. 300 IN AAAA 64:ff9b::c000:263",
            ]
        );
    }
}

#[test]
fn a_chain_into_a_dropped_name_gets_no_reply() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    let chain = "a.example. 60 IN CNAME drop.example.";
    responder.says("a.example. A", Response::answer(&[chain, "drop.example. 60 IN A 192.0.2.1"]));
    for _ in 0..2 {
        assert_eq!(responder.ask_octets(&Query::of("a.example. A").octets()), None);
    }
    assert_eq!(responder.engine.counters().drops_for(DropReason::Rpz), 2);
    assert_eq!(responder.engine.clients_waiting(), 0);
}

#[test]
fn passthru_exempts_a_name_and_what_it_leads_to_from_later_zones() {
    let zones = [("", "cloak.example CNAME rpz-passthru.\n"), ("", ZONE)];
    let (mut responder, _files) = with_zones(&zones, "");
    let chain = "cloak.example. 60 IN CNAME nx.example.";
    responder
        .says("cloak.example. AAAA", Response::answer(&[chain]).authority(&[SOA]))
        .says("cloak.example. A", Response::answer(&[chain, "nx.example. 60 IN A 192.0.2.1"]));
    for _ in 0..3 {
        let answered = ask(&mut responder, "cloak.example. AAAA");
        assert_eq!(answered.answer()[1], "nx.example. 60 IN AAAA 64:ff9b::c000:201");
    }
    assert_eq!(ask(&mut responder, "nx.example. AAAA").rcode(), NXDOMAIN);
}

#[test]
fn zones_are_for_the_views_they_name() {
    let view = "[[view]]\nname = \"desk\"\nclients = [\"fd00::/8\"]\n";
    let (mut responder, _files) = with_zones(&[("views = [\"default\"]", ZONE)], view);
    only_a(&mut responder, "nx.example.", "192.0.2.1");
    let desk = Query::of("nx.example. AAAA").from_client("fd00::1");
    for _ in 0..3 {
        // The reply of those who may see it is kept ready, and is not for the others.
        let answered = responder.ask(&desk);
        assert_eq!(answered.answer(), ["nx.example. 300 IN AAAA 64:ff9b::c000:201"]);
        assert_eq!(ask(&mut responder, "nx.example. AAAA").rcode(), NXDOMAIN);
    }
}

#[test]
fn what_a_client_may_not_have_is_never_authentic() {
    let (mut responder, _files) = with_zones(&[("", ZONE)], "");
    responder.says(
        "walled.example. A",
        Response::answer(&["walled.example. 60 IN A 192.0.2.9"]).authentic(),
    );
    for query in [Query::of("data.example. A"), Query::of("garden.example. A")] {
        let answered = responder.ask(&query.dnssec_ok().authentic_data());
        assert!(!answered.reply.authentic_data());
        assert!(!answered.answer().is_empty());
    }
}
