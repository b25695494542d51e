//! One namespace with everything: `dns64d`, its upstream server, clients of many networks, and for
//! each of two gateways a TCP socket that stands for what lies behind it. A closed socket is a
//! gateway that has failed.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::daemon::Daemon;
use dns64_tests::netns::{Netns, Scratch, serial};
use serde_json::Value;

use crate::available;
use crate::network::{AAAA, PATIENCE, PTR, addresses, ask};

/// Within this answers for a failed gateway have left every tier.
const GONE_LIMIT: Duration = Duration::from_secs(1);

/// Clients, each of a /64 of its own.
const CLIENTS: u16 = 24;

const LISTEN: &str = "[2001:db8:53::53]:53";
/// 192.0.2.1 behind each gateway.
const TARGETS: [&str; 2] = ["2001:db8:641::c000:201", "2001:db8:642::c000:201"];
const PREFIXES: [&str; 2] = ["2001:db8:641::/96", "2001:db8:642::/96"];

/// The namespace and what runs in it. Fields are dropped in order.
struct World {
    targets: [Option<Target>; 2],
    daemon: Daemon,
    _upstream: Upstream,
    netns: Netns,
    _scratch: Scratch,
}

impl World {
    fn start() -> Self {
        let scratch = Scratch::new();
        let netns = Netns::new("pools");
        netns.address("lo", "2001:db8:53::53/128");
        for target in TARGETS {
            netns.address("lo", &format!("{target}/128"));
        }
        for client in 0..CLIENTS {
            netns.address("lo", &format!("{}/128", client_address(client)));
        }
        let address = "127.0.0.1:5300".parse().expect("an address");
        let upstream = netns.enter(|| Upstream::start(address, Options::default()));
        let upstream = upstream.expect("the port is free in a new namespace");
        let targets = [0, 1].map(|index| Some(listen(&netns, index)));
        let config = format!(
            "listen = [\"{LISTEN}\"]\nworkers = 2\nallow = [\"::/0\"]\n\
             [upstream]\nservers = [\"127.0.0.1:5300\"]\n\
             [[pool]]\nname = \"nat64\"\nprefixes = {PREFIXES:?}\nttl_max = 20\n\
             probe = {{ tcp = \"192.0.2.1:7\", interval_ms = 400, timeout_ms = 400, rise = 2, \
             fall = 2 }}\n\
             [dns64]\npool = \"nat64\"\n[datapath]\nmode = \"socket\"\n"
        );
        let daemon = Daemon::start(&scratch, Some(&netns), &config);
        Self { targets, daemon, _upstream: upstream, netns, _scratch: scratch }
    }

    /// The gateway of each client, by the answers to a name; one answer each, with a short TTL.
    fn gateways(&self, name: &str) -> Vec<usize> {
        self.netns.enter(|| {
            (0..CLIENTS)
                .map(|client| {
                    let reply = ask(server(), IpAddr::V6(client_address(client)), name, AAAA);
                    let addresses = addresses(&reply);
                    assert_eq!(addresses.len(), 1, "{reply:?}");
                    assert!(addresses[0].1 <= 20, "{reply:?}");
                    gateway_of(addresses[0].0)
                })
                .collect()
        })
    }

    /// Waits until the answers of all clients are as wanted; from then on they stay so.
    fn wait_for(&self, name: &str, wanted: impl Fn(&[usize]) -> bool) {
        let deadline = Instant::now() + GONE_LIMIT;
        loop {
            // Begun in time, or too late.
            let in_time = Instant::now() <= deadline;
            let gateways = self.gateways(name);
            if wanted(&gateways) {
                return;
            }
            assert!(in_time, "{gateways:?}\n{}", self.daemon.server.log());
        }
    }

    /// Waits until the probes have found out.
    fn wait_until_serving(&self, serving: [bool; 2]) {
        self.daemon.wait_until("status", PATIENCE, |status| {
            let serves = |index: usize| gateway(status, index)["serves"] == serving[index];
            serves(0) && serves(1)
        });
    }
}

/// What lies behind a gateway: takes connections in, and refuses them once it is dropped.
struct Target {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It holds nothing but its socket.
            let _ended = thread.join();
        }
    }
}

/// The target of a gateway.
fn listen(netns: &Netns, index: usize) -> Target {
    let target: Ipv6Addr = TARGETS[index].parse().expect("an address");
    let listener = netns.enter(|| TcpListener::bind((target, 7)).expect("a free port"));
    listener.set_nonblocking(true).expect("a socket");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            // Otherwise those that nobody takes in would fill the queue of the socket.
            if listener.accept().is_err() {
                thread::sleep(Duration::from_millis(5));
            }
        }
    });
    Target { stop, thread: Some(thread) }
}

