//! UDP sockets towards the upstream servers, with source ports that an attacker cannot guess.
//!
//! Whoever wants to forge a response must hit the transaction ID and the source port (RFC 5452
//! 9.2). So each server has a pool of sockets on ports drawn from the whole range 1024 to 65535
//! by the caller's random source, each query takes one of them at random, and each socket is
//! given up after some queries or some time for one on a new port. The sockets are connected: the
//! kernel drops what comes from another address than the server's, and reports a closed port.
//!
//! ```text
//!   opened ──► active, one of POOL_LEN ──► retired: only read ──► closed
//!               QUERIES_MAX or AGE_MAX        RETIRED_LIFE
//! ```

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rand_core::Rng;
use socket2::{Domain, Socket, Type};

use super::poll::{Registry, Token, UpstreamToken};
use crate::datagram::{Epoch, SourcePort, UpstreamId};
use crate::limits::{LOOKUP_LIFE, UDP_RECEIVE_LEN};
use crate::sys::sockopt::{self, Family};
use crate::time::Moment;

/// Active sockets for each server and worker. Opened when first drawn, or by
/// [`UpstreamSockets::open_ahead`].
pub const POOL_LEN: usize = 32;

/// Queries a socket sends before it retires.
pub const QUERIES_MAX: u32 = 512;

/// How long a socket is active.
pub const AGE_MAX: Duration = Duration::from_secs(600);

/// How long a retired socket still hears responses. Longer than any look-up, so that retiring
/// loses none.
pub const RETIRED_LIFE: Duration = Duration::from_secs(12);

const _: () = assert!(RETIRED_LIFE.as_millis() > LOOKUP_LIFE.as_millis());

/// Retired sockets at a time. When there are more, active sockets stay active longer: ports are
/// reused a while, and file descriptors do not run out.
const RETIRED_MAX: usize = 4_096;

/// The lowest source port: below lie the ports that need a right.
const PORT_MIN: u16 = 1_024;

/// How many source ports there are to draw from.
const PORTS: u64 = 65_536 - PORT_MIN as u64;

/// Ports drawn for one socket before the kernel is asked for any free one.
const PORT_TRIES_MAX: usize = 16;

/// Refusals kept until [`UpstreamSockets::take_refusal`].
const REFUSALS_MAX: usize = 64;

/// Octets asked for the receive buffer.
const RECEIVE_BUFFER_LEN: usize = 256 << 10;

/// The server's machine says that nothing listens at that port (ICMP port unreachable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// One worker's sockets towards all upstream servers. `R` draws the ports; it must be
/// cryptographically secure in service.
pub struct UpstreamSockets<R> {
    /// The worker's epoll.
    registry: Registry,
    /// What the tokens of this table have, and those of another do not.
    epoch: u8,
    /// Where ports come from.
    random: R,
    /// The servers, by [`UpstreamId`].
    servers: Vec<Server>,
    /// All sockets, active and retired, by [`UpstreamToken`].
    slots: Vec<Slot>,
    /// Free places in `slots`.
    free: Vec<u32>,
    /// Retired sockets and when they close, the earliest first.
    retired: VecDeque<(Moment, UpstreamToken)>,
    /// Refusals that a send was told of.
    refusals: VecDeque<(UpstreamId, SourcePort)>,
    /// Where datagrams are received.
    buffer: Box<[u8; UDP_RECEIVE_LEN]>,
}

/// A server and its active sockets.
struct Server {
    /// Where it listens.
    address: SocketAddr,
    /// Places in the table of sockets.
    pool: [Option<u32>; POOL_LEN],
}

/// A place in the table of sockets.
struct Slot {
    /// How often it has been used.
    generation: u16,
    /// The socket there.
    socket: Option<PortSocket>,
}

/// A socket of one source port, connected to one server.
struct PortSocket {
    /// Nonblocking.
    socket: UdpSocket,
    /// To which server.
    server: UpstreamId,
    /// From which port.
    port: SourcePort,
    /// Queries sent.
    queries: u32,
    /// When it was opened.
    opened: Moment,
}

impl<R: Rng> UpstreamSockets<R> {
    /// No sockets, for no servers: see [`UpstreamSockets::set_servers`]. Of the tables in one epoll
    /// no two have numbers of configurations that are equal in their last eight bits.
    #[must_use]
    pub fn new(registry: Registry, random: R, epoch: Epoch) -> Self {
        Self {
            registry,
            epoch: epoch.0 as u8,
            random,
            servers: Vec::new(),
            slots: Vec::new(),
            free: Vec::new(),
            retired: VecDeque::new(),
            refusals: VecDeque::with_capacity(REFUSALS_MAX),
            buffer: Box::new([0; UDP_RECEIVE_LEN]),
        }
    }

