//! A `dns64d` with a control socket, on loopback or in a namespace, and `dns64ctl` for it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::netns::{Netns, Scratch};
use crate::program::{directory, dns64d};
use crate::server::Server;

/// How long the program may take to start on a busy machine.
pub const START_LIMIT: Duration = Duration::from_secs(30);

/// How often what has no notification is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// A running `dns64d` whose configuration ends with a control socket.
#[derive(Debug)]
pub struct Daemon {
    /// The program.
    pub server: Server,
    /// Its control socket.
    pub socket: PathBuf,
    /// Its configuration file.
    pub config: PathBuf,
}

impl Daemon {
    /// Starts the program with this configuration and a control socket, and waits until it answers.
    #[must_use]
    pub fn start(scratch: &Scratch, netns: Option<&Netns>, config: &str) -> Self {
        let socket = scratch.path().join("control.sock");
        let text = format!("{config}\n[control]\nsocket = {socket:?}\n");
        let config = scratch.write("dns64d.toml", &text);
        let mut server = spawn(netns, &config);
        server.wait_for("ready", START_LIMIT);
        Self { server, socket, config }
    }

    /// Runs `dns64ctl` for this program.
    #[must_use]
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        let mut all = arguments.to_vec();
        let socket = self.socket.to_string_lossy();
        all.extend(["--socket", &socket]);
        dns64ctl(&all)
    }

    /// The JSON that a command prints.
    ///
    /// # Panics
    /// If the command fails.
    #[must_use]
    pub fn json(&self, command: &str) -> Value {
        let output = self.ctl(&[command, "--json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Asks for a command's JSON until it is as wanted.
    ///
    /// # Panics
    /// If it is not in time.
    pub fn wait_until(&self, command: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + limit;
        loop {
            let json = self.json(command);
            if wanted(&json) {
                return;
            }
            assert!(Instant::now() < deadline, "{json:#}\n{}", self.server.log());
            std::thread::sleep(POLL);
        }
    }
}

/// Starts `dns64d` and does not wait.
#[must_use]
pub fn spawn(netns: Option<&Netns>, config: &Path) -> Server {
    let mut command = match netns {
        Some(netns) => netns.command(dns64d()),
        None => Command::new(dns64d()),
    };
    command.arg("--config").arg(config).stdin(Stdio::null()).env_remove("RUST_LOG");
    Server::start("dns64d", command)
}

/// Runs `dns64ctl`, the one that cargo built beside the tests.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn dns64ctl(arguments: &[&str]) -> Output {
    let program = directory().join("dns64ctl");
    assert!(program.is_file(), "there is no {}: run `cargo build --workspace`", program.display());
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.output().expect("dns64ctl can be run")
}

/// A port of loopback that is free for UDP and TCP. Another program may take it before ours does;
/// so seldom that nothing is done about it.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    let free = (0..50).find_map(|_| {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
        let address = udp.local_addr().ok()?;
        TcpListener::bind(address).is_ok().then_some(address)
    });
    free.expect("there are free ports")
}
