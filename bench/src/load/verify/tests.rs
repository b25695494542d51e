//! Right answers, and each kind of lie.

use super::*;
use crate::upstream::Carrier;
use crate::upstream::answer::{ANSWER_MAX, write_answer};
use crate::wire::{Query, name_from_text, write_query};
use dns64::pref64::{Pref64, UOctet, WELL_KNOWN};

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
    Rules { prefixes: vec![WELL_KNOWN], by_name: true, alternative: None }
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

/// A response of these records, with compression to the question's name as `\xc0\x0c`.
fn response(name: &str, qtype: u16, answers: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
    let wire_name = name_from_text(name).unwrap();
    let mut query = [0; 512];
    let len = write_query(&mut query, 0, &wire_name, qtype, None);
    let mut response = query[..len].to_vec();
    response[2..8].copy_from_slice(b"\x81\x80\x00\x01\x00\x00");
    response[7] = answers.len() as u8;
    response.extend(answers.concat());
    (query[..len].to_vec(), response)
}

fn verdict_of(name: &str, qtype: u16, answers: &[&[u8]]) -> Verdict {
    let (query, response) = response(name, qtype, answers);
    judge(&response, &query, &rules())
}

/// An AAAA record of the question's name with this TTL, under the Well-Known Prefix.
fn mapped(ttl_secs: u8, address: [u8; 4]) -> Vec<u8> {
    let mut record = b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\xff\x00\x10".to_vec();
    record[9] = ttl_secs;
    record.extend(b"\x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00");
    record.extend(address);
    record
}

#[test]
fn a_synthesized_answer_may_be_in_any_order_and_no_cut_of_it_is_right() {
    let (one, two) = (mapped(9, [11, 0, 0, 1]), mapped(9, [11, 0, 0, 2]));
    let name = "a-11-0-0-1--a-11-0-0-2--ttl9.t";
    assert_eq!(verdict_of(name, rtype::AAAA, &[&two, &one]), Verdict::Verified);
    assert_eq!(verdict_of(name, rtype::AAAA, &[&one]), Verdict::Wrong(Fault::Missing));
    let (query, whole) = response(name, rtype::AAAA, &[&one, &two]);
    for cut in query.len()..whole.len() {
        let verdict = judge(&whole[..cut], &query, &rules());
        assert_eq!(verdict, Verdict::Wrong(Fault::Malformed), "cut at {cut}");
    }
}

#[test]
fn an_answer_is_of_one_configuration_or_the_other_and_not_of_both() {
    let network = "2001:db8::/96".parse().unwrap();
    let other = Pref64::new(network, Ipv6Addr::UNSPECIFIED, UOctet::Any).unwrap();
    let other = Rules { prefixes: vec![other], ..rules() };
    let either = Rules { alternative: Some(Box::new(other)), ..rules() };
    let elsewhere = |mut record: Vec<u8>| {
        record[12..16].copy_from_slice(b"\x20\x01\x0d\xb8");
        record
    };
    let (one, two) = (mapped(9, [11, 0, 0, 1]), mapped(9, [11, 0, 0, 2]));
    let verdict = |answers: &[&[u8]]| {
        let (query, response) = response("a-11-0-0-1--a-11-0-0-2--ttl9.t", rtype::AAAA, answers);
        judge(&response, &query, &either)
    };
    assert_eq!(verdict(&[&one, &two]), Verdict::Verified);
    let (other_one, other_two) = (elsewhere(one.clone()), elsewhere(two));
    assert_eq!(verdict(&[&other_one, &other_two]), Verdict::Verified);
    assert_eq!(verdict(&[&one, &other_two]), Verdict::Wrong(Fault::Prefix));
    assert_eq!(verdict(&[&one, &other_one]), Verdict::Wrong(Fault::Prefix));
}

#[test]
fn a_ttl_may_have_gone_down_or_be_that_of_a_stale_answer() {
    let verdict = |ttl_secs| {
        verdict_of("a-11-0-0-1--ttl9.t", rtype::AAAA, &[&mapped(ttl_secs, [11, 0, 0, 1])])
    };
    assert_eq!([0, 9, 30].map(verdict), [Verdict::Verified; 3]);
    assert_eq!([10, 29, 31].map(verdict), [Verdict::Wrong(Fault::Ttl); 3]);
}

#[test]
fn special_addresses_need_not_but_may_be_mapped_under_the_well_known_prefix() {
    for name in ["a-10-0-0-1.t", "a-192-168-0-1.t", "a-100-64-0-1.t"] {
        assert_eq!(verdict_of(name, rtype::AAAA, &[]), Verdict::Verified, "{name}");
    }
    let private = mapped(9, [10, 0, 0, 1]);
    assert_eq!(verdict_of("a-10-0-0-1.t", rtype::AAAA, &[&private]), Verdict::Verified);
    assert_eq!(verdict_of("a-100-128-0-1.t", rtype::AAAA, &[]), Verdict::Wrong(Fault::Missing));
}

