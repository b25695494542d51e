//! Clients: one who asks a question and waits, and one who asks many.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use dns64_tests::reply::Reply;
use dns64_tests::stopwatch::Stopwatch;

use crate::message::{id_of, query};

/// Longer than any client is made to wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends octets by UDP and waits for one reply; `None` if there is none in time.
pub(crate) fn exchange(server: SocketAddr, octets: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.connect(server).expect("a route");
    socket.set_read_timeout(Some(patience)).expect("a valid time");
    socket.send(octets).expect("loopback takes messages");
    let mut buffer = vec![0; 65_535];
    let len = socket.recv(&mut buffer).ok()?;
    buffer.truncate(len);
    Some(buffer)
}

/// Asks a question and waits for the reply.
///
/// # Panics
/// If there is none.
pub(crate) fn ask(server: SocketAddr, name: &str, rtype: u16) -> Reply {
    let octets = exchange(server, &query(0x5a5a, name, rtype), PATIENCE);
    let octets = octets.unwrap_or_else(|| panic!("no reply for {name}"));
    assert_eq!(id_of(&octets), Some(0x5a5a), "{name}");
    read(octets)
}

/// Asks a question, again and again if query or reply got lost on the way.
///
/// # Panics
/// If there is no reply to twenty queries.
pub(crate) fn ask_again(server: SocketAddr, name: &str, rtype: u16) -> Reply {
    let octets = query(0x5a5b, name, rtype);
    let reply = (0..20).find_map(|_| exchange(server, &octets, Duration::from_millis(300)));
    read(reply.unwrap_or_else(|| panic!("no reply for {name}")))
}

/// Reads a reply.
///
/// # Panics
/// If it is malformed.
pub(crate) fn read(octets: Vec<u8>) -> Reply {
    Reply::parse(octets).expect("replies are well-formed")
}

/// The addresses in the answer section.
pub(crate) fn addresses(reply: &Reply) -> Vec<IpAddr> {
    let address = |rdata: &[u8]| {
        let v4 = <[u8; 4]>::try_from(rdata).ok().map(|octets| Ipv4Addr::from(octets).into());
        v4.or_else(|| <[u8; 16]>::try_from(rdata).ok().map(|octets| Ipv6Addr::from(octets).into()))
    };
    let has_address = |record: &&_| {
        let record: &dns64_tests::reply::ReplyRecord = record;
        matches!(record.wire.rtype.to_int(), 1 | 28)
    };
    reply
        .answer
        .iter()
        .filter(has_address)
        .filter_map(|record| address(&record.wire.rdata))
        .collect()
}

/// Whether the reply has this Extended Error.
pub(crate) fn has_extended_error(reply: &Reply, code: u16) -> bool {
    reply.opt.as_ref().is_some_and(|opt| opt.extended_errors.contains(&code))
}

/// What became of one of many questions.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The reply; `None` if there was none in time.
    pub(crate) reply: Option<Vec<u8>>,
    /// How long it took.
    pub(crate) took: Duration,
}

/// How many questions are asked how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Many {
    /// The client's address.
    pub(crate) from: Ipv4Addr,
    /// Questions without a reply at a time. The client's buffer must hold all replies at once: the
    /// kernel counts some 1.5 KiB for each that came in one segmented message, and has 208 KiB.
    pub(crate) window: usize,
    /// How long each is waited for. None is repeated.
    pub(crate) patience: Duration,
}

impl Default for Many {
    fn default() -> Self {
        Self { from: Ipv4Addr::LOCALHOST, window: 100, patience: PATIENCE }
    }
}

/// Asks many questions from one socket; the outcome of each, by its number.
pub(crate) fn ask_many(
    server: SocketAddr,
    settings: Many,
    rtype: u16,
    count: usize,
    name: impl Fn(usize) -> String,
) -> Vec<Outcome> {
    let socket = UdpSocket::bind((settings.from, 0)).expect("a free port");
    socket.connect(server).expect("a route");
    socket.set_read_timeout(Some(Duration::from_millis(5))).expect("a valid time");
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(count);
    let mut waiting: Vec<Option<(usize, Stopwatch)>> = vec![None; 1 << 16];
    let mut open = 0;
    let mut oldest = 0;
    let mut buffer = [0; 4_096];
    while oldest < count {
        while outcomes.len() < count && open < settings.window {
            let number = outcomes.len();
            let id = (number % (1 << 16)) as u16;
            waiting[usize::from(id)] = Some((number, Stopwatch::start()));
            outcomes.push(Outcome { reply: None, took: Duration::ZERO });
            open += 1;
            socket.send(&query(id, &name(number), rtype)).expect("loopback takes messages");
        }
        if let Ok(len) = socket.recv(&mut buffer)
            && let Some(id) = id_of(&buffer[..len])
            && let Some((number, sent)) = waiting[usize::from(id)].take()
        {
            outcomes[number] =
                Outcome { reply: Some(buffer[..len].to_vec()), took: sent.elapsed() };
            open -= 1;
        }
        // Those that are answered, and those that were waited for long enough.
        while oldest < outcomes.len() {
            let place = &mut waiting[oldest % (1 << 16)];
            if let Some((number, sent)) = *place
                && number == oldest
            {
                if sent.elapsed() < settings.patience {
                    break;
                }
                *place = None;
                outcomes[number].took = sent.elapsed();
                open -= 1;
            }
            oldest += 1;
        }
    }
    outcomes
}
