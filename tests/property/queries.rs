//! Queries that chance makes, well formed or damaged, as three libraries read them.

use dns64::wire::{Class, Flags, Header, NameBuf, ParseError, Query, Rtype, SectionCounts};
use domain::base::Message as DomainMessage;
use hickory_proto::op::Message as HickoryMessage;
use proptest::prelude::*;

use crate::names::{any_name, wire_of};

/// What an OPT record of a query says.
#[derive(Clone, Debug)]
struct OptParts {
    payload_len: u16,
    version: u8,
    flags: u16,
    options: Vec<(u16, Vec<u8>)>,
}

/// What a query says.
#[derive(Clone, Debug)]
struct Parts {
    id: u16,
    flags: u16,
    name: NameBuf,
    rtype: u16,
    class: u16,
    opt: Option<OptParts>,
}

impl Parts {
    /// The message that says it.
    fn to_wire(&self) -> Vec<u8> {
        let counts = SectionCounts {
            questions: 1,
            additionals: u16::from(self.opt.is_some()),
            ..SectionCounts::default()
        };
        let mut wire = Header { id: self.id, flags: Flags(self.flags), counts }.to_wire().to_vec();
        wire.extend(self.name.as_wire());
        wire.extend(self.rtype.to_be_bytes());
        wire.extend(self.class.to_be_bytes());
        if let Some(opt) = &self.opt {
            wire.extend([0, 0, 41]);
            wire.extend(opt.payload_len.to_be_bytes());
            wire.extend([0, opt.version]);
            wire.extend(opt.flags.to_be_bytes());
            let rdata: Vec<u8> = opt.options.iter().flat_map(option_wire).collect();
            wire.extend((rdata.len() as u16).to_be_bytes());
            wire.extend(rdata);
        }
        wire
    }
}

fn option_wire((code, octets): &(u16, Vec<u8>)) -> Vec<u8> {
    [&code.to_be_bytes()[..], &(octets.len() as u16).to_be_bytes(), octets].concat()
}

/// A well-formed query. The codes of its options are those of local use, whose octets no library
/// looks into (RFC 6891 9).
fn any_parts() -> impl Strategy<Value = Parts> {
    let option = (65001..=65534_u16, prop::collection::vec(any::<u8>(), 0..12));
    let opt = (any::<u16>(), any::<u16>(), prop::collection::vec(option, 0..6)).prop_map(
        |(payload_len, flags, options)| OptParts { payload_len, version: 0, flags, options },
    );
    // QR and OPCODE are zero; AA to RCODE are anything.
    let flags = 0..0x0800_u16;
    let numbers = (any::<u16>(), flags, 1..=65535_u16, 1..=65535_u16);
    (numbers, any_name(), prop::option::of(opt)).prop_map(
        |((id, flags, rtype, class), name, opt)| Parts { id, flags, name, rtype, class, opt },
    )
}

/// A query that had some octets changed, lost or added, mostly in front.
fn any_damaged() -> impl Strategy<Value = Vec<u8>> {
    let place = prop_oneof![0..12_usize, 0..80_usize];
    let changes = prop::collection::vec((place, any::<u8>(), 0..3_u8), 1..4);
    (any_parts(), changes).prop_map(|(parts, changes)| {
        let mut wire = parts.to_wire();
        for (place, octet, how) in changes {
            let place = place % wire.len().max(1);
            match how {
                0 if !wire.is_empty() => wire[place] = octet,
                1 => wire.truncate(place + 1),
                _ => wire.insert(place.min(wire.len()), octet),
            }
        }
        wire
    })
}

/// Whether `domain` can walk over the whole message.
fn domain_accepts(bytes: &[u8]) -> bool {
    let Ok(message) = DomainMessage::from_slice(bytes) else { return false };
    message.question().all(|question| question.is_ok())
        && message.iter().all(|record| record.is_ok())
}

/// Where we refuse what another library takes.
const KNOWN_TO_BE_STRICTER: &[ParseError] = &[
    // They read any message; we read queries.
    ParseError::NotAQuery,
    ParseError::Opcode,
    ParseError::QuestionCount,
    ParseError::AnswerInQuery,
    ParseError::AuthorityInQuery,
    ParseError::EdnsVersion,
    // Bounds, and rules for the sender that they leave to whoever uses them.
    ParseError::AdditionalCount,
    ParseError::PointerInQuestion,
    ParseError::PointerIntoHeader,
    ParseError::OptNotRoot,
    ParseError::OptionLength,
];

/// Where only `domain` takes what we and hickory-proto refuse.
const ONLY_DOMAIN_TAKES: &[ParseError] = &[ParseError::SecondOpt];

