//! Which way queries take, and what is said of it.

use crate::message::{AAAA, answer_count, query};
use crate::network::{LIMIT, Network, V4, V6, XDP, stop};
use dns64_tests::program::dns64d;

const NAME: &str = "a-11-22-33-44.v4.test";

/// Asks over both families, twice.
fn ask_four_times(network: &Network) {
    for server in [V6, V4, V6, V4] {
        assert_eq!(answer_count(&network.ask(server, &query(3, NAME, AAAA))), 1);
    }
}

#[test]
fn a_driver_without_zero_copy_is_used_with_copies() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, "interfaces = [\"eth0\"]");
    let log = server.log();
    assert!(log.contains("eth0: no xdp-native-zerocopy: "), "{log}");
    assert!(log.contains("the driver has no zero-copy"), "{log}");
    assert!(log.contains("tier=eth0:xdp-native-copy:1"), "{log}");
    stop(server).balance();
}

#[test]
fn generic_mode_answers_too() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, &format!("{XDP}\nattach = \"generic\""));
    assert!(server.log().contains("tier=eth0:xdp-generic-copy:1"), "{}", server.log());
    ask_four_times(&network);
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("xsk_queries"), 4);
}

#[test]
fn without_interfaces_sockets_answer_and_a_line_says_why() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, "mode = \"auto\"");
    let log = server.log();
    assert!(log.contains("datapath.interfaces names no interface"), "{log}");
    assert!(log.contains("tier=socket"), "{log}");
    ask_four_times(&network);
    assert_eq!(stop(server).get("xsk_queries"), 0);
}

#[test]
fn an_interface_that_is_not_there_is_left_to_the_sockets() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, "interfaces = [\"eth9\"]");
    let log = server.log();
    assert!(log.contains("there is no interface eth9"), "{log}");
    assert!(log.contains("tier=eth9:socket"), "{log}");
    ask_four_times(&network);
    assert_eq!(stop(server).get("xsk_queries"), 0);
}

#[test]
fn a_mode_that_is_insisted_on_and_impossible_is_refused() {
    let Some(network) = Network::new() else { return };
    let config = network.config(1, "mode = \"xdp\"\ninterfaces = [\"eth9\"]", "");
    let mut server = network.responder.spawn(dns64d(), &["--config", &config]);
    let status = server.wait(LIMIT).expect("it ends");
    let log = server.final_log();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("there is no interface eth9") && !log.contains(" ready "), "{log}");
}

#[test]
fn without_rights_sockets_answer_and_a_line_says_what_is_missing() {
    let Some(network) = Network::new() else { return };
    // Ports below 1024 need a right, too; the directory of the test belongs to root.
    network.responder.sysctl("net.ipv4.ip_unprivileged_port_start", "0");
    let config = network.config(1, "interfaces = [\"eth0\"]", "");
    let program = dns64d().to_string_lossy().into_owned();
    let drop_rights = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"];
    let arguments: Vec<&str> =
        drop_rights.iter().copied().chain([program.as_str(), "--config", &config]).collect();
    let mut server = network.responder.spawn("setpriv", &arguments);
    server.wait_for(" ready ", LIMIT);
    let log = server.log();
    assert!(log.contains("not permitted to") && log.contains("CAP_BPF"), "{log}");
    assert!(log.contains("tier=eth0:socket"), "{log}");
    ask_four_times(&network);
    assert_eq!(stop(server).get("xsk_queries"), 0);

    let config = network.config(1, XDP, "");
    let arguments: Vec<&str> =
        drop_rights.iter().copied().chain([program.as_str(), "--config", &config]).collect();
    let mut server = network.responder.spawn("setpriv", &arguments);
    assert_eq!(server.wait(LIMIT).and_then(|status| status.code()), Some(2));
    assert!(server.final_log().contains("CAP_BPF"));
}

#[test]
fn a_program_of_others_stays_and_is_named() {
    let Some(network) = Network::new() else { return };
    let _other = crate::wire::Wire::open_at(&network.responder);
    let server = network.start(1, "interfaces = [\"eth0\"]");
    assert!(server.log().contains("another XDP program is attached to eth0"), "{}", server.log());
    ask_four_times(&network);
    assert_eq!(stop(server).get("xsk_queries"), 0);
}

#[test]
fn check_says_which_way_queries_would_take() {
    let Some(network) = Network::new() else { return };
    let config = network.config(1, "interfaces = [\"eth0\", \"eth9\"]", "");
    let program = dns64d().to_string_lossy().into_owned();
    let text = network.responder.run(&program, &["check", "--config", &config, "--datapath"]);
    assert!(text.contains("datapath  eth0: queries come by xdp-native-copy"), "{text}");
    assert!(text.contains("datapath  eth9: queries come by socket"), "{text}");
    let json =
        network.responder.run(&program, &["check", "--config", &config, "--datapath", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let steps = json["datapath"].as_array().expect("a list of steps");
    assert!(
        steps.iter().any(|step| step["tier"] == "xdp-native-copy" && step["refusal"].is_null())
    );
    let config = network.config(1, "mode = \"xdp\"\ninterfaces = [\"eth9\"]", "");
    let output = network.responder.output(&program, &["check", "--config", &config, "--datapath"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn replies_that_leave_by_another_interface_are_left_to_the_stack() {
    let Some(network) = Network::new() else { return };
    network.client.link("eth1", &network.responder, "eth1");
    network.client.address("eth1", "2001:db8:2::2/64");
    network.responder.address("eth1", "2001:db8:2::53/64");
    for family in ["ipv4", "ipv6"] {
        network.responder.sysctl(&format!("net.{family}.conf.lo.forwarding"), "1");
    }
    let server = network.start(1, XDP);
    ask_four_times(&network);
    // From an address whose way back is eth1, by eth0.
    let socket = network.socket("[2001:db8:2::2]:0");
    let reply = crate::network::ask_by(&socket, V6, &query(5, NAME, AAAA));
    assert_eq!(answer_count(&reply), 1);
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("queries"), 5);
    assert!(books.get("xsk_queries") >= 2, "neighbours are known after the first reply");
    assert!(books.get("xsk_queries") <= 4, "the asymmetric one came by the socket");
}

#[test]
fn a_way_back_that_nobody_tells_is_left_to_the_stack_and_said() {
    let Some(network) = Network::new() else { return };
    network.client.link("eth1", &network.responder, "eth1");
    network.client.address("eth1", "2001:db8:2::2/64");
    network.responder.address("eth1", "2001:db8:2::53/64");
    let server = network.start(1, XDP);
    assert!(server.log().contains("net.ipv6.conf.lo.forwarding is 1"), "{}", server.log());
    network.ask(V6, &query(3, NAME, AAAA));
    let books = stop(server);
    assert_eq!((books.get("queries"), books.get("xsk_queries")), (1, 0));
}
