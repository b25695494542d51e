//! Tests of queries: literal octets in, a query or a reason out.

use super::*;

/// A header with RD set and these counts, and the octets behind it.
fn message(counts: [u8; 4], body: &[u8]) -> Vec<u8> {
    let [questions, answers, authorities, additionals] = counts;
    let header = [0x12, 0x34, 0x01, 0, 0, questions, 0, answers, 0, authorities, 0, additionals];
    [&header[..], body].concat()
}

/// The question www.Example.org AAAA IN.
const QUESTION: &[u8] = b"\x03www\x07Example\x03org\0\0\x1c\0\x01";

/// An OPT record: 1232 octets, DO.
const OPT: &[u8] = b"\0\0\x29\x04\xd0\0\0\x80\0\0\0";

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

#[test]
fn a_plain_query_with_edns_is_read() {
    let message = message([1, 0, 0, 1], &joined(&[QUESTION, OPT]));
    let query = Query::parse(&message).unwrap();
    assert_eq!(query.header.id, 0x1234);
    assert!(query.header.flags.rd());
    assert_eq!(query.question.name.to_string(), "www.Example.org.");
    assert_eq!((query.question.rtype, query.question.class), (Rtype::AAAA, Class::IN));
    assert_eq!(query.question_octets(), QUESTION);
    assert!(query.dnssec_ok());
    assert_eq!(query.opt.map(|opt| opt.payload_len), Some(1232));
    assert_eq!(query.udp_limit(1400), 1232);
    assert_eq!(query.udp_limit(600), 600);
}

#[test]
fn a_query_without_edns_takes_512_octets() {
    let message = message([1, 0, 0, 0], QUESTION);
    let query = Query::parse(&message).unwrap();
    assert_eq!(query.opt, None);
    assert_eq!(query.udp_limit(1232), 512);
    assert!(query.reply_opt(1232).is_none());
}

#[test]
fn what_is_no_query_meets_silence() {
    let mut response = message([1, 0, 0, 0], QUESTION);
    response[2] |= 0x80;
    for (bytes, kind) in [
        (&b""[..], ParseError::ShortHeader),
        (&response[..11], ParseError::ShortHeader),
        (&response, ParseError::NotAQuery),
    ] {
        let error = Query::parse(bytes).unwrap_err();
        assert_eq!((error.kind, error.rcode), (kind, None));
        assert_eq!(error.write_reply(bytes, 1232, &mut [0; 512]), None);
    }
}

#[test]
fn every_other_operation_is_not_implemented() {
    for opcode in 1..16 {
        let mut bytes = message([1, 0, 0, 1], &joined(&[QUESTION, OPT]));
        bytes[2] = opcode << 3;
        let error = Query::parse(&bytes).unwrap_err();
        assert_eq!((error.kind, error.rcode), (ParseError::Opcode, Some(Rcode::NOTIMP)));
        assert_eq!(error.question, Some(QUESTION));
        assert!(error.opt.is_some(), "the client speaks EDNS");
        // RFC 8906 8.1.4 asks with nothing but a header.
        let mut bare = message([0; 4], b"");
        bare[2] = opcode << 3;
        assert_eq!(Query::parse(&bare).unwrap_err().rcode, Some(Rcode::NOTIMP));
    }
}

/// The patterns of RFC 9267 3 to 6, and what RFC 6891 and RFC 9619 add.
#[test]
fn malformed_queries_are_refused_for_their_reason() {
    use ParseError as E;
    let repeated = joined(&[QUESTION, QUESTION]);
    let soa = b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\0";
    for (counts, body, kind) in [
        // The counts lie (RFC 9267 6, RFC 9619 4).
        ([0, 0, 0, 0], b"".to_vec(), E::QuestionCount),
        ([0, 0, 0, 0], QUESTION.to_vec(), E::QuestionCount),
        ([2, 0, 0, 0], repeated, E::QuestionCount),
        ([255, 0, 0, 0], QUESTION.to_vec(), E::QuestionCount),
        ([1, 1, 0, 0], QUESTION.to_vec(), E::AnswerInQuery),
        ([1, 0, 1, 0], joined(&[QUESTION, soa]), E::AuthorityInQuery),
        ([1, 0, 0, 1], QUESTION.to_vec(), E::ShortRecord),
        ([1, 0, 0, 2], joined(&[QUESTION, OPT]), E::ShortRecord),
        ([1, 0, 0, 17], joined(&[QUESTION, &soa.repeat(17)]), E::AdditionalCount),
        // The question (RFC 9267 2 to 4).
        ([1, 0, 0, 0], b"".to_vec(), E::ShortName),
        ([1, 0, 0, 0], b"\x03www".to_vec(), E::ShortName),
        ([1, 0, 0, 0], b"\x3fwww\0\0\x1c\0\x01".to_vec(), E::ShortName),
        ([1, 0, 0, 0], b"\x03www\0\0\x1c\0".to_vec(), E::ShortQuestion),
        ([1, 0, 0, 0], b"\x03www\0".to_vec(), E::ShortQuestion),
        ([1, 0, 0, 0], b"\xc0\x0c\0\x1c\0\x01".to_vec(), E::PointerInQuestion),
        ([1, 0, 0, 0], b"\x03www\xc0\x00\0\x1c\0\x01".to_vec(), E::PointerInQuestion),
        ([1, 0, 0, 0], b"\x41www\0\0\x1c\0\x01".to_vec(), E::LabelType),
        ([1, 0, 0, 0], b"\x81www\0\0\x1c\0\x01".to_vec(), E::LabelType),
        ([1, 0, 0, 0], joined(&[&b"\x01a".repeat(128), b"\0\0\x1c\0\x01"]), E::NameTooLong),
        // The additional records (RFC 9267 2, 3 and 5).
        ([1, 0, 0, 1], joined(&[QUESTION, b"\0\0\x29\x04"]), E::ShortRecord),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\0\0\x29\x04\xd0\0\0\0\0\0\x01"]), E::ShortRecord),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\0\0\x10\0\x01\0\0\0\0\xff\xff"]), E::ShortRecord),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\x05ab"]), E::ShortName),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\x01a"]), E::ShortName),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\xc0"]), E::ShortName),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\xc0\x21"]), E::ForwardPointer),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\xff\xff"]), E::ForwardPointer),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\xc0\x00"]), E::PointerIntoHeader),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\x40a"]), E::LabelType),
        ([1, 0, 0, 1], joined(&[QUESTION, &b"\x01a".repeat(128), OPT]), E::NameTooLong),
        // EDNS (RFC 6891 6.1).
        ([1, 0, 0, 1], joined(&[QUESTION, b"\x01a", OPT]), E::OptNotRoot),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\xc0\x0c", &OPT[1..]]), E::OptNotRoot),
        ([1, 0, 0, 2], joined(&[QUESTION, OPT, OPT]), E::SecondOpt),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\0\0\x29\x04\xd0\0\0\0\0\0\x01x"]), E::OptionLength),
        ([1, 0, 0, 1], joined(&[QUESTION, b"\0\0\x29\x04\xd0\0\x01\0\0\0\x01x"]), E::EdnsVersion),
    ] {
        let bytes = message(counts, &body);
        let error = Query::parse(&bytes).unwrap_err();
        assert_eq!(error.kind, kind, "{counts:?} {body:x?}");
        assert_eq!(error.rcode, kind.rcode());
    }
}

