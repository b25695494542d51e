//! Hot answers, given inside the XDP program and sent back by the cable.

use std::collections::BTreeSet;
use std::fs;

use crate::message::{AAAA, query, query_edns, without_ttls};
use crate::network::{Network, V4, V6, XDP, ask_by, pass_program, stop, stop_with_log};

/// `[datapath]` with hot answers on a cable whose other end has a program.
pub(crate) fn hot(more: &str) -> String {
    format!("{XDP}\nhot_answers = true\n{more}")
}

/// Asks both servers again and again, until the publisher has had its time several times over; all
/// replies but for their TTLs.
pub(crate) fn ask_often(network: &Network) -> BTreeSet<Vec<u8>> {
    let sockets = ["[2001:db8:1::2]:0", "192.0.2.2:0"].map(|from| network.socket(from));
    let mut replies = BTreeSet::new();
    for _ in 0..3_000 {
        for (socket, server) in sockets.iter().zip([V6, V4]) {
            let plain = query(7, "a-11-22-33-44.v4.test", AAAA);
            let edns = query_edns((7, "A-11-22-33-44.v4.TEST", AAAA), 1_232, 0, false, &[]);
            for question in [plain, edns] {
                replies.insert(without_ttls(&ask_by(socket, server, &question)));
            }
        }
    }
    replies
}

#[test]
fn a_name_that_is_asked_for_often_is_answered_inside_xdp_with_the_same_octets() {
    let Some(network) = Network::new() else { return };
    let _other_end = pass_program(&network.client);
    let server = network.start(1, &hot(""));
    let replies = ask_often(&network);
    let books = stop(server);
    books.balance();
    assert!(books.get("kernel_answers") > 1_000, "{}", books.get("kernel_answers"));
    // One for each way to ask, whoever has answered.
    assert_eq!(replies.len(), 2, "{replies:x?}");
}

#[test]
fn nothing_is_answered_inside_xdp_where_the_reply_might_not_arrive() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    let replies = ask_often(&network);
    let books = stop(server);
    books.balance();
    assert_eq!((books.get("kernel_answers"), replies.len()), (0, 2));
}

#[test]
fn generic_mode_gives_hot_answers_without_help_from_the_other_end() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, &format!("{XDP}\nattach = \"generic\""));
    let replies = ask_often(&network);
    let books = stop(server);
    books.balance();
    assert!(books.get("kernel_answers") > 1_000, "{}", books.get("kernel_answers"));
    assert_eq!(replies.len(), 2, "{replies:x?}");
}

#[test]
fn who_logs_every_query_gets_no_hot_answers_and_a_line_for_each() {
    let Some(network) = Network::new() else { return };
    let generic = format!("{XDP}\nattach = \"generic\"");
    let file = network.scratch.path().join("queries.log");
    let every = format!("[query_log]\nfile = {file:?}\n");
    let server = network.start_with(1, &generic, &every);
    ask_often(&network);
    let (books, log) = stop_with_log(server);
    books.balance();
    assert_eq!(books.get("kernel_answers"), 0);
    assert!(log.contains("no hot answers inside XDP: [query_log] is to have every query"), "{log}");
    let lines = fs::read_to_string(&file).expect("it is there").lines().count() as u64;
    assert_eq!(lines, books.get("responses"), "by AF_XDP and by sockets");
    assert!(books.get("xsk_replies") > 0, "{log}");

    let sampled = "[query_log]\nfile = \"/dev/null\"\nsample = 2\n";
    let server = network.start_with(1, &generic, sampled);
    ask_often(&network);
    let (books, log) = stop_with_log(server);
    assert!(books.get("kernel_answers") > 1_000, "{}", books.get("kernel_answers"));
    assert!(log.contains("hot answers inside XDP are not in [query_log]"), "{log}");
}
