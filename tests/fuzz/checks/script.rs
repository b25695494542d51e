//! Whatever a script says becomes a reply that a client can read, or an error that costs nothing.
//!
//! The first octet says what the others are used as: content of a record, a name, an address, a
//! network, a prefix, a follow-up, or the text of the script itself.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use dns64::answer::Answer;
use dns64::answer::encode::{Age, Request, write_native};
use dns64::answer::records::{Made, PlainRecord, compile, rdata_of};
use dns64::datagram::{Channel, Client};
use dns64::engine::script::{Decision, Hook, Script, ScriptCall, Validation};
use dns64::script::{LuaScript, ScriptSource};
use dns64::wire::{Class, Rcode, Rtype};
use hickory_proto::op::Message;

/// The question: www.test. A.
const QUESTION: &[u8] = b"\x03www\x04test\0\0\x01\0\x01";

/// A reply to it as it stands before the script: one A record.
const REPLY: &[u8] = b"\0\x07\x81\x80\0\x01\0\x01\0\0\0\0\x03www\x04test\0\0\x01\0\x01\
    \xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";

/// What the octets are used as, as Lua; `it` is the string of them.
const USES: [&str; 14] = [
    "dq:addAnswer(pdns.A, it)",
    "dq:addAnswer(pdns.AAAA, it)",
    "dq:addAnswer(pdns.CNAME, it)",
    "dq:addAnswer(pdns.TXT, it)",
    "dq:addAnswer(pdns.MX, it)",
    "dq:addAnswer(pdns.SOA, it)",
    "dq:addAnswer(pdns.HTTPS, it)",
    "dq:addAnswer(65400, it)",
    "dq:addAnswer(pdns.A, '192.0.2.1', #it, it)",
    "local record = dq:getRecords()[1] record.name = it dq:setRecords({ record })",
    "dq.followupFunction = 'getFakeAAAARecords' dq.followupName = it dq.followupPrefix = '::'",
    "dq.followupFunction = 'getFakePTRRecords' dq.followupPrefix = it",
    "newNMG():addMask(it) newCA(it) newNetmask(it)",
    "newDS():add(it) dq.rcode = #it dq.data = it",
];

/// Calls a script that is made of the octets.
pub(crate) fn check(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let text = match USES.get(usize::from(first)) {
        Some(what) => {
            let octets = rest.iter().fold(String::new(), |mut text, octet| {
                let _ = write!(text, "\\{octet:03}");
                text
            });
            format!("local it = \"{octets}\" function postresolve(dq) {what} return true end")
        }
        None => String::from_utf8_lossy(rest).into_owned(),
    };
    let source = ScriptSource {
        instructions: 10_000,
        memory_bytes: 4 << 20,
        ..ScriptSource::new("fuzz.lua", &text)
    };
    let Ok(mut script) = LuaScript::load(&source) else { return };
    let request = Request {
        id: 7,
        recursion_desired: true,
        checking_disabled: false,
        wants_authentic: false,
        edns: false,
        dnssec_ok: false,
        limit: 65_535,
        question: QUESTION,
        alias: None,
    };
    let client = Client {
        peer: SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 53_000),
        local: IpAddr::V6(Ipv6Addr::LOCALHOST),
        interface: 0,
        channel: Channel::Udp { socket: 0 },
    };
    let mut memory = None;
    for hook in Hook::ALL {
        let call = ScriptCall {
            hook,
            request: &request,
            client: &client,
            rcode: Rcode::NOERROR,
            reply: if hook == Hook::Preresolve { &[] } else { REPLY },
            validation: Validation::Indeterminate,
        };
        let ruling = script.call(&call, &mut memory);
        assert!(!ruling.failed || ruling.decision == Decision::Pass, "a failure passes");
        if let Decision::Answer(made) | Decision::Follow(_, made) = ruling.decision {
            let records = made.records.unwrap_or_default();
            assert_readable(&request, made.rcode, &records);
        }
    }
}

/// Asserts that a reply of these records is a message, and that their text says what they are.
fn assert_readable(request: &Request<'_>, rcode: Rcode, records: &[PlainRecord]) {
    let question_name = &QUESTION[..QUESTION.len() - 4];
    let made = Made { question_name, rcode, info_code: None, class: Class::IN, ttl_secs: 60 };
    let mut compiled = Vec::new();
    if compile(&made, records, &mut compiled).is_err() {
        return;
    }
    let answer = Answer::read(&compiled).expect("what was compiled can be read");
    let mut out = vec![0; 65_535];
    let len = write_native(&mut out, request, &answer, Age::Secs(0), false, None);
    // Types that nobody knows may have empty RDATA (RFC 3597 3), which the parser does not take.
    let is_unreadable =
        |record: &PlainRecord| record.rtype == Rtype(65_400) && record.rdata.is_empty();
    if !records.iter().any(is_unreadable)
        && let Err(error) = Message::from_vec(&out[..len])
    {
        panic!("{error}: {records:?}");
    }
    for record in records {
        let text = record.text();
        let has_own_text = matches!(
            record.rtype,
            Rtype::A | Rtype::AAAA | Rtype::CNAME | Rtype::TXT | Rtype(65_400)
        );
        if has_own_text {
            assert_eq!(rdata_of(record.rtype, &text).as_ref(), Some(&record.rdata), "{text}");
        }
    }
}
