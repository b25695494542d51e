//! What an upstream server sends is refused, or becomes replies that a client can read.
//!
//! Every response is compiled as the answer to several questions about its name, and every encoder
//! writes every answer, whether or not the engine would have chosen it: none may rely on another
//! part having looked first.

use std::net::{Ipv4Addr, Ipv6Addr};

use dns64::answer::compile::{Asked, TtlBounds, compile};
use dns64::answer::encode::{
    Age, NewRrset, Request, write_empty, write_error, write_native, write_reverse_cname,
    write_reverse_denial, write_reverse_direct, write_synthesized, write_truncated,
    write_without_excluded,
};
use dns64::answer::{Answer, Outcome};
use dns64::limits::SYNTHESIZED_RECORDS_MAX;
use dns64::pref64::{Pref64, UOctet, WELL_KNOWN};
use dns64::reverse::in_addr_arpa;
use dns64::wire::{Class, InfoCode, Name, Rcode, Rtype};
use hickory_proto::op::{Message, MessageType};

/// The message ID of every request.
const ID: u16 = 0xbeef;

/// The types that a response is taken as the answer to.
const RTYPES: [Rtype; 7] =
    [Rtype::A, Rtype::AAAA, Rtype::PTR, Rtype::CNAME, Rtype::DNAME, Rtype::TXT, Rtype::ANY];

/// Octets of the reply buffers: the least, what UDP takes, and what TCP takes.
const LIMITS: [usize; 3] = [512, 1_232, 65_535];

/// Bounds that leave sensible TTLs alone.
const BOUNDS: TtlBounds =
    TtlBounds { min_secs: 0, max_secs: i32::MAX as u32, max_negative_secs: i32::MAX as u32 };

/// Checks one response.
pub(crate) fn check(bytes: &[u8]) {
    let Ok(message) = Message::from_vec(bytes) else { return };
    let rcode = Rcode(u16::from(message.metadata.response_code));
    if !matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN | Rcode::YXDOMAIN) {
        return;
    }
    // The engine asks for exactly this name, or the response is none of its own.
    let Some((name, rest)) = bytes.get(12..).and_then(|body| Name::split(body).ok()) else {
        return;
    };
    let name = name.as_wire().to_ascii_lowercase();
    let own = rest.first_chunk::<2>().map(|rtype| Rtype(u16::from_be_bytes(*rtype)));
    let others = RTYPES.into_iter().filter(|rtype| Some(*rtype) != own);
    for rtype in own.into_iter().chain(others) {
        for dnssec_ok in [false, true] {
            let asked = Asked { name: &name, rtype, class: Class::IN, dnssec_ok };
            let mut compiled = Vec::new();
            if compile(&message, asked, BOUNDS, &mut compiled).is_ok() {
                check_compiled(asked, &compiled);
            }
        }
    }
}

/// Writes a compiled answer in every way.
fn check_compiled(asked: Asked<'_>, compiled: &[u8]) {
    let answer = Answer::read(compiled).expect("what was compiled can be read");
    assert_eq!(answer.compiled_len(), compiled.len());
    let head = answer.head();
    assert_eq!(
        head.outcome == Outcome::Records,
        head.rcode == Rcode::NOERROR && head.rrset_count > 0
    );
    assert_eq!(answer.rrset().len(), usize::from(head.rrset_len));
    assert_eq!(answer.authority().len(), usize::from(head.authority_len));
    if asked.rtype == Rtype::A {
        assert_eq!(answer.ipv4_addresses().count(), usize::from(head.rrset_count));
    }
    if asked.rtype == Rtype::AAAA {
        assert_eq!(answer.ipv6_addresses().count(), usize::from(head.rrset_count));
    }
    for limit in LIMITS {
        let question = question(asked.name, asked.rtype);
        for age in [Age::Secs(0), Age::Secs(7), Age::Stale] {
            check_native(asked, &request(&question, limit, asked.dnssec_ok), &answer, age);
        }
        let request = request(&question, limit, true);
        check_small(&request, &answer);
        match asked.rtype {
            Rtype::A => check_synthesized(asked.name, limit, &answer),
            Rtype::AAAA => check_filtered(&request, &answer),
            Rtype::PTR => check_reverse(asked.name, limit, &answer),
            _ => {}
        }
    }
}

