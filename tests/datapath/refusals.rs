//! What the kernel may refuse at the start, by `strace` fault injection: each refusal has a line
//! with its reason and what can be done, the next lower rung is taken, and queries are answered.

use std::fs;

use dns64_tests::server::Server;

use crate::message::{AAAA, answer_count, query};
use crate::network::{LIMIT, Network, V4, V6, stop};
use dns64_tests::program::dns64d;

const AUTO: &str = "interfaces = [\"eth0\"]";
const NAME: &str = "a-11-22-33-44.v4.test";

/// The calls that are looked at.
const CALLS: &str = "trace=bpf,socket,setsockopt,bind";

/// Starts `dns64d` under strace, with further arguments for it.
fn start_traced(network: &Network, arguments: &[&str]) -> Server {
    let config = network.config(1, AUTO, "");
    let program = dns64d().to_string_lossy().into_owned();
    // With -D the tracer is the grandchild, so that the process we started is the responder.
    let mut all = vec!["-D", "-f", "-qq", "--seccomp-bpf", "-e", CALLS];
    all.extend(arguments);
    all.extend([program.as_str(), "--config", &config]);
    let mut server = network.responder.spawn("strace", &all);
    server.wait_for(" ready ", LIMIT);
    server
}

/// The calls of the thread that starts everything.
fn calls_of_a_start(network: &Network) -> Vec<String> {
    let file = network.scratch.path().join("calls");
    let server = start_traced(network, &["-o", &file.to_string_lossy()]);
    assert!(server.log().contains("tier=eth0:xdp-native-copy:1"), "{}", server.log());
    stop(server);
    let text = fs::read_to_string(&file).expect("strace writes what it sees");
    let first = text.split_whitespace().next().expect("there are calls").to_owned();
    text.lines()
        .filter_map(|line| line.strip_prefix(&first))
        .map(|line| line.trim_start().to_owned())
        .collect()
}

/// Makes a call fail: the first one whose line has all marks, and those after it if `and_later`.
/// Returns what is said.
fn refused(network: &Network, calls: &[String], refusal: (&str, &str, &str, bool)) -> String {
    let (call, marks, error, and_later) = refusal;
    let of_call = calls.iter().filter(|line| line.starts_with(&format!("{call}(")));
    let place = of_call.clone().position(|line| marks.split(' ').all(|mark| line.contains(mark)));
    let number = place.unwrap_or_else(|| panic!("no {call} with {marks} in {calls:#?}")) + 1;
    let plus = if and_later { "+" } else { "" };
    let inject = format!("inject={call}:error={error}:when={number}{plus}");
    let file = network.scratch.path().join("injected");
    let server = start_traced(network, &["-o", &file.to_string_lossy(), "-e", &inject]);
    for to in [V6, V4] {
        let reply = network.ask(to, &query(3, NAME, AAAA));
        assert_eq!(answer_count(&reply), 1, "{refusal:?}");
    }
    let log = server.log();
    stop(server).balance();
    let injected = fs::read_to_string(&file).expect("strace writes what it sees");
    assert!(injected.contains("(INJECTED)"), "{refusal:?}: no call failed");
    log
}

#[test]
fn each_refusal_has_a_line_and_leads_to_the_next_rung() {
    let Some(network) = Network::new() else { return };
    if !dns64_tests::netns::available(&["strace"]) {
        return;
    }
    let calls = calls_of_a_start(&network);
    let load = "prog_name=\"steer\"";
    let link = "BPF_LINK_CREATE attach_type=BPF_XDP";
    let socket = "tier=eth0:socket";
    // Call, marks, error, and whether later ones fail too; the line's words; where it ends.
    let cases = [
        // No rights, or no memory for maps.
        (("bpf", "BPF_MAP_CREATE", "EPERM", true), "CAP_BPF", socket),
        (("bpf", "BPF_MAP_CREATE", "ENOMEM", true), "MemoryMax=", socket),
        // The verifier.
        (("bpf", load, "ENOMEM", true), "cannot load BPF programs: Cannot", socket),
        // The driver, or a kernel without links for XDP.
        (
            ("bpf", link, "EOPNOTSUPP", false),
            "generic mode works with every driver",
            "tier=eth0:xdp-generic-copy:1",
        ),
        (("bpf", link, "EINVAL", true), "takes no XDP program in generic mode", socket),
        (("bpf", link, "EBUSY", true), "another XDP program is attached", socket),
        // AF_XDP.
        (("socket", "AF_XDP", "EAFNOSUPPORT", true), "CONFIG_XDP_SOCKETS", socket),
        (("setsockopt", "SOL_XDP", "ENOBUFS", true), "LimitMEMLOCK=", socket),
        (("bind", "AF_XDP", "EBUSY", true), "another program has an AF_XDP socket", socket),
    ];
    for (refusal, words, tier) in cases {
        let log = refused(&network, &calls, refusal);
        assert!(log.contains(words), "{refusal:?}: no {words:?} in\n{log}");
        assert!(log.contains(tier), "{refusal:?}: no {tier:?} in\n{log}");
    }
}
