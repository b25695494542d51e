//! Whether what XDP sends arrives at the other end of a virtual cable: `dns64d` finds out itself.

use std::time::Instant;

use dns64_tests::server::Server;

use crate::hot::ask_often;
use crate::message::{AAAA, answer_count, query};
use crate::network::{LIMIT, Network, V6, XDP, pass_program, stop};

const NAME: &str = "a-11-22-33-44.v4.test";
const LOST: &str =
    "no hot answers inside XDP: the other end of this virtual cable has no XDP program";

/// Waits until the log has a text, while queries are answered.
fn ask_until(network: &Network, server: &Server, text: &str) {
    let deadline = Instant::now() + LIMIT;
    while !server.log().contains(text) {
        assert_eq!(answer_count(&network.ask(V6, &query(3, NAME, AAAA))), 1);
        assert!(Instant::now() < deadline, "{text:?}:\n{}", server.log());
    }
}

#[test]
fn a_program_at_the_other_end_is_enough_for_hot_answers() {
    let Some(network) = Network::new() else { return };
    let _other_end = pass_program(&network.client);
    let server = network.start(1, XDP);
    assert!(!server.log().contains("no hot answers"), "{}", server.log());
    let replies = ask_often(&network);
    let books = stop(server);
    books.balance();
    assert!(books.get("kernel_answers") > 1_000, "{}", books.get("kernel_answers"));
    assert_eq!(replies.len(), 2, "{replies:x?}");
}

#[test]
fn hot_answers_begin_and_end_with_the_program_at_the_other_end() {
    let Some(network) = Network::new() else { return };
    // Wanted or not: what does not arrive is no answer.
    let server = network.start(1, &format!("{XDP}\nhot_answers = true"));
    assert!(server.log().contains(LOST), "{}", server.log());
    assert_eq!(ask_often(&network).len(), 2);
    let other_end = pass_program(&network.client);
    ask_until(&network, &server, "eth0: hot answers inside XDP");
    assert_eq!(ask_often(&network).len(), 2);
    drop(other_end);
    let deadline = Instant::now() + LIMIT;
    while server.log().matches(LOST).count() < 2 {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(ask_often(&network).len(), 2);
    let books = stop(server);
    books.balance();
    assert!(books.get("kernel_answers") > 1_000, "{}", books.get("kernel_answers"));
    assert!(books.get("xsk_replies") > 6_000, "{}", books.get("xsk_replies"));
}

#[test]
fn a_rate_limit_keeps_answers_with_the_workers_and_a_line_says_so() {
    let Some(network) = Network::new() else { return };
    let datapath = format!("{XDP}\nattach = \"generic\"");
    let server = network.start_with(1, &datapath, "[limits]\nrate = 1000000");
    assert!(server.log().contains("does not count what each client asks"), "{}", server.log());
    assert_eq!(ask_often(&network).len(), 2);
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("kernel_answers"), 0);
}

#[test]
fn names_under_a_prefix_that_are_asked_for_often_are_answered_inside_xdp() {
    const PTR: u16 = 12;
    let Some(network) = Network::new() else { return };
    let server = network.start(1, &format!("{XDP}\nattach = \"generic\""));
    let socket = network.socket("[2001:db8:1::2]:0");
    // 2001:db8:64::11.22.33.44
    let name = "c.2.1.2.6.1.b.0.0.0.0.0.0.0.0.0.0.0.0.0.4.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    let mut replies = std::collections::BTreeSet::new();
    for _ in 0..3_000 {
        let reply = crate::network::ask_by(&socket, V6, &query(7, name, PTR));
        replies.insert(crate::message::without_ttls(&reply));
    }
    let books = stop(server);
    books.balance();
    assert!(books.get("kernel_answers") > 500, "{}", books.get("kernel_answers"));
    assert_eq!(replies.len(), 1, "{replies:x?}");
    assert_eq!(replies.first().map(|reply| answer_count(reply)), Some(2), "CNAME and PTR");
}