/// The answer as it came: all of it or nothing, and the same once more.
fn check_native(asked: Asked<'_>, request: &Request<'_>, answer: &Answer<'_>, age: Age) {
    let head = answer.head();
    let info_code = (age == Age::Stale).then_some(InfoCode::STALE_ANSWER);
    let octets = written(request, |out| write_native(out, request, answer, age, true, info_code));
    let reply = read_back(request, &octets);
    assert_eq!(u16::from(reply.metadata.response_code), head.rcode.0 & 0xf);
    if reply.metadata.truncation {
        return;
    }
    let answers = head.chain_count + head.rrset_count + head.tail_count;
    assert_eq!(reply.answers.len(), usize::from(answers));
    assert_eq!(reply.authorities.len(), usize::from(head.authority_count));
    if age != Age::Secs(0) {
        return;
    }
    let mut octets = Vec::new();
    compile(&reply, asked, BOUNDS, &mut octets).expect("our own reply makes sense");
    let again = Answer::read(&octets).expect("what was compiled can be read");
    assert_eq!(again.head().outcome, head.outcome);
    assert_eq!(again.chain(), answer.chain(), "the chain keeps");
    assert_eq!(again.rrset(), answer.rrset(), "the records of the asked type keep");
    assert_eq!(again.authority(), answer.authority(), "the proofs keep");
    assert_eq!(again.head().owner, head.owner);
}

/// Replies that have little or nothing of the answer.
fn check_small(request: &Request<'_>, answer: &Answer<'_>) {
    let aged = (answer, Age::Secs(7));
    for denial in [None, Some(aged)] {
        let octets = written(request, |out| write_empty(out, request, aged, denial));
        let reply = read_back(request, &octets);
        if !reply.metadata.truncation {
            assert_eq!(reply.answers.len(), usize::from(answer.head().chain_count));
        }
    }
    let octets =
        written(request, |out| write_error(out, request, Rcode::SERVFAIL, Some(InfoCode::OTHER)));
    assert_eq!(u16::from(read_back(request, &octets).metadata.response_code), 2);
    let octets = written(request, |out| write_truncated(out, request));
    assert!(read_back(request, &octets).metadata.truncation);
}

/// AAAA made from A under one prefix, two, and three.
fn check_synthesized(name: &[u8], limit: usize, a: &Answer<'_>) {
    let question = question(name, Rtype::AAAA);
    let request = request(&question, limit, false);
    let prefix = |network: &str| {
        let network = network.parse().expect("a prefix");
        Pref64::new(network, Ipv6Addr::UNSPECIFIED, UOctet::Any).expect("a length of RFC 6052")
    };
    let prefixes = [WELL_KNOWN, prefix("2001:db8:100::/40"), prefix("2001:db8:222:344::/64")];
    for count in 1..=prefixes.len() {
        // None lies under another. Odd addresses are not mapped by the last.
        let mapped = |address: Ipv4Addr| match (address.to_bits() & 1, count) {
            (0, _) | (_, 1) => (1 << count) - 1,
            _ => (1 << (count - 1)) - 1,
        };
        let pref64 = |index: usize| prefixes[index];
        let octets = written(&request, |out| {
            let rrset = NewRrset { ttl_secs: 99, stale: count == 2, secure: count == 3 };
            write_synthesized(out, &request, a, Age::Secs(7), rrset, mapped, pref64)
        });
        let reply = read_back(&request, &octets);
        if reply.metadata.truncation {
            continue;
        }
        let expected: usize =
            a.ipv4_addresses().map(|address| mapped(address).count_ones() as usize).sum();
        let made = expected.min(SYNTHESIZED_RECORDS_MAX);
        assert_eq!(reply.answers.len(), usize::from(a.head().chain_count) + made);
        let addresses: Vec<Ipv4Addr> = a.ipv4_addresses().collect();
        for record in reply.answers.iter().skip(usize::from(a.head().chain_count)) {
            let hickory_proto::rr::RData::AAAA(address) = &record.data else {
                panic!("{record} in a synthesized RRset");
            };
            let prefix = prefixes.iter().find(|prefix| prefix.covers(address.0)).expect("ours");
            let embedded = prefix.extract(address.0).expect("what was embedded");
            assert!(addresses.contains(&embedded), "{embedded} came from nowhere");
            assert_eq!(record.ttl, 99);
        }
    }
}

