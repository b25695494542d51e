//! What the answer to a query must be, where its name says so.
#![forbid(unsafe_code)]

use std::net::Ipv6Addr;

use dns64::pref64::Pref64;
use dns64_ebpf::flood::slot::{Expected, QUESTION_LEN_MIN, RECORDS_MAX};

use super::Expect;
use crate::upstream::script::{Host, Script};
use crate::wire::{CLASS_IN, Query, name_to_text, rcode, rtype};

/// The answer that a query must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its form.
    pub(super) shape: Expected,
    /// The data of its records; the first `shape.records` count.
    pub(super) data: [[u8; 16]; RECORDS_MAX],
}

/// What a query must be answered by.
///
/// # Errors
/// A text that says why that cannot be known here.
pub(super) fn answer_to(query: &[u8], expect: &Expect) -> Result<Answer, String> {
    let asked = Query::parse(query).map_err(|_| "a message that is no query".to_owned())?;
    let question_len = asked.question().len();
    let refuse = |why: &str| Err(format!("{}: {why}", name_to_text(asked.name)));
    if question_len < QUESTION_LEN_MIN || asked.qclass != CLASS_IN {
        return refuse("too short a name, or not of class IN");
    }
    let mut answer = Answer {
        shape: Expected {
            question_len,
            checked: false,
            rcode: rcode::NOERROR,
            records: 0,
            rtype: asked.qtype,
            data_len: if asked.qtype == rtype::A { 4 } else { 16 },
            ttl_max_secs: 0,
        },
        data: [[0; 16]; RECORDS_MAX],
    };
    let Expect::Synthesized { prefixes } = expect else { return Ok(answer) };
    let Script::Host(host) = Script::of(asked.name) else {
        return refuse("the name does not say its answer, so nobody can verify it");
    };
    if !matches!(asked.qtype, rtype::A | rtype::AAAA) {
        return refuse("only questions for A and AAAA can be verified inside XDP");
    }
    if host.chain.length > 0 || host.truncate || host.junk {
        return refuse("answers with CNAME records, TC or junk cannot be verified inside XDP");
    }
    let code = host.rcode_for(asked.qtype);
    let code_a = host.rcode_for(rtype::A);
    if ![code, code_a].iter().all(|code| matches!(*code, rcode::NOERROR | rcode::NXDOMAIN)) {
        return refuse("the name asks for failures, which cannot be verified inside XDP");
    }
    let addresses =
        if code == rcode::NOERROR { data_of(&host, asked.qtype, prefixes) } else { vec![] };
    if addresses.len() > RECORDS_MAX {
        return refuse(&format!("answers of more than {RECORDS_MAX} records do not fit"));
    }
    for (place, address) in answer.data.iter_mut().zip(&addresses) {
        *place = *address;
    }
    answer.shape = Expected {
        checked: true,
        rcode: code,
        records: addresses.len(),
        ttl_max_secs: host.ttl_secs,
        ..answer.shape
    };
    Ok(answer)
}

/// The data of the records that a name has for a server with these prefixes.
fn data_of(host: &Host, qtype: u16, prefixes: &[Pref64]) -> Vec<[u8; 16]> {
    if qtype == rtype::A {
        let padded = |octets: [u8; 4]| {
            let mut data = [0; 16];
            data[..4].copy_from_slice(&octets);
            data
        };
        return host.a().iter().map(|address| padded(address.octets())).collect();
    }
    // ::ffff:0:0/96 is no IPv6 address of a host (RFC 6147 5.1.4).
    let usable = |address: &&Ipv6Addr| address.to_ipv4_mapped().is_none();
    let native: Vec<_> = host.aaaa().iter().filter(usable).map(Ipv6Addr::octets).collect();
    if !native.is_empty() || host.rcode_for(rtype::A) != rcode::NOERROR {
        return native;
    }
    let embedded = |prefix: &Pref64| {
        host.a().iter().map(|address| prefix.embed(*address).octets()).collect::<Vec<_>>()
    };
    prefixes.iter().flat_map(embedded).collect()
}

#[cfg(test)]
mod tests {
    use dns64::pref64::WELL_KNOWN;

    use super::*;
    use crate::wire::{name_from_text, write_query};

    fn answer(name: &str, qtype: u16, expect: &Expect) -> Result<Answer, String> {
        let mut query = [0; 300];
        let name = name_from_text(name).unwrap();
        let len = write_query(&mut query, 7, &name, qtype, None);
        answer_to(&query[..len], expect)
    }

    fn synthesized(count: usize) -> Expect {
        let other = Pref64::new(
            "2001:db8:64::/96".parse().unwrap(),
            Ipv6Addr::UNSPECIFIED,
            dns64::pref64::UOctet::Any,
        );
        let all = [WELL_KNOWN, other.unwrap()];
        Expect::Synthesized { prefixes: all[..count].to_vec() }
    }

    #[test]
    fn a_name_with_an_a_record_gets_an_address_of_each_prefix() {
        let answer = answer("a-11-0-0-9.v4.test", rtype::AAAA, &synthesized(2)).unwrap();
        assert_eq!((answer.shape.records, answer.shape.rcode, answer.shape.data_len), (2, 0, 16));
        assert_eq!(answer.shape.ttl_max_secs, 300);
        let wanted = ["64:ff9b::b00:9", "2001:db8:64::b00:9"]
            .map(|text| text.parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(answer.data[..2], wanted);
    }

    #[test]
    fn a_name_with_an_address_of_its_own_gets_that() {
        let name = "a-11-0-0-9--q-20010db8000000000000000000000010.v4.test";
        let answer = answer(name, rtype::AAAA, &synthesized(1)).unwrap();
        assert_eq!(answer.shape.records, 1);
        assert_eq!(answer.data[0], "2001:db8::10".parse::<Ipv6Addr>().unwrap().octets());
    }

    #[test]
    fn questions_for_a_and_names_that_do_not_exist_are_known_too() {
        let a = answer("a-11-0-0-9.v4.test", rtype::A, &synthesized(1)).unwrap();
        assert_eq!(
            (a.shape.records, a.shape.data_len, a.data[0][..5].to_vec()),
            (1, 4, vec![11, 0, 0, 9, 0])
        );
        let absent = answer("a-11-0-0-9--nx.v4.test", rtype::AAAA, &synthesized(1)).unwrap();
        assert_eq!((absent.shape.records, absent.shape.rcode), (0, rcode::NXDOMAIN));
    }

    #[test]
    fn what_cannot_be_verified_is_refused_unless_nothing_is_to_be() {
        for (name, qtype) in [
            ("www.example.test", rtype::AAAA),
            ("a-11-0-0-9.v4.test", rtype::PTR),
            ("a-11-0-0-9--c3.v4.test", rtype::AAAA),
            ("a-1-1-1-1--a-1-1-1-2--a-1-1-1-3.v4.test", rtype::AAAA),
        ] {
            let refusal = answer(name, qtype, &synthesized(2)).unwrap_err();
            assert!(refusal.starts_with(name), "{refusal}");
            assert!(!answer(name, qtype, &Expect::Reflected).unwrap().shape.checked);
        }
        assert!(answer("a", rtype::AAAA, &Expect::Reflected).is_err(), "too short");
    }
}
