//! Queries by sockets, and whose sockets they reach. Replies are the same at every worker's, so
//! what the workers say at their end must tell.

use std::net::UdpSocket;

use dns64_ebpf::abi::{SteerBy, SteerConfig, SteerMode};
use dns64_ebpf::hash::name_hash;
use dns64_ebpf::select::{owner, owner_of_message};
use dns64_tests::netns::available;

use crate::faults::{detach, wait_for_count};
use crate::message::{AAAA, PTR, answer_count, query, rcode};
use crate::network::{LIMIT, Network, V4, V6, ask_by, numbers, stop, stop_with_log};
use dns64_tests::program::dns64d;

const BY_NAME: &str = "mode = \"socket\"\nsteering = \"name\"";
const BY_FLOW: &str = "mode = \"socket\"\nsteering = \"flow\"";
const NAMES: u32 = 80;

/// A name that has one address, in small letters and others.
fn name(number: u32, in_capitals: bool) -> String {
    let name = format!("a-11-22-{}-{}.v4.test", number / 256, number % 256);
    if in_capitals { name.to_ascii_uppercase() } else { name }
}

/// Asks for every name at every server in turn, each time from another port; how often.
fn ask_from_many_flows(network: &Network, servers: &[&str]) -> u64 {
    let mut asked = 0;
    for number in 0..NAMES {
        for server in servers {
            for in_capitals in [false, true] {
                let question = query(number as u16, &name(number, in_capitals), AAAA);
                assert_eq!(answer_count(&network.ask(server, &question)), 1);
                asked += 1;
            }
        }
    }
    asked
}

/// How many queries each worker has had.
fn queries_of_workers(log: &str) -> Vec<u64> {
    numbers(log, "worker ended", "queries")
}

#[test]
fn by_name_each_query_reaches_the_worker_that_keeps_the_name() {
    let Some(network) = Network::new() else { return };
    // A wildcard and a special address on one port, two ports of one address, both families.
    let more = [V6, V4, "192.0.2.53:5353", "[2001:db8:1::53]:5354"];
    let config = network.config(2, BY_NAME, "");
    let text = std::fs::read_to_string(&config).expect("it was written");
    let listen = "\"192.0.2.53:53\"";
    assert!(text.contains(listen));
    let longer = format!("{listen}, \"192.0.2.53:5353\", \"[2001:db8:1::53]:5354\"");
    std::fs::write(&config, text.replace(listen, &longer)).expect("it can be written");
    let mut server = network.responder.spawn(dns64d(), &["--config", &config]);
    server.wait_for(" ready ", LIMIT);
    assert!(server.log().contains("queries are steered by name"), "{}", server.log());
    assert!(server.log().contains("steering=name"), "{}", server.log());
    let asked = ask_from_many_flows(&network, &more);
    let (books, log) = stop_with_log(server);
    books.balance();
    assert_eq!(books.get("handed_over"), 0, "every query was its worker's own:\n{log}");
    assert!(numbers(&log, "on their way to sockets", "chosen")[0] >= asked, "{log}");
    assert_eq!(numbers(&log, "on their way to sockets", "no_socket"), [0], "{log}");
    // Eighty names for two: less than a quarter for one has a chance of one in a million.
    let queries = queries_of_workers(&log);
    assert_eq!(queries.len(), 2, "{log}");
    assert!(queries.iter().all(|queries| *queries > asked / 4), "{queries:?} of {asked}");
}

#[test]
fn by_flow_names_are_handed_to_the_worker_that_keeps_them() {
    let Some(network) = Network::new() else { return };
    let server = network.start(2, BY_FLOW);
    assert!(server.log().contains("steering=flow"), "{}", server.log());
    ask_from_many_flows(&network, &[V6, V4]);
    let (books, log) = stop_with_log(server);
    books.balance();
    assert!(books.get("handed_over") > 0, "{log}");
    assert!(!log.contains("on their way to sockets"), "the kernel does this by itself: {log}");
}

/// Asks for many names from one port; the queries of each worker.
fn one_flow(network: &Network, workers: u32, datapath: &str) -> (Vec<u64>, String) {
    let server = network.start(workers, datapath);
    let socket: UdpSocket = network.socket("[2001:db8:1::2]:0");
    for number in 0..NAMES {
        let question = query(number as u16, &name(number, false), AAAA);
        assert_eq!(answer_count(&ask_by(&socket, V6, &question)), 1);
    }
    let (books, log) = stop_with_log(server);
    books.balance();
    (queries_of_workers(&log), log)
}

#[test]
fn by_flow_one_flow_stays_with_one_worker_and_by_name_it_does_not() {
    let Some(network) = Network::new() else { return };
    let busy = |queries: &[u64]| queries.iter().filter(|queries| **queries > 0).count();
    let (queries, log) = one_flow(&network, 4, BY_FLOW);
    assert_eq!((queries.len(), busy(&queries)), (4, 1), "{log}");
    let (queries, log) = one_flow(&network, 4, BY_NAME);
    assert_eq!((queries.len(), busy(&queries)), (4, 4), "{log}");
}

