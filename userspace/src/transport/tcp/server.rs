//! The side of TCP that clients see (RFC 7766 6.2, 7).
//!
//! Clients may send many queries without waiting for replies, and get each reply as soon as it is
//! there, in any order. Whatever a client can hold open is bounded: connections, connections of
//! one client, queries under way, the time between queries, the time for one message to arrive,
//! the time for a reply to be read.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connections::{Admission, Connections, Membership};
use super::frame::{self, FrameBuffer};
use crate::datagram::{Channel, Client};
use crate::limits::LOOKUP_LIFE;
use crate::sys::sockopt::Family;
use crate::transport::inbox::Sender;
use crate::transport::passed::PassedSockets;
use crate::transport::socket::{BindCall, BindError};
use crate::transport::task_inbox::TaskInbox;

/// Connections the kernel may have ready for us. It cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// How long a connection waits when all workers are busy.
const BACK_PRESSURE: Duration = Duration::from_millis(5);

/// How long we accept nothing after the kernel could not give us a connection: there is no file
/// descriptor left, and asking again at once would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Octets of replies written at once. A longer reply is written alone.
const WRITE_LEN: usize = 16 << 10;

/// How long replies may be awaited. Longer than any look-up: a worker that owes one for longer
/// has dropped it.
const REPLY_LIFE: Duration = Duration::from_secs(LOOKUP_LIFE.as_secs() + 2);

/// What TCP clients are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections of one IPv4 address or IPv6 /64 at a time.
    pub connections_per_client_max: usize,
    /// Queries under way on one connection. At this number we stop reading from it.
    pub queries_per_connection_max: usize,
    /// How long a connection stays open without a query. Half of it when half of the connections
    /// are in use, a quarter at three quarters.
    pub idle_timeout: Duration,
    /// How long one message may take to arrive, from its first octet on.
    pub message_timeout: Duration,
    /// How long the client may take to make room for replies.
    pub write_timeout: Duration,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            connections_per_client_max: 64,
            queries_per_connection_max: 64,
            idle_timeout: Duration::from_secs(10),
            message_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
        }
    }
}

/// A query from a TCP client, for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Who asks; the channel is [`Channel::Tcp`].
    pub client: Client,
    /// The message without its length prefix. Not empty.
    pub bytes: Vec<u8>,
}

/// A worker's reply to an [`Inbound`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpReply {
    /// The connection the query came by.
    pub connection: u64,
    /// The message without its length prefix; empty if there is no reply, which frees the
    /// query's place among those under way.
    pub bytes: Vec<u8>,
}

/// The inboxes of all workers, used in turn.
#[derive(Debug)]
pub struct TcpQueries {
    /// One for each worker.
    workers: Vec<Sender<Inbound>>,
    /// Whose turn it is.
    next: AtomicUsize,
}

impl TcpQueries {
    /// Queries go to these workers.
    ///
    /// # Panics
    ///
    /// Where there is none.
    #[must_use]
    pub fn new(workers: Vec<Sender<Inbound>>) -> Self {
        assert!(!workers.is_empty());
        Self { workers, next: AtomicUsize::new(0) }
    }

    /// Gives a query to the next worker that has room; back if none has.
    fn try_send(&self, mut query: Inbound) -> Result<(), Inbound> {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        for turn in 0..self.workers.len() {
            let worker = first.wrapping_add(turn) % self.workers.len();
            match self.workers[worker].try_send(query) {
                Ok(()) => return Ok(()),
                Err(back) => query = back,
            }
        }
        Err(query)
    }
}

/// What happened to connections, counted since the start.
#[derive(Debug, Default)]
pub struct TcpCounters {
    /// Connections taken in.
    pub accepted: AtomicU64,
    /// Connections closed at once, because there were too many and none was idle.
    pub refused: AtomicU64,
    /// Idle connections closed to make room.
    pub evicted: AtomicU64,
    /// Connections closed because nothing, or not enough, came in time.
    pub timed_out: AtomicU64,
    /// Connections closed because replies were not read.
    pub slow_readers: AtomicU64,
    /// Connections closed for a message of length 0.
    pub out_of_step: AtomicU64,
}

/// Opens the listening sockets. Those that were passed are taken instead.
///
/// # Errors
///
/// The first address that could not be opened, and why.
pub fn listen(
    addresses: &[SocketAddr],
    passed: &mut PassedSockets,
) -> Result<Vec<TcpListener>, BindError> {
    let listen = |address: &SocketAddr| match passed.take_tcp(*address) {
        Some(listener) => adopt(listener, *address),
        None => listen_on(*address),
    };
    addresses.iter().map(listen).collect()
}

