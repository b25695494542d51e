//! Queries to upstream servers over TCP: for truncated responses, and where forgery is suspected.
//!
//! Connections are kept and shared (RFC 7766 6.2.1): queries are sent without waiting for
//! earlier responses, which come back in any order and are matched by message ID. The ID is the
//! asking worker's; where two queries on the way to one server have the same, the second takes
//! another connection.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::frame::{self, FrameBuffer};
use crate::datagram::{Epoch, UpstreamId, WorkerId};
use crate::transport::inbox::Sender;
use crate::transport::task_inbox::TaskInbox;

/// Connections to one server at a time.
const CONNECTIONS_MAX: usize = 4;

/// Queries under way on one connection.
const QUERIES_MAX: usize = 256;

/// Queries to be asked again at a time, on a new connection.
const AGAIN_MAX: usize = 1_024;

/// How long a connection stays open without a query.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a worker whose inbox is full is offered a reply, and how long in between.
const DELIVERIES_MAX: usize = 20;
/// See [`DELIVERIES_MAX`].
const DELIVERY_PAUSE: Duration = Duration::from_millis(5);

/// A query that a worker wants to be asked over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTcpQuery {
    /// Whose inbox the reply goes to.
    pub worker: WorkerId,
    /// Comes back with the reply: the configuration that it was asked under.
    pub epoch: Epoch,
    /// Comes back with the reply.
    pub token: u64,
    /// The server, for the reply.
    pub server: UpstreamId,
    /// Where the server listens.
    pub address: SocketAddr,
    /// The message, which begins with its ID.
    pub bytes: Vec<u8>,
    /// How long the reply may take, connecting included.
    pub timeout: Duration,
}

/// What became of an [`UpstreamTcpQuery`]. There is one for each query, unless the worker's inbox
/// stays full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTcpReply {
    /// The configuration that the query was asked under.
    pub epoch: Epoch,
    /// The query's token.
    pub token: u64,
    /// The query's server.
    pub server: UpstreamId,
    /// The message, whose ID is the query's; nothing else of it was looked at.
    pub result: Result<Vec<u8>, TcpFailure>,
}

/// Why there is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpFailure {
    /// The server did not take the connection.
    Connect,
    /// The server closed the connection instead of replying.
    Closed,
    /// The time is over.
    Timeout,
    /// Too many queries to this server are under way.
    Busy,
}

impl std::fmt::Display for TcpFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connection refused or unreachable",
            Self::Closed => "connection closed without a reply",
            Self::Timeout => "no reply in time",
            Self::Busy => "too many queries under way",
        })
    }
}

impl std::error::Error for TcpFailure {}

/// A query on its way.
#[derive(Debug)]
struct Pending {
    /// As the worker gave it.
    query: UpstreamTcpQuery,
    /// Its message ID.
    id: [u8; 2],
    /// When its time is over.
    deadline: Instant,
    /// Whether a connection was closed under it before.
    again: bool,
}

/// The message IDs under way on one connection.
#[derive(Clone, Debug, Default)]
struct Ids(Arc<Mutex<HashSet<[u8; 2]>>>);

impl Ids {
    /// The set. Each use leaves it whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashSet<[u8; 2]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an ID, if it is free and there is room.
    fn take(&self, id: [u8; 2]) -> bool {
        let mut ids = self.lock();
        ids.len() < QUERIES_MAX && ids.insert(id)
    }

    /// Gives an ID back.
    fn release(&self, id: [u8; 2]) {
        self.lock().remove(&id);
    }
}

/// A connection, as the one who hands out queries sees it.
#[derive(Debug)]
struct Line {
    /// Queries for it. Closed when the connection takes no more.
    queries: mpsc::Sender<Pending>,
    /// IDs in use.
    ids: Ids,
}

/// Where connections send what they are done with.
#[derive(Clone, Debug)]
struct Exits {
    /// The workers' inboxes, by [`WorkerId`].
    workers: Arc<[Sender<UpstreamTcpReply>]>,
    /// Queries to be asked again.
    again: mpsc::Sender<Pending>,
}