    /// Replaces the list of servers; [`UpstreamId`] is the place in it. A server that keeps its
    /// place keeps its sockets. The sockets of the others close at once: what they still hear
    /// would be taken for the new server's.
    pub fn set_servers(&mut self, addresses: &[SocketAddr]) {
        let kept = |id: UpstreamId, old: &[Server]| {
            let place = usize::from(id.0);
            old.get(place).map(|server| &server.address) == addresses.get(place)
        };
        for slot in 0..self.slots.len() {
            let server = self.slots[slot].socket.as_ref().map(|socket| socket.server);
            if server.is_some_and(|server| !kept(server, &self.servers)) {
                self.close(slot as u32);
            }
        }
        self.refusals.retain(|(server, _)| kept(*server, &self.servers));
        self.servers.truncate(addresses.len());
        for (place, address) in addresses.iter().enumerate() {
            match self.servers.get_mut(place) {
                Some(server) if server.address == *address => {}
                Some(server) => *server = Server { address: *address, pool: [None; POOL_LEN] },
                None => {
                    self.servers.push(Server { address: *address, pool: [None; POOL_LEN] });
                }
            }
        }
    }

    /// Opens the sockets of all pools, so that no query waits for that. One that cannot be opened
    /// now is opened when it is drawn.
    pub fn open_ahead(&mut self, now: Moment) {
        for server in 0..self.servers.len() {
            let address = self.servers[server].address;
            for place in 0..POOL_LEN {
                if self.servers[server].pool[place].is_some() {
                    continue;
                }
                let Ok(slot) = self.open(UpstreamId(server as u16), address, now) else { break };
                self.servers[server].pool[place] = Some(slot);
            }
        }
    }

