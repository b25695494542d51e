//! Replies of every length as tcpdump sees them at the other end of the cable: its own reckoning
//! says whether their checksums are right.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::ops::RangeInclusive;
use std::time::Instant;

use dns64_tests::cases::ScriptEntry;
use dns64_tests::netns::available;
use dns64_tests::server::Server;
use dns64_tests::upstream::Upstream;

use crate::message::{A, AAAA, query, query_edns, without_ttls};
use crate::network::{LIMIT, Network, V4, V6, XDP, pass_program, stop};
use dns64_tests::program::dns64d;

/// Octets of the replies.
const LENGTHS: RangeInclusive<usize> = 60..=600;

/// The longest reply to a client that says nothing of its size (RFC 1035 4.2.1).
const PLAIN_MAX: usize = 512;

/// How many of the lengths are captured inside XDP: those with up to six AAAA records. Of longer
/// replies not every one is published.
const HOT_LENGTHS: usize = 229 - 60;

/// Names that are made hot at a time.
const HOT_NAMES: usize = 110;

/// Names that may have no place in the table of hot answers, because two others have taken it.
const WITHOUT_PLACE_MAX: u64 = 8;

/// Octets of a header, of type and class, of an OPT record that says that the answer is synthesized
/// (RFC 8914 4.30), of an A record and of an AAAA record behind a compressed name, and of
/// `.example.` on the wire.
const HEADER: usize = 12;
const TYPE_AND_CLASS: usize = 4;
const OPT: usize = 17;
const A_RECORD: usize = 16;
const AAAA_RECORD: usize = 28;
const PARENT: usize = 9;

/// The least octets of a name: a number of its own must fit.
const NAME_MIN: usize = PARENT + 8;

/// A question whose reply has a length.
struct Question {
    length: usize,
    query: Vec<u8>,
    script: ScriptEntry,
}

impl Question {
    /// The question for a reply of so many octets.
    fn new(length: usize) -> Self {
        let fixed = HEADER + TYPE_AND_CLASS + if length > PLAIN_MAX { OPT } else { 0 };
        let room = length - fixed - NAME_MIN;
        // The shortest replies have no room for an AAAA record.
        let (rtype, record) = if room < AAAA_RECORD { (A, A_RECORD) } else { (AAAA, AAAA_RECORD) };
        let count = room / record;
        let label_len = length - fixed - count * record - PARENT - 1;
        let name = format!("{:p<label_len$}.example.", format!("n{length}"));
        let answer = (0..count).map(|last| format!("{name} 86400 IN A 11.1.2.{last}")).collect();
        let query = if length > PLAIN_MAX {
            query_edns((7, &name, rtype), 1_232, 0, false, &[])
        } else {
            query(7, &name, rtype)
        };
        let script = ScriptEntry {
            qname: name,
            qtype: "A".to_owned(),
            rcode: "NOERROR".to_owned(),
            answer,
            authority: Vec::new(),
            additional: Vec::new(),
            truncate_udp: false,
            ad: false,
            ede: Vec::new(),
            validation: None,
            ecs: None,
            delay_ms: 0,
        };
        Self { length, query, script }
    }
}

/// A client's two sockets.
struct Client(Vec<UdpSocket>);

impl Client {
    fn new(network: &Network) -> Self {
        let ends = [("[2001:db8:1::2]:0", V6), ("192.0.2.2:0", V4)];
        Self(
            ends.map(|(from, to)| {
                let socket = network.socket(from);
                socket.set_read_timeout(Some(LIMIT)).expect("a time to wait");
                network.client.enter(|| socket.connect(to)).expect("a route");
                socket
            })
            .into(),
        )
    }

    /// Asks so many times over both families; the length of the replies.
    fn ask(&self, question: &Question, times: usize) -> BTreeSet<usize> {
        let mut lengths = BTreeSet::new();
        let mut buffer = [0; 2_048];
        for socket in &self.0 {
            for _ in 0..times {
                socket.send(&question.query).expect("the cable is in");
            }
            for _ in 0..times {
                let len = socket.recv(&mut buffer).expect("a reply");
                without_ttls(&buffer[..len]);
                lengths.insert(len);
            }
        }
        lengths
    }
}

/// Starts `dns64d` before an upstream server.
fn start(network: &Network, upstream: &Upstream, datapath: &str) -> Server {
    let text = format!(
        "listen = [\"{V6}\", \"{V4}\"]\nworkers = 1\nallow = [\"::/0\", \"0.0.0.0/0\"]\n\
         [upstream]\nservers = [\"{}\"]\n[dns64]\nprefixes = [\"2001:db8:64::/96\"]\n\
         [datapath]\n{datapath}\n",
        upstream.address()
    );
    let config = network.scratch.write("dns64d.toml", &text);
    let mut server = network.responder.spawn(dns64d(), &["--config", &config.to_string_lossy()]);
    server.wait_for(" ready ", LIMIT);
    server
}

