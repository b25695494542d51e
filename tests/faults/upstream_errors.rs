//! Upstream servers that answer with errors: another is asked, EDNS is left out, the client is
//! told.

use std::net::{IpAddr, Ipv4Addr};

use dns64_tests::netns::serial;

use crate::client::{addresses, ask};
use crate::hostile::{Hostile, Say};
use crate::message::{Reply, mapped, rcode, rtype};
use crate::responder::Responder;

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

fn good() -> Hostile {
    Hostile::start(|query| vec![Say::Send(Reply::honest(query, GOOD))])
}

#[test]
fn an_error_of_one_server_is_hidden_by_another() {
    let _machine = serial();
    for code in [rcode::SERVFAIL, rcode::REFUSED, rcode::NOTIMP] {
        let bad = Hostile::start(move |query| vec![Say::Send(Reply::to(query).rcode(code).done())]);
        let good = good();
        let responder = Responder::start(&[bad.address(), good.address()]);
        for number in 0..40 {
            let name = format!("n{number}.test");
            let reply = ask(responder.address(), &name, rtype::AAAA);
            assert_eq!(addresses(&reply), [IpAddr::V6(mapped(GOOD))], "RCODE {code}, {name}");
            let asked = bad.heard_of(&name).iter().filter(|q| q.qtype == rtype::AAAA).count();
            assert!(asked <= 1, "RCODE {code}: asked {asked} times");
        }
        assert!(!bad.heard().is_empty(), "both servers are asked");
    }
}

#[test]
fn an_error_of_all_servers_reaches_the_client_and_is_remembered() {
    let _machine = serial();
    let fail =
        || Hostile::start(|query| vec![Say::Send(Reply::to(query).rcode(rcode::SERVFAIL).done())]);
    let servers = [fail(), fail()];
    let responder = Responder::start(&[servers[0].address(), servers[1].address()]);
    for _ in 0..20 {
        assert_eq!(ask(responder.address(), "broken.test", rtype::A).rcode, rcode::SERVFAIL);
    }
    // RFC 9520 3.2: not again for a while, however often clients ask.
    let asked: usize = servers.iter().map(|server| server.heard().len()).sum();
    assert!(asked <= 8, "20 client queries became {asked}");
}

#[test]
fn a_server_from_before_edns_is_asked_without() {
    let _machine = serial();
    let old = Hostile::start(|query| {
        if query.has_opt() {
            return vec![Say::Send(Reply::to(query).without_opt().rcode(rcode::FORMERR).done())];
        }
        vec![Say::Send(Reply::honest(query, GOOD))]
    });
    let responder = Responder::start(&[old.address()]);
    for number in 0..20 {
        let reply = ask(responder.address(), &format!("n{number}.test"), rtype::AAAA);
        assert_eq!(addresses(&reply), [IpAddr::V6(mapped(GOOD))], "{number}");
    }
}

#[test]
fn a_server_that_says_formerr_to_everything_is_not_asked_for_ever() {
    let _machine = serial();
    let bad = Hostile::start(|query| {
        vec![Say::Send(Reply::to(query).without_opt().rcode(rcode::FORMERR).done())]
    });
    let mut responder = Responder::start(&[bad.address()]);
    let reply = ask(responder.address(), "hopeless.test", rtype::A);
    assert_ne!(reply.rcode, rcode::NOERROR);
    let heard = bad.heard_of("hopeless.test").len();
    assert!(heard <= 3, "asked {heard} times");
    responder.assert_alive();
}