    /// Sends a query from a random port of the pool, but not from `avoid` (the port of an earlier
    /// try), and returns that port: responses count only if they come to it.
    ///
    /// # Errors
    ///
    /// Those of `send(2)` (no route, no room), or of opening a socket where not one is open. The
    /// query was not sent then.
    pub fn send(
        &mut self,
        server: UpstreamId,
        avoid: Option<SourcePort>,
        bytes: &[u8],
        now: Moment,
    ) -> io::Result<SourcePort> {
        self.close_retired(now);
        let slot = self.draw(server, avoid, now)?;
        let socket = self.slots[slot as usize].socket.as_mut().ok_or(io::ErrorKind::NotFound)?;
        socket.queries += 1;
        let port = socket.port;
        match socket.socket.send(bytes) {
            Ok(_) => Ok(port),
            // This is the answer to an earlier query from the same port, and nothing was sent.
            // Reporting the error has cleared it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                socket.socket.send(bytes)?;
                if self.refusals.len() < REFUSALS_MAX {
                    self.refusals.push_back((server, port));
                }
                Ok(port)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a socket is of this table.
    #[must_use]
    pub const fn has(&self, token: UpstreamToken) -> bool {
        self.epoch == token.epoch
    }

    /// Takes the first datagram that waits at a socket and hands it to `deliver`. What else waits
    /// there makes the epoll report the socket again: with many ports a second one is rare, and
    /// looking for it would cost a system call a response.
    ///
    /// A token of a socket closed meanwhile delivers nothing.
    pub fn recv_ready(
        &mut self,
        token: UpstreamToken,
        mut deliver: impl FnMut(UpstreamId, SourcePort, Result<&[u8], Refused>),
    ) {
        let Some(slot) = self.slots.get(token.slot as usize) else { return };
        if slot.generation != token.generation {
            return;
        }
        let Some(socket) = &slot.socket else { return };
        match socket.socket.recv(&mut self.buffer[..]) {
            Ok(len) => deliver(socket.server, socket.port, Ok(&self.buffer[..len])),
            // Nothing after all, or a signal first: the epoll reports the socket again if need be.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            // Without IP_RECVERR, the kernel reports only hard ICMP errors, and each once.
            Err(_) => deliver(socket.server, socket.port, Err(Refused)),
        }
    }

    /// A refusal that came to light when the next query was sent from the same port. To be asked
    /// for after sending, until `None`.
    pub fn take_refusal(&mut self) -> Option<(UpstreamId, SourcePort)> {
        self.refusals.pop_front()
    }

    /// Closes the retired sockets whose time is over. [`UpstreamSockets::send`] does it too; to
    /// be called now and then where nothing is sent.
    pub fn close_retired(&mut self, now: Moment) {
        while let Some((deadline, token)) = self.retired.front().copied() {
            if now < deadline {
                return;
            }
            self.retired.pop_front();
            if self.slots[token.slot as usize].generation == token.generation {
                self.close(token.slot);
            }
        }
    }

    /// How many sockets are open, retired ones included.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Draws a socket of a server's pool, opening it if need be.
    fn draw(&mut self, id: UpstreamId, avoid: Option<SourcePort>, now: Moment) -> io::Result<u32> {
        let start = self.random.next_u32() as usize % POOL_LEN;
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for place in (start..POOL_LEN).chain(0..start) {
            let server = self.servers.get(usize::from(id.0));
            let Some(server) = server else { return Err(failure) };
            let active = server.pool[place];
            let slot = match active.filter(|slot| !self.is_worn(*slot, now)) {
                Some(slot) => slot,
                None => match self.open(id, server.address, now) {
                    Ok(slot) => {
                        if let Some(worn) = active {
                            self.retire(worn, now);
                        }
                        self.servers[usize::from(id.0)].pool[place] = Some(slot);
                        slot
                    }
                    // No file descriptor left, or no route: a socket that is open will do, even
                    // one past its time.
                    Err(error) => {
                        failure = error;
                        let Some(worn) = active else { continue };
                        worn
                    }
                },
            };
            let port = self.slots[slot as usize].socket.as_ref().map(|socket| socket.port);
            if avoid.is_none() || port != avoid {
                return Ok(slot);
            }
        }
        Err(failure)
    }

    /// Whether a socket is to be retired.
    fn is_worn(&self, slot: u32, now: Moment) -> bool {
        let Some(socket) = &self.slots[slot as usize].socket else { return true };
        let worn = socket.queries >= QUERIES_MAX || now.since(socket.opened) >= AGE_MAX;
        worn && self.retired.len() < RETIRED_MAX
    }

    /// Notes when a socket is to be closed.
    fn retire(&mut self, slot: u32, now: Moment) {
        let generation = self.slots[slot as usize].generation;
        let epoch = self.epoch;
        self.retired.push_back((now + RETIRED_LIFE, UpstreamToken { epoch, slot, generation }));
    }

    /// Opens a socket on a random port, connected and registered.
    fn open(&mut self, server: UpstreamId, address: SocketAddr, now: Moment) -> io::Result<u32> {
        let socket = open_at_random_port(address, &mut self.random)?;
        let port = SourcePort(socket.local_addr()?.port());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, socket: None });
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        let token = UpstreamToken { epoch: self.epoch, slot, generation: place.generation };
        if let Err(error) = self.registry.add(&socket, Token::Upstream(token)) {
            self.free.push(slot);
            return Err(error);
        }
        place.socket = Some(PortSocket { socket, server, port, queries: 0, opened: now });
        Ok(slot)
    }

    /// Closes a socket; closing takes it out of the epoll. Its tokens are void from now on.
    fn close(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        debug_assert!(place.socket.is_some());
        place.socket = None;
        place.generation = place.generation.wrapping_add(1);
        self.free.push(slot);
    }
}

/// Opens a socket on a port drawn at random, and connects it.
fn open_at_random_port(server: SocketAddr, random: &mut impl Rng) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM.nonblocking(), None)?;
    // Nobody may share the port, our own workers included: SO_REUSEPORT stays off.
    sockopt::ignore_path_mtu(&socket, Family::of(&server))?;
    // A smaller buffer than asked for is no reason not to send.
    let _granted = sockopt::set_receive_buffer(&socket, RECEIVE_BUFFER_LEN);
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port that is in use, or kept from us, is simply not the one.
    let bound = (0..PORT_TRIES_MAX)
        .any(|_| socket.bind(&SocketAddr::new(any, draw_port(random)).into()).is_ok());
    if !bound {
        // With port 0 the kernel draws, from a smaller range.
        socket.bind(&SocketAddr::new(any, 0).into())?;
    }
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Draws a port from 1024 to 65535. The product of a 32-bit random number and the range, divided
/// by 2^32, falls on each port with the same chance but for one part in 66 000.
fn draw_port(random: &mut impl Rng) -> u16 {
    let offset = (u64::from(random.next_u32()) * PORTS) >> 32;
    PORT_MIN + offset as u16
}

#[cfg(test)]
mod tests;
