//! The real program, for what only it can show: `dns64d`, or the peer that `DNS64_TEST_SUBJECT`
//! names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use dns64_tests::cases::{CaseConfig, ScriptEntry};
use dns64_tests::subject::{Place, Server, Subject, TemporaryDirectory};
use dns64_tests::upstream::Upstream;

/// Ports are looked for from here on: below those that the kernel gives to clients.
const FIRST_PORT: u16 = 31_000;

/// Longer than any reply takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A running responder; it ends with the value.
pub(crate) struct Program {
    address: SocketAddr,
    _server: Server,
    _upstream: Option<Upstream>,
    _directory: TemporaryDirectory,
}

impl Program {
    /// Starts the program before an upstream server that follows a script.
    pub(crate) fn start(script: &[ScriptEntry]) -> Self {
        let upstream = Upstream::start(script).unwrap();
        let address = upstream.address();
        Self::start_before(address, Some(upstream))
    }

    /// Starts the program before a server that the test plays itself. It has to know
    /// [`dns64_tests::upstream::PROBE_NAME`].
    pub(crate) fn start_before(upstream: SocketAddr, scripted: Option<Upstream>) -> Self {
        let port = free_port();
        let directory = TemporaryDirectory::new(&format!("conformance-{port}")).unwrap();
        let place = Place::on_loopback(port, upstream, directory.path().to_owned());
        let subject = Subject::from_environment().unwrap();
        let configuration = subject.configuration(&CaseConfig::default(), &place);
        let server = subject.start(&configuration.expect("an empty case"), &place).unwrap();
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        Self { address, _server: server, _upstream: scripted, _directory: directory }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

/// A port that nobody has, on both loopback addresses.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: &u16| {
        [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].into_iter().all(|ip| {
            UdpSocket::bind((ip, *port)).is_ok() && TcpListener::bind((ip, *port)).is_ok()
        })
    };
    let mut ports = std::iter::from_fn(|| Some(NEXT.fetch_add(1, Ordering::Relaxed))).take(1_000);
    ports.by_ref().map(|offset| FIRST_PORT + offset).find(is_free).expect("a free port")
}
