//! What is believed of an answer that is well-formed and comes from the right server.

use std::net::{IpAddr, Ipv4Addr};

use dns64_tests::netns::serial;

use crate::client::{addresses, ask, exchange, has_extended_error, read};
use crate::hostile::{Hostile, Say};
use crate::message::{Reply, header, mapped, question, rcode, rtype, wire_name};
use crate::responder::{Responder, Settings};

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const EVIL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);

#[test]
fn records_of_other_names_are_neither_passed_on_nor_believed_later() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        if query.name != "asked.test" {
            return vec![Say::Send(Reply::honest(query, GOOD))];
        }
        let evil = EVIL.octets();
        let evil_v6 = mapped(EVIL).octets();
        let mut reply = Reply::to(query);
        if query.qtype == rtype::A {
            reply = reply.answer("asked.test", rtype::A, 300, &GOOD.octets());
        }
        reply = reply.answer("victim.test", rtype::A, 300, &evil).answer(
            "victim.test",
            rtype::AAAA,
            300,
            &evil_v6,
        );
        if query.qtype != rtype::A {
            reply = reply.denial(60, 60);
        }
        let reply = reply
            .authority("test", rtype::NS, 300, &wire_name("victim.test"))
            .authority("victim.test", rtype::A, 300, &evil)
            .additional("victim.test", rtype::A, 300, &evil)
            .additional("victim.test", rtype::AAAA, 300, &evil_v6);
        vec![Say::Send(reply.done())]
    });
    let responder = Responder::start(&[upstream.address()]);
    for (qtype, expected) in [(rtype::A, IpAddr::V4(GOOD)), (rtype::AAAA, IpAddr::V6(mapped(GOOD)))]
    {
        let reply = ask(responder.address(), "asked.test", qtype);
        assert_eq!(addresses(&reply), [expected]);
        let all = reply.answer.iter().chain(&reply.authority).chain(&reply.additional);
        for record in all {
            assert!(!record.text.contains("victim"), "passed on: {}", record.text);
        }
    }
    assert!(upstream.heard_of("victim.test").is_empty());
    for (qtype, expected) in [(rtype::A, IpAddr::V4(GOOD)), (rtype::AAAA, IpAddr::V6(mapped(GOOD)))]
    {
        let reply = ask(responder.address(), "victim.test", qtype);
        assert_eq!(addresses(&reply), [expected]);
    }
    assert!(!upstream.heard_of("victim.test").is_empty(), "the name is asked for");
}

#[test]
fn only_records_that_chain_from_the_question_are_taken() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        let mut reply = Reply::to(query);
        if query.name == "start.test" {
            reply = reply
                .answer("start.test", rtype::CNAME, 300, &wire_name("middle.test"))
                // Not in the chain, though it looks like its continuation.
                .answer("meddle.test", rtype::CNAME, 300, &wire_name("evil.test"))
                .answer("middle.test", rtype::CNAME, 300, &wire_name("end.test"));
            if query.qtype == rtype::A {
                reply = reply.answer("evil.test", rtype::A, 300, &EVIL.octets()).answer(
                    "end.test",
                    rtype::A,
                    300,
                    &GOOD.octets(),
                );
            } else {
                reply = reply.denial(60, 60);
            }
            return vec![Say::Send(reply.done())];
        }
        vec![Say::Send(Reply::honest(query, GOOD))]
    });
    let responder = Responder::start(&[upstream.address()]);
    let reply = ask(responder.address(), "start.test", rtype::A);
    assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)]);
    assert!(reply.answer.iter().all(|record| !record.text.contains("evil")), "{reply:?}");
    let reply = ask(responder.address(), "start.test", rtype::AAAA);
    assert_eq!(addresses(&reply), [IpAddr::V6(mapped(GOOD))]);
    // Nor is the tail of a chain an answer for its own name.
    ask(responder.address(), "evil.test", rtype::A);
    assert!(!upstream.heard_of("evil.test").is_empty());
}

