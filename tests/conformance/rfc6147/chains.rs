//! RFC 6147 5.1.5: dealing with CNAME and DNAME.

use dns64_tests::in_process::{Query, Response};

use crate::{NOERROR, SERVFAIL, SOA, responder};

const CNAME: &str = "w.example. 600 IN CNAME v4.example.";

//= rfc6147#5.1.5
//= type=test
//# the CNAME or DNAME chain is followed until the first terminating A or AAAA record is reached.
#[test]
fn a_chain_is_followed_to_its_a_record() {
    let mut responder = responder();
    responder
        .says("w.example. AAAA", Response::answer(&[CNAME]).authority(&[SOA]))
        .says("w.example. A", Response::answer(&[CNAME, "v4.example. 300 IN A 192.0.2.1"]));
    let answered = responder.ask(&Query::of("w.example. AAAA"));
    let synthetic = "v4.example. 300 IN AAAA 64:ff9b::c000:201";
    assert_eq!(answered.answer(), [CNAME, synthetic]);
}

//= rfc6147#5.1.5
//= type=test
//# any chains of CNAME or DNAME RRs are included as part of the answer along with the synthetic
//# AAAA (if appropriate).
#[test]
fn chains_of_cname_and_dname_stand_in_front_of_the_synthetic_record() {
    let chain = [
        "old.example. 600 IN DNAME new.example.",
        "a.old.example. 600 IN CNAME a.new.example.",
        "a.new.example. 60 IN CNAME b.new.example.",
    ];
    let mut with_a = chain.to_vec();
    with_a.push("b.new.example. 30 IN A 192.0.2.7");
    let mut responder = responder();
    responder
        .says("a.old.example. AAAA", Response::answer(&chain).authority(&[SOA]))
        .says("a.old.example. A", Response::answer(&with_a));
    let answered = responder.ask(&Query::of("a.old.example. AAAA"));
    let mut expected = chain.to_vec();
    expected.push("b.new.example. 30 IN AAAA 64:ff9b::c000:207");
    assert_eq!(answered.answer(), expected);
}

//= rfc6147#5.1.5
//= type=test
//# The resulting AAAA or A record is treated like any other AAAA or A case, as appropriate.
#[test]
fn a_chain_to_real_aaaa_is_returned_as_it_is() {
    let real = "v4.example. 300 IN AAAA 2001:db8::1";
    let mut responder = responder();
    responder.says("w.example. AAAA", Response::answer(&[CNAME, real]));
    let answered = responder.ask(&Query::of("w.example. AAAA"));
    assert_eq!(answered.answer(), [CNAME, real]);
    assert_eq!(responder.questions_asked(), ["w.example. AAAA"]);
}

//= rfc6147#5.1.5
//= type=test
//# (paraphrase) A chain without A or AAAA at its end is returned without data.
#[test]
fn a_chain_to_nothing_is_returned_alone() {
    let mut responder = responder();
    responder
        .says("w.example. AAAA", Response::answer(&[CNAME]).authority(&[SOA]))
        .says("w.example. A", Response::answer(&[CNAME]).authority(&[SOA]));
    let answered = responder.ask(&Query::of("w.example. AAAA"));
    assert_eq!(answered.rcode(), NOERROR);
    assert_eq!(answered.answer(), [CNAME]);
    assert_eq!(answered.authority(), [SOA]);
}

//= rfc6147#5.1.5
//= type=test
//# (paraphrase) A chain that ends nowhere is a failure and not followed for ever.
#[test]
fn a_loop_of_cnames_is_a_failure() {
    let ring = ["w.example. 60 IN CNAME x.example.", "x.example. 60 IN CNAME w.example."];
    let mut responder = responder();
    responder
        .says("w.example. AAAA", Response::answer(&ring))
        .says("w.example. A", Response::answer(&ring));
    assert_eq!(responder.ask(&Query::of("w.example. AAAA")).rcode(), SERVFAIL);
}
