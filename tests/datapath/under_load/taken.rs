//! The program or the interface is taken away.

use std::time::{Duration, Instant};

use dns64_tests::netns::Netns;

use super::load::under_load;
use super::{AUTO, FAST, LIMITS, came_by_af_xdp, every_query_is_accounted_for, outage};
use crate::faults::{detach, has_program, wait_for_count};
use crate::network::{Network, V4, V6, give_addresses, stop};

#[test]
fn a_program_that_is_detached_costs_no_more_than_a_ring() {
    let Some(network) = Network::new() else { return };
    let server = network.start_with(2, AUTO, LIMITS);
    let mut fast = 0;
    let brought = under_load(&network, V6, 8, |load| {
        // What belongs to a bpf_link cannot be taken away by netlink.
        let off = network.responder.output("ip", &["link", "set", "dev", "eth0", "xdp", "off"]);
        assert!(!off.status.success() && has_program(&network.responder), "{off:?}");
        fast += load.answered();
        detach(&network.responder);
        wait_for_count(&server, FAST, 2);
        fast += load.answered_next();
    });
    brought.is_right(Duration::ZERO);
    assert!(has_program(&network.responder));
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, fast);
}

#[test]
fn an_interface_that_goes_down_and_up_costs_no_more_than_its_absence_and_a_ring() {
    let Some(network) = Network::new() else { return };
    let server = network.start_with(1, AUTO, LIMITS);
    let mut away = Duration::ZERO;
    let mut all = 0;
    let brought = under_load(&network, V4, 8, |load| {
        for _ in 0..3 {
            let since = Instant::now();
            network.responder.ip(&["link", "set", "eth0", "down"]);
            network.responder.ip(&["link", "set", "eth0", "up"]);
            away += outage(&network, V4, since);
        }
        all = load.answered_next();
    });
    brought.is_right(away);
    // The program and its sockets stay where they are: nothing has to come back.
    assert_eq!(server.log().matches(FAST).count(), 1, "{}", server.log());
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, all);
}

#[test]
fn an_interface_that_is_made_anew_costs_no_more_than_its_absence_and_a_ring() {
    let Some(network) = Network::new() else { return };
    let server = network.start_with(1, AUTO, LIMITS);
    let mut away = Duration::ZERO;
    let mut fast = 0;
    let brought = under_load(&network, V4, 8, |load| {
        fast += load.answered();
        let since = Instant::now();
        network.responder.ip(&["link", "delete", "eth0"]);
        network.client.link("eth0", &network.responder, "eth0");
        give_addresses(&network.client, &network.responder);
        away = outage(&network, V4, since);
        wait_for_count(&server, FAST, 2);
        fast += load.answered_next();
    });
    brought.is_right(away);
    assert!(server.log().contains("the interface is gone"), "{}", server.log());
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, fast);
}

#[test]
fn an_interface_that_visits_another_namespace_costs_no_more_than_its_absence_and_a_ring() {
    let Some(network) = Network::new() else { return };
    let elsewhere = Netns::new("elsewhere");
    let server = network.start_with(1, AUTO, LIMITS);
    let mut away = Duration::ZERO;
    let mut fast = 0;
    let brought = under_load(&network, V4, 8, |load| {
        fast += load.answered();
        let since = Instant::now();
        network.responder.ip(&["link", "set", "eth0", "netns", elsewhere.name()]);
        elsewhere.ip(&["link", "set", "eth0", "netns", network.responder.name()]);
        network.responder.ip(&["link", "set", "eth0", "up"]);
        network.responder.address("eth0", "192.0.2.53/24");
        away = outage(&network, V4, since);
        wait_for_count(&server, FAST, 2);
        fast += load.answered_next();
    });
    brought.is_right(away);
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, fast);
}

#[test]
fn an_interface_with_another_name_is_served_until_its_name_is_somebody_elses() {
    let Some(network) = Network::new() else { return };
    let server = network.start_with(1, AUTO, LIMITS);
    let rename = |from: &str, to: &str| {
        network.responder.ip(&["link", "set", from, "down"]);
        network.responder.ip(&["link", "set", from, "name", to]);
        network.responder.ip(&["link", "set", to, "up"]);
    };
    let mut away = Duration::ZERO;
    let mut all = 0;
    let brought = under_load(&network, V4, 8, |load| {
        for (from, to) in [("eth0", "wan0"), ("wan0", "eth0"), ("eth0", "wan0")] {
            let since = Instant::now();
            rename(from, to);
            away += outage(&network, V4, since);
            load.wait_for_answers(100);
        }
        all = load.answered();
        // Another interface is what the configuration speaks of: wan0 is left to the sockets.
        network.client.link("eth1", &network.responder, "eth0");
        wait_for_count(&server, "another interface has its name", 1);
        wait_for_count(&server, FAST, 2);
        network.responder.ip(&["link", "delete", "eth0"]);
        let since = Instant::now();
        rename("wan0", "eth0");
        away += outage(&network, V4, since);
        wait_for_count(&server, FAST, 3);
        let back = load.answered();
        load.wait_for_answers(load.rate() / 2);
        all += load.answered() - back;
    });
    brought.is_right(away);
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, all);
}
