//! Warm restart, through the real program: what one process has learned the next one knows, for as
//! long as it holds and no longer; and whatever lies where the snapshot should be, queries are
//! answered.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dns64::snapshot::file::{Header, Reader, Writer};
use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::cases::Transport;
use dns64_tests::client::exchange;
use dns64_tests::daemon::{Daemon, free_address};
use dns64_tests::in_process::Query;
use dns64_tests::netns::Scratch;
use dns64_tests::reply::Reply;
use rustix::process::Signal;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often what has no notification is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;

/// A name with an A record that holds for 300 seconds.
const NAME: &str = "a-192-0-2-1--ttl300--neg300.v4.test.";

/// A line of the log once a snapshot has been read.
const RESTORED: &str = "the cache has the answers of its snapshot again";

/// A line of the log once a snapshot has been written.
const WRITTEN: &str = "the cache is written to its snapshot";

/// A server that notes what it is asked, a file for snapshots, and a configuration with both.
struct World {
    upstream: Upstream,
    scratch: Scratch,
    address: SocketAddr,
}

impl World {
    fn new() -> Self {
        let options = Options { record: true, ..Options::default() };
        let upstream = Upstream::start("127.0.0.1:0".parse().expect("an address"), options);
        let upstream = upstream.expect("a free port");
        Self { upstream, scratch: Scratch::new(), address: free_address() }
    }

    fn file(&self) -> PathBuf {
        self.scratch.path().join("cache")
    }

    /// A configuration with these lines in `[cache]`, and these behind.
    fn text(&self, cache: &str, more: &str) -> String {
        format!(
            "listen = [\"{}\"]\nworkers = 2\n[upstream]\nservers = [\"{}\"]\n[dns64]\n\
             prefixes = [\"2001:db8:64::/96\"]\n[datapath]\nmode = \"socket\"\n[cache]\n\
             size = \"4MiB\"\nsnapshot = {:?}\n{cache}\n{more}",
            self.address,
            self.upstream.local_addr(),
            self.file(),
        )
    }

    /// Starts `dns64d`.
    fn start(&self, cache: &str) -> Daemon {
        Daemon::start(&self.scratch, None, &self.text(cache, ""))
    }

    /// The reply to a question.
    fn ask(&self, question: &str) -> Reply {
        let query = Query::of(question).octets();
        let client = Ipv4Addr::LOCALHOST.into();
        let (octets, _) =
            exchange(&query, client, self.address, Transport::Udp, PATIENCE).expect("a reply");
        Reply::parse(octets).expect("a well-formed reply")
    }

    /// Asks for AAAA of a name; the TTL of what comes, which must be synthesized.
    fn ttl(&self, name: &str) -> u32 {
        let reply = self.ask(&format!("{name} AAAA"));
        let line = &reply.answer.first().unwrap_or_else(|| panic!("{reply:?}")).text;
        assert!(line.contains("2001:db8:64::c000:201"), "{line}");
        line.split_whitespace().nth(1).and_then(|ttl| ttl.parse().ok()).expect("a TTL")
    }

    /// How many queries the server has seen.
    fn asked(&self) -> usize {
        self.upstream.recorded().len()
    }
}

/// Ends the program as systemd does; all that it has said.
fn stop(mut daemon: Daemon) -> String {
    daemon.server.signal(Signal::TERM);
    let status = daemon.server.wait(PATIENCE).expect("it ends");
    assert!(status.success(), "{status}");
    daemon.server.final_log()
}

/// Makes a snapshot older, or younger: as if it had been written so many seconds before now.
fn date_back(file: &Path, secs: i64) {
    let mut reader = Reader::open(file).expect("a good file").expect("it is there");
    let now_us = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_micros();
    let now_us = i64::try_from(now_us).expect("before the year 290000");
    let written_us = (now_us - secs * SECOND_US as i64) as u64;
    let header = Header { written_us, ..reader.header };
    let mut writer = Writer::create(file, ".test", header).expect("a directory");
    let (mut page, mut left) = (Vec::new(), reader.written.records);
    while reader.next_page(&mut page).expect("a good file") {
        // How many records a page has only matters in sum.
        writer.add(&page, std::mem::take(&mut left)).expect("room");
    }
    writer.finish().and_then(|finished| finished.publish()).expect("room");
}