#[test]
fn what_has_no_name_is_answered_by_whoever_the_kernel_chooses() {
    let Some(network) = Network::new() else { return };
    let server = network.start(3, BY_NAME);
    let mut notify = query(1, &name(1, false), AAAA);
    notify[2] |= 4 << 3;
    assert_eq!(rcode(&network.ask(V6, &notify)), 4, "NOTIMP");
    let mut two_questions = query(2, &name(1, false), AAAA);
    two_questions[5] = 2;
    assert_eq!(rcode(&network.ask(V4, &two_questions)), 1, "FORMERR");
    let mut cut = query(3, &name(1, false), AAAA);
    cut.truncate(20);
    assert_eq!(rcode(&network.ask(V4, &cut)), 1, "FORMERR");
    // A name with an octet of 0x80 is one all the same.
    let mut strange = query(4, &name(1, false), AAAA);
    strange[14] = 0x80;
    network.ask(V6, &strange);
    let (books, log) = stop_with_log(server);
    books.balance();
    assert!(numbers(&log, "on their way to sockets", "left")[0] >= 4, "{log}");
}

#[test]
fn a_reverse_name_under_a_prefix_is_handed_over_once_at_most() {
    let Some(network) = Network::new() else { return };
    let server = network.start(2, BY_NAME);
    let digits = "20010db800640000000000000b16212c";
    let labels: Vec<String> = digits.chars().rev().map(String::from).collect();
    let name = format!("{}.ip6.arpa", labels.join("."));
    for id in 0..20 {
        assert!(answer_count(&network.ask(V6, &query(id, &name, PTR))) > 0);
    }
    let books = stop(server);
    books.balance();
    // It is kept under its name in in-addr.arpa, perhaps by another worker.
    assert!(books.get("handed_over") <= 1, "{}", books.get("handed_over"));
}

/// Starts a program with these capabilities at most.
fn limited<'a>(bounding: &'a str, program: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let limits = [bounding, "--inh-caps=-all", "--no-new-privs", "--", program];
    limits.iter().chain(arguments).copied().collect()
}

#[test]
fn without_rights_the_kernel_chooses_and_a_line_has_the_remedy() {
    let Some(network) = Network::new() else { return };
    network.responder.sysctl("net.ipv4.ip_unprivileged_port_start", "0");
    let config = network.config(2, BY_NAME, "");
    let program = dns64d().to_string_lossy().into_owned();
    let none = "--bounding-set=-all";
    let serve = ["--config", config.as_str()];
    let mut server = network.responder.spawn("setpriv", &limited(none, &program, &serve));
    server.wait_for(" ready ", LIMIT);
    let log = server.log();
    assert!(log.contains("no steering by name: not permitted to"), "{log}");
    assert!(log.contains("CAP_BPF") && log.contains("steering=flow"), "{log}");
    assert_eq!(log.matches("no steering by name").count(), 1, "{log}");
    ask_from_many_flows(&network, &[V6, V4]);
    let books = stop(server);
    books.balance();
    assert!(books.get("handed_over") > 0);

    let check = ["check", "--config", config.as_str(), "--datapath"];
    let text = network.responder.run("setpriv", &limited(none, &program, &check));
    assert!(text.contains("steering  no steering by name: not permitted to"), "{text}");
    // The remedy helps, and no other right is needed.
    let remedy = "--bounding-set=-all,+bpf,+perfmon";
    let text = network.responder.run("setpriv", &limited(remedy, &program, &check));
    assert!(text.contains("steering  queries are steered by name"), "{text}");
    let mut server = network.responder.spawn("setpriv", &limited(remedy, &program, &serve));
    server.wait_for(" ready ", LIMIT);
    ask_from_many_flows(&network, &[V6]);
    assert_eq!(stop(server).get("handed_over"), 0);
}

#[test]
fn check_says_what_steers_for_people_and_for_programs() {
    let Some(network) = Network::new() else { return };
    let program = dns64d().to_string_lossy().into_owned();
    let check = |datapath: &str| -> (String, serde_json::Value) {
        let config = network.config(3, datapath, "");
        let arguments = ["check", "--config", config.as_str(), "--datapath"];
        let text = network.responder.run(&program, &arguments);
        let with_json: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let json = network.responder.run(&program, &with_json);
        (text, serde_json::from_str(&json).expect("JSON"))
    };
    let (text, json) = check(BY_NAME);
    assert!(text.contains("steering  queries are steered by name"), "{text}");
    assert_eq!(json["steering"], serde_json::json!({ "by": "name", "refusal": null }));
    let (text, json) = check(BY_FLOW);
    assert!(text.contains("steering  queries are steered by flow"), "{text}");
    assert_eq!(json["steering"]["by"], "flow");
    let (text, json) = check(&format!("{BY_NAME}\ninterfaces = [\"eth0\", \"eth9\"]"));
    assert!(text.contains("datapath  eth0: queries come by socket-cpumap"), "{text}");
    assert!(text.contains("datapath  eth9: no socket-cpumap: there is no interface"), "{text}");
    assert_eq!(json["datapath"][0]["tier"], "socket-cpumap");
}