#[test]
fn a_chain_that_loops_or_never_ends_is_a_failure_and_not_the_end() {
    let _machine = serial();
    let upstream =
        Hostile::start(|query| {
            let mut reply = Reply::to(query);
            if query.name == "loop.test" {
                reply = reply
                    .answer("loop.test", rtype::CNAME, 300, &wire_name("pool.test"))
                    .answer("pool.test", rtype::CNAME, 300, &wire_name("loop.test"));
            } else if query.name == "long.test" {
                let mut owner = "long.test".to_owned();
                for number in 0..25 {
                    let target = format!("l{number}.test");
                    reply = reply.answer(&owner, rtype::CNAME, 300, &wire_name(&target));
                    owner = target;
                }
            } else {
                return vec![Say::Send(Reply::honest(query, GOOD))];
            }
            vec![Say::Send(reply.done())]
        });
    let mut responder = Responder::start(&[upstream.address()]);
    for name in ["loop.test", "long.test"] {
        for qtype in [rtype::A, rtype::AAAA] {
            let reply = ask(responder.address(), name, qtype);
            assert!(addresses(&reply).is_empty(), "{name}: {reply:?}");
        }
    }
    assert_eq!(addresses(&ask(responder.address(), "fine.test", rtype::A)), [IpAddr::V4(GOOD)]);
    responder.assert_alive();
}