fn gateway(status: &Value, index: usize) -> &Value {
    &status["pools"][0]["gateways"][index]
}

fn server() -> SocketAddr {
    LISTEN.parse().expect("an address")
}

fn client_address(client: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xc, client, 0, 0, 0, 1)
}

/// Which gateway an address leads to.
fn gateway_of(address: Ipv6Addr) -> usize {
    let third = address.segments()[2];
    usize::from(third.checked_sub(0x641).expect("an address under a prefix of the pool"))
}

const NAME: &str = "a-198-51-100-7.v4.test.";

#[test]
fn clients_of_a_gateway_that_fails_move_in_time_and_come_back_and_others_stay() {
    if !available(&["ip"]) {
        return;
    }
    let _machine = serial();
    let mut world = World::start();
    let before = world.gateways(NAME);
    assert!(before.contains(&0) && before.contains(&1), "{before:?}");
    // Hits say the same as misses.
    assert_eq!(world.gateways(NAME), before);

    world.targets[0] = None;
    world.wait_until_serving([false, true]);
    world.wait_for(NAME, |gateways| gateways.iter().all(|gateway| *gateway == 1));
    assert_eq!(gateway(&world.daemon.json("status"), 0)["state"], "down");

    world.targets[0] = Some(listen(&world.netns, 0));
    world.wait_until_serving([true, true]);
    world.wait_for(NAME, |gateways| gateways == before);
}

#[test]
fn discovery_follows_the_gateway_and_ptr_works_for_one_that_has_failed() {
    if !available(&["ip"]) {
        return;
    }
    let _machine = serial();
    let mut world = World::start();
    world.targets[0] = None;
    world.wait_until_serving([false, true]);
    let client = IpAddr::V6(client_address(0));
    let deadline = Instant::now() + GONE_LIMIT;
    loop {
        let in_time = Instant::now() <= deadline;
        let reply = world.netns.enter(|| ask(server(), client, "ipv4only.arpa.", AAAA));
        let found = addresses(&reply);
        assert_eq!(found.len(), 2, "{reply:?}");
        assert!(found.iter().all(|(_, ttl)| *ttl <= 20), "{reply:?}");
        if found.iter().all(|(address, _)| gateway_of(*address) == 1) {
            break;
        }
        assert!(in_time, "{reply:?}");
    }
    for third in ["1.4.6.0", "2.4.6.0"] {
        let zeros = "0.0.0.0.0.0.0.0.0.0.0.0";
        let name = format!("7.0.4.6.3.3.6.c.{zeros}.{third}.8.b.d.0.1.0.0.2.ip6.arpa.");
        let reply = world.netns.enter(|| ask(server(), client, &name, PTR));
        assert_eq!((reply.rcode, reply.answer.len()), (0, 2), "{name}: {reply:?}");
    }
}

#[test]
fn when_every_gateway_has_failed_all_count_as_up() {
    if !available(&["ip"]) {
        return;
    }
    let _machine = serial();
    let mut world = World::start();
    let before = world.gateways(NAME);
    world.targets = [None, None];
    world.daemon.wait_until("status", PATIENCE, |status| status["pools"][0]["fail_static"] == true);
    world.wait_for(NAME, |gateways| gateways == before);
    world.daemon.server.wait_for("every gateway has failed", PATIENCE);
}

#[test]
fn draining_moves_the_clients_of_a_gateway_and_the_last_one_stays() {
    if !available(&["ip"]) {
        return;
    }
    let _machine = serial();
    let world = World::start();
    let before = world.gateways(NAME);
    let output = world.daemon.ctl(&["drain", "nat64", PREFIXES[1]]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("2001:db8:642::/96, weight 1: drained, does not serve"), "{said}");
    world.wait_for(NAME, |gateways| gateways.iter().all(|gateway| *gateway == 0));
    for (pool, prefix, said) in [
        ("nat64", PREFIXES[0], "the last gateway"),
        ("nat64", "2001:db8::/96", "has no prefix"),
        ("other", PREFIXES[0], "there is no pool"),
    ] {
        let output = world.daemon.ctl(&["drain", pool, prefix]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{output:?}");
    }
    assert!(world.daemon.ctl(&["undrain", "nat64", PREFIXES[1]]).status.success());
    world.wait_for(NAME, |gateways| gateways == before);
}