/// A world whose snapshot has one name.
fn with_snapshot() -> World {
    let world = World::new();
    let daemon = world.start("");
    assert_eq!(world.ttl(NAME), 300);
    let log = stop(daemon);
    assert!(log.contains(WRITTEN), "{log}");
    world
}

#[test]
fn answers_outlive_a_restart_with_what_is_left_of_their_ttl() {
    let world = with_snapshot();
    let mode = fs::metadata(world.file()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "whose names are asked for is for nobody else");
    date_back(&world.file(), 100);
    let asked = world.asked();
    let mut daemon = world.start("");
    daemon.server.wait_for(RESTORED, PATIENCE);
    let ttl = world.ttl(NAME);
    assert!((100..=200).contains(&ttl), "{ttl} of 300 seconds, 100 seconds later");
    assert_eq!(world.asked(), asked, "nobody is asked again");
    assert!(daemon.json("stats")["cache"]["restored"].as_u64() >= Some(2), "AAAA and A");
    // What was restored is in the next snapshot, too.
    stop(daemon);
    let mut daemon = world.start("");
    daemon.server.wait_for(RESTORED, PATIENCE);
    assert!(world.ttl(NAME) <= ttl);
    assert_eq!(world.asked(), asked);
}

#[test]
fn other_numbers_of_workers_and_another_size_of_the_cache_find_the_same_answers() {
    let world = with_snapshot();
    let asked = world.asked();
    let text = world.text("", "").replace("workers = 2", "workers = 3").replace("4MiB", "8MiB");
    let mut daemon = Daemon::start(&world.scratch, None, &text);
    daemon.server.wait_for(RESTORED, PATIENCE);
    assert!(world.ttl(NAME) <= 300);
    assert_eq!(world.asked(), asked);
}

#[test]
fn what_has_ended_is_given_stale_at_most_and_never_past_the_limit() {
    let world = with_snapshot();
    let file = fs::read(world.file()).expect("it is there");
    let server = world.upstream.local_addr();
    date_back(&world.file(), 100_000);
    let asked = world.asked();
    let mut daemon = world.start("");
    daemon.server.wait_for(RESTORED, PATIENCE);
    assert!(daemon.server.log().contains("restored=0"), "{}", daemon.server.log());
    assert_eq!(world.ttl(NAME), 300, "asked anew");
    assert!(world.asked() > asked);
    drop(daemon);

    fs::write(world.file(), &file).expect("room");
    date_back(&world.file(), 1_000);
    let World { upstream, scratch, address } = world;
    drop(upstream);
    // The same server by the configuration, and it is silent.
    let silent = std::net::UdpSocket::bind(server).expect("it was free just now");
    let text = format!(
        "listen = [\"{address}\"]\nworkers = 2\n[upstream]\nservers = [\"{server}\"]\n[dns64]\n\
         prefixes = [\"2001:db8:64::/96\"]\n[datapath]\nmode = \"socket\"\n[cache]\n\
         size = \"4MiB\"\nsnapshot = {:?}\n",
        scratch.path().join("cache")
    );
    let mut daemon = Daemon::start(&scratch, None, &text);
    daemon.server.wait_for(RESTORED, PATIENCE);
    let query = Query::of(&format!("{NAME} AAAA")).octets();
    let client = Ipv4Addr::LOCALHOST.into();
    let reply = exchange(&query, client, address, Transport::Udp, PATIENCE).expect("a reply").0;
    let reply = Reply::parse(reply).expect("a well-formed reply");
    assert_eq!((reply.rcode, reply.answer.len()), (0, 1), "{reply:?}");
    let errors = reply.opt.map(|opt| opt.extended_errors);
    assert_eq!(errors, Some(vec![3]), "a stale answer (RFC 8914 4.4)");
    drop(silent);
}

