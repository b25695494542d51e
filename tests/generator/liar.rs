//! A server that knows the right answer and may give another.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use dns64_bench::wire::{Query, labels, rtype};

/// How often the end is looked for.
const POLL: Duration = Duration::from_millis(20);

/// The NAT64 prefix of the liar's right answers: the Well-Known Prefix.
const PREFIX: [u8; 12] = [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];

/// A query, and the right answer to it.
pub(crate) struct Asked<'a> {
    /// The query.
    pub(crate) query: &'a [u8],
    /// The right answer.
    pub(crate) answer: Vec<u8>,
    /// The last octet of the address in the name.
    pub(crate) number: u8,
    /// How many queries came before.
    pub(crate) before: u32,
}

impl Asked<'_> {
    /// Where in the answer its record ends, and so where its address does.
    pub(crate) fn end(&self) -> usize {
        self.answer.len()
    }
}

/// What a liar does with a query.
pub(crate) enum Reply {
    /// Sends these messages.
    Now(Vec<Vec<u8>>),
    /// Sends this one after a while, while others go on.
    Later(Duration, Vec<u8>),
    /// Sends this one from another port.
    FromElsewhere(Vec<u8>),
}

/// A running server; it stops when this is dropped.
pub(crate) struct Liar {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    /// Starts a server on loopback that does with each query what `lie` says.
    pub(crate) fn start(lie: impl FnMut(Asked<'_>) -> Reply + Send + 'static) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
        Self::start_on(bind(), bind(), lie)
    }

    /// The same on this socket, with another one for what comes from elsewhere.
    pub(crate) fn start_on(
        socket: UdpSocket,
        other: UdpSocket,
        mut lie: impl FnMut(Asked<'_>) -> Reply + Send + 'static,
    ) -> Self {
        socket.set_read_timeout(Some(POLL)).expect("a socket has a time-out");
        let address = socket.local_addr().expect("a bound socket has an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut room = [0; 4096];
            let mut before = 0;
            while !stopped.load(Ordering::Relaxed) {
                let Ok((len, client)) = socket.recv_from(&mut room) else { continue };
                let Some((answer, number)) = right_answer(&room[..len]) else { continue };
                let reply = lie(Asked { query: &room[..len], answer, number, before });
                before += 1;
                // A client that is gone is none of ours to report.
                let send = move |socket: &UdpSocket, message: &[u8]| {
                    let _gone = socket.send_to(message, client);
                };
                match reply {
                    Reply::Now(messages) => messages.iter().for_each(|one| send(&socket, one)),
                    Reply::FromElsewhere(message) => send(&other, &message),
                    Reply::Later(delay, message) => {
                        let socket = socket.try_clone().expect("a socket can be cloned");
                        std::thread::spawn(move || {
                            std::thread::sleep(delay);
                            send(&socket, &message);
                        });
                    }
                }
            }
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// A server that lies about every fourth name and tells the truth of the others.
    pub(crate) fn about_every_fourth(
        mut lie: impl FnMut(Asked<'_>) -> Reply + Send + 'static,
    ) -> Self {
        Self::start(move |asked| {
            if asked.number.is_multiple_of(4) { lie(asked) } else { Reply::Now(vec![asked.answer]) }
        })
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// The answer with one record that `a-W-X-Y-Z` promises, and Z; AAAA or A.
fn right_answer(query: &[u8]) -> Option<(Vec<u8>, u8)> {
    let parsed = Query::parse(query).ok()?;
    let label = std::str::from_utf8(labels(parsed.name).next()?).ok()?.to_ascii_lowercase();
    let numbers = label.split("--").next()?.strip_prefix("a-")?;
    let octets: Vec<u8> = numbers.split('-').filter_map(|number| number.parse().ok()).collect();
    let mut answer = query[..2].to_vec();
    answer.extend(b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00");
    answer.extend(parsed.question());
    answer.extend(b"\xc0\x0c");
    answer.extend(parsed.qtype.to_be_bytes());
    answer.extend(b"\x00\x01\x00\x00\x01\x2c");
    if parsed.qtype == rtype::AAAA {
        answer.extend(b"\x00\x10");
        answer.extend(PREFIX);
    } else {
        answer.extend(b"\x00\x04");
    }
    answer.extend(&octets);
    Some((answer, *octets.last()?))
}
