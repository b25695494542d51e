//! What passes between the transports and the engine: plain data about messages and their peers.

use std::net::{IpAddr, SocketAddr};

/// The way by which a query came and its reply must leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// A UDP socket of this worker, by its place in the list of listen addresses.
    Udp {
        /// Place in the list of listen addresses.
        socket: u16,
    },
    /// A TCP connection, by a number that is never used twice.
    Tcp {
        /// The connection's number.
        connection: u64,
        /// Place in the list of listen addresses.
        socket: u16,
    },
    /// Our own validator, which asks for keys (RFC 4035 5).
    Validator {
        /// The number of its question.
        question: u64,
    },
}

impl Channel {
    /// The place in the list of listen addresses that messages on this channel came to; the first
    /// for the validator, which comes to none.
    #[inline]
    #[must_use]
    pub const fn socket(self) -> u16 {
        match self {
            Self::Udp { socket } | Self::Tcp { socket, .. } => socket,
            Self::Validator { .. } => 0,
        }
    }

    /// Whether messages on this channel are limited to the client's UDP payload size.
    #[must_use]
    pub const fn is_udp(self) -> bool {
        matches!(self, Self::Udp { .. })
    }

    /// Whether it is no client that asks, but our own validator.
    #[must_use]
    pub const fn is_validator(self) -> bool {
        matches!(self, Self::Validator { .. })
    }
}

/// Who asked, and how the reply gets back: from the very address that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// The client's address and port. An IPv4 client is an IPv4 address, whatever the socket.
    pub peer: SocketAddr,
    /// Our address that the query was sent to, and that the reply comes from (RFC 2181 4.1).
    pub local: IpAddr,
    /// The interface the query came by; 0 where it is not known or does not matter.
    pub interface: u32,
    /// The socket or connection the query came by.
    pub channel: Channel,
}

/// A message from a client, as it lay on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The DNS message, without the length prefix of TCP.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub client: Client,
}

/// A server we forward to, by its place in the list of all configured servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub u16);

/// The UDP source port that a query to an upstream server left from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourcePort(pub u16);

/// Which configuration something belongs to: each that takes the place of another has the next
/// number. Wraps after more reloads than a program sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

impl Epoch {
    /// That of the configuration after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// A message about queries that were asked under one configuration, for the engine that has it.
#[derive(Clone, Debug)]
pub struct InEpoch<T> {
    /// The configuration.
    pub epoch: Epoch,
    /// The message.
    pub message: T,
}

/// A worker, by its place in the list of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);
