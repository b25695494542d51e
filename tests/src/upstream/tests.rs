//! The upstream itself, asked by the client of the cases.

use super::*;
use crate::cases::Question;
use crate::client::{exchange, query_octets};
use crate::reply::Reply;

const PATIENCE: Duration = Duration::from_secs(5);

fn upstream(script: &str) -> Upstream {
    let script: Vec<ScriptEntry> = serde_json::from_str(script).unwrap();
    Upstream::start(&script).unwrap()
}

fn ask(upstream: &Upstream, question: &str) -> Vec<u8> {
    let question: Question = serde_json::from_str(question).unwrap();
    let query = query_octets(&question, 0x1234).unwrap();
    let source = Ipv4Addr::LOCALHOST.into();
    exchange(&query, source, upstream.address(), question.transport, PATIENCE).unwrap().0
}

fn parsed(upstream: &Upstream, question: &str) -> Reply {
    Reply::parse(ask(upstream, question)).unwrap()
}

#[test]
fn a_record_with_a_wrong_length_is_sent_as_it_is_and_the_question_in_its_letter_case() {
    let upstream = upstream(
        r#"[{"qname": "o.", "qtype": "AAAA", "rcode": "NOERROR", "authority": [], "additional": [],
             "answer": ["o. 5 IN AAAA \\# 1 07"]}]"#,
    );
    let reply =
        ask(&upstream, r#"{"qname": "O.", "qtype": "AAAA", "edns_size": null, "cd": true}"#);
    assert_eq!(
        reply,
        b"\x12\x34\x81\x90\x00\x01\x00\x01\x00\x00\x00\x00\x01O\x00\x00\x1c\x00\x01\
          \xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x05\x00\x01\x07"
    );
}

#[test]
fn names_that_are_not_in_the_script_do_not_exist_and_their_ancestors_are_empty() {
    let upstream = upstream(
        r#"[{"qname": "a.b.example.", "qtype": "A", "rcode": "NOERROR", "authority": [],
             "additional": [], "answer": ["a.b.example. 5 IN A 192.0.2.1"]}]"#,
    );
    let empty = parsed(&upstream, r#"{"qname": "b.example.", "qtype": "A"}"#);
    assert_eq!((empty.rcode, empty.answer.len(), empty.authority.len()), (0, 0, 1));
    assert!(empty.authority[0].text.starts_with("example. 300 IN SOA ns.example. h.example. 1 "));
    let missing = parsed(&upstream, r#"{"qname": "c.b.example.", "qtype": "A"}"#);
    assert_eq!((missing.rcode, missing.authority.len()), (3, 1));
    assert_eq!(upstream.asked().len(), 2);
}

#[test]
fn signatures_are_sent_with_dnssec_ok_only_and_an_answer_too_large_is_cut_over_udp() {
    let addresses: Vec<String> =
        (1..=40).map(|host| format!("\"m. 5 IN A 192.0.2.{host}\"")).collect();
    let upstream = upstream(&format!(
        r#"[{{"qname": "m.", "qtype": "A", "rcode": "NOERROR", "authority": [], "additional": [],
              "ad": true, "ede": [29],
              "answer": [{}, "m. 5 IN RRSIG A 8 1 5 20300101000000 20200101000000 1 m. AAAA"]}}]"#,
        addresses.join(",")
    ));
    let plain = parsed(&upstream, r#"{"qname": "m.", "qtype": "A"}"#);
    assert_eq!((plain.answer.len(), plain.is_truncated()), (40, false));
    assert!(plain.authentic_data());
    assert_eq!(plain.opt.unwrap().extended_errors, [29]);
    let signed = parsed(&upstream, r#"{"qname": "m.", "qtype": "A", "do": true}"#);
    assert_eq!(signed.answer.len(), 41);
    let small = parsed(&upstream, r#"{"qname": "m.", "qtype": "A", "edns_size": null}"#);
    assert_eq!((small.answer.len(), small.is_truncated(), small.octets.len()), (0, true, 19));
    let tcp = r#"{"qname": "m.", "qtype": "A", "edns_size": null, "transport": "tcp"}"#;
    assert_eq!(parsed(&upstream, tcp).answer.len(), 40);
}

#[test]
fn a_bogus_answer_is_a_failure_unless_checking_is_disabled() {
    let upstream = upstream(
        r#"[{"qname": "b.", "qtype": "A", "rcode": "NOERROR", "authority": [], "additional": [],
             "validation": "bogus", "answer": ["b. 5 IN A 192.0.2.1"]}]"#,
    );
    let failure = parsed(&upstream, r#"{"qname": "b.", "qtype": "A"}"#);
    assert_eq!((failure.rcode, failure.answer.len()), (2, 0));
    assert_eq!(failure.opt.unwrap().extended_errors, [6]);
    let data = parsed(&upstream, r#"{"qname": "b.", "qtype": "A", "cd": true}"#);
    assert_eq!((data.rcode, data.answer.len()), (0, 1));
}

#[test]
fn a_malformed_answer_counts_one_record_and_ends_within_it() {
    let upstream = upstream(
        r#"[{"qname": "x.", "qtype": "A", "rcode": "MALFORMED", "authority": [], "additional": [],
             "answer": []}]"#,
    );
    let reply = ask(&upstream, r#"{"qname": "x.", "qtype": "A"}"#);
    assert_eq!(reply.get(6..8), Some(&[0, 1][..]));
    assert!(Reply::parse(reply).is_err());
}
