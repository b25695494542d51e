//! Right answers, and each kind of lie.

use super::*;
use crate::upstream::Carrier;
use crate::upstream::answer::{ANSWER_MAX, write_answer};
use crate::wire::{Query, name_from_text, write_query};
use dns64::pref64::WELL_KNOWN;

/// What the upstream answers: right for native names, not yet for those to be synthesized.
fn answer(name: &str, qtype: u16) -> (Vec<u8>, Vec<u8>) {
    let name = name_from_text(name).unwrap();
    let mut query = [0; 512];
    let len = write_query(&mut query, 0, &name, qtype, None);
    let mut out = [0; ANSWER_MAX];
    let parsed = Query::parse(&query[..len]).unwrap();
    let answer_len = write_answer(&parsed, &Script::of(&name), Carrier::Tcp, &mut out);
    (query[..len].to_vec(), out[..answer_len].to_vec())
}

fn rules() -> Rules {
    Rules { prefixes: vec![WELL_KNOWN], by_name: true }
}

fn verdict(name: &str, qtype: u16) -> Verdict {
    let (query, response) = answer(name, qtype);
    assert_eq!(belonging(&response, &query), Belonging::Exact);
    judge(&response, &query, &rules())
}

#[test]
fn an_answer_of_the_upstream_is_right_for_what_it_has() {
    for (name, qtype) in [
        ("a-1-2-3-4--a-11-1-1-1.t", rtype::A),
        ("a-1-2-3-4--c2.t", rtype::A),
        ("a-1-2-3-4--c12.t", rtype::A),
        ("c12--a-1-2-3-4.t", rtype::CNAME),
        ("a-1-2-3-4--ttl5.t", rtype::A),
        ("a-1-2-3-4--neg5.t", 16),
        ("q-20010db8000000000000000000000001--c3.t", rtype::AAAA),
        ("a-1-2-3-4--nx.t", rtype::AAAA),
        ("4.3.2.1.in-addr.arpa", rtype::PTR),
        ("200.30.2.1.in-addr.arpa", rtype::PTR),
    ] {
        assert_eq!(verdict(name, qtype), Verdict::Verified, "{name}");
    }
}

#[test]
fn a_missing_synthesis_is_wrong_and_a_failure_is_a_failure() {
    assert_eq!(verdict("a-1-2-3-4.t", rtype::AAAA), Verdict::Wrong(Fault::Missing));
    assert_eq!(verdict("a-1-2-3-4--rc2.t", rtype::AAAA), Verdict::Failed);
    assert_eq!(verdict("www.t", rtype::A), Verdict::Unchecked);
}