/// Captures the replies to every question over both families, and has tcpdump judge them.
fn capture(network: &Network, client: &Client, questions: &[Question]) {
    let file = network.scratch.path().join("replies.pcap");
    let (file, count) = (file.to_string_lossy(), (2 * questions.len()).to_string());
    let capture = ["-Z", "root", "-n", "-i", "eth0", "-B", "8192", "-c", &count, "-w", &file];
    let filter = ["udp and src port 53"];
    let mut tcpdump = network.client.spawn("tcpdump", &[&capture[..], &filter].concat());
    tcpdump.wait_for("listening on", LIMIT);
    for question in questions {
        let length = question.length;
        assert_eq!(client.ask(question, 1), [length].into(), "{}", question.script.qname);
    }
    let status = tcpdump.wait(LIMIT);
    assert!(status.is_some_and(|status| status.success()), "{}", tcpdump.log());

    let text = network.client.run("tcpdump", &["-vv", "-n", "-r", &file]);
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    let mut wrong = String::new();
    for line in text.lines() {
        // "bad cksum", "bad udp cksum", "[no cksum]".
        if line.contains("bad ") || line.contains("no cksum") {
            writeln!(wrong, "{line}").expect("memory");
        }
        // The line of IPv4 headers says nothing of UDP.
        if line.contains("[udp sum ok]") {
            let length = line.rsplit_once('(').and_then(|(_, end)| end.strip_suffix(')'));
            let length = length.and_then(|length| length.parse::<usize>().ok());
            seen[usize::from(line.contains("IP6"))].insert(length.expect("octets of the message"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let all: BTreeSet<usize> = questions.iter().map(|question| question.length).collect();
    for (family, seen) in ["IPv4", "IPv6"].iter().zip(&seen) {
        assert_eq!(*seen, all, "{family}: every length with a checksum that is right");
    }
}

/// How many packets the XDP program has sent back, as the driver counts them.
fn sent_by_program(network: &Network) -> u64 {
    let text = network.responder.run("ethtool", &["--statistics", "eth0"]);
    let mut lines = text.lines().map(str::trim);
    let count = lines.find_map(|line| line.strip_prefix("rx_queue_0_xdp_tx: "));
    count.expect("a count of veth").parse().expect("a number")
}

/// The lengths of the replies that the XDP program does not give.
fn not_inside(network: &Network, client: &Client, questions: &[Question]) -> Vec<usize> {
    let is_inside = |question: &Question| {
        let before = sent_by_program(network);
        client.ask(question, 1);
        sent_by_program(network) > before
    };
    let missing = questions.iter().filter(|question| !is_inside(question));
    missing.map(|question| question.length).collect()
}

fn network_and_questions() -> Option<(Network, Vec<Question>)> {
    if !available(&["tcpdump", "ethtool"]) {
        return None;
    }
    Some((Network::new()?, LENGTHS.map(Question::new).collect()))
}

#[test]
fn tcpdump_finds_every_checksum_right_in_replies_of_60_to_600_octets_by_af_xdp() {
    let Some((network, questions)) = network_and_questions() else { return };
    let script: Vec<_> = questions.iter().map(|question| question.script.clone()).collect();
    // The upstream server lives and ends in the responder's namespace.
    network.responder.enter(|| {
        let upstream = Upstream::start(&script).expect("an upstream server");
        let server = start(&network, &upstream, &format!("{XDP}\nhot_answers = false"));
        let client = Client::new(&network);
        for question in &questions {
            client.ask(question, 1);
        }
        capture(&network, &client, &questions);
        let books = stop(server);
        books.balance();
        let all = 2 * questions.len() as u64;
        assert_eq!((books.get("xsk_queries"), books.get("kernel_answers")), (2 * all, 0));
        assert!(books.get("xsk_replies") >= all, "what was captured came from the cache");
    });
}

#[test]
fn tcpdump_finds_every_checksum_right_in_replies_of_60_to_228_octets_inside_xdp() {
    let Some((network, questions)) = network_and_questions() else { return };
    let script: Vec<_> = questions.iter().map(|question| question.script.clone()).collect();
    let _pass = pass_program(&network.client);
    network.responder.enter(|| {
        let upstream = Upstream::start(&script).expect("an upstream server");
        for questions in questions[..HOT_LENGTHS].chunks(HOT_NAMES) {
            let server = start(&network, &upstream, &format!("{XDP}\nhot_answers = true"));
            let client = Client::new(&network);
            let all = 2 * questions.len() as u64;
            let deadline = Instant::now() + 3 * LIMIT;
            for question in questions {
                client.ask(question, 1);
            }
            loop {
                // One of 16 hits is looked at; four of these within two seconds make a name hot.
                for question in questions {
                    client.ask(question, 64);
                }
                let before = sent_by_program(&network);
                for question in questions {
                    client.ask(question, 1);
                }
                let sent = sent_by_program(&network) - before;
                if sent + 2 * WITHOUT_PLACE_MAX >= all {
                    break;
                }
                if Instant::now() > deadline {
                    let lengths = not_inside(&network, &client, questions);
                    panic!("{sent} of {all} answered inside XDP, but not {lengths:?}");
                }
            }
            let before = sent_by_program(&network);
            capture(&network, &client, questions);
            let sent = sent_by_program(&network) - before;
            assert!(sent + 2 * WITHOUT_PLACE_MAX >= all, "{sent} of {all} answered inside XDP");
            stop(server).balance();
        }
    });
}