// ---- By way of another CPU

/// Asks from many flows where an interface has one queue for two workers; the end of the log.
fn by_cpumap(network: &Network, datapath: &str) -> String {
    let server = network.start(2, &format!("{datapath}\ninterfaces = [\"eth0\"]"));
    assert!(server.log().contains("tier=eth0:socket-cpumap:1"), "{}", server.log());
    let asked = ask_from_many_flows(network, &[V6, V4]);
    let (books, log) = stop_with_log(server);
    books.balance();
    let at = |name: &str| numbers(&log, "on their way to CPUs", name)[0];
    assert!(at("moved") + at("here") >= asked, "{log}");
    assert_eq!(at("no_cpu"), 0, "{log}");
    // With one CPU all is where it should be already.
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    assert!(cpus == 1 || at("moved") > 0, "{log}");
    assert!(numbers(&log, "on their way to sockets", "chosen")[0] >= asked, "{log}");
    log
}

#[test]
fn queries_go_by_the_cpu_of_the_worker_that_keeps_the_name() {
    let Some(network) = Network::new() else { return };
    let log = by_cpumap(&network, BY_NAME);
    assert_eq!(numbers(&log, " stopped ", "handed_over"), [0], "{log}");
}

#[test]
fn queries_go_by_the_cpu_of_the_worker_in_the_driver_too() {
    let Some(network) = Network::new() else { return };
    if !available(&["ethtool"]) {
        return;
    }
    // A frame that changes its CPU in the driver is taken to have its checksum.
    network.client.run("ethtool", &["-K", "eth0", "tx", "off"]);
    let log = by_cpumap(&network, &format!("{BY_NAME}\nattach = \"native\""));
    assert_eq!(numbers(&log, " stopped ", "handed_over"), [0], "{log}");
}

#[test]
fn by_flow_the_cpu_and_the_socket_are_one_workers() {
    let Some(network) = Network::new() else { return };
    by_cpumap(&network, BY_FLOW);
    let datapath = format!("{BY_FLOW}\ninterfaces = [\"eth0\"]");
    let (queries, log) = one_flow(&network, 4, &datapath);
    assert_eq!(queries.iter().filter(|queries| **queries > 0).count(), 1, "{log}");
}

#[test]
fn an_interface_with_a_queue_for_each_worker_is_left_as_it_is() {
    let Some(network) = Network::with_queues(2) else { return };
    let server = network.start(2, &format!("{BY_NAME}\ninterfaces = [\"eth0\"]"));
    let log = server.log();
    assert!(log.contains("eth0: no socket-cpumap: eth0 spreads queries over 2 queues"), "{log}");
    assert!(log.contains("tier=eth0:socket "), "{log}");
    ask_from_many_flows(&network, &[V6]);
    assert_eq!(stop(server).get("handed_over"), 0, "sockets are chosen all the same");
}

#[test]
fn a_program_that_is_detached_costs_no_answer_and_comes_back() {
    let Some(network) = Network::new() else { return };
    let server = network.start(2, &format!("{BY_NAME}\ninterfaces = [\"eth0\"]"));
    detach(&network.responder);
    ask_from_many_flows(&network, &[V6]);
    wait_for_count(&server, "queries come by socket-cpumap", 2);
    ask_from_many_flows(&network, &[V4]);
    let (books, log) = stop_with_log(server);
    books.balance();
    assert_eq!(books.get("handed_over"), 0, "{log}");
    assert!(log.contains("detached by somebody else"), "{log}");
    // Nothing is left of it, nor of what it was attached to.
    assert!(!network.responder.run("ip", &["-details", "link", "show", "eth0"]).contains("xdp"));
}

// ---- Without the kernel

#[test]
fn the_program_and_the_engine_agree_on_the_owner() {
    for number in 0..2_000 {
        let (seed, workers) = (u64::from(number) << 40 | 7, 1 + (number % 16) as u16);
        let message = query(number as u16, &name(number, number % 2 == 0), AAAA);
        let plain = dns64::wire::PlainQuery::read(&message, seed).expect("a plain query");
        assert_eq!(plain.name_hash, name_hash(plain.name(), seed));
        let config = SteerConfig::new(SteerMode::Worker, SteerBy::Name, workers, 1, seed);
        let by_program = owner_of_message(&message[..], message.len(), &config);
        assert_eq!(by_program, Some(owner(plain.name_hash, workers)));
    }
}