/// Asks queries over TCP for ever; dropping the future closes all connections.
pub async fn run(mut queries: TaskInbox<UpstreamTcpQuery>, workers: Vec<Sender<UpstreamTcpReply>>) {
    let (again, mut asked_again) = mpsc::channel(AGAIN_MAX);
    let exits = Exits { workers: workers.into(), again };
    let mut servers: HashMap<SocketAddr, Vec<Line>> = HashMap::new();
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            query = queries.recv() => {
                let deadline = Instant::now() + query.timeout;
                let id = query.bytes.first_chunk().copied().unwrap_or_default();
                let pending = Pending { query, id, deadline, again: false };
                dispatch(pending, &mut servers, &mut running, &exits).await;
            }
            Some(pending) = asked_again.recv() => {
                dispatch(pending, &mut servers, &mut running, &exits).await;
            }
            Some(_ended) = running.join_next() => {
                servers.retain(|_, lines| {
                    lines.retain(|line| !line.queries.is_closed());
                    !lines.is_empty()
                });
            }
        }
    }
}

/// Gives a query to a connection that has its ID free, or opens one.
async fn dispatch(
    mut pending: Pending,
    servers: &mut HashMap<SocketAddr, Vec<Line>>,
    running: &mut JoinSet<()>,
    exits: &Exits,
) {
    let lines = servers.entry(pending.query.address).or_default();
    lines.retain(|line| !line.queries.is_closed());
    for line in &*lines {
        if !line.ids.take(pending.id) {
            continue;
        }
        match line.queries.try_send(pending) {
            Ok(()) => return,
            Err(error) => {
                pending = error.into_inner();
                line.ids.release(pending.id);
            }
        }
    }
    if lines.len() >= CONNECTIONS_MAX {
        exits.fail(pending, TcpFailure::Busy).await;
        return;
    }
    let (sender, receiver) = mpsc::channel(QUERIES_MAX);
    let line = Line { queries: sender, ids: Ids::default() };
    line.ids.take(pending.id);
    let connection = Connection {
        queries: receiver,
        ids: line.ids.clone(),
        exits: exits.clone(),
        pending: HashMap::new(),
    };
    running.spawn(connection.run(pending));
    lines.push(line);
}

impl Exits {
    /// Tells the worker that there is no reply.
    async fn fail(&self, pending: Pending, failure: TcpFailure) {
        self.deliver(&pending.query, Err(failure)).await;
    }

    /// Gives the worker a result.
    async fn deliver(&self, query: &UpstreamTcpQuery, result: Result<Vec<u8>, TcpFailure>) {
        let Some(worker) = self.workers.get(usize::from(query.worker.0)) else { return };
        let UpstreamTcpQuery { epoch, token, server, .. } = *query;
        let mut reply = UpstreamTcpReply { epoch, token, server, result };
        for _ in 0..DELIVERIES_MAX {
            match worker.try_send(reply) {
                Ok(()) => return,
                Err(back) => reply = back,
            }
            sleep(DELIVERY_PAUSE).await;
        }
    }

    /// The server has closed the connection under this query. A server may do so at any time, so
    /// the query deserves another connection (RFC 7766 6.2.4), but not a third.
    async fn closed_under(&self, mut pending: Pending) {
        if pending.again {
            return self.fail(pending, TcpFailure::Closed).await;
        }
        pending.again = true;
        if let Err(error) = self.again.try_send(pending) {
            self.fail(error.into_inner(), TcpFailure::Busy).await;
        }
    }
}

/// A connection to a server.
struct Connection {
    /// Queries to send.
    queries: mpsc::Receiver<Pending>,
    /// IDs in use: those in `queries` and those in `pending`.
    ids: Ids,
    /// Where results go.
    exits: Exits,
    /// Queries sent, by message ID.
    pending: HashMap<[u8; 2], Pending>,
}

