//! Answers over TCP (RFC 7766): a thread accepts, and a thread a connection answers in the order
//! of the queries. A delayed answer delays those behind it on its connection.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use crate::wait::wait_for;
use crate::wire::{Query, Refusal};

use super::answer::{ANSWER_MAX, Carrier, write_answer, write_refusal};
use super::chance::Chance;
use super::script::Script;
use super::{Counts, Shared};

/// The most connections at once; more are closed.
const CONNECTIONS_MAX: usize = 256;

/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(30);

/// How long a client may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// Octets of the longest query we read; a connection with a longer one is closed.
const QUERY_MAX: usize = 4096;

/// Accepts connections until the end, and waits for their threads.
pub(super) fn serve(shared: &Shared, listener: &TcpListener) {
    std::thread::scope(|scope| {
        let mut connections = Vec::new();
        while wait(shared, Some(listener.as_fd()), None) == Wake::Readable {
            let Ok((stream, peer)) = listener.accept() else { continue };
            connections
                .retain(|thread: &std::thread::ScopedJoinHandle<'_, ()>| !thread.is_finished());
            if connections.len() < CONNECTIONS_MAX {
                connections.push(scope.spawn(move || {
                    // Whatever ends a connection, the client sees it end.
                    let _closed = converse(shared, stream, peer);
                }));
            }
        }
    });
}

/// Answers the queries of one connection.
fn converse(shared: &Shared, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
    // Each connection draws anew, so that it does not matter which others there are.
    let mut chance = Chance::new(shared.options.seed, &shared.options);
    let mut received = Vec::with_capacity(2 * QUERY_MAX);
    let mut chunk = [0; QUERY_MAX];
    while wait(shared, Some(stream.as_fd()), Some(IDLE)) == Wake::Readable {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&chunk[..count]);
        while let Some((prefix, rest)) = received.split_first_chunk::<2>() {
            let query_len = usize::from(u16::from_be_bytes(*prefix));
            if query_len > QUERY_MAX {
                return Ok(());
            }
            let Some(query) = rest.get(..query_len) else { break };
            if !answer(shared, query, peer, &mut stream, &mut chance)? {
                return Ok(());
            }
            received.drain(..2 + query_len);
        }
    }
    Ok(())
}

/// Answers one query, after its delay; `false` if the end came first.
fn answer(
    shared: &Shared,
    bytes: &[u8],
    peer: SocketAddr,
    stream: &mut TcpStream,
    chance: &mut Chance,
) -> io::Result<bool> {
    let mut message = [0; 2 + ANSWER_MAX];
    let Some(room) = message[2..].first_chunk_mut::<ANSWER_MAX>() else { return Ok(false) };
    let mut counts = Counts { tcp_queries: 1, ..Counts::default() };
    let mut delay = Duration::ZERO;
    let len = match Query::parse(bytes) {
        Ok(query) => {
            shared.record(&query, Carrier::Tcp, peer);
            let script = Script::of(query.name);
            delay = chance.delay(&script.delivery(query.qtype));
            counts.answers = 1;
            write_answer(&query, &script, Carrier::Tcp, room)
        }
        Err(Refusal::Rcode(code)) => {
            counts.refused = 1;
            write_refusal(bytes, code, room)
        }
        Err(Refusal::Silence) => {
            counts.refused = 1;
            0
        }
    };
    shared.counters.add(&counts);
    if len == 0 {
        return Ok(true);
    }
    if delay > Duration::ZERO && wait(shared, None, Some(delay)) == Wake::Stop {
        return Ok(false);
    }
    message[..2].copy_from_slice(&(len as u16).to_be_bytes());
    stream.write_all(&message[..2 + len])?;
    Ok(true)
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// The upstream ends.
    Stop,
    /// There is something to read.
    Readable,
    /// The time is over.
    Timeout,
}

/// Waits for something to read, the end of the time, or the end of the upstream.
fn wait(shared: &Shared, fd: Option<rustix::fd::BorrowedFd<'_>>, time: Option<Duration>) -> Wake {
    let stop = shared.stop.as_fd();
    let mut fds = [
        PollFd::from_borrowed_fd(stop, PollFlags::IN),
        PollFd::from_borrowed_fd(fd.unwrap_or(stop), PollFlags::IN),
    ];
    match wait_for(&mut fds, time) {
        Ok(0) => Wake::Timeout,
        Ok(_) if !fds[0].revents().is_empty() => Wake::Stop,
        Ok(_) => Wake::Readable,
        Err(_) => Wake::Stop,
    }
}