#[test]
fn a_native_address_stands_before_synthesis_unless_it_fails() {
    let native = "a-11-0-0-1--q-20010db8000000000000000000000001";
    let synthesized = mapped(9, [11, 0, 0, 1]);
    let verdict =
        |words: &str| verdict_of(&format!("{native}{words}.t"), rtype::AAAA, &[&synthesized]);
    assert_eq!(verdict(""), Verdict::Wrong(Fault::Address));
    assert_eq!(verdict("--rcaaaa2"), Verdict::Verified);
    assert_eq!(verdict("--rc2"), Verdict::Wrong(Fault::Rcode));
    let mapped_ipv4 = "a-11-0-0-1--q-00000000000000000000ffff0b000001.t";
    assert_eq!(verdict_of(mapped_ipv4, rtype::AAAA, &[&synthesized]), Verdict::Verified);
}

/// 11.0.0.1 under the Well-Known Prefix.
const REVERSE: &str = "1.0.0.0.0.0.b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa";

#[test]
fn a_ptr_record_may_stand_alone_or_behind_an_alias_to_the_ipv4_name() {
    let target = b"\x0aA-11-0-0-1\x02v4\x04test\x00";
    let direct = [b"\xc0\x0c\x00\x0c\x00\x01\x00\x00\x01\x2c\x00\x14", &target[..]].concat();
    let mut direct = direct;
    direct[11] = target.len() as u8;
    assert_eq!(verdict_of(REVERSE, rtype::PTR, &[&direct]), Verdict::Verified);
    assert_eq!(verdict_of(REVERSE, rtype::PTR, &[&direct, &direct]), Verdict::Wrong(Fault::Ptr));
    assert_eq!(verdict_of(REVERSE, rtype::PTR, &[]), Verdict::Wrong(Fault::Missing));
    let mut other = direct.clone();
    other[14 + 8] = b'9';
    assert_eq!(verdict_of(REVERSE, rtype::PTR, &[&other]), Verdict::Wrong(Fault::Ptr));

    let in_addr = b"\x011\x010\x010\x0211\x07in-addr\x04arpa\x00";
    let alias =
        [b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00", &[in_addr.len() as u8][..], &in_addr[..]]
            .concat();
    let behind = [&in_addr[..], &direct[2..]].concat();
    assert_eq!(verdict_of(REVERSE, rtype::PTR, &[&alias, &behind]), Verdict::Verified);
    let mut elsewhere = alias.clone();
    elsewhere[13] = b'2';
    let verdict = verdict_of(REVERSE, rtype::PTR, &[&elsewhere, &behind]);
    assert_eq!(verdict, Verdict::Wrong(Fault::Owner));
}

#[test]
fn names_that_say_nothing_are_judged_by_form_prefix_and_consistency() {
    let good = mapped(9, [11, 0, 0, 1]);
    assert_eq!(verdict_of("www.t", rtype::AAAA, &[&good]), Verdict::Unchecked);
    let mut other_owner = good.clone();
    other_owner[1] = 0x10;
    let verdict = verdict_of("www.t", rtype::AAAA, &[&other_owner]);
    assert_eq!(verdict, Verdict::Wrong(Fault::Owner));
    let mut short = good.clone();
    short[11] = 15;
    short.pop();
    assert_eq!(verdict_of("www.t", rtype::AAAA, &[&short]), Verdict::Wrong(Fault::Malformed));
    let (query, mut absent) = response("www.t", rtype::AAAA, &[&good]);
    absent[3] |= 3;
    assert_eq!(judge(&absent, &query, &rules()), Verdict::Wrong(Fault::Rcode));
    // Under a /64 the octet between prefix and address must be zero.
    let rules = Rules {
        prefixes: vec![
            Pref64::new("2001:db8::/64".parse().unwrap(), Ipv6Addr::UNSPECIFIED, UOctet::Any)
                .unwrap(),
        ],
        by_name: true,
        alternative: None,
    };
    let mut odd = good[..12].to_vec();
    odd.extend(b"\x20\x01\x0d\xb8\x00\x00\x00\x00\x01\x0b\x00\x00\x01\x00\x00\x00");
    let (query, response) = response("www.t", rtype::AAAA, &[&odd]);
    assert_eq!(judge(&response, &query, &rules), Verdict::Wrong(Fault::Prefix));
}

#[test]
fn questions_are_compared_letter_for_letter() {
    let (query, response) = response("www.t", rtype::A, &[]);
    assert_eq!(belonging(&response, &query), Belonging::Exact);
    let mut other = response.clone();
    other[13] = b'W';
    assert_eq!(belonging(&other, &query), Belonging::LetterCase);
    other[13] = b'x';
    assert_eq!(belonging(&other, &query), Belonging::Other);
    let end = response.len();
    assert_eq!(belonging(&response[..end - 1], &query), Belonging::Other);
    let mut refusal = response[..12].to_vec();
    (refusal[3], refusal[5]) = (0x85, 0);
    assert_eq!(belonging(&refusal, &query), Belonging::Exact);
    refusal[3] = 0x80;
    assert_eq!(belonging(&refusal, &query), Belonging::Other);
}
