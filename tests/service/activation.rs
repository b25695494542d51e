//! Socket activation: `dns64d` with sockets that somebody else has opened, as systemd does it
//! (sd_listen_fds(3)).

use std::fs::{self, File};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use dns64_tests::cases::Transport;
use dns64_tests::client::exchange;
use dns64_tests::daemon::{START_LIMIT, free_address};
use dns64_tests::netns::{Scratch, available, serial};
use dns64_tests::program::{dns64d, installed};
use dns64_tests::server::Server;
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::LIMIT;

/// Descriptors of the shell that hands them on: beyond those that it or the program uses.
const FIRST_FD: i32 = 200;

/// How a process learns that descriptors are for it.
const TO_ITSELF: &str = "LISTEN_PID=$$";

/// Puts the descriptors in `$FDS` where systemd would, and becomes the program.
const SHELL: &str = r#"
next=3
for fd in $FDS; do eval "exec $next<&$fd $fd<&-"; next=$((next + 1)); done
unset FDS fd next
"#;

fn udp(address: SocketAddr, reuse_port: bool) -> OwnedFd {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None).expect("a socket");
    socket.set_reuse_port(reuse_port).expect("an option");
    socket.bind(&address.into()).expect("a free port");
    socket.into()
}

fn tcp(address: SocketAddr) -> OwnedFd {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).expect("an option");
    socket.bind(&address.into()).expect("a free port");
    socket.listen(16).expect("it listens");
    socket.into()
}

/// A configuration for two workers that listen there.
fn configuration(listen: &[SocketAddr]) -> String {
    let listen: Vec<String> = listen.iter().map(ToString::to_string).collect();
    format!(
        "listen = {listen:?}\nworkers = 2\n[upstream]\nservers = [\"192.0.2.1\"]\n\
         [datapath]\nmode = \"socket\"\nsteering = \"name\"\n"
    )
}

/// Starts the program with descriptors from 3 on, announced by these variables.
fn start(config: &Path, announced: &str, passed: &[&OwnedFd]) -> Server {
    let handed: Vec<OwnedFd> = passed
        .iter()
        .map(|fd| {
            let fd = fcntl_dupfd_cloexec(fd.as_fd(), FIRST_FD).expect("a descriptor");
            fcntl_setfd(&fd, FdFlags::empty()).expect("it is handed on");
            fd
        })
        .collect();
    let fds: Vec<String> = handed.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("{SHELL}{announced} exec \"$0\" \"$@\""))
        .arg(dns64d())
        .arg("--config")
        .arg(config)
        .env("FDS", fds.join(" "))
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    Server::start("dns64d", command)
}

/// As [`start`], announced as they are.
fn activate(config: &Path, passed: &[&OwnedFd]) -> Server {
    let names = vec!["dns64d.socket"; passed.len()].join(":");
    let announced = format!("{TO_ITSELF} LISTEN_FDS={} LISTEN_FDNAMES={names}", passed.len());
    start(config, &announced, passed)
}

/// A question that is answered without any server (RFC 8880).
fn question() -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x08ipv4only\x04arpa\0\0\x1c\0\x01");
    query
}

fn ask(server: SocketAddr, transport: Transport) {
    let source = "127.0.0.1".parse().expect("an address");
    let (reply, _) = exchange(&question(), source, server, transport, LIMIT).expect("a reply");
    assert_eq!(reply[3] & 0x0f, 0, "NOERROR");
}

/// How many UDP sockets there are of an address of IPv4.
fn sockets_of(address: SocketAddr) -> usize {
    let SocketAddr::V4(address) = address else { panic!("an address of IPv4") };
    let octets = u32::from_ne_bytes(address.ip().octets());
    let local = format!("{octets:08X}:{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/udp").expect("a table");
    table.lines().filter(|line| line.split_whitespace().nth(1) == Some(&local)).count()
}

/// What is said where workers have to share sockets.
const SHARED: &str = "fewer sockets were passed than there are workers";