/// AAAA without every second one, without any, and all of them.
fn check_filtered(request: &Request<'_>, aaaa: &Answer<'_>) {
    let absent: [fn(Ipv6Addr) -> bool; 3] =
        [|address| address.to_bits() & 1 == 1, |_| true, |_| false];
    for is_absent in absent {
        let octets = written(request, |out| {
            write_without_excluded(out, request, aaaa, Age::Secs(7), is_absent)
        });
        let reply = read_back(request, &octets);
        let left = aaaa.ipv6_addresses().filter(|address| !is_absent(*address)).count();
        let expected = usize::from(aaaa.head().chain_count) + left;
        assert!(reply.metadata.truncation || reply.answers.len() == expected);
    }
}

/// The PTR of an address under a prefix, in each of its forms. `target` stands for the name in
/// in-addr.arpa: the encoder takes any.
fn check_reverse(target: &[u8], limit: usize, ptr: &Answer<'_>) {
    let asked = in_addr_arpa(Ipv4Addr::new(192, 0, 2, 33));
    let question = question(asked.as_name().as_wire(), Rtype::PTR);
    let request = request(&question, limit, true);
    let head = ptr.head();
    let age = Age::Secs(7);
    let octets =
        written(&request, |out| write_reverse_cname(out, &request, target, ptr, age, Class::IN));
    let reply = read_back(&request, &octets);
    let behind = usize::from(head.chain_count + head.rrset_count + head.tail_count);
    assert!(reply.metadata.truncation || reply.answers.len() == 1 + behind);

    let octets = written(&request, |out| write_reverse_direct(out, &request, ptr, age, Class::IN));
    let reply = read_back(&request, &octets);
    assert!(reply.metadata.truncation || reply.answers.len() == usize::from(head.rrset_count));

    let octets = written(&request, |out| write_reverse_denial(out, &request, target, ptr, age));
    let reply = read_back(&request, &octets);
    let authorities = usize::from(head.soa_len > 0);
    assert!(reply.metadata.truncation || reply.authorities.len() == authorities);
}

// ---- Requests and replies

/// The octets of a question.
fn question(name: &[u8], rtype: Rtype) -> Vec<u8> {
    [name, &rtype.0.to_be_bytes(), &[0, 1]].concat()
}

/// A request for this question.
fn request(question: &[u8], limit: usize, edns: bool) -> Request<'_> {
    Request {
        alias: None,
        id: ID,
        recursion_desired: true,
        checking_disabled: false,
        wants_authentic: true,
        edns,
        dnssec_ok: edns,
        limit,
        question,
    }
}

/// The octets that an encoder writes into a buffer of the request's limit.
fn written(request: &Request<'_>, write: impl FnOnce(&mut [u8]) -> usize) -> Vec<u8> {
    let mut out = vec![0xaa; request.limit];
    let len = write(&mut out);
    assert!(len <= request.limit, "{len} octets where {} may be", request.limit);
    out.truncate(len);
    out
}

/// Reads a reply as a client would, and checks what holds for every reply.
fn read_back(request: &Request<'_>, octets: &[u8]) -> Message {
    let reply = Message::from_vec(octets).expect("our own reply can be read");
    assert_eq!(reply.metadata.id, ID);
    assert_eq!(reply.metadata.message_type, MessageType::Response);
    assert_eq!(octets.get(12..12 + request.question.len()), Some(request.question));
    assert_eq!(reply.queries.len(), 1);
    assert_eq!(reply.edns.is_some(), request.edns);
    if reply.metadata.truncation {
        assert!(reply.answers.is_empty() && reply.authorities.is_empty(), "no partial RRset");
    }
    reply
}
