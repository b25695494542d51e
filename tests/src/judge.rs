//! Compares a reply with what a case expects. Every rule that is broken gives one complaint.

use std::time::Duration;

use anyhow::Result;
use domain::base::iana::Rtype;

use crate::cases::{Alternative, Bit, Case, Question, Transport};
use crate::presentation::{
    RecordPattern, address, parse_name, parse_rcode, parse_type, rcode_text,
};
use crate::reply::{HEADER_SIZE, Reply, ReplyRecord};
use crate::upstream::{Asked, asked_at_or_below, names_asked};

/// A reply may be as large as this if the query has no OPT and comes over UDP.
const SIZE_WITHOUT_OPT: usize = 512;
/// `ttl_expect` allows for so many seconds between the upstream's answer and the reply.
const TTL_SLACK_SECS: u32 = 2;

/// RCODEs of a server that did recurse, or tried to.
const NOERROR: u16 = 0;
/// See [`NOERROR`].
const SERVFAIL: u16 = 2;
/// See [`NOERROR`].
const NXDOMAIN: u16 = 3;

/// A reply and its circumstances.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The query as it was sent.
    pub query: &'a [u8],
    /// The reply as it came.
    pub reply: &'a Reply,
    /// From query to reply.
    pub elapsed: Duration,
    /// The reply should be there by then.
    pub deadline: Duration,
    /// What was asked upstream after the mark in its log.
    pub asked: &'a [Asked],
}

/// All complaints about a reply; none: it is as the case expects.
///
/// # Errors
///
/// The case itself cannot be understood.
pub fn judge(case: &Case, question: &Question, evidence: &Evidence<'_>) -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    check_form(question, evidence, &mut complaints);
    check_header(case, evidence.reply, &mut complaints)?;
    check_answer(case, question, evidence.reply, &mut complaints)?;
    check_sections(case, evidence.reply, &mut complaints)?;
    check_edns(case, question, evidence.reply, &mut complaints);
    check_circumstances(case, question, evidence, &mut complaints)?;
    Ok(complaints)
}

/// What holds for every reply.
fn check_form(question: &Question, evidence: &Evidence<'_>, complaints: &mut Vec<String>) {
    let (query, reply) = (evidence.query, evidence.reply);
    let mut require = |holds: bool, complaint: &str| {
        if !holds {
            complaints.push(complaint.to_owned());
        }
    };
    require(reply.octets.get(..2) == query.get(..2), "ID is not that of the query");
    require(reply.is_response(), "QR=0");
    require(reply.opcode() == question.opcode, "OPCODE is not that of the query");
    // Who refuses to recurse does not say that recursion is available.
    let recursed = matches!(reply.rcode, NOERROR | SERVFAIL | NXDOMAIN);
    require(reply.recursion_available() || !recursed, "RA=0");

    let additional = if question.edns_size.is_some() { 11 } else { 0 };
    let question_octets = query.get(HEADER_SIZE..query.len() - additional).unwrap_or_default();
    let echoed = reply.octets.get(HEADER_SIZE..HEADER_SIZE + question_octets.len());
    let question_count = reply.octets.get(4..6);
    // What stands behind the header of another OPCODE than QUERY need not be understood.
    if question.opcode == 0 {
        require(reply.recursion_desired() == question.rd, "RD is not that of the query");
        require(question_count == Some(&[0, 1]), "QDCOUNT is not 1");
    }
    if question_count != Some(&[0, 0]) {
        let complaint = "question is not that of the query octet for octet";
        require(echoed == Some(question_octets), complaint);
    }

    require(reply.opt.is_none() || question.edns_size.is_some(), "OPT though the query had none");
    let limit = match (question.transport, question.edns_size) {
        (Transport::Tcp, _) => usize::from(u16::MAX),
        (Transport::Udp, None) => SIZE_WITHOUT_OPT,
        (Transport::Udp, Some(size)) => usize::from(size).max(SIZE_WITHOUT_OPT),
    };
    require(reply.octets.len() <= limit, "larger than the client can take");
}

