//! Honest and hostile answers, judged with a worker behind the judge that answers as the test says.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hickory_proto::dnssec::crypto::EcdsaSigningKey;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS, NSEC3, RRSIG, SigInput};
use hickory_proto::dnssec::{
    Algorithm, DigestType, Nsec3HashAlgorithm, PublicKeyBuf, SigningKey, TBS,
};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, SerialNumber};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use super::FromValidator;
use super::anchors::{Anchor, TrustAnchors};
use super::job::{Job, QUESTIONS_MAX, SIGNATURES_MAX};
use super::judge::Judge;
use super::parts::{SIGNATURES_MAX as OF_RRSET_MAX, Unfit, split};
use super::source::Exchange;
use crate::datagram::{Epoch, InEpoch, WorkerId};
use crate::engine::Validation;
use crate::policy::{DnssecMode, DnssecPolicy, DnssecSettings};
use crate::transport::inbox::Inbox;
use crate::wire::edns::InfoCode;

const ALGORITHM: Algorithm = Algorithm::ECDSAP256SHA256;

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn record(owner: &str, rdata: RData) -> Record {
    Record::from_rdata(name(owner), 300, rdata)
}

fn now_secs() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32
}

/// A zone with one key.
struct Zone {
    name: Name,
    key: EcdsaSigningKey,
    public: DNSKEY,
}

impl Zone {
    fn new(text: &str) -> Self {
        let pkcs8 = EcdsaSigningKey::generate_pkcs8(ALGORITHM).unwrap();
        let key = EcdsaSigningKey::from_pkcs8(&pkcs8, ALGORITHM).unwrap();
        let public = DNSKEY::with_flags(257, key.to_public_key().unwrap());
        Self { name: name(text), key, public }
    }

    fn tag(&self) -> u16 {
        self.public.calculate_key_tag().unwrap()
    }

    /// What a signature over these records says, good for so many seconds.
    fn input(&self, records: &[Record], life_secs: u32) -> SigInput {
        SigInput {
            type_covered: records[0].record_type(),
            algorithm: ALGORITHM,
            num_labels: records[0].name.num_labels(),
            original_ttl: 300,
            sig_expiration: SerialNumber::new(now_secs() + life_secs),
            sig_inception: SerialNumber::new(now_secs() - 3_600),
            key_tag: self.tag(),
            signer_name: self.name.clone(),
        }
    }

    /// The records with a signature.
    fn signed_for(&self, mut records: Vec<Record>, life_secs: u32) -> Vec<Record> {
        let input = self.input(&records, life_secs);
        let owner = records[0].name.clone();
        let tbs = TBS::from_input(&owner, DNSClass::IN, &input, records.iter()).unwrap();
        let signature = RRSIG::from_sig(input, self.key.sign(&tbs).unwrap());
        let rdata = RData::DNSSEC(DNSSECRData::RRSIG(signature));
        records.push(Record::from_rdata(owner, 300, rdata));
        records
    }

    fn signed(&self, records: Vec<Record>) -> Vec<Record> {
        self.signed_for(records, 86_400)
    }

    /// The records with so many signatures that claim to be of this zone's key and are not.
    fn forged(&self, mut records: Vec<Record>, count: u8) -> Vec<Record> {
        let input = self.input(&records, 86_400);
        let owner = records[0].name.clone();
        for number in 0..count {
            let signature = RRSIG::from_sig(input.clone(), vec![number; 64]);
            let rdata = RData::DNSSEC(DNSSECRData::RRSIG(signature));
            records.push(Record::from_rdata(owner.clone(), 300, rdata));
        }
        records
    }

    fn keys(&self) -> Vec<Record> {
        let rdata = RData::DNSSEC(DNSSECRData::DNSKEY(self.public.clone()));
        vec![Record::from_rdata(self.name.clone(), 300, rdata)]
    }

    fn digest(&self) -> DS {
        let digest = self.public.to_digest(&self.name, DigestType::SHA256).unwrap();
        DS::new(self.tag(), ALGORITHM, DigestType::SHA256, digest.as_ref().to_vec())
    }

    fn digests(&self) -> Vec<Record> {
        let rdata = RData::DNSSEC(DNSSECRData::DS(self.digest()));
        vec![Record::from_rdata(self.name.clone(), 300, rdata)]
    }
}

/// A root and a zone below it.
struct Tree {
    root: Zone,
    test: Zone,
}

impl Tree {
    fn new() -> Self {
        Self { root: Zone::new("."), test: Zone::new("test.") }
    }

    /// What an honest resolver says of keys and digests.
    fn honest(&self, query: &Query) -> Message {
        let mut message = response(query);
        let records = match (query.name().is_root(), query.query_type()) {
            (true, RecordType::DNSKEY) => self.root.signed(self.root.keys()),
            (false, RecordType::DS) => self.root.signed(self.test.digests()),
            (false, RecordType::DNSKEY) => self.test.signed(self.test.keys()),
            _ => Vec::new(),
        };
        message.insert_answers(records);
        message
    }
}