#[test]
fn a_file_that_cannot_be_used_is_refused_and_queries_are_answered() {
    let world = with_snapshot();
    let good = fs::read(world.file()).expect("it is there");
    let changed = |place: usize, octet: u8| {
        let mut octets = good.clone();
        octets[place] ^= octet;
        octets
    };
    for (octets, said) in [
        (changed(good.len() / 2, 0x10), "it is cut short or damaged"),
        (good[..good.len() - 1].to_vec(), "it is cut short or damaged"),
        (changed(12, 0xff), "it has format"),
        (b"root:x:0:0::/root:/bin/sh\n".to_vec(), "this is no snapshot of dns64d"),
    ] {
        fs::write(world.file(), &octets).expect("room");
        let mut daemon = world.start("");
        daemon.server.wait_for(said, PATIENCE);
        assert!(daemon.server.log().contains("WARN"), "{}", daemon.server.log());
        assert_eq!(world.ttl(NAME), 300, "{said}");
        stop(daemon);
        let left = fs::read(world.file()).expect("it is there");
        let is_foreign = !octets.starts_with(b"dns64d cache");
        assert_eq!(left == octets, is_foreign, "only what is ours is overwritten");
    }
    fs::write(world.file(), &good).expect("room");
    date_back(&world.file(), -3_600);
    let mut daemon = world.start("");
    daemon.server.wait_for("it was written later than it is now", PATIENCE);
    stop(daemon);

    fs::write(world.file(), &good).expect("room");
    let mut daemon = world.start("max_ttl = 77");
    daemon.server.wait_for("it was written with other servers", PATIENCE);
    assert_eq!(world.ttl(NAME), 77);
}

#[test]
fn a_killed_process_leaves_the_last_snapshot_that_was_whole() {
    let world = World::new();
    let mut daemon = world.start("snapshot_interval = 1");
    assert_eq!(world.ttl(NAME), 300);
    wait_until_it_holds(&world, 2);
    daemon.server.signal(Signal::KILL);
    let _status = daemon.server.wait(PATIENCE).expect("it ends");
    drop(daemon);
    let asked = world.asked();
    let mut daemon = world.start("");
    daemon.server.wait_for(RESTORED, PATIENCE);
    assert!(world.ttl(NAME) <= 300);
    assert_eq!(world.asked(), asked);
}

/// Waits until the snapshot has so many records.
fn wait_until_it_holds(world: &World, records: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reader = Reader::open(&world.file()).expect("whole at all times");
        if reader.is_some_and(|reader| reader.written.records >= records) {
            return;
        }
        assert!(Instant::now() < deadline, "no snapshot with {records} records");
        std::thread::sleep(POLL);
    }
}

#[test]
fn what_was_flushed_does_not_come_back_by_the_snapshot() {
    let world = with_snapshot();
    let mut daemon = world.start("");
    daemon.server.wait_for(RESTORED, PATIENCE);
    let output = daemon.ctl(&["flush", NAME]);
    assert!(output.status.success(), "{output:?}");
    let left = Reader::open(&world.file()).expect("whole at all times");
    let holds_it = left.is_some_and(|reader| reader.written.records > 0);
    assert!(!holds_it, "the file that has it goes at once, and another one has it not");
    daemon.server.signal(Signal::KILL);
    let _status = daemon.server.wait(PATIENCE).expect("it ends");
    drop(daemon);
    let asked = world.asked();
    let _daemon = world.start("");
    assert_eq!(world.ttl(NAME), 300);
    assert!(world.asked() > asked);
}

#[test]
fn a_reload_changes_how_often_it_is_written_and_ends_what_no_longer_holds() {
    let world = World::new();
    let daemon = world.start("snapshot_interval = 0");
    assert_eq!(world.ttl(NAME), 300);
    let reload = |cache: &str| {
        let socket = &daemon.socket;
        let text = world.text(cache, &format!("[control]\nsocket = {socket:?}\n"));
        fs::write(&daemon.config, text).expect("room");
        daemon.ctl(&["reload"])
    };
    let output = reload("snapshot_interval = 1");
    assert!(output.status.success(), "{output:?}");
    wait_until_it_holds(&world, 2);
    let before = Reader::open(&world.file()).expect("whole").expect("it is there").header;
    let output = reload("snapshot_interval = 1\nmax_ttl = 60");
    assert!(output.status.success(), "{output:?}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reader = Reader::open(&world.file()).expect("whole").expect("it is there");
        if reader.header.fingerprint != before.fingerprint {
            assert_eq!(reader.written.records, 0, "nothing of before is in it");
            break;
        }
        assert!(Instant::now() < deadline, "no snapshot of the new configuration");
        std::thread::sleep(POLL);
    }
    let other = world.text("", "").replace("/cache\"", "/elsewhere/cache\"");
    let socket = &daemon.socket;
    let text = format!("{other}\n[control]\nsocket = {socket:?}\n");
    fs::write(&daemon.config, text).expect("room");
    let output = daemon.ctl(&["reload"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("cache.snapshot"), "{said}");
}