/// Makes a listening socket that was passed ours.
fn adopt(listener: TcpListener, address: SocketAddr) -> Result<TcpListener, BindError> {
    let socket = Socket::from(listener);
    let set = socket.set_nonblocking(true).and_then(|()| socket.set_tcp_nodelay(true));
    set.map_err(|error| BindError::new(address, BindCall::Option, &error))?;
    Ok(socket.into())
}

/// Opens one listening socket.
fn listen_on(address: SocketAddr) -> Result<TcpListener, BindError> {
    let failed = |call| move |error: io::Error| BindError::new(address, call, &error);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)
        .map_err(failed(BindCall::Socket))?;
    let options = || {
        if Family::of(&address) == Family::Ipv6 {
            socket.set_only_v6(true)?;
        }
        // Lets us listen again at once after a restart, while old connections are in TIME_WAIT.
        // Unlike with UDP, it does not let two programs listen at once.
        socket.set_reuse_address(true)?;
        // Inherited by the connections: replies are written whole, waiting for more is in vain.
        socket.set_tcp_nodelay(true)
    };
    options().map_err(failed(BindCall::Option))?;
    socket.bind(&address.into()).map_err(failed(BindCall::Bind))?;
    socket.listen(BACKLOG).map_err(failed(BindCall::Listen))?;
    Ok(socket.into())
}

/// What all connections share.
struct Shared {
    /// The limits.
    settings: TcpSettings,
    /// The workers.
    queries: TcpQueries,
    /// The connections.
    connections: Connections,
    /// The counters.
    counters: Arc<TcpCounters>,
}

/// Serves TCP clients for ever; dropping the future closes all connections.
///
/// # Errors
///
/// Where a listening socket cannot be registered with the runtime, at the start only.
pub async fn serve(
    listeners: Vec<TcpListener>,
    settings: TcpSettings,
    queries: TcpQueries,
    mut replies: TaskInbox<TcpReply>,
    counters: Arc<TcpCounters>,
) -> io::Result<()> {
    let connections = Connections::new(&settings);
    let shared = Arc::new(Shared { settings, queries, connections, counters });
    let mut tasks = JoinSet::new();
    for (listener, place) in listeners.into_iter().zip(0..) {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tasks.spawn(accept(listener, place, Arc::clone(&shared)));
    }
    loop {
        let reply = replies.recv().await;
        shared.connections.reply(reply.connection, reply.bytes);
        // After a burst, let the connections write before their channels are filled again.
        tokio::task::consume_budget().await;
    }
}

/// Takes connections to one listen address in, and runs them. `place` is its place in the list.
async fn accept(listener: tokio::net::TcpListener, place: u16, shared: Arc<Shared>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let Some(connection) = Connection::new(stream, peer, place, &shared) else {
                        continue;
                    };
                    running.spawn(connection.run());
                }
                // The client gave up while waiting (accept(2)): the next may be all right.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            // Frees the memory of connections that ended.
            Some(_ended) = running.join_next() => {}
        }
    }
}

/// Why a connection ended, where it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By the client, or to make room.
    Closed,
    /// Nothing, or not enough, came in time.
    TimedOut,
    /// Replies were not read.
    SlowReader,
    /// A message of length 0.
    OutOfStep,
}

/// What keeps the next message from a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It has not arrived in full.
    Incomplete,
    /// Enough queries of this connection are under way.
    EnoughUnderWay,
    /// No worker has room.
    WorkersBusy,
}

/// One client's connection.
struct Connection {
    /// The connection.
    stream: TcpStream,
    /// Who it is, for the workers.
    client: Client,
    /// Its place in the table, and its replies.
    membership: Membership,
    /// Replies from the workers.
    replies: tokio::sync::mpsc::Receiver<Vec<u8>>,
    /// What all connections share.
    shared: Arc<Shared>,
    /// What has arrived and was not handed on.
    buffer: FrameBuffer,
    /// Replies owed.
    under_way: usize,
    /// When the message that has arrived in part began to.
    message_began: Option<Instant>,
    /// When a message last came or a reply last left.
    active: Instant,
    /// Whether the client will send no more. It may still read.
    ended: bool,
    /// What the table was told last.
    idle: bool,
}

