//! The interface stays, and something about it changes.

use std::time::{Duration, Instant};

use dns64_tests::netns::Netns;

use super::load::under_load;
use super::{AUTO, FAST, LIMITS, came_by_af_xdp, every_query_is_accounted_for, outage};
use crate::faults::wait_for_count;
use crate::message::{AAAA, query, query_edns};
use crate::network::{LIMIT, Network, V4, V6, stop};

#[test]
fn more_queues_are_all_served() {
    let Some(network) = Network::with_queues(4) else { return };
    let set = |netns: &Netns, count: &str| {
        netns.output("ethtool", &["-L", "eth0", "rx", count, "tx", count])
    };
    let set_queues = |count: &str| set(&network.responder, count);
    // XDP on veth wants as many queues as the other end has.
    for netns in [&network.client, &network.responder] {
        let fewer = set(netns, "2");
        assert!(fewer.status.success(), "{fewer:?}");
    }
    let server = network.start_with(2, AUTO, LIMITS);
    assert!(server.log().contains("tier=eth0:xdp-native-copy:2"), "{}", server.log());
    let mut fast = 0;
    let brought = under_load(&network, V6, 16, |load| {
        // The kernel takes no queue away that has a socket.
        assert!(!set_queues("1").status.success(), "a queue with a socket can be taken away");
        fast += load.answered();
        let more = set_queues("4");
        assert!(more.status.success(), "{more:?}");
        wait_for_count(&server, FAST, 2);
        let more = set(&network.client, "4");
        assert!(more.status.success(), "{more:?}");
        fast += load.answered_next();
    });
    brought.is_right(Duration::ZERO);
    let log = server.log();
    assert!(log.contains("the number of its queues has changed"), "{log}");
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, fast);
}

#[test]
fn a_new_mtu_holds_for_replies_at_once_and_costs_nothing() {
    let Some(network) = Network::new() else { return };
    let more = format!("{LIMITS}\nudp_payload = 4096");
    let server = network.start_with(1, AUTO, &more);
    let words: Vec<String> = (1..6).map(|n| format!("a-11-0-1-{n}")).collect();
    // Each CNAME of a chain brings a name of its own.
    let name = format!("c15--{}.{}.{}.test", words.join("--"), "x".repeat(63), "y".repeat(63));
    let long = query_edns((7, &name, AAAA), 4_096, 0, false, &[]);
    network.ask(V6, &long);
    let len = network.ask(V6, &long).len();
    assert!(len > 1_280, "a reply of {len} octets fits");
    let set_mtu = |mtu: &str| {
        for netns in [&network.responder, &network.client] {
            netns.ip(&["link", "set", "eth0", "mtu", mtu]);
        }
    };
    let brought = under_load(&network, V6, 8, |_| {
        set_mtu("1280");
        wait_for_count(&server, "longest packet", 1);
        // What is too long for the cable now would not arrive.
        assert_eq!(network.ask(V6, &long).len(), len);
        set_mtu("1500");
        wait_for_count(&server, "longest packet", 2);
    });
    brought.is_right(Duration::ZERO);
    assert_eq!(server.log().matches(FAST).count(), 1, "nothing has fallen:\n{}", server.log());
    let books = stop(server);
    every_query_is_accounted_for(&books);
    assert_eq!(books.get("xsk_queries"), books.get("queries"), "all came by AF_XDP");
}

/// Takes an address away under load, waits until nobody answers for it, and gives it back.
fn an_address_moves(server_address: &str, address: &str) {
    let Some(network) = Network::new() else { return };
    // Whoever has the address, packets for it go where they went.
    crate::wire::know_each_other(&network);
    let server = network.start_with(1, AUTO, LIMITS);
    let mut away = Duration::ZERO;
    let mut fast = 0;
    let brought = under_load(&network, server_address, 8, |load| {
        fast += load.answered();
        let since = Instant::now();
        network.responder.ip(&["address", "delete", address, "dev", "eth0"]);
        load.wait_for_silence();
        network.responder.address("eth0", address);
        away = outage(&network, server_address, since);
        let back = load.answered();
        load.wait_for_answers(back);
        fast += load.answered() - back;
    });
    brought.is_right(away);
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, fast);
}

#[test]
fn an_address_of_a_wildcard_that_moves_away_is_not_answered_for() {
    an_address_moves(V6, "2001:db8:1::53/64");
}

#[test]
fn a_listed_address_that_moves_away_is_not_answered_for() {
    an_address_moves(V4, "192.0.2.53/24");
}

/// Packets that an interface has sent.
fn sent_by(netns: &Netns, interface: &str) -> u64 {
    let text = netns.run("ip", &["-json", "-statistics", "link", "show", interface]);
    let links: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    links[0]["stats64"]["tx"]["packets"].as_u64().expect("a number")
}

#[test]
fn replies_that_must_leave_by_another_interface_leave_there_and_come_back() {
    let Some(network) = Network::new() else { return };
    network.client.link("eth1", &network.responder, "eth1");
    network.client.address("eth1", "192.0.3.2/24");
    network.responder.address("eth1", "192.0.3.53/24");
    for netns in [&network.client, &network.responder] {
        for interface in ["all", "eth0", "eth1"] {
            netns.sysctl(&format!("net.ipv4.conf.{interface}.rp_filter"), "0");
        }
        netns.sysctl("net.ipv4.conf.lo.forwarding", "1");
    }
    let server = network.start_with(1, AUTO, LIMITS);
    let route = ["192.0.2.2/32", "via", "192.0.3.2", "dev", "eth1"];
    let change = |verb: &str| network.responder.ip(&[&["route", verb], &route[..]].concat());
    let (mut fast, mut slow) = (0, 0);
    let brought = under_load(&network, V4, 8, |load| {
        fast += load.answered();
        change("add");
        let (since, mut by_eth0) = (Instant::now(), sent_by(&network.responder, "eth0"));
        // The new route is seen within a quarter of a second.
        loop {
            load.wait_for_answers(load.rate() / 4);
            let before = std::mem::replace(&mut by_eth0, sent_by(&network.responder, "eth0"));
            if by_eth0 == before {
                break;
            }
            assert!(since.elapsed() < LIMIT, "replies leave by eth0");
        }
        let before = (load.answered(), sent_by(&network.responder, "eth1"));
        load.wait_for_answers(load.rate() / 2);
        slow = load.answered() - before.0;
        // Fewer packets than replies: the stack cuts them out of larger ones later.
        assert_ne!(sent_by(&network.responder, "eth1"), before.1, "replies leave by eth1");
        change("delete");
        let back = load.answered();
        load.wait_for_answers(load.rate());
        fast += load.answered() - back;
    });
    brought.is_right(Duration::ZERO);
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, fast - fast / 4);
    let by_socket = books.get("queries") - books.get("xsk_queries");
    assert!(by_socket >= slow - slow / 4, "{by_socket} of {slow} came by sockets meanwhile");
}

#[test]
fn a_single_flow_on_one_of_four_queues_is_served_whole() {
    let Some(network) = Network::with_queues(4) else { return };
    let server = network.start_with(2, AUTO, LIMITS);
    let brought = under_load(&network, V6, 1, |load| load.wait_for_answers(load.answered()));
    brought.is_right(Duration::ZERO);
    let _still_there = network.ask(V4, &query(1, "a-11-22-33-44.v4.test", AAAA));
    let books = stop(server);
    every_query_is_accounted_for(&books);
    assert_eq!(books.get("xsk_queries"), books.get("queries"), "all came by AF_XDP");
}
