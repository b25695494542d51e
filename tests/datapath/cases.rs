//! Every question of `tests/cases` by sockets, by `AF_XDP`, and by hot answers if they take it: the
//! same octets, and what the case expects.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dns64::xdp::{Attached, Program};
use dns64_tests::cases::{self, Case, Question, Transport};
use dns64_tests::netns::{Netns, available, serial};
use dns64_tests::play::{self, Asker, Conversation};
use dns64_tests::subject::{Place, Subject, TemporaryDirectory};
use dns64_tests::upstream::Upstream;

use crate::message::without_ttls;
use crate::network::{Books, LIMIT, SOCKET, XDP, give_addresses, pass_program};

/// Cases that are played at a time: they mostly wait for the kernel to attach and detach programs.
const LANES: usize = 4;

/// Times that a question is asked again: from the second on, replies come from the cache.
const REPEATS: usize = 2;

/// Hits after which a plain answer must have been noticed to be hot: one of 16 is looked at, and
/// four of these are enough.
const HITS_TO_BE_HOT: usize = 16 * 4 + 16;

/// How long the publisher may take, in rounds of that many questions and 20 ms.
const ROUNDS: usize = 10;
const ROUND_LEN: usize = 8;

/// A client and a responder on a cable, for one case after the other.
struct Lane {
    number: usize,
    client: Netns,
    responder: Netns,
    _pass: (Program, Attached),
}

/// What became of a case.
struct Played {
    conversation: Conversation,
    /// Replies to the last question when it was asked again, without TTLs.
    again: Vec<Vec<u8>>,
    /// Questions by UDP, and those of them that were answered without asking upstream.
    by_udp: u64,
    at_once: u64,
    books: Books,
}

impl Lane {
    fn new(number: usize, clients: &BTreeSet<IpAddr>) -> Self {
        let (client, responder) = (Netns::new("client"), Netns::new("responder"));
        client.link("eth0", &responder, "eth0");
        give_addresses(&client, &responder);
        responder.route("default", "2001:db8:1::2");
        responder.route("default", "192.0.2.2");
        for address in clients {
            let length = if address.is_ipv4() { 32 } else { 128 };
            client.address("eth0", &format!("{address}/{length}"));
        }
        let pass = pass_program(&client);
        Self { number, client, responder, _pass: pass }
    }

    /// Plays a case with a `[datapath]` table, on a thread of the responder.
    fn play(&self, case: &Case, question: &Question, tier: &str) -> Result<Played> {
        let subject = Subject::dns64d()?;
        let label = format!("{}-{}", self.number, play::label(case));
        let directory = TemporaryDirectory::new(&label)?;
        let upstream = Upstream::start(&case.upstream)?;
        let place = Place {
            addresses: [[192, 0, 2, 53].into(), IpAddr::V6("2001:db8:1::53".parse()?)],
            port: 53,
            datapath: tier.to_owned(),
            upstream: upstream.address(),
            directory: directory.path().to_owned(),
        };
        let text = subject.configuration(&case.config, &place);
        let text = text.map_err(|reason| anyhow::anyhow!("{reason}"))?;
        let mut server = subject.start(&text, &place)?;
        // Sockets answer before programs are attached.
        server.wait_for(" ready ", LIMIT)?;
        let asker = Asker { addresses: place.addresses, port: place.port, in_namespace: true };
        let asked = || upstream.asked().len();
        let (conversation, mut again) = self.client.enter(|| -> Result<_> {
            let conversation = play::converse(case, question, &upstream, &asker, subject.kind)?;
            let again = Again::open(&asker, question, &conversation)?;
            Ok((conversation, again))
        })?;
        if let Some(again) = &mut again {
            for _ in 0..REPEATS {
                again.ask(&asked)?;
            }
            if tier != SOCKET {
                Self::heat(again, &asked)?;
            }
        }
        server.ensure_alive()?;
        let priors = case.config.prior.iter();
        let transport = |prior: &serde_json::Map<_, _>| prior.contains_key("transport");
        ensure!(!case.config.prior.iter().any(transport), "a prior question by another transport");
        let (mut by_udp, mut at_once, mut replies) = (0, 0, Vec::new());
        if question.transport == Transport::Udp {
            by_udp = priors.count() as u64 + 1;
        }
        if let Some(again) = again {
            by_udp += again.asked;
            at_once = again.at_once;
            replies = again.replies;
        }
        let books = Books::of(&server.stop_within(LIMIT)?);
        Ok(Played { conversation, again: replies, by_udp, at_once, books })
    }

    /// Asks until the kernel answers, or should have done so long ago.
    fn heat(again: &mut Again, asked: &dyn Fn() -> usize) -> Result<()> {
        let before = sent_by_program();
        for _ in 0..HITS_TO_BE_HOT {
            again.ask(asked)?;
        }
        for _ in 0..ROUNDS {
            thread::sleep(Duration::from_millis(20));
            for _ in 0..ROUND_LEN {
                again.ask(asked)?;
            }
            if sent_by_program() != before {
                break;
            }
        }
        Ok(())
    }
}

/// How many packets the XDP program of the responder has sent, as the driver counts them.
fn sent_by_program() -> String {
    // Not by `ip netns exec`, which takes long: this thread is there already.
    let output = Command::new("ethtool").args(["--statistics", "eth0"]).output();
    let statistics = output.expect("ethtool is installed").stdout;
    let statistics = String::from_utf8_lossy(&statistics);
    let mut lines = statistics.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix("rx_queue_0_xdp_tx: "));
    line.expect("a count of veth").to_owned()
}

/// The same question again and again.
struct Again {
    socket: UdpSocket,
    query: Vec<u8>,
    /// Replies without TTLs, each once in a row.
    replies: Vec<Vec<u8>>,
    asked: u64,
    at_once: u64,
}

