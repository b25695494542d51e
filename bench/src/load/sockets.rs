//! The engine of UDP sockets: `sendmmsg(2)` and `recvmmsg(2)`, a socket for each port.
//!
//! The sockets are bound but not connected, so that an answer from another address than the one
//! that was asked is seen, and not dropped by the kernel.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use dns64::datagram::{Channel, Client};
use dns64::limits::BATCH_LEN;
use dns64::sys::mmsg::{MessageBatch, ReplyBatch};
use rustix::event::epoll::EventFlags;
use socket2::{Domain, Protocol, Socket, Type};

use super::clock::Clock;
use super::engine::{Arrival, Carried, Engine};
use super::queries::QUERY_MAX;
use crate::wait::{Poller, Room};

/// Octets of a socket's buffers where none are asked for: what a burst of some milliseconds brings.
pub const BUFFER_BYTES: usize = 8 << 20;

/// The most ports of one engine: their places are numbers of 16 bits.
pub const PORTS_MAX: usize = 1 << 14;

/// UDP sockets to one server.
pub struct UdpSockets {
    /// Who is asked.
    server: SocketAddr,
    /// One a port.
    sockets: Vec<UdpSocket>,
    /// Waits for answers.
    poller: Poller,
    /// Answers.
    inbox: MessageBatch,
    /// Queries.
    outbox: ReplyBatch,
    /// A query, while its ID is written into it.
    query: [u8; QUERY_MAX],
    /// What happened.
    carried: Carried,
}

impl UdpSockets {
    /// Opens a socket for each of the source addresses; port 0 is one of the system's choice.
    /// With `segments`, queries of one length leave as one (udp(7), `UDP_SEGMENT`).
    ///
    /// # Errors
    /// Those of socket(2), setsockopt(2), bind(2) and epoll(7).
    ///
    /// # Panics
    /// If there are more than [`PORTS_MAX`] sources.
    pub fn open(
        server: SocketAddr,
        sources: &[SocketAddr],
        buffer_bytes: usize,
        segments: bool,
    ) -> io::Result<Self> {
        assert!(sources.len() <= PORTS_MAX);
        let poller = Poller::new()?;
        let mut sockets = Vec::with_capacity(sources.len());
        for (place, source) in sources.iter().enumerate() {
            let socket =
                Socket::new(Domain::for_address(*source), Type::DGRAM, Some(Protocol::UDP))?;
            dns64::sys::sockopt::set_receive_buffer(&socket, buffer_bytes)?;
            socket.set_send_buffer_size(buffer_bytes)?;
            bind(&socket, *source)?;
            poller.add(&socket, place as u64, EventFlags::IN)?;
            sockets.push(socket.into());
        }
        let mut outbox = ReplyBatch::new();
        outbox.set_segments(segments);
        Ok(Self {
            server,
            sockets,
            poller,
            inbox: MessageBatch::new(),
            outbox,
            query: [0; QUERY_MAX],
            carried: Carried::default(),
        })
    }
}

/// Binds a socket to its source; the error says to which.
pub(super) fn bind(socket: &Socket, source: SocketAddr) -> io::Result<()> {
    socket.bind(&source.into()).map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AddrNotAvailable {
            "; `ip route add local NETWORK dev lo` makes a network's addresses this machine's"
        } else {
            ""
        };
        io::Error::new(error.kind(), format!("source {source}: {error}{hint}"))
    })
}

impl Engine for UdpSockets {
    fn ports(&self) -> usize {
        self.sockets.len()
    }

    fn push(&mut self, port: usize, id: u16, query: &[u8]) -> bool {
        let local = match self.server {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let channel = Channel::Udp { socket: port as u16 };
        let server = Client { peer: self.server, local, interface: 0, channel };
        let Some(room) = self.query.get_mut(..query.len()) else { return false };
        room.copy_from_slice(query);
        for (octet, of_id) in room.iter_mut().zip(id.to_be_bytes()) {
            *octet = of_id;
        }
        self.outbox.push(&server, room)
    }

    fn flush(&mut self) -> io::Result<()> {
        let sockets = &self.sockets;
        let report = self.outbox.flush(|place| sockets.get(usize::from(place)).map(AsFd::as_fd));
        self.carried.unsent += report.failed as u64;
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
            loop {
                let fd = self.sockets[port].as_fd();
                let received = self.inbox.recv(fd, port as u16)?;
                let at_ns = clock.now_ns();
                for slot in 0..received {
                    let datagram = self.inbox.datagram(slot);
                    let from_server = datagram.client.peer == self.server;
                    take(Arrival { port, from_server, bytes: datagram.bytes, at_ns });
                }
                if received < BATCH_LEN {
                    break;
                }
            }
        }
        Ok(())
    }

    fn carried(&self) -> Carried {
        self.carried
    }
}
