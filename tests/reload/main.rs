//! Another configuration while queries are answered, through the real program: nothing is lost,
//! nothing is mixed, and what is wrong changes nothing.

mod load;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::daemon::{Daemon, free_address};
use dns64_tests::in_process::Query;
use dns64_tests::netns::Scratch;
use dns64_tests::reply::Reply;
use rustix::process::Signal;
use serde_json::{Value, json};

/// How long a reply or a change may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A running `dns64d`, the server it asks, and its file.
struct World {
    daemon: Daemon,
    upstream: Upstream,
    address: SocketAddr,
    scratch: Scratch,
}

impl World {
    /// Starts with this configuration behind the addresses and the server.
    fn start(more: &str) -> Self {
        Self::start_beside(more, upstream(), Scratch::new())
    }

    /// Starts with files that are there already.
    fn start_beside(more: &str, upstream: Upstream, scratch: Scratch) -> Self {
        let address = free_address();
        let daemon = Daemon::start(&scratch, None, &text(address, &upstream, more));
        Self { daemon, upstream, address, scratch }
    }

    /// Writes the file anew, with its control socket.
    fn write(&self, more: &str) {
        let socket = &self.daemon.socket;
        let text = text(self.address, &self.upstream, more);
        let text = format!("{text}\n[control]\nsocket = {socket:?}\n");
        fs::write(&self.daemon.config, text).expect("the file can be written");
    }