impl Again {
    /// None for what came by TCP, and what had no reply.
    fn open(
        asker: &Asker,
        question: &Question,
        conversation: &Conversation,
    ) -> Result<Option<Self>> {
        let Some((query, ..)) = conversation.said.last() else { return Ok(None) };
        if question.transport == Transport::Tcp {
            return Ok(None);
        }
        let (client, server) = asker.way(question.client);
        let socket = UdpSocket::bind((client, 0))?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(LIMIT))?;
        let query = query.clone();
        Ok(Some(Self { socket, query, replies: Vec::new(), asked: 0, at_once: 0 }))
    }

    fn ask(&mut self, asked_upstream: &dyn Fn() -> usize) -> Result<()> {
        let before = asked_upstream();
        let mut buffer = [0; 4_096];
        self.socket.send(&self.query)?;
        let len = self.socket.recv(&mut buffer).context("asked again")?;
        self.asked += 1;
        self.at_once += u64::from(asked_upstream() == before);
        let reply = without_ttls(&buffer[..len]);
        if self.replies.last() != Some(&reply) {
            self.replies.push(reply);
        }
        Ok(())
    }
}

/// How many of what.
#[derive(Debug, Default)]
struct Sum {
    cases: u64,
    by_udp: u64,
    stack: u64,
    af_xdp: u64,
    af_xdp_at_once: u64,
    kernel: u64,
    hot_cases: u64,
}

/// Plays a case by both ways; what is wrong.
fn compare(lane: &Lane, case: &Case, question: &Question, sum: &Mutex<Sum>) -> Result<Vec<String>> {
    let by_socket = lane.play(case, question, SOCKET).context("by sockets")?;
    let by_xdp = lane.play(case, question, &format!("{XDP}\nhot_answers = true"))?;
    let mut wrong = Vec::new();
    for (what, played) in [("sockets", &by_socket), ("XDP", &by_xdp)] {
        played.books.balance();
        wrong.extend(played.conversation.complaints.iter().map(|text| format!("{what}: {text}")));
    }
    let plain = |played: &Played| -> Vec<Vec<u8>> {
        played.conversation.said.iter().map(|(_, reply, _)| without_ttls(reply)).collect()
    };
    let pairs = [(plain(&by_socket), plain(&by_xdp)), (by_socket.again, by_xdp.again)];
    for (socket, xdp) in pairs {
        if socket != xdp {
            wrong.push(format!("sockets {socket:02x?}\nXDP     {xdp:02x?}"));
        }
    }
    let books = &by_xdp.books;
    let (af_xdp, kernel) = (books.get("xsk_queries"), books.get("kernel_answers"));
    if af_xdp + kernel != by_xdp.by_udp {
        wrong.push(format!("{af_xdp} by AF_XDP, {kernel} hot, of {}", by_xdp.by_udp));
    }
    // Who asks while a look-up is under way waits for it, and asks nothing upstream either.
    let waits = case.upstream.iter().any(|entry| entry.rcode == "TIMEOUT" || entry.delay_ms > 0);
    if !waits && books.get("xsk_replies") + kernel < by_xdp.at_once {
        let replies = books.get("xsk_replies");
        wrong.push(format!("{replies} in their frames, {kernel} hot, of {}", by_xdp.at_once));
    }
    let mut sum = sum.lock().expect("no lane has panicked");
    sum.cases += 1;
    sum.by_udp += by_xdp.by_udp;
    sum.stack += books.get("queries") - af_xdp - kernel;
    sum.af_xdp += af_xdp;
    sum.af_xdp_at_once += books.get("xsk_replies");
    sum.kernel += kernel;
    sum.hot_cases += u64::from(kernel > 0);
    Ok(wrong)
}

#[test]
fn every_case_gets_the_same_octets_by_sockets_by_af_xdp_and_inside_xdp() {
    if !available(&["ip", "ethtool"]) {
        return;
    }
    let _alone = serial();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let subject = Subject::dns64d().expect("cargo build --workspace");
    let mut cases = cases::load(&directory).expect("the cases are read");
    cases.retain(|case| case.query.is_some() && play::obstacle(case, &subject, None).is_none());
    let clients: BTreeSet<IpAddr> = cases.iter().flat_map(play::clients).collect();
    let next = AtomicUsize::new(0);
    let (sum, wrong) = (Mutex::new(Sum::default()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for number in 0..LANES {
            let (cases, clients, next, sum, wrong) = (&cases, &clients, &next, &sum, &wrong);
            scope.spawn(move || {
                let lane = Lane::new(number, clients);
                lane.responder.enter(|| {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let Some(question) = &case.query else { continue };
                        let outcome = compare(&lane, case, question, sum);
                        let texts = outcome.unwrap_or_else(|error| vec![format!("{error:#}")]);
                        let texts = texts.iter().map(|text| format!("{}: {text}", case.name()));
                        wrong.lock().expect("no lane has panicked").extend(texts);
                    }
                });
            });
        }
    });
    let (sum, wrong) = (sum.into_inner().expect("no panic"), wrong.into_inner().expect("no panic"));
    // Past the test harness, which would keep it.
    writeln!(io::stdout(), "\n{sum:?}").expect("somebody listens");
    assert!(wrong.is_empty(), "{}\n{} are wrong", wrong.join("\n"), wrong.len());
    assert_eq!(sum.cases as usize, cases.len());
    assert!(sum.cases > 150, "{sum:?}");
    assert_eq!(sum.af_xdp + sum.kernel, sum.by_udp, "no datagram came by the sockets: {sum:?}");
    assert!(sum.hot_cases > sum.cases / 5, "{sum:?}");
}