#[test]
fn sockets_that_are_passed_are_served_also_what_had_come_before_the_start() {
    let _machine = serial();
    let scratch = Scratch::new();
    let (address, other) = (free_address(), free_address());
    let sockets = [udp(address, false), tcp(address)];
    let early = UdpSocket::bind("127.0.0.1:0").expect("a port");
    early.set_read_timeout(Some(LIMIT)).expect("a valid time");
    early.send_to(&question(), address).expect("it is sent");
    let config = scratch.write("dns64d.toml", &configuration(&[address, other]));
    let mut server = activate(&config, &sockets.each_ref());
    drop(sockets);
    server.wait_for("ready", START_LIMIT);
    let mut reply = [0; 512];
    early.recv(&mut reply).expect("a reply to the early query");
    for address in [address, other] {
        for transport in [Transport::Udp, Transport::Tcp] {
            (0..20).for_each(|_| ask(address, transport));
        }
    }
    assert_eq!((sockets_of(address), sockets_of(other)), (1, 2));
    assert!(server.log().contains(SHARED), "{}", server.log());
    assert!(server.log().contains("no steering by name: workers share"), "{}", server.log());
}

#[test]
fn a_socket_for_each_worker_is_as_good_as_our_own() {
    let _machine = serial();
    let scratch = Scratch::new();
    for passed in [1, 2] {
        let address = free_address();
        let sockets: Vec<OwnedFd> = (0..passed).map(|_| udp(address, true)).collect();
        let config = scratch.write("dns64d.toml", &configuration(&[address]));
        let mut server = activate(&config, &sockets.iter().collect::<Vec<_>>());
        drop(sockets);
        server.wait_for("ready", START_LIMIT);
        assert_eq!(sockets_of(address), 2, "what is missing is added");
        // Each time from another port, so that both sockets are met.
        (0..64).for_each(|_| ask(address, Transport::Udp));
        ask(address, Transport::Tcp);
        assert!(!server.log().contains(SHARED), "{}", server.log());
    }
}

#[test]
fn who_may_not_add_to_the_sockets_of_another_user_shares_them() {
    if !available(&[]) {
        return;
    }
    let _machine = serial();
    let scratch = Scratch::new();
    let address = free_address();
    let socket = udp(address, true);
    let config = format!("{}[sandbox]\nuser = \"nobody\"\n", configuration(&[address]));
    let config = scratch.write("dns64d.toml", &config);
    let mut server = activate(&config, &[&socket]);
    server.wait_for("ready", START_LIMIT);
    assert_eq!(sockets_of(address), 1);
    (0..20).for_each(|_| ask(address, Transport::Udp));
    assert!(server.log().contains(SHARED), "{}", server.log());
}

#[test]
fn what_no_query_could_come_by_is_refused_with_a_way_out() {
    let _machine = serial();
    let scratch = Scratch::new();
    let (free, crowded, stranger) = (free_address(), free_address(), free_address());
    let config = scratch.write("dns64d.toml", &configuration(&[free]));
    let crowded_config = scratch.write("crowded.toml", &configuration(&[crowded]));
    let not_listed = format!("put {stranger} into listen");
    let both = {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).expect("a socket");
        socket.set_only_v6(false).expect("an option");
        let any: SocketAddr = "[::]:0".parse().expect("an address");
        socket.bind(&any.into()).expect("a free port");
        OwnedFd::from(socket)
    };
    let connected = {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.connect(&SockAddr::from(socket_of(&tcp_anywhere()))).expect("it connects");
        OwnedFd::from(socket)
    };
    let unix = OwnedFd::from(UnixListener::bind(scratch.path().join("unix")).expect("a path"));
    let file = OwnedFd::from(File::open("/dev/null").expect("it is there"));
    let once = tcp(crowded);
    let again = once.try_clone().expect("a descriptor");
    let surplus: Vec<OwnedFd> = (0..3).map(|_| udp(crowded, true)).collect();
    let surplus: Vec<&OwnedFd> = surplus.iter().collect();
    let listed = udp(stranger, false);
    let stranger = tcp(stranger);
    for (passed, said) in [
        (&[&listed][..], not_listed.as_str()),
        (&[&stranger], &not_listed),
        (&[&both], "BindIPv6Only=ipv6-only"),
        (&[&connected], "Accept=no"),
        (&[&unix], "queries come by UDP and TCP alone"),
        (&[&file], "this is no socket"),
        (&[&once, &again], "is there twice"),
        (&surplus[..], "3 UDP sockets"),
    ] {
        let config = if passed.len() == 3 { &crowded_config } else { &config };
        let mut server = activate(config, passed);
        let status = server.wait(START_LIMIT).expect("it ends");
        let log = server.final_log();
        assert_eq!(status.code(), Some(2), "{said}: {log}");
        assert!(log.contains(said) && log.contains("(dns64d.socket)"), "{said}: {log}");
    }
}