fn response(query: &Query) -> Message {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.add_query(query.clone());
    message
}

fn address() -> Vec<Record> {
    vec![record("a.test.", RData::A(A::new(192, 0, 2, 1)))]
}

fn answer(records: Vec<Record>) -> Message {
    let mut message = response(&Query::query(name("a.test."), RecordType::A));
    message.insert_answers(records);
    message
}

/// What was found, and what it took.
struct Found {
    verdict: Validation,
    questions: u32,
    signatures: u32,
}

/// Judges an answer; `worker` answers what the validator asks.
fn judge(tree: &Tree, answer: &Message, worker: impl Fn(&Query) -> Message) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let inbox = Inbox::new(4_096).unwrap();
        let exchange = Arc::new(Exchange::new(Epoch::default(), vec![inbox.sender()]));
        let settings = DnssecSettings { mode: DnssecMode::Validate, negative: Vec::new() };
        let anchors =
            TrustAnchors { zones: vec![(Name::root(), vec![Anchor::Digest(tree.root.digest())])] };
        let judge = Judge::new(Arc::clone(&exchange), anchors, DnssecPolicy::new(&settings));
        let job = Job::new(WorkerId(0));
        let serve = async {
            loop {
                while let Some(InEpoch { message, .. }) = inbox.pop() {
                    let FromValidator::Query { number, name, rtype } = message else { continue };
                    let name = Name::read(&mut BinDecoder::new(&name)).unwrap();
                    let reply = worker(&Query::query(name, RecordType::from(rtype.0)));
                    exchange.replied(number, reply.to_vec().unwrap());
                }
                tokio::task::yield_now().await;
            }
        };
        let bytes = answer.to_vec().unwrap();
        let verdict = tokio::select! {
            verdict = judge.judge(&job, &bytes) => verdict,
            () = serve => unreachable!("it serves for ever"),
        };
        let (questions, signatures) = job.spent();
        Found { verdict, questions, signatures }
    })
}

#[test]
fn an_honest_chain_is_secure_for_as_long_as_its_signature() {
    let tree = Tree::new();
    let records = tree.test.signed_for(address(), 100);
    let found = judge(&tree, &answer(records), |query| tree.honest(query));
    let Validation::Secure { ttl_max_secs } = found.verdict else { panic!("{:?}", found.verdict) };
    assert!((90..=100).contains(&ttl_max_secs), "{ttl_max_secs}");
    assert_eq!(found.questions, 3, "keys of the root, keys and digests of the zone");
}

#[test]
fn floods_of_signatures_and_keys_cost_a_bounded_number_of_checks() {
    let tree = Tree::new();
    let hostile = |query: &Query| {
        let mut message = tree.honest(query);
        if query.name().is_root() {
            return message;
        }
        if query.query_type() == RecordType::DS {
            // Digests with the tag of the key, the good one among them; the root has signed them.
            let mut records: Vec<Record> = (0..25)
                .map(|number| {
                    let tag = tree.test.tag();
                    let digest = DS::new(tag, ALGORITHM, DigestType::SHA256, vec![number; 32]);
                    record("test.", RData::DNSSEC(DNSSECRData::DS(digest)))
                })
                .collect();
            records.insert(1, tree.test.digests().remove(0));
            message.answers = tree.root.signed(records);
        }
        if query.query_type() == RecordType::DNSKEY {
            let mut records = tree.test.keys();
            records.extend((0..25).map(|number| {
                let key = PublicKeyBuf::new(vec![number; 64], ALGORITHM);
                let key = DNSKEY::with_flags(257, key);
                record("test.", RData::DNSSEC(DNSSECRData::DNSKEY(key)))
            }));
            message.answers = tree.test.forged(records, 200);
        }
        message
    };
    let found = judge(&tree, &answer(tree.test.forged(address(), 250)), hostile);
    assert!(matches!(found.verdict, Validation::Bogus(_)), "{:?}", found.verdict);
    assert!(found.questions <= QUESTIONS_MAX, "{} questions", found.questions);
    let rrsets = found.questions + 1;
    assert!(
        found.signatures <= rrsets * OF_RRSET_MAX as u32 && found.signatures <= SIGNATURES_MAX,
        "{} signatures for {rrsets} RRsets",
        found.signatures
    );
}

#[test]
fn a_chain_of_many_links_with_many_signatures_is_given_up_before_anything_is_asked() {
    let tree = Tree::new();
    let owner =
        |number: u8| if number == 0 { "a.test.".to_owned() } else { format!("n{number}.test.") };
    let mut records = Vec::new();
    for number in 0..16 {
        let target = RData::CNAME(CNAME(name(&owner(number + 1))));
        records.extend(tree.test.forged(vec![record(&owner(number), target)], 15));
    }
    let last = vec![record(&owner(16), RData::A(A::new(192, 0, 2, 1)))];
    records.extend(tree.test.forged(last, 100));
    let found = judge(&tree, &answer(records), |query| tree.honest(query));
    let small = SIGNATURES_MAX < 17 * OF_RRSET_MAX as u32;
    assert_eq!(found.questions == 0, small, "{} questions", found.questions);
    assert!(matches!(found.verdict, Validation::Bogus(_)), "{:?}", found.verdict);
}