    /// Has the file be read again; the reply.
    fn reload(&self) -> Value {
        let output = self.daemon.ctl(&["reload", "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Has the file be read again, which fails; what is said.
    fn refused(&self) -> String {
        let output = self.daemon.ctl(&["reload"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Asks; the answer section.
    fn ask(&self, question: &str) -> Vec<String> {
        answer(&self.send(question))
    }

    /// Asks and does not wait.
    fn send(&self, question: &str) -> UdpSocket {
        let socket = UdpSocket::bind((CLIENT, 0)).expect("a port is free");
        socket.connect(self.address).expect("loopback");
        socket.set_read_timeout(Some(PATIENCE)).expect("a valid time");
        socket.send(&Query::of(question).octets()).expect("loopback");
        socket
    }

    /// How often the server was asked for a name.
    fn asked_upstream(&self, name: &str) -> usize {
        let name = name.to_lowercase();
        let asked = self.upstream.recorded();
        asked.iter().filter(|query| format!("{query:?}").to_lowercase().contains(&name)).count()
    }
}

/// A server of names that say their own answer, which notes what it is asked.
fn upstream() -> Upstream {
    let options = Options { record: true, ..Options::default() };
    Upstream::start("127.0.0.1:0".parse().expect("an address"), options).expect("a free port")
}

/// A configuration.
fn text(address: SocketAddr, upstream: &Upstream, more: &str) -> String {
    let server = upstream.local_addr();
    format!(
        "listen = [\"{address}\"]\nworkers = 2\n[upstream]\nservers = [\"{server}\"]\n\
         [datapath]\nmode = \"socket\"\n{more}\n"
    )
}

/// A `[dns64]` table with this prefix.
fn prefix(network: &str) -> String {
    format!("[dns64]\nprefixes = [\"{network}\"]\n")
}

/// The answer section of the reply that a socket waits for.
fn answer(socket: &UdpSocket) -> Vec<String> {
    let mut buffer = vec![0; 4_096];
    let len = socket.recv(&mut buffer).expect("a reply in time");
    buffer.truncate(len);
    let reply = Reply::parse(buffer).expect("a message");
    reply.answer.iter().map(|record| record.text.clone()).collect()
}

/// Whether an answer is one record that ends with this.
fn ends(answer: &[String], with: &str) -> bool {
    matches!(answer, [record] if record.ends_with(with))
}

const NAME: &str = "a-192-0-2-1--ttl300.v4.test. AAAA";
const NORTH: &str = "2001:db8:1::/96";
const SOUTH: &str = "2001:db8:2::/96";

#[test]
fn another_prefix_is_in_force_at_once_and_the_cache_stays() {
    let world = World::start(&prefix(NORTH));
    // Often, so that every worker has its copy and its ready reply.
    for _ in 0..20 {
        assert!(ends(&world.ask(NAME), " 2001:db8:1::c000:201"));
    }
    let asked = world.asked_upstream("a-192-0-2-1--ttl300");
    world.write(&prefix(SOUTH));
    let reply = world.reload();
    assert_eq!(
        reply["changes"],
        json!([{
            "key": "dns64.prefixes",
            "before": "[\"2001:db8:1::/96\"]",
            "after": "[\"2001:db8:2::/96\"]",
        }])
    );
    assert_eq!((&reply["cache"], &reply["epoch"]), (&json!("kept"), &json!(1)));
    for _ in 0..20 {
        assert!(ends(&world.ask(NAME), " 2001:db8:2::c000:201"));
    }
    assert_eq!(world.asked_upstream("a-192-0-2-1--ttl300"), asked, "it was in the cache");
    assert_eq!(world.daemon.json("status")["views"][0]["prefixes"], json!([SOUTH]));
    // The counters go on, and the books balance.
    let stats = world.daemon.json("stats");
    assert_eq!(stats["queries"]["total"], 40);
    assert_eq!(stats["responses"]["total"], 40);
    // Back, by the signal.
    world.write(&prefix(NORTH));
    world.daemon.server.signal(Signal::HUP);
    wait_for(|| ends(&world.ask(NAME), " 2001:db8:1::c000:201"));
}

/// Waits until something is so.
fn wait_for(so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "it does not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_file_with_a_mistake_changes_nothing_and_says_where() {
    let world = World::start(&prefix(NORTH));
    world.write("[dns64]\nprefixes = [\"2001:db8:2::/95\"]\n[limits]\nrate = 1\n");
    let said = world.refused();
    let place = format!("{}:8:13", world.daemon.config.display());
    assert!(said.contains(&place) && said.contains("dns64.prefixes"), "{said}");
    for _ in 0..20 {
        assert!(ends(&world.ask(NAME), " 2001:db8:1::c000:201"));
    }
    // The signal says so in the log.
    world.daemon.server.signal(Signal::HUP);
    wait_for(|| world.daemon.server.log().contains("the configuration stays as it was"));
}

#[test]
fn what_needs_a_new_start_is_refused_by_its_key_and_nothing_else_changes() {
    let world = World::start(&prefix(NORTH));
    world.write(&format!("{}[limits]\ntcp_clients = 7\n", prefix(SOUTH)));
    let said = world.refused();
    assert!(said.contains("limits.tcp_clients") && said.contains("restart"), "{said}");
    assert!(ends(&world.ask(NAME), " 2001:db8:1::c000:201"));
    let output = world.daemon.ctl(&["reload", "--diff"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = "dns64.prefixes\n  - [\"2001:db8:1::/96\"]\n  + [\"2001:db8:2::/96\"]\n\
                    limits.tcp_clients\n  + 7\n\
                    cannot change while dns64d runs: limits.tcp_clients\ncache: kept\n";
    assert_eq!(told, expected);
    assert!(ends(&world.ask(NAME), " 2001:db8:1::c000:201"), "a look changes nothing");
}

#[test]
fn a_file_that_says_the_same_in_other_words_changes_nothing() {
    let world = World::start(&prefix(NORTH));
    world.write(&format!("# The north.\n{}", prefix(NORTH).replace('[', "[ ").replace(']', " ]")));
    let reply = world.reload();
    assert_eq!((&reply["changes"], &reply["epoch"]), (&json!([]), &json!(0)));
}

#[test]
fn who_waits_is_answered_by_the_configuration_that_was_asked() {
    let world = World::start(&prefix(NORTH));
    let slow = "a-192-0-2-2--d400.v4.test. AAAA";
    let early = world.send(slow);
    wait_for(|| world.asked_upstream("a-192-0-2-2--d400") > 0);
    world.write(&prefix(SOUTH));
    world.reload();
    let late = world.send("a-192-0-2-3.v4.test. AAAA");
    assert!(ends(&answer(&late), " 2001:db8:2::c000:203"));
    assert!(ends(&answer(&early), " 2001:db8:1::c000:202"));
    assert!(ends(&world.ask(slow), " 2001:db8:2::c000:202"));
}

#[test]
fn other_servers_are_asked_for_what_the_cache_had_of_the_earlier_ones() {
    let world = World::start("");
    let name = "a-192-0-2-4--ttl300.v4.test. A";
    assert!(ends(&world.ask(name), " 192.0.2.4"));
    let asked = world.asked_upstream("a-192-0-2-4--ttl300");
    let other = upstream();
    let zone =
        format!("[[forward]]\nzone = \"v4.test.\"\nservers = [\"{}\"]\n", other.local_addr());
    world.write(&zone);
    assert_eq!(world.reload()["cache"], "new");
    assert!(ends(&world.ask(name), " 192.0.2.4"));
    assert_eq!(world.asked_upstream("a-192-0-2-4--ttl300"), asked);
    assert!(other.counts().udp_queries > 0);
}

#[test]
fn a_gateway_that_was_drained_stays_so_and_its_clients_where_they_are() {
    let pool = "[[pool]]\nname = \"nat64\"\nprefixes = [\"2001:db8:1::/96\", \
                \"2001:db8:2::/96\"]\n[dns64]\npool = \"nat64\"\n";
    let world = World::start(pool);
    let output = world.daemon.ctl(&["drain", "nat64", NORTH]);
    assert!(output.status.success(), "{output:?}");
    assert!(ends(&world.ask(NAME), " 2001:db8:2::c000:201"));
    world.write(&format!("{pool}[limits]\nrate = 1000\n"));
    assert_eq!(world.reload()["cache"], "kept");
    for client in 0..20 {
        let name = format!("a-192-0-2-{client}.v4.test. AAAA");
        assert!(ends(&world.ask(&name), &format!(" 2001:db8:2::c000:2{client:02x}")));
    }
    let gateway = &world.daemon.json("status")["pools"][0]["gateways"][0];
    assert_eq!((&gateway["prefix"], &gateway["drained"]), (&json!(NORTH), &json!(true)));
}

#[test]
fn clients_scripts_zones_and_the_log_are_those_of_the_new_file() {
    let upstream = upstream();
    let scratch = Scratch::new();
    let answering = |address: &str| {
        format!("function nodata(dq) dq:addAnswer(pdns.AAAA, '{address}') return true end")
    };
    scratch.write("dns64.lua", &answering("2001:db8::1"));
    let script = "[script]\nfile = \"dns64.lua\"\n";
    let world = World::start_beside(script, upstream, scratch);
    assert!(ends(&world.ask(NAME), " 2001:db8::1"));

    // The script alone is another one; before that, one that cannot run.
    world.scratch.write("dns64.lua", "function nodata(dq");
    assert!(world.refused().contains("dns64.lua:1"));
    assert!(ends(&world.ask(NAME), " 2001:db8::1"));
    world.scratch.write("dns64.lua", &answering("2001:db8::2"));
    assert_eq!(world.reload()["changes"][0]["key"], "script.file");
    assert!(ends(&world.ask(NAME), " 2001:db8::2"));

    // No script, but a zone, and another log level.
    let zone = "$TTL 60\n@ SOA . . 1 1 1 1 1\na-192-0-2-9.v4.test CNAME .\n";
    world.scratch.write("block.zone", zone);
    let table = "[[rpz]]\nname = \"block\"\nfile = \"block.zone\"\n[log]\nlevel = \"debug\"\n";
    world.write(&format!("{}{table}", prefix(NORTH)));
    world.reload();
    assert!(ends(&world.ask(NAME), " 2001:db8:1::c000:201"));
    assert_eq!(world.ask("a-192-0-2-9.v4.test. AAAA"), Vec::<String>::new());
    // The zone alone.
    world.scratch.write("block.zone", &zone.replace("192-0-2-9", "192-0-2-8"));
    assert_eq!(world.reload()["changes"][0]["key"], "rpz.block.file");
    assert!(ends(&world.ask("a-192-0-2-9.v4.test. AAAA"), " 2001:db8:1::c000:209"));

    // Nobody may ask any more.
    world.write(&format!("{}{table}", prefix(NORTH)));
    let text = fs::read_to_string(&world.daemon.config).expect("it is there");
    fs::write(&world.daemon.config, format!("allow = [\"::1/128\"]\n{text}")).expect("it can be");
    world.reload();
    assert_eq!(world.ask(NAME), Vec::<String>::new());
    let output = world.daemon.ctl(&["stats"]);
    let stats = String::from_utf8_lossy(&output.stdout).into_owned();
    let refused: Vec<&str> = stats.lines().filter(|line| line.contains(".REFUSED ")).collect();
    assert!(matches!(refused[..], [line] if line.ends_with(" 1")), "{refused:?}");
}
