//! `dns64bench flood`: what the kernel sends is understood by servers of every kind, and what comes
//! back is judged rightly inside XDP.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dns64::sys::sockopt::set_receive_buffer;
use dns64::xdp::{Object, Program};
use dns64_ebpf::flood::{PROGRAM_CHECK, PROGRAM_SEND};
use dns64_tests::netns::{Netns, Scratch, available, serial};
use dns64_tests::server::Server;
use rustix::process::Signal;

use crate::liar::{Asked, Liar, Reply};
use crate::program::{Outcome, dns64bench, names, run};

/// How long things may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The server's addresses, and its port.
const V4: &str = "192.0.2.53";
const V6: &str = "2001:db8:7::53";
const PORT: u16 = 5_301;

/// The most instructions that the verifier may walk through. Kernels differ by tens of per cent,
/// and refuse at a million.
const VERIFIED_MAX: u32 = 100_000;

/// Two hosts on one cable, and twenty names that say their own answer.
struct Wire {
    client: Netns,
    server: Netns,
    scratch: Scratch,
    names: String,
    _alone: std::sync::MutexGuard<'static, ()>,
}

impl Wire {
    fn new() -> Option<Self> {
        if !available(&["ip", "setpriv"]) {
            return None;
        }
        let alone = serial();
        let (client, server) = (Netns::new("client"), Netns::new("server"));
        client.link("eth0", &server, "eth0");
        for (host, v4, v6) in [
            (&client, "192.0.2.7/24", "2001:db8:7::7/64"),
            (&server, "192.0.2.53/24", "2001:db8:7::53/64"),
        ] {
            host.address("eth0", v4);
            host.address("eth0", v6);
            host.wait_for_carrier("eth0", LIMIT);
        }
        let scratch = Scratch::new();
        let names = scratch.write("names", &names(20, "")).to_string_lossy().into_owned();
        Some(Self { client, server, scratch, names, _alone: alone })
    }

    /// Starts a command of dns64bench at the server.
    fn start(&self, arguments: &str) -> Server {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let mut server = self.server.spawn(dns64bench(), &arguments);
        server.wait_for("ready", LIMIT);
        server
    }

    /// The program that makes veth take live frames at the server.
    fn pass(&self) -> Server {
        self.start("reflect eth0 --pass")
    }

    /// A liar on the server's IPv4 address.
    fn liar(&self, lie: impl FnMut(Asked<'_>) -> Reply + Send + 'static) -> Liar {
        let bind = |port| UdpSocket::bind((V4, port)).expect("a free port");
        let (socket, other) = self.server.enter(|| (bind(PORT), bind(0)));
        // Each live frame takes a page of it: the usual one has room for forty.
        set_receive_buffer(&socket, 8 << 20).expect("root may have any receive buffer");
        Liar::start_on(socket, other, lie)
    }

    /// The arguments of a flood to an address, with some more.
    fn arguments(&self, address: &str, more: &str) -> Vec<String> {
        let port = PORT.to_string();
        let mut all: Vec<String> =
            ["flood", "eth0", "-s", address, "-p", &port].map(str::to_owned).to_vec();
        if !more.contains("-d ") {
            all.extend(["-d".to_owned(), self.names.clone()]);
        }
        all.extend(more.split_whitespace().map(str::to_owned));
        all
    }

    fn flood(&self, address: &str, more: &str) -> Outcome {
        let mut command = self.client.command(dns64bench());
        run(command.args(self.arguments(address, &format!("--json {more}"))), b"")
    }

    fn client_has_program(&self) -> bool {
        self.client.run("ip", &["-o", "link", "show", "eth0"]).contains("xdp")
    }
}

/// All that was sent was answered rightly, and there was something.
#[track_caller]
fn assert_all_right(outcome: &Outcome) {
    let [sent, right, wrong, failed, lost] =
        outcome.numbers(["sent", "right", "wrong", "failed", "lost"]);
    assert_eq!([right, wrong, failed, lost], [sent, 0, 0, 0], "{}", outcome.stdout);
    assert!(sent > 0);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

#[test]
fn the_verifier_is_far_from_its_limit() {
    if !available(&[]) {
        return;
    }
    for name in [PROGRAM_SEND, PROGRAM_CHECK] {
        let program = Program::load(Object::Bench, name).expect("the kernel takes the program");
        let count = program.verified_instructions();
        println!("{name}: verified instructions: {count:?}");
        // Kernels before 5.16 do not say.
        assert!(count.is_none_or(|count| count < VERIFIED_MAX), "{name}: {count:?}");
    }
}

#[test]
fn every_query_is_reflected_over_both_families_in_both_loops() {
    let Some(wire) = Wire::new() else { return };
    let _reflector = wire.start("reflect eth0 --listen [::]:5301");
    for address in [V4, V6] {
        let closed = wire.flood(address, "--expect reflected -q 50 -l 0.3 -c 3");
        assert_all_right(&closed);
        let open = wire.flood(address, "--expect reflected -Q 2000 -l 0.2");
        assert_all_right(&open);
        let [sent] = open.numbers(["sent"]);
        assert!((1..=400).contains(&sent), "{sent}: the schedule has 400");
    }
    assert!(!wire.client_has_program(), "it takes its program with it");
}

#[test]
fn queries_of_the_lead_in_do_not_count() {
    let Some(wire) = Wire::new() else { return };
    let _pass = wire.pass();
    let asked = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&asked);
    let _liar = wire.liar(move |asked| {
        counted.fetch_add(1, Ordering::Relaxed);
        // The first answers are wrong.
        let lies = u8::from(asked.before < 10);
        let mut answer = asked.answer;
        if let Some(last) = answer.last_mut() {
            *last ^= lies;
        }
        Reply::Now(vec![answer])
    });
    let outcome = wire.flood(V4, "-Q 1000 --lead-in 0.1 -l 0.1 -t 2");
    assert_all_right(&outcome);
    let [sent] = outcome.numbers(["sent"]);
    assert!(sent <= 100, "{sent}: the schedule has 100");
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked >= sent + 10, "{asked} queries, of which {sent} count");
}