#[test]
fn a_fault_behind_the_question_keeps_the_question() {
    let bytes = message([1, 0, 0, 2], &joined(&[QUESTION, OPT]));
    let error = Query::parse(&bytes).unwrap_err();
    assert_eq!(error.question, Some(QUESTION));
    assert_eq!(error.opt.map(|opt| opt.payload_len), Some(1232));
    let bytes = message([1, 1, 0, 0], QUESTION);
    assert_eq!(Query::parse(&bytes).unwrap_err().question, Some(QUESTION));
    let bytes = message([1, 0, 0, 255], &joined(&[QUESTION, OPT]));
    let error = Query::parse(&bytes).unwrap_err();
    assert_eq!((error.question, error.opt.is_some()), (Some(QUESTION), true));
}

#[test]
fn a_version_we_do_not_speak_is_badvers_and_answered_with_edns() {
    let bytes = message([1, 0, 0, 1], &joined(&[QUESTION, b"\0\0\x29\x04\xd0\0\x64\x80\0\0\0"]));
    let error = Query::parse(&bytes).unwrap_err();
    assert_eq!(error.rcode, Some(Rcode::BADVERS));
    let mut buffer = [0; 512];
    let len = error.write_reply(&bytes, 1232, &mut buffer).unwrap();
    let expected = joined(&[
        b"\x12\x34\x81\x80\0\x01\0\0\0\0\0\x01",
        QUESTION,
        b"\0\0\x29\x04\xd0\x01\0\x80\0\0\0",
    ]);
    assert_eq!(&buffer[..len], expected);
}

#[test]
fn other_additional_records_are_walked_over() {
    let tsig = b"\x03key\x07example\0\0\xfa\0\xff\0\0\0\0\0\x03abc";
    let compressed = b"\x01x\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x01\0";
    let body = joined(&[QUESTION, tsig, compressed, OPT]);
    let bytes = message([1, 0, 0, 3], &body);
    assert!(Query::parse(&bytes).unwrap().dnssec_ok());
}

#[test]
fn octets_behind_the_last_record_are_ignored() {
    let bytes = message([1, 0, 0, 0], &joined(&[QUESTION, OPT, b"\xff\xff"]));
    assert_eq!(Query::parse(&bytes).unwrap().opt, None);
}

#[test]
fn an_incremental_transfer_may_bring_its_soa() {
    let question = b"\x03org\0\0\xfb\0\x01";
    let soa = b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x02ab";
    let bytes = message([1, 0, 1, 1], &joined(&[question, soa, OPT]));
    let query = Query::parse(&bytes).unwrap();
    assert_eq!(query.question.rtype, Rtype::IXFR);
    assert!(query.opt.is_some());
    let bytes = message([1, 0, 2, 0], &joined(&[question, soa, soa]));
    assert_eq!(Query::parse(&bytes).unwrap_err().kind, ParseError::AuthorityInQuery);
    let bytes = message([1, 0, 1, 0], question);
    assert_eq!(Query::parse(&bytes).unwrap_err().kind, ParseError::ShortRecord);
}

#[test]
fn every_prefix_of_a_query_is_refused_without_panic() {
    let bytes = message([1, 0, 0, 1], &joined(&[QUESTION, OPT]));
    for len in 0..bytes.len() {
        let error = Query::parse(&bytes[..len]).unwrap_err();
        assert_eq!(error.rcode.is_none(), len < 12, "{len}");
    }
}
