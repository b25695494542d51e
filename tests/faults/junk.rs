//! Messages that are no answer, before the good one: none of them ends the wait or the socket.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use dns64_tests::netns::serial;
use dns64_tests::stopwatch::Stopwatch;

use crate::client::{addresses, ask};
use crate::hostile::{Heard, Hostile, Say};
use crate::message::{HEADER_LEN, Reply, id_of, rcode, rtype};
use crate::responder::Responder;

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const EVIL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 66);
/// Far less than a client's patience: nothing was waited out.
const SOON: Duration = Duration::from_millis(1_000);

/// Makes one kind of junk.
type MakeJunk = fn(&Heard) -> Vec<Say>;

/// The evil answer, changed.
fn evil(query: &Heard, change: impl FnOnce(&mut Vec<u8>)) -> Vec<Say> {
    let mut octets = Reply::honest(query, EVIL);
    change(&mut octets);
    vec![Say::Send(octets)]
}

/// Where the question ends.
fn question_end(query: &Heard) -> usize {
    HEADER_LEN + query.question().len()
}

const JUNK: &[(&str, MakeJunk)] = &[
    ("another-question", |query| evil(query, |octets| octets[13] ^= 1)),
    ("another-type", |query| {
        let at = question_end(query) - 3;
        evil(query, |octets| octets[at] = 15)
    }),
    ("another-class", |query| {
        let at = question_end(query) - 1;
        evil(query, |octets| octets[at] = 3)
    }),
    ("no-question", |query| {
        let octets = Reply::honest(query, EVIL);
        let mut without = octets[..HEADER_LEN].to_vec();
        without[5] = 0;
        without.extend(&octets[question_end(query)..]);
        vec![Say::Send(without)]
    }),
    ("a-question-too-many", |query| {
        let octets = Reply::honest(query, EVIL);
        let mut more = octets[..question_end(query)].to_vec();
        more[5] = 2;
        more.extend(query.question());
        more.extend(&octets[question_end(query)..]);
        vec![Say::Send(more)]
    }),
    ("a-query", |query| evil(query, |octets| octets[2] &= 0x7f)),
    ("another-opcode", |query| evil(query, |octets| octets[2] |= 0x20)),
    ("another-letter-case", |query| {
        evil(query, |octets| {
            let name = &mut octets[HEADER_LEN..question_end(query) - 4];
            name.iter_mut().filter(|octet| octet.is_ascii_alphabetic()).for_each(|o| *o ^= 0x20);
        })
    }),
    ("another-port", |query| vec![Say::FromOtherPort(Reply::honest(query, EVIL))]),
    ("another-address", |query| vec![Say::FromOtherAddress(Reply::honest(query, EVIL))]),
    ("cut-in-the-header", |query| evil(query, |octets| octets.truncate(7))),
    ("cut-in-the-question", |query| evil(query, |octets| octets.truncate(20))),
    ("cut-in-a-record", |query| {
        let at = question_end(query) + 6;
        evil(query, |octets| octets.truncate(at))
    }),
    ("counts-that-lie", |query| evil(query, |octets| octets[6..8].copy_from_slice(&[0xff; 2]))),
    ("an-empty-datagram", |query| evil(query, Vec::clear)),
    ("garbage", |query| {
        // The same every time, and nothing that a DNS message begins with.
        evil(query, |octets| {
            octets.iter_mut().for_each(|octet| *octet = octet.wrapping_mul(167) ^ 0x5c)
        })
    }),
    ("a-pointer-to-itself", |query| {
        let at = question_end(query);
        evil(query, |octets| {
            octets.truncate(at);
            let [high, low] = (at as u16 | 0xc000).to_be_bytes();
            octets.extend([high, low, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4, 203, 0, 113, 66]);
            octets[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
        })
    }),
    ("a-long-rdata", |query| {
        let at = question_end(query);
        evil(query, |octets| {
            octets.truncate(at);
            octets.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0xff, 0xff, 203, 0, 113, 66]);
            octets[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
        })
    }),
    ("a-short-address", |query| {
        let at = question_end(query);
        evil(query, |octets| {
            octets.truncate(at);
            octets.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 3, 203, 0, 113]);
            octets[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
        })
    }),
];

#[test]
fn no_kind_of_junk_keeps_the_good_answer_from_the_client() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        let good = Say::Send(Reply::honest(query, GOOD));
        let kind = query.name.split('.').next().unwrap_or_default();
        let junk = JUNK.iter().find(|(name, _)| *name == kind);
        let mut says = match junk {
            Some((_, make)) if !query.by_tcp => make(query),
            Some(_) | None => Vec::new(),
        };
        says.push(good);
        says
    });
    let mut responder = Responder::start(&[upstream.address()]);
    // Learn that the upstream is fast.
    ask(responder.address(), "first.test", rtype::A);
    for (kind, _) in JUNK {
        for (number, qtype) in [rtype::A, rtype::AAAA].into_iter().enumerate() {
            let name = format!("{kind}.n{number}.test");
            let watch = Stopwatch::start();
            let reply = ask(responder.address(), &name, qtype);
            let took = watch.elapsed();
            assert_eq!(reply.rcode, rcode::NOERROR, "{name}");
            let expected = if qtype == rtype::A {
                IpAddr::V4(GOOD)
            } else {
                IpAddr::V6(crate::message::mapped(GOOD))
            };
            assert_eq!(addresses(&reply), [expected], "{name}");
            assert!(took < SOON, "{name} took {took:?}");
        }
    }
    responder.assert_alive();
}

#[test]
fn ten_thousand_malformed_answers_cost_no_socket_and_no_good_answer() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        let mut says: Vec<Say> = Vec::new();
        if !query.by_tcp {
            for (kind, make) in JUNK {
                // This one closes the port, as it must; the others may not.
                if *kind != "another-letter-case" {
                    says.extend(make(query));
                }
            }
        }
        says.push(Say::Send(Reply::honest(query, GOOD)));
        says
    });
    let mut responder = Responder::start(&[upstream.address()]);
    for number in 0..600 {
        let name = format!("n{number}.test");
        let reply = ask(responder.address(), &name, rtype::A);
        assert_eq!(addresses(&reply), [IpAddr::V4(GOOD)], "{name}");
    }
    responder.assert_alive();
}

#[test]
fn an_upstream_that_only_talks_nonsense_leads_to_servfail_in_time() {
    let _machine = serial();
    let upstream = Hostile::start(|query| {
        let id = id_of(&query.octets).expect("a query has a header").to_be_bytes();
        vec![Say::Send(vec![id[0], id[1], 0x81, 0x80, 0, 1, 0, 9, 0, 9, 0, 9, 0xff, 0xff])]
    });
    let mut responder = Responder::start(&[upstream.address()]);
    let watch = Stopwatch::start();
    let reply = ask(responder.address(), "nonsense.test", rtype::AAAA);
    assert_eq!(reply.rcode, rcode::SERVFAIL);
    assert!(watch.elapsed() < Duration::from_millis(2_500), "{:?}", watch.elapsed());
    responder.assert_alive();
}