impl Connection {
    /// Connects, asks, and ends when idle or broken. Every query it was given gets its result.
    async fn run(mut self, first: Pending) {
        match timeout_at(first.deadline, connect(first.query.address)).await {
            Ok(Ok(stream)) => {
                self.serve(stream, first).await;
                // From here on the other end sees that this connection takes no more.
                self.queries.close();
                for (_, pending) in self.pending.drain() {
                    self.exits.closed_under(pending).await;
                }
                while let Some(pending) = self.queries.recv().await {
                    self.exits.closed_under(pending).await;
                }
            }
            Ok(Err(_)) => self.fail_all(first, TcpFailure::Connect).await,
            Err(_) => self.fail_all(first, TcpFailure::Timeout).await,
        }
    }

    /// There is no connection: gives this result to all queries.
    async fn fail_all(&mut self, first: Pending, failure: TcpFailure) {
        self.queries.close();
        self.exits.fail(first, failure).await;
        while let Some(pending) = self.queries.recv().await {
            self.exits.fail(pending, failure).await;
        }
    }

    /// Asks queries until the connection is idle, broken, or has let a query time out.
    async fn serve(&mut self, mut stream: TcpStream, first: Pending) {
        let mut buffer = FrameBuffer::default();
        let mut idle_since = Instant::now();
        let mut takes_queries = true;
        if !self.ask(&mut stream, first).await {
            return;
        }
        while takes_queries || !self.pending.is_empty() {
            let earliest = self.pending.values().map(|pending| pending.deadline).min();
            let wake = earliest.unwrap_or(idle_since + IDLE_TIMEOUT);
            tokio::select! {
                query = self.queries.recv(), if takes_queries => match query {
                    Some(query) => {
                        if !self.ask(&mut stream, query).await {
                            return;
                        }
                    }
                    // Closed below, and all that had been queued is sent.
                    None => takes_queries = false,
                },
                octets = buffer.fill(&stream) => {
                    if !matches!(octets, Ok(1..)) || !self.take_responses(&mut buffer).await {
                        return;
                    }
                    idle_since = Instant::now();
                }
                () = sleep_until(wake) => {
                    if earliest.is_none() {
                        return;
                    }
                    self.time_out().await;
                    // A late response must not meet a newer query with the same ID, and a server
                    // that lets one query wait may let all: no new queries here.
                    self.queries.close();
                }
            }
        }
    }

    /// Sends a query. Says whether the connection is still good.
    async fn ask(&mut self, stream: &mut TcpStream, pending: Pending) -> bool {
        let mut octets = Vec::with_capacity(pending.query.bytes.len() + 2);
        if pending.query.bytes.len() < 2 || !frame::append(&mut octets, &pending.query.bytes) {
            // No DNS message: nothing a server could answer.
            self.ids.release(pending.id);
            self.exits.fail(pending, TcpFailure::Closed).await;
            return true;
        }
        let deadline = pending.deadline;
        self.pending.insert(pending.id, pending);
        matches!(timeout_at(deadline, stream.write_all(&octets)).await, Ok(Ok(())))
    }

    /// Delivers all responses that have arrived. Says whether the connection is still good.
    async fn take_responses(&mut self, buffer: &mut FrameBuffer) -> bool {
        loop {
            let message = match buffer.message() {
                Ok(Some(message)) => message.to_vec(),
                Ok(None) => return true,
                Err(_) => return false,
            };
            buffer.consume(message.len());
            let Some(id) = message.first_chunk::<2>() else { return false };
            // A response that nobody asked for: the server is out of step.
            let Some(pending) = self.pending.remove(id) else { return false };
            self.ids.release(pending.id);
            self.exits.deliver(&pending.query, Ok(message)).await;
        }
    }

    /// Gives up the queries whose time is over.
    async fn time_out(&mut self) {
        let now = Instant::now();
        let late = self.pending.iter().filter(|(_, pending)| pending.deadline <= now);
        let late: Vec<[u8; 2]> = late.map(|(id, _)| *id).collect();
        for id in late {
            if let Some(pending) = self.pending.remove(&id) {
                self.exits.fail(pending, TcpFailure::Timeout).await;
            }
        }
    }
}

/// Connects to a server.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A query is written whole; waiting for more to send with it is in vain.
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