#[test]
fn denials_with_too_many_rounds_of_nsec3_are_not_computed() {
    let tree = Tree::new();
    let denial = |iterations: u16| {
        let mut message = answer(Vec::new());
        let soa = SOA::new(name("ns."), name("h."), 1, 3_600, 600, 86_400, 60);
        let mut records = tree.test.signed(vec![record("test.", RData::SOA(soa))]);
        let hash = Nsec3HashAlgorithm::SHA1.hash(&[], &name("a.test."), iterations.min(1)).unwrap();
        let label = data_label(hash.as_ref());
        let types = [RecordType::AAAA];
        let next = vec![0xff; 20];
        let nsec3 =
            NSEC3::new(Nsec3HashAlgorithm::SHA1, false, iterations, Vec::new(), next, types);
        let proof = record(&format!("{label}.test."), RData::DNSSEC(DNSSECRData::NSEC3(nsec3)));
        records.extend(tree.test.signed(vec![proof]));
        message.insert_authorities(records);
        message
    };
    let verdict =
        |iterations| judge(&tree, &denial(iterations), |query| tree.honest(query)).verdict;
    assert!(matches!(verdict(0), Validation::Secure { .. }), "{:?}", verdict(0));
    assert_eq!(verdict(51), Validation::Insecure);
    let unsupported = Validation::Bogus(InfoCode::UNSUPPORTED_NSEC3_ITERATIONS);
    assert_eq!(verdict(151), unsupported);
    assert_eq!(verdict(u16::MAX), unsupported);
}

/// The label of a hash (RFC 4648 7, base32 with the extended hex alphabet).
fn data_label(hash: &[u8]) -> String {
    let digits = b"0123456789abcdefghijklmnopqrstuv";
    let bit = |place: usize| hash[place / 8] >> (7 - place % 8) & 1;
    let digit = |start: usize| (start..start + 5).fold(0, |value, place| value << 1 | bit(place));
    (0..hash.len() * 8)
        .step_by(5)
        .map(|start| char::from(digits[usize::from(digit(start))]))
        .collect()
}

#[test]
fn what_cannot_be_fetched_leaves_the_answer_undecided() {
    let tree = Tree::new();
    let records = tree.test.signed(address());
    let found = judge(&tree, &answer(records), |query| {
        let mut message = tree.honest(query);
        if !query.name().is_root() {
            message.metadata.response_code = ResponseCode::ServFail;
        }
        message
    });
    let undecided = Validation::Indeterminate(InfoCode::NO_REACHABLE_AUTHORITY);
    assert_eq!(found.verdict, undecided);
}

#[test]
fn another_key_of_the_root_than_that_of_the_anchor_decides_nothing() {
    let (tree, other) = (Tree::new(), Tree::new());
    let records = other.test.signed(address());
    let found = judge(&tree, &answer(records), |query| other.honest(query));
    assert_eq!(found.verdict, Validation::Indeterminate(InfoCode::DNSKEY_MISSING));
}

#[test]
fn loops_and_endless_chains_cannot_be_taken_apart() {
    let link = |from: &str, to: &str| record(from, RData::CNAME(CNAME(name(to))));
    let query = Query::query(name("a.test."), RecordType::A);
    let round = answer(vec![link("a.test.", "b.test."), link("b.test.", "a.test.")]);
    assert_eq!(split(&round, &query).unwrap_err(), Unfit::Chain);
    let own = answer(vec![link("a.test.", "a.test.")]);
    assert_eq!(split(&own, &query).unwrap_err(), Unfit::Chain);
    let long = (0..40).map(|number| {
        let from = if number == 0 { "a.test.".to_owned() } else { format!("n{number}.test.") };
        link(&from, &format!("n{}.test.", number + 1))
    });
    assert_eq!(split(&answer(long.collect()), &query).unwrap_err(), Unfit::Chain);
}

#[test]
fn nothing_is_good_that_was_not_judged() {
    let soa = |zone: &str| {
        let soa = SOA::new(name("ns."), name("h."), 1, 3_600, 600, 86_400, 60);
        record(zone, RData::SOA(soa))
    };
    let query = Query::query(name("a.test."), RecordType::A);
    let mut nothing = answer(Vec::new());
    nothing.metadata.response_code = ResponseCode::YXDomain;
    assert_eq!(split(&nothing, &query).unwrap_err(), Unfit::Empty);
    // The first SOA would be kept, the second be judged.
    let mut two = answer(vec![record("a.test.", RData::CNAME(CNAME(name("b.example."))))]);
    two.authorities = vec![soa("test."), soa("example.")];
    assert_eq!(split(&two, &query).unwrap_err(), Unfit::TooMany);
    two.authorities = vec![soa("example.")];
    assert_eq!(split(&two, &query).unwrap().len(), 2);
}