/// A listening socket, and where it listens.
fn tcp_anywhere() -> OwnedFd {
    tcp(free_address())
}

/// The address that a socket is bound to.
fn socket_of(fd: &OwnedFd) -> SocketAddr {
    let socket = Socket::from(fd.try_clone().expect("a descriptor"));
    socket.local_addr().expect("an address").as_socket().expect("an address of IP")
}

#[test]
fn descriptors_for_another_process_are_left_alone_and_wrong_announcements_refused() {
    let _machine = serial();
    let scratch = Scratch::new();
    let (address, foreign) = (free_address(), free_address());
    let config = scratch.write("dns64d.toml", &configuration(&[address]));
    let foreign = udp(foreign, false);
    let mut server = start(&config, "LISTEN_PID=1 LISTEN_FDS=1", &[&foreign]);
    server.wait_for("ready", START_LIMIT);
    drop(server);
    for announced in ["LISTEN_FDS=500", "LISTEN_FDS=many", "LISTEN_FDS=1 LISTEN_FDNAMES=a:b"] {
        let mut server = start(&config, &format!("{TO_ITSELF} {announced}"), &[&foreign]);
        let status = server.wait(START_LIMIT).expect("it ends");
        let log = server.final_log();
        assert_eq!(status.code(), Some(2), "{announced}: {log}");
        assert!(log.contains("LISTEN_FDS: the sockets that systemd has passed"), "{log}");
    }
}

#[test]
fn programs_that_are_started_have_neither_the_sockets_nor_the_variables() {
    let _machine = serial();
    let scratch = Scratch::new();
    let address = free_address();
    let seen = scratch.path().join("seen");
    let text = format!(
        "#!/bin/sh\n{{ env; ls -l /proc/self/fd; }} > {0}.new && mv {0}.new {0}\n",
        seen.display()
    );
    let program = scratch.write("probe", &text);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let config = format!(
        "{}[sandbox]\nlandlock = false\n[dns64]\npool = \"nat64\"\n[[pool]]\nname = \"nat64\"\n\
         prefixes = [\"2001:db8:641::/96\"]\nprobe = {{ command = [{program:?}] }}\n",
        configuration(&[address])
    );
    let config = scratch.write("dns64d.toml", &config);
    let socket = udp(address, false);
    let mut server = activate(&config, &[&socket]);
    server.wait_for("ready", START_LIMIT);
    let deadline = Instant::now() + LIMIT;
    while !seen.exists() {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let seen = fs::read_to_string(seen).expect("text");
    assert!(seen.contains("DNS64_PREFIX="), "it was started by the probe: {seen}");
    assert!(!seen.contains("LISTEN_"), "{seen}");
    assert!(!seen.contains("socket:"), "{seen}");
}

#[test]
fn the_activator_of_systemd_starts_it_with_the_first_query() {
    if !installed(&["systemd-socket-activate"]) {
        return;
    }
    let _machine = serial();
    let scratch = Scratch::new();
    let address = free_address();
    let config = scratch.write("dns64d.toml", &configuration(&[address]));
    let mut command = Command::new("systemd-socket-activate");
    command.args(["--datagram", "--listen", &address.to_string()]);
    command.arg(dns64d()).arg("--config").arg(&config).stdin(Stdio::null());
    let mut server = Server::start("systemd-socket-activate", command);
    server.wait_for("Listening on", START_LIMIT);
    ask(address, Transport::Udp);
    ask(address, Transport::Tcp);
}
