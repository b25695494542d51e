//! System calls that fail, by `strace` fault injection, and a process without file descriptors.

use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::netns::{Scratch, serial};

use crate::client::{addresses, ask, ask_again, exchange};
use crate::message::{mapped, query, rtype};
use crate::responder::{Responder, Settings};

const GOOD: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// Whether system calls can be made to fail here. If not, says why; where `CI` is `true`, that is a
/// failure.
fn can_trace() -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EPERM", "true"])
        .stdin(Stdio::null())
        .output();
    let reason = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => format!("strace: {error}"),
    };
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "system calls cannot be made to fail: {reason}");
    eprintln!("skipped: {reason}");
    false
}

fn upstream() -> Upstream {
    let listen = "127.0.0.1:0".parse().expect("valid");
    Upstream::start(listen, Options::default()).expect("starts")
}

/// Asks by UDP and TCP while a call fails every few times.
fn survives(call: &str, error: &str, when: &str) {
    let upstream = upstream();
    let scratch = Scratch::new();
    let log = scratch.path().join("trace");
    let log_path = log.to_string_lossy();
    let trace = format!("trace={call}");
    let inject = format!("inject={call}:error={error}:when={when}");
    // With -D the tracer is the grandchild, so that the process we started is the responder.
    let under = ["strace", "-D", "-f", "-qq", "-o", &log_path, "-e", trace.as_str(), "-e", &inject];
    let settings = Settings { under: &under, ..Settings::default() };
    let mut responder = Responder::start_with(&[upstream.local_addr()], settings);
    let what = format!("{call} {error} {when}");
    for number in 0..60 {
        let name = format!("a-198-51-100-7.n{number}.test");
        let reply = ask_again(responder.address(), &name, rtype::AAAA);
        assert_eq!(addresses(&reply), [IpAddr::V6(mapped(GOOD))], "{what}: {name}");
        responder.assert_alive();
    }
    for _ in 0..5 {
        // A connection may be refused or broken by the fault; that the next works is the point.
        let is_answered = (0..10).any(|_| ask_by_tcp(responder.address()).is_some());
        assert!(is_answered, "{what}: no answer by TCP");
        responder.assert_alive();
    }
    let log = std::fs::read_to_string(&log).expect("strace writes what it does");
    let injected = log.matches("(INJECTED)").count();
    assert!(injected > 0, "{what}: no call failed; the program may use another one now:\n{log}");
}

fn ask_by_tcp(server: std::net::SocketAddr) -> Option<Vec<u8>> {
    use std::io::Write;
    let mut stream = TcpStream::connect(server).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let octets = query(1, "a-198-51-100-7.tcp.test", rtype::AAAA);
    stream.write_all(&dns64_tests::client::framed(&octets)).ok()?;
    dns64_tests::client::read_framed(&mut stream).ok()
}

/// One test for each line: call, error, which times.
macro_rules! failing_calls {
    ($($name:ident: $call:literal $error:literal $when:literal;)*) => {$(
        #[test]
        fn $name() {
            let _machine = serial();
            if can_trace() {
                survives($call, $error, $when);
            }
        }
    )*};
}

failing_calls! {
    receiving_that_is_interrupted_loses_nothing_for_good: "recvmmsg" "EINTR" "3+5";
    receiving_without_memory_is_survived: "recvmmsg" "ENOMEM" "3+5";
    replies_without_buffers_are_survived: "sendmmsg" "ENOBUFS" "3+5";
    replies_that_a_firewall_forbids_are_survived: "sendmmsg" "EPERM" "2+3";
    replies_that_are_interrupted_are_survived: "sendmmsg" "EINTR" "2+3";
    upstream_queries_that_are_refused_are_repeated: "sendto" "ECONNREFUSED" "3+5";
    upstream_queries_without_a_route_are_repeated: "sendto" "ENETUNREACH" "3+5";
    upstream_queries_that_a_firewall_forbids_are_repeated: "sendto" "EPERM" "3+5";
    upstream_answers_that_fail_to_be_read_are_asked_for_again: "recvfrom" "ENOMEM" "3+5";
    waiting_that_is_interrupted_is_gone_on_with: "epoll_wait,epoll_pwait" "EINTR" "3+5";
    source_ports_that_cannot_be_opened_are_done_without: "socket" "EMFILE" "20+3";
    source_ports_that_cannot_be_bound_are_drawn_again: "bind" "EADDRINUSE" "10+2";
    clients_that_cannot_be_accepted_come_again: "accept4" "EMFILE" "1+2";
    clients_that_gave_up_while_waiting_are_forgotten: "accept4" "ECONNABORTED" "1+2";
}

#[test]
fn without_file_descriptors_udp_is_answered_still() {
    let _machine = serial();
    let upstream = upstream();
    // Enough to start and for some source ports, not for all.
    let under = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let settings = Settings { under: &under, ..Settings::default() };
    let mut responder = Responder::start_with(&[upstream.local_addr()], settings);
    // TCP clients take what is left, and keep it.
    let held: Vec<TcpStream> =
        (0..100).filter_map(|_| TcpStream::connect(responder.address()).ok()).collect();
    for number in 0..500 {
        let name = format!("a-198-51-100-7.n{number}.test");
        let reply = ask(responder.address(), &name, rtype::AAAA);
        assert_eq!(addresses(&reply), [IpAddr::V6(mapped(GOOD))], "{name}");
    }
    responder.assert_alive();
    drop(held);
    // And TCP again when there is room.
    let is_answered = (0..50).any(|_| ask_by_tcp(responder.address()).is_some());
    assert!(is_answered, "no answer by TCP");
    let octets = query(3, "a-198-51-100-7.last.test", rtype::AAAA);
    assert!(exchange(responder.address(), &octets, Duration::from_secs(5)).is_some());
}
