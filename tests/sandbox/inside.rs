//! A process in the sandbox of dns64d tries what dns64d must not be able to do.
//!
//! Each test starts itself once more, and what runs there is confined as the daemon is between its
//! start and its end.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dns64::config;
use dns64::sandbox::Sandbox;
use dns64_tests::netns::Scratch;
use rustix::process::{Pid, Signal, chroot, kill_process};
use socket2::{Domain, Socket, Type};

/// The directory of the configuration, for the process that is confined.
const DIRECTORY: &str = "DNS64_TEST_SANDBOX";

/// Runs a part of a test in a process that is confined as this configuration says.
fn confined(test: &str, configuration: &str, part: impl FnOnce(&Path)) {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let directory = PathBuf::from(directory);
        let file = directory.join("dns64d.toml");
        let config = config::load(&file).expect("a right configuration");
        Sandbox::enter(&config, Some(&file)).expect("a sandbox").close().expect("a closed one");
        part(&directory);
        eprintln!("the confined part has come to its end");
        return;
    }
    let scratch = Scratch::new();
    let socket = scratch.path().join("run/control.sock");
    fs::create_dir(scratch.path().join("run")).expect("a new directory");
    let control = format!("[control]\nsocket = {socket:?}\n");
    scratch.write("dns64d.toml", &format!("{configuration}\n{control}"));
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(DIRECTORY, scratch.path())
        .stdin(Stdio::null())
        .output()
        .expect("it is run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("come to its end"), "{output:?}");
}

/// `AF_XDP` of linux/socket.h.
const AF_XDP: i32 = 44;

const PLAIN: &str = "listen = [\"127.0.0.1:5364\"]\n[upstream]\nservers = [\"192.0.2.1\"]\n";

fn assert_denied<T: std::fmt::Debug>(what: &str, result: io::Result<T>) {
    let kind = result.as_ref().err().map(io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::PermissionDenied), "{what}: {result:?}");
}

#[test]
fn files_elsewhere_are_out_of_reach() {
    confined("inside::files_elsewhere_are_out_of_reach", PLAIN, |directory| {
        let program = std::env::current_exe().unwrap();
        assert_denied("read the program", fs::read(&program));
        assert_denied("list the root", fs::read_dir("/"));
        assert_denied("write to /etc", fs::write("/etc/dns64d-was-here", "x"));
        assert_denied("write to /tmp", fs::write("/tmp/dns64d-was-here", "x"));
        assert_denied("write the configuration", fs::write(directory.join("dns64d.toml"), "x"));
        assert_denied("make a directory", fs::create_dir(directory.join("run/deeper")));
    });
}

#[test]
fn what_a_reload_and_the_control_socket_need_stays_within_reach() {
    confined(
        "inside::what_a_reload_and_the_control_socket_need_stays_within_reach",
        PLAIN,
        |directory| {
            assert!(fs::read_to_string(directory.join("dns64d.toml")).unwrap().contains("listen"));
            assert!(!fs::read("/etc/passwd").unwrap().is_empty());
            assert!(fs::read_dir("/sys/class/net").unwrap().next().is_some());
            let socket = directory.join("run/control.sock");
            drop(UnixListener::bind(&socket).unwrap());
            fs::remove_file(&socket).unwrap();
        },
    );
}

#[test]
fn no_program_is_started_and_nothing_is_done_to_the_system() {
    confined(
        "inside::no_program_is_started_and_nothing_is_done_to_the_system",
        PLAIN,
        |directory| {
            assert_denied("start a program", Command::new("/bin/true").status());
            assert_denied("change the root", chroot("/").map_err(io::Error::from));
            let parent = rustix::process::getppid().unwrap_or(Pid::INIT);
            let signal = kill_process(parent, Signal::CONT).map_err(io::Error::from);
            assert_denied("send a signal", signal);
            let mode = fs::Permissions::from_mode(0o777);
            assert_denied("change a mode", fs::set_permissions(directory.join("run"), mode));
            let become_root = rustix::thread::set_thread_uid(rustix::process::Uid::ROOT);
            assert_denied("change the user", become_root.map_err(io::Error::from));
        },
    );
}

#[test]
fn only_sockets_for_names_and_answers_are_opened() {
    confined("inside::only_sockets_for_names_and_answers_are_opened", PLAIN, |_| {
        for (what, domain) in [
            ("AF_PACKET", Domain::PACKET),
            ("AF_VSOCK", Domain::VSOCK),
            ("AF_XDP", Domain::from(AF_XDP)),
        ] {
            assert_denied(what, Socket::new(domain, Type::RAW, None));
        }
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        drop(std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap());
        let (one, other) = (udp(), udp());
        one.send_to(b"x", other.local_addr().unwrap()).unwrap();
        assert_eq!(other.recv(&mut [0; 8]).unwrap(), 1);
    });
}

fn udp() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port")
}

#[test]
fn threads_can_be_started() {
    confined("inside::threads_can_be_started", PLAIN, |_| {
        let thread = std::thread::Builder::new().name("one-more".to_owned());
        assert_eq!(thread.spawn(|| 7).unwrap().join().unwrap(), 7);
    });
}

#[test]
fn with_a_command_as_probe_programs_are_started_and_confined_too() {
    let pool = "[[pool]]\nname = \"p\"\nprefixes = [\"2001:db8:64::/96\"]\n\
                probe = { command = [\"/bin/true\"] }\n[dns64]\npool = \"p\"\n";
    let configuration = format!("{PLAIN}{pool}");
    confined(
        "inside::with_a_command_as_probe_programs_are_started_and_confined_too",
        &configuration,
        |directory| {
            let run = |script: &str| {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(script).current_dir(directory).stderr(Stdio::null());
                shell.status().unwrap()
            };
            assert!(run("test $(echo a | cat) = a && sleep 0").success());
            assert!(!run("echo x > stolen").success());
            assert!(!run("chmod 777 run").success());
        },
    );
}
