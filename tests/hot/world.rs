//! An engine with its upstream server, and the program with the table that the engine's hot answers
//! are published in.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use dns64::cache::Shard;
use dns64::datagram::{Channel, Client, Datagram, WorkerId};
use dns64::engine::{Engine, EngineSettings, HotOrder, HotSettings};
use dns64::sys::clock::monotonic_ns;
use dns64::time::Moment;
use dns64::xdp::Run;
use dns64::xdp::hot::{HotTable, Published};
use dns64::xdp::steering::{Steering, WaysBack};
use dns64_ebpf::abi::{
    ClientEntry, ClientKey, ClientRule, ServiceKey, SteerBy, SteerConfig, SteerMode, WayBack,
    mapped,
};
use dns64_ebpf::classify::Tables;
use dns64_ebpf::hot::entry::ENTRY_WORDS;
use dns64_tests::exchange::exchange;
use ipnet::IpNet;

/// The seed of flows.
const FLOW_SEED: u64 = 7;

/// The seed of names, shared by engine and program.
const NAME_SEED: u64 = 0x5eed_0fda_7a00;

/// Views whose replies to one question differ.
const CONFIGURATION: &str = r#"
allow = ["2001:db8::/32", "192.0.2.0/24"]
[upstream]
servers = ["203.0.113.53"]
[dns64]
prefixes = ["64:ff9b::/96"]
[[view]]
name = "other"
clients = ["2001:db8:2::/48", "192.0.2.128/25"]
dns64 = { prefixes = ["2001:db8:6464::/96"], exclude_aaaa = ["2a00::/8"] }
"#;

/// Where queries go.
pub(crate) const SERVER_V4: &str = "192.0.2.53:53";
pub(crate) const SERVER_V6: &str = "[2001:db8::53]:53";

/// Whose queries the program drops, and inside of these whom it does not.
const DROPPED: [&str; 2] = ["2001:db8:dead::/48", "192.0.2.64/28"];
const NOT_DROPPED: [&str; 2] = ["2001:db8:dead:7::/64", "192.0.2.70/32"];

/// The time of the engine that nobody moves: the program's clock says the same.
const START: Moment = Moment::from_millis(10_000);

/// Engine, server and program.
pub(crate) struct World {
    engine: Engine,
    pub(crate) now: Moment,
    pub(crate) steering: Steering,
    pub(crate) table: HotTable,
    /// What has been published.
    pub(crate) published: Vec<[u64; ENTRY_WORDS]>,
}

impl World {
    /// A new one; `None`, and a word why, where programs cannot be loaded.
    pub(crate) fn new(entries: u32) -> Option<Self> {
        Self::of(CONFIGURATION, entries)
    }

    /// As [`Self::new`], with a configuration.
    pub(crate) fn of(configuration: &str, entries: u32) -> Option<Self> {
        let mut steering = match Steering::load_with(FLOW_SEED, NAME_SEED, entries) {
            Ok(steering) => steering,
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{error}");
                eprintln!("skipped: {error}");
                return None;
            }
        };
        let config = dns64::config::parse(configuration, "test").expect("made to be right");
        let policy = Arc::new(config.policy());
        let services: BTreeSet<SocketAddr> =
            [SERVER_V4, SERVER_V6].map(|text| text.parse().expect("made to be right")).into();
        steering.set_services(&services).expect("made to be right");
        let clients = policy.client_networks().map(|(network, class)| {
            let rule = if class.allowed { ClientRule::Answer } else { ClientRule::Refuse };
            (network, ClientEntry::new(rule, policy.audience(class)))
        });
        let own = |rule, networks: [&str; 2]| {
            networks.map(|network| {
                (network.parse().expect("made to be right"), ClientEntry::new(rule, 0))
            })
        };
        let clients = clients
            .chain(own(ClientRule::Drop, DROPPED))
            .chain(own(ClientRule::Refuse, NOT_DROPPED));
        steering.set_clients(clients).expect("made to be right");
        // Frames of a test run come by the loopback interface.
        let ways = WaysBack { v4: WayBack::Same, v6: WayBack::Same };
        steering.set_hot_answers(1, true);
        steering.open(1, 0, 1, ways).expect("made to be right");
        let mut table = HotTable::new(&mut steering).expect("made to be right");
        table.set_payload_max(policy.limits.udp_payload as u16);
        let settings = EngineSettings {
            policy,
            worker: WorkerId(0),
            workers: 1,
            hash_seed: NAME_SEED,
            random_seed: [7; 32],
        };
        let mut engine = Engine::new(settings, Shard::new(1 << 20));
        engine.publish_hot(HotSettings { sample: 1, threshold: 1, generation: table.generation() });
        let world = Self { engine, now: START, steering, table, published: Vec::new() };
        world.beat();
        Some(world)
    }

    /// Shows the program the engine's time, and that user space lives for a minute to come: the
    /// tests do not depend on how fast they are.
    pub(crate) fn beat(&self) {
        const MINUTE_NS: u64 = 60_000_000_000;
        self.table.beat(self.now.as_secs(), MINUTE_NS, monotonic_ns() + MINUTE_NS);
    }

    /// What the engine replies; `None` if it does not.
    pub(crate) fn ask(&mut self, client: SocketAddr, query: &[u8]) -> Option<Vec<u8>> {
        let client = Client {
            peer: client,
            local: IpAddr::V6(Ipv6Addr::LOCALHOST),
            interface: 0,
            channel: Channel::Udp { socket: 0 },
        };
        let datagram = Datagram { bytes: query, client };
        exchange(&mut self.engine, datagram, self.now, 4_096, respond).reply
    }

    /// Carries out what the engine wants published; how many publications that were.
    pub(crate) fn publish(&mut self) -> usize {
        let mut published = 0;
        while let Some(order) = self.engine.poll_hot() {
            match order {
                HotOrder::Publish(words) => {
                    let outcome = self.table.publish(&words, self.now.as_secs());
                    published += usize::from(outcome != Published::Full);
                    self.published.push(words);
                }
                HotOrder::Withdraw(hash) => self.table.withdraw(hash),
            }
        }
        published
    }

    /// Asks until the reply is published: whether it is one that can be.
    pub(crate) fn heat(&mut self, client: SocketAddr, query: &[u8]) -> bool {
        for _ in 0..4 {
            let _reply = self.ask(client, query);
        }
        self.publish() > 0
    }

    /// Runs the program on a frame.
    pub(crate) fn run(&self, frame: &[u8]) -> Run {
        self.steering.program().run_on(frame, 1).expect("made to be right")
    }
}