/// Whether there may be something behind the question that we walk over without reading it, and
/// another library reads: RDATA of records other than OPT, and owner names behind a pointer.
fn has_unread_parts(bytes: &[u8], query: &Query<'_>) -> bool {
    let behind = &bytes[12 + query.question_octets().len()..];
    let only_opt = query.header.counts.additionals == 1 && query.opt.is_some();
    query.header.counts.authorities != 0
        || (query.header.counts.additionals != 0 && !only_opt)
        // Options whose octets have a form, and what lies behind the options we look at.
        || behind.len() > 11
}

/// Checks that hickory-proto found the same in a message.
fn assert_same(ours: &Query<'_>, theirs: &HickoryMessage) -> Result<(), TestCaseError> {
    let metadata = &theirs.metadata;
    prop_assert_eq!(ours.header.id, metadata.id);
    let flags = ours.header.flags;
    prop_assert_eq!(flags.rd(), metadata.recursion_desired);
    prop_assert_eq!(flags.cd(), metadata.checking_disabled);
    prop_assert_eq!(flags.ad(), metadata.authentic_data);
    prop_assert_eq!(flags.tc(), metadata.truncation);
    let [question] = &theirs.queries[..] else { panic!("one question") };
    prop_assert_eq!(ours.question.name.as_wire(), wire_of(question.name()));
    prop_assert_eq!(ours.question.rtype, Rtype(question.query_type().into()));
    prop_assert_eq!(ours.question.class, Class(question.query_class().into()));
    prop_assert_eq!(ours.opt.is_some(), theirs.edns.is_some());
    if let (Some(ours), Some(theirs)) = (ours.opt, &theirs.edns) {
        prop_assert_eq!(ours.payload_len, theirs.max_payload().max(512));
        prop_assert_eq!(ours.version, theirs.version());
        prop_assert_eq!(ours.dnssec_ok, theirs.flags().dnssec_ok);
    }
    Ok(())
}

/// Reads a message with all three and checks that they agree, but for the known differences.
fn assert_agreement(bytes: &[u8]) -> Result<(), TestCaseError> {
    let hickory = HickoryMessage::from_vec(bytes);
    let domain = domain_accepts(bytes);
    match (Query::parse(bytes), hickory) {
        (Ok(ours), Ok(theirs)) => assert_same(&ours, &theirs)?,
        (Ok(ours), Err(reason)) => {
            prop_assert!(domain || has_unread_parts(bytes, &ours), "we take it, but: {}", reason);
        }
        (Err(ours), Ok(_)) => {
            prop_assert!(KNOWN_TO_BE_STRICTER.contains(&ours.kind), "only we refuse it: {}", ours);
        }
        (Err(ours), Err(_)) => {
            prop_assert!(
                !domain
                    || KNOWN_TO_BE_STRICTER.contains(&ours.kind)
                    || ONLY_DOMAIN_TAKES.contains(&ours.kind),
                "only domain takes it: {}",
                ours
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_query_is_read_as_it_was_written(parts in any_parts()) {
        let wire = parts.to_wire();
        let query = Query::parse(&wire).unwrap();
        prop_assert_eq!(query.header.id, parts.id);
        prop_assert_eq!(query.header.flags.0, parts.flags);
        prop_assert_eq!(query.question.name, parts.name.as_name());
        prop_assert_eq!(query.question.rtype.0, parts.rtype);
        prop_assert_eq!(query.question.class.0, parts.class);
        prop_assert_eq!(query.opt.is_some(), parts.opt.is_some());
        if let (Some(opt), Some(parts)) = (query.opt, parts.opt) {
            prop_assert_eq!(opt.payload_len, parts.payload_len.max(512));
            prop_assert_eq!(opt.dnssec_ok, parts.flags & 0x8000 != 0);
            let options: Vec<_> =
                opt.options().map(|(code, octets)| (code, octets.to_vec())).collect();
            prop_assert_eq!(options, parts.options);
        }
    }

    #[test]
    fn three_libraries_agree_on_queries(parts in any_parts()) {
        let wire = parts.to_wire();
        prop_assert!(domain_accepts(&wire));
        let theirs = HickoryMessage::from_vec(&wire).unwrap();
        assert_same(&Query::parse(&wire).unwrap(), &theirs)?;
    }

    #[test]
    fn three_libraries_agree_on_damaged_queries(wire in any_damaged()) {
        assert_agreement(&wire)?;
    }

    #[test]
    fn damaged_queries_and_noise_get_a_reply_that_can_be_read(
        damaged in any_damaged(), noise in any::<Vec<u8>>(),
    ) {
        crate::checks::query::check(&damaged);
        crate::checks::query::check(&noise);
    }
}