fn check_header(case: &Case, reply: &Reply, complaints: &mut Vec<String>) -> Result<()> {
    let expect = &case.expect;
    if !rcode_fits(case, reply)? {
        let wanted = expect.rcode.as_deref().unwrap_or("NOERROR");
        complaints.push(format!("RCODE {} instead of {wanted}", rcode_text(reply.rcode)));
    }
    // AD=1 is the word of a validator of one's own; what a forwarder says there is not judged.
    if matches!(expect.flags.ad, Bit::Is(false)) && reply.authentic_data() {
        complaints.push("AD=1".to_owned());
    }
    if let Bit::Is(truncated) = expect.flags.tc
        && truncated != reply.is_truncated()
    {
        complaints.push(format!("TC={}", u8::from(reply.is_truncated())));
    }
    Ok(())
}

fn rcode_fits(case: &Case, reply: &Reply) -> Result<bool> {
    let wanted = case.expect.rcode.as_deref().unwrap_or("NOERROR");
    for mnemonic in
        std::iter::once(wanted).chain(case.expect.allowed_rcodes.iter().map(String::as_str))
    {
        if parse_rcode(mnemonic)? == reply.rcode {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check_answer(
    case: &Case,
    question: &Question,
    reply: &Reply,
    complaints: &mut Vec<String>,
) -> Result<()> {
    let expect = &case.expect;
    let qtype = parse_type(&question.qtype)?;
    if !expect.answer_any {
        let mut fits = matches_patterns(&expect.answer, case, reply)?;
        for alternative in &expect.allowed_alternatives {
            match alternative {
                Alternative::Answer(patterns) => fits |= matches_patterns(patterns, case, reply)?,
                Alternative::Remark(_) => {}
            }
        }
        // A tolerated error has nothing to tell of the type that was asked.
        let other_rcode = parse_rcode(expect.rcode.as_deref().unwrap_or("NOERROR"))? != reply.rcode;
        fits |= other_rcode && reply.answer.iter().all(|record| record.wire.rtype != qtype);
        if !fits {
            let found: Vec<&str> = reply.answer.iter().map(|record| record.text.as_str()).collect();
            complaints.push(format!("answer {found:#?}\nexpected {:#?}", expect.answer));
        }
        check_owner_case(case, question, reply, complaints)?;
    }
    for record in &reply.answer {
        if let Some(bound) = expect.ttl_max
            && record.wire.ttl_secs > bound
        {
            complaints.push(format!("TTL over {bound}: {}", record.text));
        }
        if address(&record.wire).is_some_and(|ip| expect.answer_must_not_rdata.contains(&ip)) {
            complaints.push(format!("excluded address: {}", record.text));
        }
        // The RDATA of an RRSIG begins with the type that is covered (RFC 4034 3.1).
        let covered =
            record.wire.rdata.first_chunk::<2>().map(|octets| u16::from_be_bytes(*octets));
        for mnemonic in &expect.answer_must_not_rrsig {
            if record.wire.rtype == Rtype::RRSIG && covered == Some(parse_type(mnemonic)?.to_int())
            {
                complaints.push(format!("signature of {mnemonic}: {}", record.text));
            }
        }
    }
    check_ttls(case, reply, complaints);
    Ok(())
}

fn check_ttls(case: &Case, reply: &Reply, complaints: &mut Vec<String>) {
    use crate::cases::Level;
    let ttls: Vec<u32> = reply.answer.iter().map(|record| record.wire.ttl_secs).collect();
    if case.expect.same_ttl && ttls.windows(2).any(|pair| pair.first() != pair.last()) {
        complaints.push(format!("TTLs differ: {ttls:?}"));
    }
    // In a CHOICE case `ttl_expect` is this project's wish, not a rule.
    if let Some(wanted) = case.expect.ttl_expect
        && case.level != Level::Choice
    {
        for record in reply.answer.iter().filter(|record| record.wire.rtype == Rtype::AAAA) {
            let ttl_secs = record.wire.ttl_secs;
            if ttl_secs > wanted || ttl_secs + TTL_SLACK_SECS < wanted {
                complaints.push(format!("TTL {ttl_secs} instead of {wanted}"));
            }
        }
    }
}

/// Each pattern takes one RR; nothing may be left over unless a subset is enough.
fn matches_patterns(patterns: &[String], case: &Case, reply: &Reply) -> Result<bool> {
    let mut rest: Vec<&ReplyRecord> = reply.answer.iter().collect();
    for (index, text) in patterns.iter().enumerate() {
        let pattern = RecordPattern::parse(text)?;
        let fits = |record: &&ReplyRecord| pattern.matches(&record.wire, &record.rdata_text);
        let in_place = reply.answer.get(index).is_some_and(|record| fits(&record));
        if case.expect.ordered && !in_place {
            return Ok(false);
        }
        match rest.iter().position(fits) {
            Some(position) => drop(rest.remove(position)),
            None => return Ok(false),
        }
    }
    Ok(rest.is_empty() || case.expect.answer_subset)
}

/// If a pattern's owner has capitals, the first RR is owned by the name as it was asked, letter for
/// letter.
fn check_owner_case(
    case: &Case,
    question: &Question,
    reply: &Reply,
    complaints: &mut Vec<String>,
) -> Result<()> {
    let has_capitals = |text: &String| {
        text.split(' ')
            .next()
            .is_some_and(|owner| owner.bytes().any(|octet| octet.is_ascii_uppercase()))
    };
    if !case.expect.answer.iter().any(has_capitals) {
        return Ok(());
    }
    let qname = parse_name(&question.qname)?;
    if let Some(first) = reply.answer.first()
        && first.wire.owner != qname
    {
        complaints.push(format!("owner is not written as asked: {}", first.text));
    }
    Ok(())
}

fn check_sections(case: &Case, reply: &Reply, complaints: &mut Vec<String>) -> Result<()> {
    let expect = &case.expect;
    for (name, records, forbidden) in [
        ("answer", &reply.answer, &expect.answer_must_not),
        ("authority", &reply.authority, &expect.authority_must_not),
        ("additional", &reply.additional, &expect.additional_must_not),
    ] {
        for mnemonic in forbidden {
            let rtype = parse_type(mnemonic)?;
            for record in records.iter().filter(|record| record.wire.rtype == rtype) {
                complaints.push(format!("in {name}: {}", record.text));
            }
        }
    }
    if let Some(wanted) = expect.authority_soa {
        let found = reply.authority.iter().filter(|record| record.wire.rtype == Rtype::SOA).count();
        if found != wanted {
            complaints.push(format!("{found} SOA in authority instead of {wanted}"));
        }
    }
    if let Some(limit) = expect.max_size
        && reply.octets.len() > limit
    {
        complaints.push(format!("{} octets, {limit} allowed", reply.octets.len()));
    }
    Ok(())
}

fn check_edns(case: &Case, question: &Question, reply: &Reply, complaints: &mut Vec<String>) {
    let expect = &case.expect;
    if expect.opt && reply.opt.is_none() {
        complaints.push("no OPT".to_owned());
    }
    if expect.no_opt && reply.opt.is_some() {
        complaints.push("OPT".to_owned());
    }
    let Some(opt) = &reply.opt else { return };
    if opt.version != 0 {
        complaints.push(format!("EDNS version {}", opt.version));
    }
    if expect.do_echo && opt.dnssec_ok != question.dnssec_ok {
        complaints.push(format!("DO={}", u8::from(opt.dnssec_ok)));
    }
    if let Some(allowed) = &expect.ede_may {
        for code in opt.extended_errors.iter().filter(|code| !allowed.contains(code)) {
            complaints.push(format!("extended error {code}"));
        }
    }
}

fn check_circumstances(
    case: &Case,
    question: &Question,
    evidence: &Evidence<'_>,
    complaints: &mut Vec<String>,
) -> Result<()> {
    let expect = &case.expect;
    let (elapsed, deadline) = (evidence.elapsed, evidence.deadline);
    if elapsed > deadline {
        complaints.push(format!("reply after {elapsed:.1?}, {deadline:.1?} allowed"));
    }
    for name in &expect.no_upstream {
        for asked in asked_at_or_below(evidence.asked, name)? {
            complaints.push(format!("asked upstream for {name} {}", asked.qtype));
        }
    }
    for wanted in &expect.must_query_upstream {
        let (name, mnemonic) = wanted.split_once(' ').unwrap_or((wanted, "A"));
        let (name, rtype) = (parse_name(name)?.to_ascii_lowercase(), parse_type(mnemonic)?);
        if !evidence.asked.iter().any(|asked| asked.qname == name && asked.qtype == rtype) {
            let names = names_asked(evidence.asked);
            complaints.push(format!("did not ask upstream for {wanted}, but for {names:?}"));
        }
    }
    if let Some(limit) = expect.max_upstream {
        let name = parse_name(&question.qname)?.to_ascii_lowercase();
        let count = evidence
            .asked
            .iter()
            .filter(|asked| asked.qname == name && asked.qtype == Rtype::A)
            .count();
        if count > limit {
            complaints.push(format!("asked upstream for the A {count} times"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::query_octets;

    /// A query for `Ab.` AAAA without OPT and a reply with one address.
    const REPLY: &[u8] =
        b"\x64\x64\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x02Ab\x00\x00\x1c\x00\x01\
        \xc0\x0c\x00\x1c\x00\x01\x00\x00\x00\x3c\x00\x10\
        \x00\x64\xff\x9b\x00\x00\x00\x00\x00\x00\x00\x00\xc0\x00\x02\x21";

    /// What is said of `reply` if `expect` (JSON) is expected.
    fn complaints(reply: &[u8], expect: &str) -> Vec<String> {
        let case: Case = serde_json::from_str(&format!(
            r#"{{"id": "i", "category": "c", "level": "MUST", "ref": "", "source": [], "needs": [],
                 "config": {{}}, "upstream": [],
                 "query": {{"qname": "Ab.", "qtype": "AAAA", "edns_size": null}}, "expect": {expect}}}"#
        ))
        .unwrap();
        let question = case.query.clone().unwrap();
        let query = query_octets(&question, 0x6464).unwrap();
        let reply = Reply::parse(reply.to_vec()).unwrap();
        let second = Duration::from_secs(1);
        let evidence = Evidence {
            query: &query,
            reply: &reply,
            elapsed: second,
            deadline: second,
            asked: &[],
        };
        judge(&case, &question, &evidence).unwrap()
    }

    #[test]
    fn a_reply_as_expected_gives_no_complaint() {
        let expect = r#"{"rcode": "NOERROR", "answer": ["Ab. <=60 IN AAAA 64:ff9b::192.0.2.33"],
                         "flags": {"ad": false, "tc": false}, "ttl_max": 60, "ttl_expect": 61}"#;
        assert_eq!(complaints(REPLY, expect), [""; 0]);
    }

    #[test]
    fn every_rule_that_is_broken_gives_a_complaint() {
        for (expect, complaint) in [
            (r#"{"rcode": "NXDOMAIN", "answer_any": true}"#, "RCODE NOERROR instead of NXDOMAIN"),
            (r#"{"answer": []}"#, "answer ["),
            (r#"{"answer": ["ab. 61 IN AAAA 64:ff9b::c000:221"]}"#, "answer ["),
            (r#"{"answer_any": true, "ttl_max": 59}"#, "TTL over 59"),
            (r#"{"answer_any": true, "ttl_expect": 63}"#, "TTL 60 instead of 63"),
            (r#"{"answer_any": true, "answer_must_not": ["AAAA"]}"#, "in answer: "),
            (r#"{"answer_any": true, "answer_must_not_rdata": ["64:ff9b::c000:221"]}"#, "excluded"),
            (r#"{"answer_any": true, "authority_soa": 1}"#, "0 SOA"),
            (r#"{"answer_any": true, "opt": true}"#, "no OPT"),
            (r#"{"answer_any": true, "max_size": 40}"#, "48 octets"),
            (r#"{"answer_any": true, "flags": {"tc": true}}"#, "TC=0"),
            (r#"{"answer_any": true, "must_query_upstream": ["ab. A"]}"#, "did not ask upstream"),
        ] {
            let found = complaints(REPLY, expect);
            assert!(found.len() == 1 && found[0].starts_with(complaint), "{expect}: {found:?}");
        }
    }

    #[test]
    fn a_reply_must_be_in_good_form_whatever_is_expected() {
        for (octet, value, complaint) in [
            (0, 0x65, "ID"),
            (2, 0x01, "QR=0"),
            (2, 0x89, "OPCODE"),
            (2, 0x80, "RD"),
            (3, 0x00, "RA=0"),
            (13, b'a', "question is not"),
        ] {
            let mut reply = REPLY.to_vec();
            reply[octet] = value;
            let found = complaints(&reply, r#"{"answer_any": true}"#);
            assert!(found.len() == 1 && found[0].starts_with(complaint), "{complaint}: {found:?}");
        }
        let mut longer = REPLY.to_vec();
        longer.push(0);
        assert!(Reply::parse(longer).is_err());
    }
}
