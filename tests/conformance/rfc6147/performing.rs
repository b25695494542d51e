//! RFC 6147 5.1.7: performing the synthesis.

use dns64_tests::in_process::{Query, Responder, Response};

use crate::{SOA, responder, responder_with_v4, v4_query};

/// The answer for a name whose A has one TTL, and whose denial of AAAA has this authority section.
fn answer_with(a_ttl_secs: u32, denial: &[&str]) -> String {
    let mut responder = responder();
    let a = format!("t.example. {a_ttl_secs} IN A 192.0.2.1");
    responder
        .says("t.example. AAAA", Response::answer(&[]).authority(denial))
        .says("t.example. A", Response::answer(&[&a]));
    responder.ask(&Query::of("t.example. AAAA")).answer().concat()
}

fn soa(ttl_secs: u32, minimum_secs: u32) -> String {
    format!("example. {ttl_secs} IN SOA ns.example. h.example. 1 3600 600 86400 {minimum_secs}")
}

fn synthetic(ttl_secs: u32) -> String {
    format!("t.example. {ttl_secs} IN AAAA 64:ff9b::c000:201")
}

//= rfc6147#5.1.7
//= type=test
//# The NAME field is set to the NAME field from the A record.
#[test]
fn the_owner_is_that_of_the_a_record_and_not_the_question() {
    let cname = "w.example. 60 IN CNAME V4.example.";
    let mut responder = responder();
    responder
        .says("w.example. AAAA", Response::answer(&[cname]).authority(&[SOA]))
        .says("w.example. A", Response::answer(&[cname, "V4.example. 60 IN A 192.0.2.1"]));
    let answered = responder.ask(&Query::of("w.example. AAAA"));
    assert_eq!(answered.answer()[1], "V4.example. 60 IN AAAA 64:ff9b::c000:201");
}

//= rfc6147#5.1.7
//= type=test
//# The TYPE field is set to 28 (AAAA).
//= rfc6147#5.1.7
//= type=test
//# The CLASS field is set to the original CLASS field, 1.
//= rfc6147#5.1.7
//= type=test
//# The RDLENGTH field is set to 16.
#[test]
fn type_is_28_class_is_1_and_the_rdata_has_16_octets() {
    let mut responder = responder_with_v4();
    let reply = responder.ask(&v4_query().without_edns()).reply;
    let tail = reply.octets.last_chunk::<28>().unwrap();
    let (fixed, rdata) = tail.split_at(12);
    assert_eq!(fixed, [0xc0, 0x0c, 0, 28, 0, 1, 0, 0, 1, 44, 0, 16]);
    assert_eq!(rdata, [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1]);
}

//= rfc6147#5.1.7
//= type=test
//# The Time to Live (TTL) field is set to the minimum of the TTL of the original A RR and the SOA
//# RR for the queried domain.
#[test]
fn the_ttl_is_the_lesser_of_the_a_record_and_the_soa() {
    assert_eq!(answer_with(100, &[&soa(200, 3_600)]), synthetic(100));
    assert_eq!(answer_with(300, &[&soa(200, 3_600)]), synthetic(200));
    assert_eq!(answer_with(0, &[&soa(200, 3_600)]), synthetic(0));
    assert_eq!(answer_with(3_000, &[&soa(2_000, 3_600)]), synthetic(2_000), "600 is not for here");
}

//= rfc6147#5.1.7
//= type=test
//# This is in keeping with the approach used in negative caching [RFC2308].
#[test]
fn the_minimum_field_of_the_soa_bounds_the_ttl() {
    assert_eq!(answer_with(3_000, &[&soa(2_000, 60)]), synthetic(60));
}

//= rfc6147#5.1.7
//= type=test
//# If the SOA RR was not delivered with the negative response to the AAAA query, then the DNS64
//# SHOULD use the TTL of the original A RR or 600 seconds, whichever is shorter.
#[test]
fn without_an_soa_the_ttl_is_600_seconds_at_most() {
    assert_eq!(answer_with(3_600, &[]), synthetic(600));
    assert_eq!(answer_with(599, &[]), synthetic(599));
}

//= rfc6147#5.1.7
//= type=test
//# (paraphrase) The TTL may be less: here behind a chain it is no more than that of the chain.
#[test]
fn a_short_lived_chain_bounds_the_ttl() {
    let cname = "w.example. 20 IN CNAME v4.example.";
    let mut responder = responder();
    responder
        .says("w.example. AAAA", Response::answer(&[cname]).authority(&[SOA]))
        .says("w.example. A", Response::answer(&[cname, "v4.example. 60 IN A 192.0.2.1"]));
    let answered = responder.ask(&Query::of("w.example. AAAA"));
    assert_eq!(answered.answer(), [cname, "v4.example. 20 IN AAAA 64:ff9b::c000:201"]);
}

//= rfc6147#5.1.7
//= type=test
//# (paraphrase) The TTL counts down with those it was made from.
#[test]
fn from_the_cache_the_ttl_has_aged() {
    let mut responder = responder_with_v4();
    responder.ask(&v4_query());
    responder.pass_secs(120);
    let answered = responder.ask(&v4_query());
    assert_eq!(answered.answer(), ["v4.example. 180 IN AAAA 64:ff9b::c000:201"]);
}

//= rfc6147#5.1.7
//= type=test
//# The RDATA field is set to the IPv6 representation of the IPv4 address from the RDATA field of
//# the A record.
#[test]
fn the_address_is_the_prefix_and_the_ipv4_address() {
    assert_eq!(answer_with(300, &[SOA]), synthetic(300));
}

//= rfc6147#5.1.7
//= type=test
//# The DNS64 MUST check each A RR against configured IPv4 address ranges and select the
//# corresponding IPv6 prefix to use in synthesizing the AAAA RR.
#[test]
fn an_a_record_that_no_prefix_maps_makes_no_aaaa() {
    let mut responder = Responder::new(
        r#"prefixes = [{ prefix = "2001:db8:64::/96", mapped = ["192.0.2.0/25"] }]"#,
    );
    responder.says("r.example. AAAA", Response::no_data(SOA)).says(
        "r.example. A",
        Response::answer(&["r.example. 60 IN A 192.0.2.200", "r.example. 60 IN A 192.0.2.1"]),
    );
    let answered = responder.ask(&Query::of("r.example. AAAA"));
    assert_eq!(answered.answer(), ["r.example. 60 IN AAAA 2001:db8:64::c000:201"]);
}