#[test]
fn an_echo_by_af_xdp_gives_every_query_back() {
    let Some(wire) = Wire::new() else { return };
    let _echo = wire.start("echo --xdp eth0 --listen [::]:5301");
    assert_all_right(&wire.flood(V6, "--expect reflected -q 50 -l 0.3 -e"));
}

#[test]
fn a_reflection_is_no_synthesized_answer() {
    let Some(wire) = Wire::new() else { return };
    let _reflector = wire.start("reflect eth0 --listen [::]:5301");
    let outcome = wire.flood(V6, "-Q 1000 -l 0.1");
    let [sent, wrong] = outcome.numbers(["sent", "wrong"]);
    assert_eq!((outcome.code, wrong), (Some(1), sent), "{}", outcome.stdout);
    let sample = outcome.json()["samples"][0].to_string();
    assert!(sample.contains("number of records") && sample.contains(".v4.test. AAAA"), "{sample}");
}

#[test]
fn a_real_server_is_right_by_sockets_and_inside_xdp() {
    let Some(wire) = Wire::new() else { return };
    let _upstream = wire.start("upstream --listen 127.0.0.1:5300");
    for datapath in ["mode = \"socket\"", "mode = \"xdp\"\ninterfaces = [\"eth0\"]"] {
        let config = wire.scratch.write(
            "dns64d.toml",
            &format!(
                "listen = [\"[::]:5301\", \"{V4}:5301\"]\nworkers = 1\n\
                 allow = [\"::/0\", \"0.0.0.0/0\"]\n[upstream]\nservers = [\"127.0.0.1:5300\"]\n\
                 [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n[datapath]\n{datapath}\n"
            ),
        );
        let config = config.to_string_lossy().into_owned();
        let mut server = wire.server.spawn(dns64d(), &["--config", &config]);
        server.wait_for(" ready ", LIMIT);
        let _pass = datapath.contains("socket").then(|| wire.pass());
        for address in [V6, V4] {
            let prefix = "--prefix 2001:db8:64::/96";
            assert_all_right(&wire.flood(address, &format!("{prefix} -q 20 -l 0.5 -e")));
        }
        let other = wire.flood(V6, "--prefix 2001:db8:65::/96 -Q 500 -l 0.1");
        assert_eq!(other.code, Some(1), "{}", other.stdout);
    }
}

/// A liar about every fourth of the names is caught each time that it lies.
#[track_caller]
fn assert_caught(word: &str, change: impl Fn(&mut Vec<u8>) + Send + 'static) {
    let Some(wire) = Wire::new() else { return };
    let _pass = wire.pass();
    let _liar = wire.liar(move |mut asked| {
        if asked.number.is_multiple_of(4) {
            change(&mut asked.answer);
        }
        Reply::Now(vec![asked.answer])
    });
    let outcome = wire.flood(V4, "-Q 1000 -l 0.2 -t 2");
    let [sent, right, wrong] = outcome.numbers(["sent", "right", "wrong"]);
    let lies = sent.div_ceil(4);
    assert_eq!([right, wrong], [sent - lies, lies], "{}", outcome.stdout);
    assert_eq!(outcome.code, Some(1));
    let sample = outcome.json()["samples"][0].to_string();
    assert!(sample.contains(word) && sample.contains("came "), "{sample}");
}

#[test]
fn a_wrong_address_is_caught() {
    assert_caught("address", |answer| {
        let at = answer.len() - 1;
        answer[at] ^= 1;
    });
}

#[test]
fn a_wrong_question_is_caught() {
    assert_caught("question", |answer| answer[13] ^= 1);
}

#[test]
fn another_letter_case_of_the_question_is_caught() {
    assert_caught("question", |answer| answer[13] ^= 0x20);
}

