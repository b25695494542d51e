//! The engine of TCP connections (RFC 7766): queries are pipelined on each, answers may come in
//! any order, and a connection that ends is replaced. The queries that wait on it are lost.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, Protocol, Socket, Type};

use super::clock::{Clock, ns_of};
use super::engine::{Arrival, Carried, Connecting, Engine};
use crate::wait::{Poller, Room, wait_for};

/// Octets of queries that wait on one connection for room in its socket.
const OUT_MAX: usize = 64 << 10;

/// Octets read at once, and room for the longest message and its length.
const IN_LEN: usize = 2 + (u16::MAX as usize) + 1;

/// How long the first connections may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long we wait before we try again to replace a connection.
const RETRY: Duration = Duration::from_millis(100);

/// When a connection is replaced.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After so many queries; 0: only when it ends.
    pub queries_per_connection: u64,
    /// How long the answers to the last of them are waited for.
    pub timeout: Duration,
}

/// TCP connections to one server.
pub struct TcpConnections {
    /// Who is asked.
    server: SocketAddr,
    /// Octets of each socket's buffers.
    buffer_bytes: usize,
    /// When connections are replaced.
    limits: Limits,
    /// One a port.
    connections: Vec<Connection>,
    /// Waits for answers, and for room.
    poller: Poller,
    /// What happened.
    carried: Carried,
}

/// One connection.
struct Connection {
    /// The address it comes from.
    source: SocketAddr,
    /// The socket; `None` until it is time to try again.
    stream: Option<TcpStream>,
    /// When it was begun.
    begun: Instant,
    /// Whether the server has accepted it.
    open: bool,
    /// Whether epoll is asked about room to write.
    wants_room: bool,
    /// Queries with their lengths; from `out_at` on they are still to be sent.
    out: Vec<u8>,
    /// See `out`.
    out_at: usize,
    /// What was read and holds no whole message yet.
    inbox: Box<[u8]>,
    /// Octets there.
    in_len: usize,
    /// Queries sent on it.
    sent: u64,
    /// Messages that came on it.
    received: u64,
    /// When the last query was pushed.
    last: Instant,
}

impl TcpConnections {
    /// Connects from each of the sources.
    ///
    /// # Errors
    /// Those of socket(2), bind(2) and connect(2).
    pub fn open(
        server: SocketAddr,
        sources: &[SocketAddr],
        buffer_bytes: usize,
        limits: Limits,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        let mut engine = Self {
            server,
            buffer_bytes,
            limits,
            connections: Vec::with_capacity(sources.len()),
            poller,
            carried: Carried::default(),
        };
        let now = Instant::now();
        for source in sources {
            engine.connections.push(Connection {
                source: *source,
                stream: None,
                begun: now,
                open: false,
                wants_room: false,
                out: Vec::with_capacity(OUT_MAX),
                out_at: 0,
                inbox: vec![0; IN_LEN].into_boxed_slice(),
                in_len: 0,
                sent: 0,
                received: 0,
                last: now,
            });
        }
        for port in 0..sources.len() {
            engine.connect(port)?;
            engine.wait_open(port)?;
        }
        Ok(engine)
    }

    /// Begins to connect.
    fn connect(&mut self, port: usize) -> io::Result<()> {
        let connection = &mut self.connections[port];
        let domain = Domain::for_address(self.server);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_reuse_address(true)?;
        socket.set_send_buffer_size(self.buffer_bytes)?;
        socket.set_recv_buffer_size(self.buffer_bytes)?;
        super::sockets::bind(&socket, connection.source)?;
        connection.begun = Instant::now();
        match socket.connect(&self.server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let stream = TcpStream::from(socket);
        self.poller.add(&stream, port as u64, EventFlags::IN | EventFlags::OUT)?;
        connection.stream = Some(stream);
        connection.open = false;
        connection.wants_room = true;
        connection.out.clear();
        (connection.out_at, connection.in_len) = (0, 0);
        (connection.sent, connection.received) = (0, 0);
        Ok(())
    }

    /// Waits until a connection that was begun is open.
    fn wait_open(&mut self, port: usize) -> io::Result<()> {
        let Some(stream) = &self.connections[port].stream else { return Ok(()) };
        let mut fds = [PollFd::new(stream, PollFlags::OUT)];
        if wait_for(&mut fds, Some(CONNECT_TIMEOUT))? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
        self.opened(port)
    }

    /// Notes that a connection is open, or why not.
    fn opened(&mut self, port: usize) -> io::Result<()> {
        let connection = &mut self.connections[port];
        let Some(stream) = &connection.stream else { return Ok(()) };
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        connection.open = true;
        let once = Connecting::once(ns_of(connection.begun.elapsed()));
        self.carried.add(&Carried { connecting: Some(once), ..Carried::default() });
        self.write(port)
    }

    /// Replaces a connection, now or, if it failed at once, a little later.
    fn replace(&mut self, port: usize) {
        let connection = &mut self.connections[port];
        // Closing takes it out of the epoll set.
        connection.stream = None;
        connection.open = false;
        self.carried.reconnections += 1;
        self.try_again(port);
    }

    /// Begins to connect, unless it was tried a moment ago.
    fn try_again(&mut self, port: usize) {
        let connection = &self.connections[port];
        if connection.begun.elapsed() >= RETRY || connection.received > 0 {
            // A failure leaves no stream: then it is tried again later.
            self.connections[port].begun = Instant::now();
            let _later = self.connect(port);
        }
    }

    /// Sends what waits, as far as there is room.
    fn write(&mut self, port: usize) -> io::Result<()> {
        let connection = &mut self.connections[port];
        let (Some(stream), true) = (&mut connection.stream, connection.open) else { return Ok(()) };
        while connection.out_at < connection.out.len() {
            match stream.write(&connection.out[connection.out_at..]) {
                Ok(count) => connection.out_at += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.replace(port);
                    return Ok(());
                }
            }
        }
        let done = connection.out_at == connection.out.len();
        if done {
            connection.out.clear();
            connection.out_at = 0;
        }
        if connection.wants_room == done {
            connection.wants_room = !done;
            let mut flags = EventFlags::IN;
            flags.set(EventFlags::OUT, !done);
            self.poller.modify(stream, port as u64, flags)?;
        }
        Ok(())
    }