impl Connection {
    /// Takes a connection in; `None` where there is no room, which closes it.
    fn new(stream: TcpStream, peer: SocketAddr, place: u16, shared: &Arc<Shared>) -> Option<Self> {
        let counters = &shared.counters;
        let replies_max = shared.settings.queries_per_connection_max;
        let admission = shared.connections.admit(peer.ip(), replies_max);
        let Some(Admission { membership, replies, evicted }) = admission else {
            counters.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        counters.evicted.fetch_add(u64::from(evicted), Ordering::Relaxed);
        // Fails only for a connection that is gone already; reading will tell.
        let local = stream.local_addr().ok()?;
        let interface = match local {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(local) => local.scope_id(),
        };
        let channel = Channel::Tcp { connection: membership.connection, socket: place };
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let local = local.ip().to_canonical();
        Some(Self {
            stream,
            client: Client { peer, local, interface, channel },
            membership,
            replies,
            shared: Arc::clone(shared),
            buffer: FrameBuffer::default(),
            under_way: 0,
            message_began: None,
            active: Instant::now(),
            ended: false,
            idle: true,
        })
    }

    /// Serves the client until the connection ends.
    async fn run(mut self) {
        let Err(end) = self.serve().await;
        let counters = &self.shared.counters;
        let counter = match end {
            End::Closed => return,
            End::TimedOut => &counters.timed_out,
            End::SlowReader => &counters.slow_readers,
            End::OutOfStep => &counters.out_of_step,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands queries on and replies back.
    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        loop {
            let progress = self.hand_over()?;
            if self.ended && self.under_way == 0 && progress == Progress::Incomplete {
                return Err(End::Closed);
            }
            self.tell_idle();
            let deadline = self.deadline();
            let wake = match progress {
                Progress::WorkersBusy => deadline.min(Instant::now() + BACK_PRESSURE),
                // At a quarter of the time, to see whether the idle timeout has shrunk.
                Progress::Incomplete | Progress::EnoughUnderWay => {
                    deadline.min(Instant::now() + self.shared.settings.idle_timeout / 4)
                }
            };
            let reads = progress == Progress::Incomplete && !self.ended;
            tokio::select! {
                reply = self.replies.recv() => {
                    let reply = reply.ok_or(End::Closed)?;
                    self.write(reply).await?;
                }
                octets = self.buffer.fill(&self.stream), if reads => match octets {
                    Ok(0) => self.ended = true,
                    Ok(_) => {}
                    Err(_) => return Err(End::Closed),
                },
                () = sleep_until(wake) => {
                    if Instant::now() >= deadline {
                        return Err(End::TimedOut);
                    }
                }
            }
        }
    }

    /// Hands all messages that have arrived to the workers, as far as that is allowed.
    fn hand_over(&mut self) -> Result<Progress, End> {
        loop {
            let Some(message) = self.buffer.message().map_err(|_| End::OutOfStep)? else {
                if self.buffer.is_empty() {
                    self.message_began = None;
                } else {
                    self.message_began.get_or_insert_with(Instant::now);
                }
                return Ok(Progress::Incomplete);
            };
            // From here on the message waits for us, not for the client.
            self.message_began = None;
            if self.under_way >= self.shared.settings.queries_per_connection_max {
                return Ok(Progress::EnoughUnderWay);
            }
            let len = message.len();
            let query = Inbound { client: self.client, bytes: message.to_vec() };
            if self.shared.queries.try_send(query).is_err() {
                // It stays in the buffer.
                return Ok(Progress::WorkersBusy);
            }
            self.buffer.consume(len);
            self.under_way += 1;
            self.active = Instant::now();
        }
    }

    /// Writes a reply, and with it those that came meanwhile.
    async fn write(&mut self, first: Vec<u8>) -> Result<(), End> {
        let mut octets = Vec::with_capacity(first.len() + 2);
        let mut reply = Some(first);
        while let Some(message) = reply {
            self.under_way = self.under_way.saturating_sub(1);
            if !message.is_empty() {
                frame::append(&mut octets, &message);
            }
            reply = if octets.len() < WRITE_LEN { self.replies.try_recv().ok() } else { None };
        }
        let written = timeout(self.shared.settings.write_timeout, self.stream.write_all(&octets));
        match written.await {
            Ok(Ok(())) => self.active = Instant::now(),
            Ok(Err(_)) => return Err(End::Closed),
            Err(_) => return Err(End::SlowReader),
        }
        Ok(())
    }

    /// When the connection is to be closed if nothing happens.
    fn deadline(&self) -> Instant {
        let settings = &self.shared.settings;
        if let Some(began) = self.message_began {
            return began + settings.message_timeout;
        }
        let idle = self.shared.connections.idle_timeout(settings);
        self.active + if self.under_way == 0 { idle } else { idle.max(REPLY_LIFE) }
    }

    /// Keeps the table informed whether this connection may be closed to make room.
    fn tell_idle(&mut self) {
        let idle = self.under_way == 0 && self.buffer.is_empty();
        if idle != self.idle {
            self.idle = idle;
            self.membership.set_idle(idle);
        }
    }
}

#[cfg(test)]
mod tests;
