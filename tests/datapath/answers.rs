//! The same questions by sockets and by `AF_XDP`.

use crate::message::{
    A, AAAA, PTR, RRSIG, TXT, answer_count, query, query_edns, rcode, without_ttls,
};
use crate::network::{Network, SOCKET, V4, V6, XDP, stop};

/// The first label of a name behind which there is a chain of CNAMEs.
const CHAIN: &str = "c3--a-11-22-33-44";

/// One question of each kind that is answered in a way of its own.
fn questions() -> Vec<Vec<u8>> {
    let synthesized = "a-11-22-33-44.v4.test";
    let many = "a-11-0-0-1--a-11-0-0-2--a-11-0-0-3--a-11-0-0-4--a-11-0-0-5.v4.test";
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut questions = vec![
        query(1, synthesized, AAAA),
        query(2, "A-11-22-33-44.V4.tEsT", AAAA),
        query(3, synthesized, A),
        query(4, "q-20010db8000000000000000000000001.v6.test", AAAA),
        query(5, "nx.v4.test", AAAA),
        query(6, synthesized, TXT),
        query(7, many, AAAA),
        query(8, &format!("{CHAIN}.v4.test"), AAAA),
        query(9, "ipv4only.arpa", AAAA),
        query(10, &reverse("20010db800640000000000000b16212c"), PTR),
        query_edns((11, synthesized, AAAA), 1_232, 0, false, &[]),
        query_edns((12, synthesized, AAAA), 4_096, 0, true, &[]),
        query_edns((13, synthesized, AAAA), 1_232, 0, false, &cookie),
        query_edns((14, synthesized, AAAA), 1_232, 1, false, &[]),
        query_edns((15, synthesized, AAAA), 1_232, 0, false, &[0, 3, 0, 9, 1]),
        query(16, synthesized, RRSIG),
    ];
    // More than 512 octets do not fit without EDNS.
    let words: Vec<String> = (1..21).map(|n| format!("a-11-0-1-{n}")).collect();
    let long = words.chunks(5).map(|words| words.join("--")).collect::<Vec<_>>();
    questions.push(query(17, &format!("{}--ttl999.{}.test", long[0], long[1]), AAAA));
    let mut checking_disabled = query(18, synthesized, AAAA);
    checking_disabled[3] |= 0x10;
    questions.push(checking_disabled);
    let mut without_recursion = query(19, synthesized, AAAA);
    without_recursion[2] &= !1;
    questions.push(without_recursion);
    let mut notify = query(20, synthesized, AAAA);
    notify[2] |= 4 << 3;
    questions.push(notify);
    let mut two_questions = query(21, synthesized, AAAA);
    two_questions[5] = 2;
    questions.push(two_questions);
    let mut cut = query(22, synthesized, AAAA);
    cut.truncate(20);
    questions.push(cut);
    questions
}

/// The name under ip6.arpa of an address in 32 digits.
fn reverse(digits: &str) -> String {
    let labels: Vec<String> = digits.chars().rev().map(String::from).collect();
    format!("{}.ip6.arpa", labels.join("."))
}

/// Asks each question until its answer comes from the cache.
fn replies(network: &Network, server: &str) -> Vec<Vec<u8>> {
    let ask = |question: &Vec<u8>| {
        network.ask(server, question);
        without_ttls(&network.ask(server, question))
    };
    questions().iter().map(ask).collect()
}

#[test]
fn sockets_and_af_xdp_give_the_same_octets() {
    let Some(network) = Network::new() else { return };
    let sockets = network.start(1, SOCKET);
    let by_socket = [replies(&network, V6), replies(&network, V4)];
    let books = stop(sockets);
    assert_eq!(books.get("xsk_queries"), 0);
    let queries = books.get("queries");
    books.balance();

    let server = network.start(1, XDP);
    let by_xdp = [replies(&network, V6), replies(&network, V4)];
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("xsk_queries"), queries, "all of them came by AF_XDP");
    // All second askings are answered at once, and so are the refusals.
    assert!(books.get("xsk_replies") >= queries / 2, "{}", books.get("xsk_replies"));
    for family in 0..2 {
        let pairs = by_socket[family].iter().zip(&by_xdp[family]);
        for (question, (socket, xdp)) in questions().iter().zip(pairs) {
            if question[13..].starts_with(CHAIN.as_bytes()) {
                // The upstream server spells the names of a chain as it was asked, and that is
                // at random.
                assert!(socket.eq_ignore_ascii_case(xdp), "{socket:x?}\n{xdp:x?}");
            } else {
                assert_eq!(socket, xdp, "{question:x?}");
            }
        }
    }
    // That the list is worth something: there are answers, errors and refusals in it.
    let codes: Vec<u8> = by_xdp[0].iter().map(|reply| rcode(reply)).collect();
    for wanted in [0, 1, 3, 4, 5] {
        assert!(codes.contains(&wanted), "no RCODE {wanted} among {codes:?}");
    }
    assert_eq!(answer_count(&by_xdp[0][6]), 5);
}

#[test]
fn a_client_that_may_not_ask_is_refused_by_af_xdp_too() {
    let Some(network) = Network::new() else { return };
    network.client.address("eth0", "2001:db8:1::bad/64");
    let server = network.start(1, XDP);
    let socket = network.socket("[2001:db8:1::bad]:0");
    let reply = crate::network::ask_by(&socket, V6, &query(1, "a-11-22-33-44.v4.test", AAAA));
    assert_eq!(rcode(&reply), 5, "REFUSED");
    let books = stop(server);
    assert_eq!((books.get("xsk_queries"), books.get("xsk_replies")), (1, 1));
    books.balance();
}

#[test]
fn a_reply_longer_than_a_packet_goes_in_fragments_by_the_socket() {
    let Some(network) = Network::new() else { return };
    network.client.ip(&["link", "set", "eth0", "mtu", "1280"]);
    network.responder.ip(&["link", "set", "eth0", "mtu", "1280"]);
    let server = network.start_with(1, XDP, "[limits]\nudp_payload = 4096");
    let words: Vec<String> = (1..6).map(|n| format!("a-11-0-1-{n}")).collect();
    // Each CNAME of a chain brings a name of its own.
    let name = format!("c15--{}.{}.{}.test", words.join("--"), "x".repeat(63), "y".repeat(63));
    let question = query_edns((7, &name, AAAA), 4_096, 0, false, &[]);
    network.ask(V6, &question);
    let reply = network.ask(V6, &question);
    assert!(reply.len() > 1_232, "{} octets are no long reply", reply.len());
    let books = stop(server);
    books.balance();
    assert_eq!((books.get("xsk_queries"), books.get("xsk_replies")), (2, 0));
}
