//! Things are taken away while queries come.

use std::thread;
use std::time::{Duration, Instant};

use dns64_tests::netns::Netns;
use dns64_tests::server::Server;
use rustix::process::Signal;

use crate::message::{AAAA, answer_count, query};
use crate::network::{LIMIT, Network, V4, V6, XDP, give_addresses, stop};

const AUTO: &str = "interfaces = [\"eth0\"]";
const NAME: &str = "a-11-22-33-44.v4.test";

/// Asks over both families; each must be answered.
fn is_answered(network: &Network) {
    for server in [V6, V4] {
        assert_eq!(answer_count(&network.ask(server, &query(3, NAME, AAAA))), 1);
    }
}

/// Takes the program from an interface, as another administrator might.
pub(crate) fn detach(netns: &Netns) {
    let read = |program: &str, arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&netns.run(program, arguments)).expect("JSON")
    };
    let interface = read("ip", &["-json", "-details", "link", "show", "eth0"]);
    let program = interface[0]["xdp"]["prog"]["id"].as_u64().expect("a program is attached");
    // bpftool shows the links of the whole machine.
    let links = read("bpftool", &["--json", "link"]);
    let mut links = links.as_array().expect("a list").iter();
    let link = links.find(|link| link["type"] == "xdp" && link["prog_id"] == program);
    let link = link.and_then(|link| link["id"].as_u64()).expect("its link");
    netns.run("bpftool", &["link", "detach", "id", &link.to_string()]);
}

/// Whether an interface has an XDP program.
pub(crate) fn has_program(netns: &Netns) -> bool {
    netns.run("ip", &["-details", "link", "show", "eth0"]).contains("xdp")
}

/// Waits until the log has a text so many times.
pub(crate) fn wait_for_count(server: &Server, text: &str, count: usize) {
    let deadline = Instant::now() + LIMIT;
    while server.log().matches(text).count() < count {
        assert!(Instant::now() < deadline, "{count} times {text:?}:\n{}", server.log());
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_stays_behind_a_killed_process() {
    let Some(network) = Network::new() else { return };
    let mut server = network.start(1, XDP);
    is_answered(&network);
    assert!(has_program(&network.responder));
    server.signal(Signal::KILL);
    assert!(server.wait(LIMIT).is_some());
    let deadline = Instant::now() + LIMIT;
    while has_program(&network.responder) {
        assert!(Instant::now() < deadline, "the program stays");
        thread::sleep(Duration::from_millis(20));
    }
    // The next one gets everything that the first one had.
    let server = network.start(1, XDP);
    is_answered(&network);
    stop(server).balance();
}

#[test]
fn a_detached_program_costs_no_answer_and_comes_back() {
    let Some(network) = Network::new() else { return };
    let server = network.start(2, XDP);
    is_answered(&network);
    detach(&network.responder);
    assert!(!has_program(&network.responder));
    // One try each: the sockets have them at once.
    let socket = network.socket("[2001:db8:1::2]:0");
    for id in 0..200 {
        socket.send_to(&query(id, NAME, AAAA), V6).expect("the cable is in");
        let mut reply = [0; 512];
        let (len, _) = socket.recv_from(&mut reply).expect("an answer to the only try");
        assert_eq!((reply[..2].to_vec(), len > 12), (id.to_be_bytes().to_vec(), true));
    }
    wait_for_count(&server, "queries come by xdp", 2);
    assert!(has_program(&network.responder));
    is_answered(&network);
    assert!(server.log().contains("detached by somebody else"), "{}", server.log());
    let books = stop(server);
    books.balance();
    assert!(books.get("xsk_queries") >= 4, "before and after");
    assert!(books.get("queries") >= books.get("xsk_queries") + 100, "and in between by sockets");
}

#[test]
fn an_interface_that_goes_down_and_up_is_served_again() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    is_answered(&network);
    network.responder.ip(&["link", "set", "eth0", "down"]);
    network.responder.ip(&["link", "set", "eth0", "up"]);
    // The kernel takes IPv6 addresses away from an interface that is down.
    network.responder.ip(&["address", "replace", "2001:db8:1::53/64", "dev", "eth0", "nodad"]);
    is_answered(&network);
    stop(server).balance();
}

#[test]
fn a_new_interface_of_the_same_name_is_served_again() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, AUTO);
    is_answered(&network);
    network.responder.ip(&["link", "delete", "eth0"]);
    wait_for_count(&server, "the interface is gone", 1);
    network.client.link("eth0", &network.responder, "eth0");
    give_addresses(&network.client, &network.responder);
    // By sockets at first, perhaps.
    is_answered(&network);
    wait_for_count(&server, "queries come by xdp", 2);
    is_answered(&network);
    let books = stop(server);
    books.balance();
    assert!(books.get("xsk_queries") >= 4, "{}", books.get("xsk_queries"));
}

#[test]
fn a_new_address_is_served_by_af_xdp() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    network.responder.address("eth0", "2001:db8:1::54/64");
    let deadline = Instant::now() + LIMIT;
    // At first by the socket: the reply is the same, so the books must tell.
    let mut asked = 0;
    while asked < 20 {
        network.ask("[2001:db8:1::54]:53", &query(1, NAME, AAAA));
        asked += 1;
        thread::sleep(Duration::from_millis(50));
        assert!(Instant::now() < deadline);
    }
    let books = stop(server);
    books.balance();
    assert!(books.get("xsk_queries") > 0, "none of {asked} came by AF_XDP");
}