#[test]
fn a_wrong_id_is_caught() {
    assert_caught("id", |answer| answer[0] ^= 0x80);
}

#[test]
fn the_id_of_another_query_is_caught_by_its_question() {
    assert_caught("question", |answer| answer[1] ^= 1);
}

#[test]
fn a_long_ttl_is_caught() {
    assert_caught("ttl", |answer| {
        let at = answer.len() - 21;
        answer[at] = 1;
    });
}

#[test]
fn failures_and_silence_and_strangers_have_their_own_places() {
    let Some(wire) = Wire::new() else { return };
    let _pass = wire.pass();
    let _liar = wire.liar(|mut asked| match asked.number % 4 {
        0 => {
            asked.answer[3] = 0x82;
            Reply::Now(vec![asked.answer])
        }
        1 => Reply::Now(vec![]),
        2 => Reply::FromElsewhere(asked.answer),
        _ => Reply::Now(vec![asked.answer.clone(), asked.answer]),
    });
    let outcome = wire.flood(V4, "-Q 1000 -l 0.2 -t 2");
    let [sent, right, wrong, failed, lost, late, foreign] =
        outcome.numbers(["sent", "right", "wrong", "failed", "lost", "late", "foreign"]);
    let of = |number: u64| (sent + 3 - number) / 4;
    assert_eq!(
        [right, wrong, failed, lost, late, foreign],
        [of(3), 0, of(0), of(1) + of(2), of(3), of(2)],
        "{}",
        outcome.stdout
    );
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn a_closed_loop_gives_up_what_is_lost_and_goes_on() {
    let Some(wire) = Wire::new() else { return };
    let _pass = wire.pass();
    // The first queries fill the loop and are lost.
    let _liar =
        wire.liar(|asked| Reply::Now(if asked.before < 15 { vec![] } else { vec![asked.answer] }));
    let outcome = wire.flood(V4, "-q 15 -t 0.3 -l 1.5");
    let [sent, right, lost] = outcome.numbers(["sent", "right", "lost"]);
    assert_eq!([right, lost], [sent - 15, 15], "{}", outcome.stdout);
    assert!(right > 0);
}

#[test]
fn a_signal_ends_it_with_a_report_and_a_kill_leaves_no_program() {
    let Some(wire) = Wire::new() else { return };
    let _pass = wire.pass();
    for signal in [Signal::INT, Signal::KILL] {
        let (send, first) = mpsc::channel();
        let _liar = wire.liar(move |asked| {
            // Nobody listens to the second one.
            let _gone = send.send(());
            Reply::Now(vec![asked.answer])
        });
        let arguments = wire.arguments(V4, "-q 10 -l 100 --json");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut flood = wire.client.spawn(dns64bench(), &arguments);
        first.recv_timeout(LIMIT).expect("a query arrives");
        assert!(wire.client_has_program());
        flood.signal(signal);
        let status = flood.wait(LIMIT).expect("it ends");
        if signal == Signal::INT {
            assert_eq!(status.code(), Some(0), "{}", flood.log());
            assert!(flood.final_log().contains("\"right\""));
        }
        assert!(!wire.client_has_program());
    }
}

#[test]
fn what_cannot_be_done_is_said_with_exit_code_2() {
    let Some(wire) = Wire::new() else { return };
    let strangers = wire.scratch.write("strangers", "www.example.test AAAA\n");
    let strangers = format!("-d {}", strangers.display());
    for (address, more, words) in [
        ("198.51.100.1", "", "unreachable"),
        (V4, strangers.as_str(), "www.example.test.: the name does not say its answer"),
        (V4, "-a 2001:db8:7::7", "two families"),
        (V4, "-Q 1000 -l 0.1 -t 0.1", "no answer to"),
    ] {
        let outcome = wire.flood(address, more);
        assert_eq!(outcome.code, Some(2), "{more}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(words), "{more}: {}", outcome.stderr);
    }
    let mut elsewhere = wire.client.command(dns64bench());
    elsewhere.args(["flood", "none0", "-s", V4, "-d", &wire.names]);
    let outcome = run(&mut elsewhere, b"");
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("there is no interface none0"), "{}", outcome.stderr);
}

#[test]
fn without_rights_it_says_so() {
    let Some(wire) = Wire::new() else { return };
    let mut command = wire.client.command("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]);
    command.arg(dns64bench()).args(wire.arguments(V4, "-l 0.1"));
    let outcome = run(&mut command, b"");
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    let said = &outcome.stderr;
    assert!(said.contains("not permitted to") && said.contains("CAP_BPF"), "{said}");
}

/// `dns64d`: the one that the environment names, or the one that cargo built beside this test.
fn dns64d() -> PathBuf {
    std::env::var_os("DNS64D").map_or_else(|| dns64bench().with_file_name("dns64d"), PathBuf::from)
}