    /// Reads what there is and hands out the whole messages; replaces the connection at its end.
    fn read(&mut self, port: usize, clock: Clock, take: &mut impl FnMut(Arrival<'_>)) {
        loop {
            let connection = &mut self.connections[port];
            let Some(stream) = &mut connection.stream else { return };
            let room = &mut connection.inbox[connection.in_len..];
            let room_len = room.len();
            let count = match stream.read(room) {
                Ok(0) => return self.replace(port),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return self.replace(port),
            };
            connection.in_len += count;
            let at_ns = clock.now_ns();
            let mut done = 0;
            while let Some((prefix, rest)) =
                connection.inbox[done..connection.in_len].split_first_chunk::<2>()
            {
                let Some(bytes) = rest.get(..usize::from(u16::from_be_bytes(*prefix))) else {
                    break;
                };
                connection.received += 1;
                done += 2 + bytes.len();
                take(Arrival { port, from_server: true, bytes, at_ns });
            }
            connection.inbox.copy_within(done..connection.in_len, 0);
            connection.in_len -= done;
            if count < room_len {
                return;
            }
        }
    }

    /// Whether a connection has had its share of queries.
    fn is_used_up(&self, port: usize) -> bool {
        let limit = self.limits.queries_per_connection;
        limit > 0 && self.connections[port].sent >= limit
    }

    /// Replaces a connection that is used up, once its answers are there or will not come.
    fn replace_if_drained(&mut self, port: usize) {
        let connection = &self.connections[port];
        let drained = connection.received >= connection.sent
            || connection.last.elapsed() >= self.limits.timeout;
        if self.is_used_up(port) && drained {
            self.replace(port);
        }
    }
}

/// "Operation now in progress": a connection that is begun and does not wait (connect(2)).
const EINPROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();

impl Engine for TcpConnections {
    fn ports(&self) -> usize {
        self.connections.len()
    }

    fn push(&mut self, port: usize, id: u16, query: &[u8]) -> bool {
        if self.connections[port].stream.is_none() {
            self.try_again(port);
        }
        self.replace_if_drained(port);
        let used_up = self.is_used_up(port);
        let connection = &mut self.connections[port];
        let full = connection.out.len() + 2 + query.len() > OUT_MAX;
        if used_up || full || !connection.open {
            return false;
        }
        connection.out.extend_from_slice(&(query.len() as u16).to_be_bytes());
        let start = connection.out.len();
        connection.out.extend_from_slice(query);
        for (octet, of_id) in connection.out[start..].iter_mut().zip(id.to_be_bytes()) {
            *octet = of_id;
        }
        connection.sent += 1;
        connection.last = Instant::now();
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        for port in 0..self.connections.len() {
            // Those that wait for room are written to when epoll says so.
            if !self.connections[port].wants_room && !self.connections[port].out.is_empty() {
                self.write(port)?;
            }
        }
        Ok(())
    }

    fn receive(
        &mut self,
        clock: Clock,
        timeout: Duration,
        mut take: impl FnMut(Arrival<'_>),
    ) -> io::Result<()> {
        let mut room = Room::new();
        for ready in self.poller.wait(&mut room, Some(timeout))? {
            let port = ready.number as usize;
            if !self.connections[port].open {
                if self.opened(port).is_err() {
                    self.connections[port].stream = None;
                }
                continue;
            }
            if ready.flags.contains(EventFlags::OUT) {
                self.write(port)?;
            }
            self.read(port, clock, &mut take);
        }
        Ok(())
    }

    fn carried(&self) -> Carried {
        self.carried
    }
}
