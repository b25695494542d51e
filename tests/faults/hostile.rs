//! An upstream server that says what a test wants, from where the test wants, and notes what it was
//! asked.

use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use dns64_tests::client::{framed, read_framed};

use crate::message::HEADER_LEN;

/// How often the threads look whether they are to end.
const STOP_POLL: Duration = Duration::from_millis(50);
/// A connection on which nothing is asked for so long is given up.
const IDLE: Duration = Duration::from_secs(20);

/// A query that came in.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// The message.
    pub(crate) octets: Vec<u8>,
    /// The name in lower case, without the final dot.
    pub(crate) name: String,
    /// The type.
    pub(crate) qtype: u16,
    /// Whether it came by TCP.
    pub(crate) by_tcp: bool,
    question_end: usize,
}

impl Heard {
    fn parse(octets: &[u8], by_tcp: bool) -> Option<Self> {
        let mut at = HEADER_LEN;
        let mut labels = Vec::new();
        loop {
            let len = usize::from(*octets.get(at)?);
            let label = octets.get(at + 1..at + 1 + len)?;
            at += 1 + len;
            if len == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        }
        let qtype = octets.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)?;
        let question_end = at + 4;
        octets.get(..question_end)?;
        let name = labels.join(".");
        Some(Self { octets: octets.to_vec(), name, qtype, by_tcp, question_end })
    }

    /// The question, letter for letter.
    pub(crate) fn question(&self) -> &[u8] {
        &self.octets[HEADER_LEN..self.question_end]
    }

    /// What follows the question.
    pub(crate) fn behind_question(&self) -> &[u8] {
        &self.octets[self.question_end..]
    }

    /// Whether it brings additional records, of which OPT is the only one we send.
    pub(crate) fn has_opt(&self) -> bool {
        self.octets[11] != 0
    }

    /// Whether its name has letters of both cases.
    pub(crate) fn mixes_case(&self) -> bool {
        let letters = || self.question().iter().filter(|octet| octet.is_ascii_alphabetic());
        letters().any(u8::is_ascii_uppercase) && letters().any(u8::is_ascii_lowercase)
    }
}

/// What is said, in order. By TCP, messages all go by the connection.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// A message from where the query went to.
    Send(Vec<u8>),
    /// A message from another port of the same address.
    FromOtherPort(Vec<u8>),
    /// A message from the same port of another address.
    FromOtherAddress(Vec<u8>),
}

/// What the server does with a query.
type Answer = dyn Fn(&Heard) -> Vec<Say> + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    heard: Mutex<Vec<Heard>>,
    stop: AtomicBool,
    udp: UdpSocket,
    other_port: UdpSocket,
    other_address: UdpSocket,
}

/// A running server; it ends with the value.
pub(crate) struct Hostile {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Hostile {
    /// A server for UDP and TCP.
    pub(crate) fn start(answer: impl Fn(&Heard) -> Vec<Say> + Send + Sync + 'static) -> Self {
        Self::start_with(true, answer)
    }

    /// A server whose TCP port is closed.
    pub(crate) fn without_tcp(answer: impl Fn(&Heard) -> Vec<Say> + Send + Sync + 'static) -> Self {
        Self::start_with(false, answer)
    }

    /// A server that hears and says nothing.
    pub(crate) fn silent() -> Self {
        Self::without_tcp(|_| Vec::new())
    }

    fn start_with(
        with_tcp: bool,
        answer: impl Fn(&Heard) -> Vec<Say> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = bind_pair();
        let address = udp.local_addr().expect("bound");
        let other_port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        // If another program has that port there, any other will do.
        let other_address = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), address.port()))
            .or_else(|_| UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), 0)))
            .expect("a free port");
        udp.set_read_timeout(Some(STOP_POLL)).expect("a valid time");
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            heard: Mutex::default(),
            stop: AtomicBool::new(false),
            udp,
            other_port,
            other_address,
        });
        let mut threads = Vec::new();
        let for_udp = Arc::clone(&shared);
        threads.push(thread::spawn(move || serve_udp(&for_udp)));
        if with_tcp {
            tcp.set_nonblocking(true).expect("sockets can be made nonblocking");
            let for_tcp = Arc::clone(&shared);
            threads.push(thread::spawn(move || serve_tcp(&tcp, &for_tcp)));
        }
        Self { address, shared, threads }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All queries so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The queries so far for one name.
    pub(crate) fn heard_of(&self, name: &str) -> Vec<Heard> {
        let mut heard = self.heard();
        heard.retain(|query| query.name == name);
        heard
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

/// A UDP and a TCP socket on the same free port.
fn bind_pair() -> (UdpSocket, TcpListener) {
    for _attempt in 0..50 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("bound")) {
            return (udp, tcp);
        }
    }
    panic!("no port that is free on UDP and TCP")
}

fn serve_udp(shared: &Arc<Shared>) {
    let mut buffer = [0; 65_535];
    while !shared.stop.load(Ordering::Acquire) {
        let Ok((len, peer)) = shared.udp.recv_from(&mut buffer) else { continue };
        let Some(query) = Heard::parse(&buffer[..len], false) else { continue };
        let says = shared.hear(&query);
        shared.say(&says, peer);
    }
}

fn serve_tcp(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.stop.load(Ordering::Acquire) {
        match listener.accept() {
            Ok((stream, _)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || serve_connection(stream, &shared));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(_) => {}
        }
    }
}

fn serve_connection(mut stream: TcpStream, shared: &Shared) {
    let ready = stream.set_nonblocking(false).and_then(|()| stream.set_read_timeout(Some(IDLE)));
    if ready.is_err() {
        return;
    }
    while let Ok(octets) = read_framed(&mut stream) {
        let Some(query) = Heard::parse(&octets, true) else { continue };
        for say in shared.hear(&query) {
            let message = match say {
                Say::Send(message)
                | Say::FromOtherPort(message)
                | Say::FromOtherAddress(message) => message,
            };
            if stream.write_all(&framed(&message)).is_err() {
                return;
            }
        }
    }
}

impl Shared {
    /// Notes a query, and says what is to be done with it.
    fn hear(&self, query: &Heard) -> Vec<Say> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(query.clone());
        (self.answer)(query)
    }

    fn say(&self, says: &[Say], peer: SocketAddr) {
        for say in says {
            let (socket, message) = match say {
                Say::Send(message) => (&self.udp, message),
                Say::FromOtherPort(message) => (&self.other_port, message),
                Say::FromOtherAddress(message) => (&self.other_address, message),
            };
            // That nobody listens any more is for the asker to know.
            let _sent = socket.send_to(message, peer);
        }
    }
}