#[test]
fn upstream_queries_announce_1232_octets_of_edns_and_want_recursion() {
    let _machine = serial();
    let upstream = Hostile::start(|query| vec![Say::Send(Reply::honest(query, GOOD))]);
    let responder = Responder::start(&[upstream.address()]);
    ask(responder.address(), "size.test", rtype::AAAA);
    let heard = upstream.heard();
    assert_eq!(heard.len(), 2, "AAAA and A");
    for query in heard {
        assert_eq!(query.behind_question(), [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(query.octets[2] & 0x01, 0x01, "RD");
    }
}

#[test]
fn ttl_is_bounded_whatever_the_upstream_says() {
    let _machine = serial();
    // Name, TTL of two A records, what the client may see at most, whether it is kept.
    const TABLE: [(&str, [u32; 2], u32, bool); 7] = [
        ("zero.test", [0, 0], 0, false),
        ("one-is-zero.test", [0, 300], 0, false),
        ("different.test", [300, 200], 200, true),
        ("week.test", [604_800, 604_800], 86_400, true),
        ("largest.test", [0x7fff_ffff, 0x7fff_ffff], 86_400, true),
        // RFC 2181 8: with the top bit set, as if it were 0.
        ("top-bit.test", [0x8000_0000, 0x8000_0000], 0, false),
        ("all-ones.test", [u32::MAX, u32::MAX], 0, false),
    ];
    let upstream = Hostile::start(|query| {
        let entry = TABLE.iter().find(|(name, ..)| *name == query.name);
        let mut reply = Reply::to(query);
        match (entry, query.qtype) {
            (Some((name, [first, second], ..)), rtype::A) => {
                reply = reply.answer(name, rtype::A, *first, &[198, 51, 100, 7]).answer(
                    name,
                    rtype::A,
                    *second,
                    &[198, 51, 100, 8],
                );
            }
            (Some(_), _) => reply = reply.denial(86_400, 86_400),
            (None, _) => reply = reply.rcode(rcode::NXDOMAIN).denial(1_000_000, 1_000_000),
        }
        vec![Say::Send(reply.done())]
    });
    let responder = Responder::start(&[upstream.address()]);
    for (name, _, ttl_max_secs, is_kept) in TABLE {
        for qtype in [rtype::A, rtype::AAAA] {
            let reply = ask(responder.address(), name, qtype);
            assert_eq!(addresses(&reply).len(), 2, "{name}");
            let ttls: Vec<u32> = reply.answer.iter().map(|record| record.wire.ttl_secs).collect();
            assert!(ttls.iter().all(|ttl| *ttl <= ttl_max_secs), "{name} type {qtype}: {ttls:?}");
            assert!(ttls.windows(2).all(|pair| pair[0] == pair[1]), "{name}: {ttls:?}");
        }
        let asked = upstream.heard_of(name).iter().filter(|query| query.qtype == rtype::A).count();
        ask(responder.address(), name, rtype::A);
        let again = upstream.heard_of(name).iter().filter(|query| query.qtype == rtype::A).count();
        assert_eq!(again == asked, is_kept, "{name} is kept: {is_kept}");
    }
    let reply = ask(responder.address(), "absent.test", rtype::A);
    assert_eq!(reply.rcode, rcode::NXDOMAIN);
    let ttl_secs = reply.authority.first().map(|record| record.wire.ttl_secs);
    assert!(ttl_secs.is_some_and(|ttl| ttl <= 3_600), "{reply:?}");
}

#[test]
fn without_rd_a_client_learns_what_is_cached_and_makes_nobody_ask() {
    let _machine = serial();
    let upstream = Hostile::start(|query| vec![Say::Send(Reply::honest(query, GOOD))]);
    let responder = Responder::start(&[upstream.address()]);
    let mut octets = header(7, 0, [1, 0, 0, 1]);
    octets.extend(question("unasked.test", rtype::A));
    octets.extend(crate::message::OPT);
    let patience = std::time::Duration::from_secs(5);
    let reply = read(exchange(responder.address(), &octets, patience).expect("a reply"));
    assert_eq!(reply.rcode, rcode::REFUSED);
    assert!(has_extended_error(&reply, 20), "{reply:?}");
    assert!(upstream.heard().is_empty());
    ask(responder.address(), "unasked.test", rtype::A);
    // Both workers may answer; the one that did not ask has to be told by the other.
    let heard = upstream.heard().len();
    for _ in 0..20 {
        let reply = read(exchange(responder.address(), &octets, patience).expect("a reply"));
        assert!(matches!(reply.rcode, rcode::NOERROR | rcode::REFUSED), "{reply:?}");
    }
    assert_eq!(upstream.heard().len(), heard, "nobody was asked");
}

#[test]
fn no_address_of_a_private_network_is_mapped_under_the_well_known_prefix() {
    let _machine = serial();
    const INSIDE: [[u8; 4]; 6] = [
        [10, 0, 0, 1],
        [127, 0, 0, 1],
        [169, 254, 169, 254],
        [172, 16, 0, 1],
        [192, 168, 1, 1],
        [100, 64, 0, 1],
    ];
    let upstream = Hostile::start(|query| {
        let number: usize = query.name[1..2].parse().unwrap_or_default();
        vec![Say::Send(Reply::honest(query, Ipv4Addr::from(INSIDE[number % INSIDE.len()])))]
    });
    let settings = Settings { dns64: "prefixes = [\"64:ff9b::/96\"]", ..Settings::default() };
    let responder = Responder::start_with(&[upstream.address()], settings);
    for number in 0..INSIDE.len() {
        let reply = ask(responder.address(), &format!("n{number}.rebind.test"), rtype::AAAA);
        assert!(addresses(&reply).is_empty(), "{reply:?}");
    }
}

#[test]
fn the_name_of_the_prefix_is_never_asked_upstream() {
    let _machine = serial();
    let upstream = Hostile::start(|query| vec![Say::Send(Reply::honest(query, EVIL))]);
    let responder = Responder::start(&[upstream.address()]);
    let expected = [[192, 0, 0, 170], [192, 0, 0, 171]];
    let mut found = addresses(&ask(responder.address(), "ipv4only.arpa", rtype::AAAA));
    found.sort();
    assert_eq!(found, expected.map(|octets| IpAddr::V6(mapped(octets.into()))));
    let mut found = addresses(&ask(responder.address(), "IPv4Only.ARPA", rtype::A));
    found.sort();
    assert_eq!(found, expected.map(IpAddr::from));
    ask(responder.address(), "ipv4only.arpa", rtype::TXT);
    assert!(upstream.heard().is_empty(), "{:?}", upstream.heard());
}
