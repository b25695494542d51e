//! Real clients, whose own books must say that nothing was lost: dig, kdig, dnsperf, and kxdpgun,
//! which has an `AF_XDP` socket itself.

use std::time::{Duration, Instant};

use dns64_tests::netns::available;
use dns64_tests::server::Server;
use dns64_tests::stopwatch::Stopwatch;

use crate::network::{Network, XDP, stop};
use crate::wire::know_each_other;

/// Names with one A record each, whose AAAA records are synthesized.
const NAMES: usize = 50;

/// Rounds of dnsperf over the names, and how fast it asks.
const DNSPERF_ROUNDS: u64 = 20;
const DNSPERF_RATE: &str = "4000";

/// Queries a second of kxdpgun, for one second.
const KXDPGUN_RATE: u64 = 1_000;

/// How long the queue of an ended kxdpgun may still be taken.
const QUEUE_LIMIT: Duration = Duration::from_secs(10);

/// The responder's addresses.
const SERVERS: [&str; 2] = ["2001:db8:1::53", "192.0.2.53"];

fn name(number: usize) -> String {
    format!("a-11-0-1-{number}.v4.test")
}

/// The number behind some words of an output.
fn number_behind(text: &str, words: &str) -> u64 {
    let rest = text.split_once(words).map(|(_, rest)| rest.trim_start());
    let digits = rest.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let number = digits.flatten().and_then(|digits| digits.parse().ok());
    number.unwrap_or_else(|| panic!("no number behind {words:?}:\n{text}"))
}

/// One question by dig and by kdig.
fn look_up(network: &Network, server: &str) -> u64 {
    let at = format!("@{server}");
    let (dig, kdig) = (["+tries=1", "+time=5"], ["+retry=0", "+timeout=5"]);
    for (program, limits) in [("dig", dig), ("kdig", kdig)] {
        let question = [&at, &*name(7), "AAAA", "+short"];
        let said = network.client.run(program, &[&question[..], &limits].concat());
        assert_eq!(said.trim(), "2001:db8:64::b00:107", "{program} {at}");
    }
    2
}

/// Names by dnsperf.
fn by_dnsperf(network: &Network, server: &str, file: &str) -> u64 {
    let rounds = DNSPERF_ROUNDS.to_string();
    let arguments = ["-s", server, "-d", file, "-n", &rounds, "-c", "8", "-Q", DNSPERF_RATE];
    let said = network.client.run("dnsperf", &arguments);
    let all = NAMES as u64 * DNSPERF_ROUNDS;
    assert_eq!(number_behind(&said, "Queries sent:"), all, "{said}");
    assert_eq!(number_behind(&said, "Queries completed:"), all, "{said}");
    assert!(said.contains(&format!("NOERROR {all} (100.00%)")), "{said}");
    all
}

/// Names by kxdpgun; how many it has sent, and how many replies it has seen.
fn by_kxdpgun(network: &Network, server: &str, file: &str) -> (u64, u64) {
    let rate = KXDPGUN_RATE.to_string();
    let arguments = ["-t", "1", "-Q", &rate, "-b", "5", "-I", "eth0", "-i", file, server];
    let deadline = Instant::now() + QUEUE_LIMIT;
    let mut all = (0, 0);
    loop {
        let watch = Stopwatch::start();
        let output = network.client.output("kxdpgun", &arguments);
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        let said = said.join("\n");
        // The kernel gives a queue back some time after the process that had it has ended.
        if said.contains("requested resource is busy") && Instant::now() < deadline {
            continue;
        }
        assert!(output.status.success(), "{said}");
        let sent = number_behind(&said, "total queries:");
        all = (all.0 + sent, all.1 + number_behind(&said, "total replies:"));
        // The second for which it sends may have been a standstill of the machine.
        let is_short = sent < KXDPGUN_RATE / 2;
        if is_short && watch.stood_still() > Duration::ZERO && Instant::now() < deadline {
            continue;
        }
        assert!(!is_short, "{said}");
        return all;
    }
}

/// Every client over both families; every question must have come by `AF_XDP`, or be answered
/// inside XDP.
fn every_client(attach: &str, queues: u32, workers: u32) {
    if !available(&["dig", "kdig", "dnsperf", "kxdpgun"]) {
        return;
    }
    let Some(network) = Network::with_queues(queues) else { return };
    know_each_other(&network);
    let questions: String = (0..NAMES).map(|number| format!("{} AAAA\n", name(number))).collect();
    let file = network.scratch.write("questions", &questions);
    let file = file.to_string_lossy();
    let start = |more: &str| {
        let server = network.start(workers, &format!("{XDP}\nattach = \"{attach}\"\n{more}"));
        assert!(server.log().contains(&format!("tier=eth0:xdp-{attach}-copy:{queues}")));
        server
    };
    let server = start("");
    let mut asked = 0;
    for address in SERVERS {
        asked += look_up(&network, address);
        asked += by_dnsperf(&network, address, &file);
        let (sent, seen) = by_kxdpgun(&network, address, &file);
        assert!(queues > 1 || seen == sent, "kxdpgun, {address}: {seen} of {sent}");
        asked += sent;
    }
    answers_were_for_all(server, asked);
    if queues == 1 {
        return;
    }
    // kxdpgun asks by its first queue alone, and sees only what comes back there. A hot answer
    // leaves by the queue of the CPU that is at work. What the worker of the first queue has in its
    // cache comes back there; what it must ask another worker for is sent by a socket, on any
    // queue.
    let server = start("hot_answers = false");
    let mut asked = 0;
    for address in SERVERS {
        asked += by_kxdpgun(&network, address, &file).0;
        let (sent, seen) = by_kxdpgun(&network, address, &file);
        assert_eq!(seen, sent, "kxdpgun, {address}");
        asked += sent;
    }
    answers_were_for_all(server, asked);
}

/// Every question has come by `AF_XDP` or was answered inside XDP, and was answered.
fn answers_were_for_all(server: Server, asked: u64) {
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("queries"), asked);
    assert_eq!(books.get("responses"), asked);
    assert_eq!(books.get("xsk_queries") + books.get("kernel_answers"), asked);
}

#[test]
fn real_clients_lose_nothing_in_native_mode_on_one_queue() {
    every_client("native", 1, 1);
}

#[test]
fn real_clients_lose_nothing_in_native_mode_on_four_queues() {
    every_client("native", 4, 2);
}

#[test]
fn real_clients_lose_nothing_in_generic_mode_on_one_queue() {
    every_client("generic", 1, 1);
}

#[test]
fn real_clients_lose_nothing_in_generic_mode_on_four_queues() {
    every_client("generic", 4, 2);
}