/// What the program's maps hold, for the classifier in this process.
pub(crate) struct HostTables {
    config: SteerConfig,
    services: [ServiceKey; 2],
}

impl HostTables {
    pub(crate) fn new() -> Self {
        let services = [SERVER_V4, SERVER_V6].map(|text| {
            let service: SocketAddr = text.parse().expect("made to be right");
            ServiceKey::new(mapped(service.ip()), service.port())
        });
        let config = SteerConfig::new(SteerMode::Xsk, SteerBy::Flow, 1, FLOW_SEED, NAME_SEED);
        Self { config, services }
    }
}

impl Tables for HostTables {
    fn config(&self) -> &SteerConfig {
        &self.config
    }

    fn serves(&self, service: &ServiceKey) -> bool {
        self.services.contains(service)
    }

    fn denies(&self, client: &ClientKey) -> bool {
        let client = IpAddr::from(client.address()).to_canonical();
        let is_in = |networks: [&str; 2]| {
            let networks = networks.map(|text| text.parse::<IpNet>().expect("made to be right"));
            networks.iter().any(|network| network.contains(&client))
        };
        is_in(DROPPED) && !is_in(NOT_DROPPED)
    }
}

/// What the server says of a name: `six*` has AAAA, `four*` A, `nx*` does not exist, `no*` has
/// neither; the digit behind is how many addresses.
fn respond(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|octet| *octet == 0).expect("made to be right") + 1;
    let rtype = u16::from_be_bytes([query[end], query[end + 1]]);
    let label: Vec<u8> =
        query[13..13 + usize::from(query[12])].iter().map(u8::to_ascii_lowercase).collect();
    let count = label.iter().find(|octet| octet.is_ascii_digit()).map_or(1, |octet| octet - b'0');
    let mut response = query[..end + 4].to_vec();
    response[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
    if label.starts_with(b"nx") {
        response[3] |= 3;
    }
    let has_records = match rtype {
        28 => label.starts_with(b"six"),
        1 => label.starts_with(b"four"),
        _ => false,
    };
    for number in 0..if has_records { count } else { 0 } {
        // TTLs that differ, the shortest last.
        let ttl = 3_600 - u32::from(number);
        response.extend_from_slice(&[0xc0, 12, 0, rtype as u8, 0, 1]);
        response.extend_from_slice(&ttl.to_be_bytes());
        if rtype == 28 {
            response
                .extend_from_slice(&[0, 16, 0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            response.push(number);
        } else {
            response.extend_from_slice(&[0, 4, 198, 51, 100, number]);
        }
        response[7] += 1;
    }
    if !has_records {
        response.extend_from_slice(b"\x04test\0\0\x06\0\x01\0\0\x0e\x10\0\x16\0\0");
        response.extend_from_slice(&[0; 16]);
        response.extend_from_slice(&3_600_u32.to_be_bytes());
        response[9] = 1;
    }
    response
}
