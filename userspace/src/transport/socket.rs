//! The UDP sockets that clients send to: one for each listen address and worker, with
//! `SO_REUSEPORT`, so that the kernel spreads the queries over the workers.
//!
//! The kernel picks the socket by a hash over addresses and ports, modulo the number of sockets.
//! A query that arrives while that number still grows may land at a socket whose worker does not
//! read yet. That is why [`open_all`] binds everything before it returns anything.
//!
//! Sockets that were [passed](super::passed) take the place of those that would be bound. Where
//! there are fewer of an address than workers, and no more can be added, all workers read the same
//! ones: each has its own descriptor of one of them.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use super::poll::{Poller, Token};
use crate::sys::sockopt::{self, Family};

/// Octets asked for the receive buffer: some 5 000 small datagrams, what a worker that is busy
/// for ten milliseconds finds waiting at half a million queries a second.
const RECEIVE_BUFFER_LEN: usize = 4 << 20;

/// How full a receive buffer is, in per cent, when a worker has certainly fallen behind: a worker
/// that looks up all names, some 20 000 a second, needs a tenth of a second for what waits there.
const CROWDED_PERCENT: u32 = 50;

/// How often a port chosen by the kernel may be taken by another before we hold it.
const PORT_TRIES_MAX: usize = 8;

/// The UDP sockets of one worker, in the order of the listen addresses.
#[derive(Debug)]
pub struct SocketTransport {
    /// Nonblocking, bound.
    sockets: Vec<UdpSocket>,
    /// Their addresses, with the port the kernel chose where 0 was asked for.
    addresses: Vec<SocketAddr>,
    /// How many sockets there are of each address, over all workers.
    counts: Vec<usize>,
    /// How many workers there are.
    workers: usize,
}

impl SocketTransport {
    /// How many sockets there are: as many as listen addresses.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// A socket by the place of its listen address.
    #[must_use]
    pub fn socket(&self, place: u16) -> Option<BorrowedFd<'_>> {
        self.sockets.get(usize::from(place)).map(AsFd::as_fd)
    }

    /// Whether so much waits at a socket that more had better not come: see [`CROWDED_PERCENT`].
    #[must_use]
    pub fn is_crowded(&self, place: u16) -> bool {
        let used = self.socket(place).and_then(|fd| sockopt::receive_buffer_use(fd).ok());
        used.is_some_and(|percent| percent >= CROWDED_PERCENT)
    }

    /// The addresses listened on; a port 0 has become the port the kernel chose.
    #[must_use]
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The addresses that have fewer sockets than there are workers, with how many.
    pub fn shared(&self) -> impl Iterator<Item = (SocketAddr, usize)> {
        let counted = self.addresses.iter().copied().zip(self.counts.iter().copied());
        counted.filter(|(_, count)| *count < self.workers)
    }

    /// Registers all sockets as [`Token::Listen`].
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    pub fn register(&self, poller: &Poller) -> io::Result<()> {
        for (place, (socket, count)) in (0..=u16::MAX).zip(self.sockets.iter().zip(&self.counts)) {
            if *count < self.workers {
                poller.add_shared(socket, Token::Listen(place))?;
            } else {
                poller.add(socket, Token::Listen(place))?;
            }
        }
        Ok(())
    }
}

/// Opens the sockets of all workers.
///
/// With `SO_REUSEPORT`, the kernel lets any program of the same user join a port in silence, and
/// would then give it a share of our queries: a second dns64d by mistake, for one. So each
/// address is first bound without it, which fails if anybody has the port.
///
/// # Errors
///
/// The first address that could not be bound, and why. No socket stays open then.
///
/// # Panics
///
/// Where there are more listen addresses than [`Channel::Udp`](crate::datagram::Channel::Udp)
/// can tell apart.
pub fn open_all(listen: &[SocketAddr], workers: usize) -> Result<Vec<SocketTransport>, BindError> {
    open_all_but(Vec::new(), listen, workers)
}

/// As [`open_all`], but for the addresses that sockets were passed for: at most one for each
/// worker, by the places of the addresses.
///
/// # Errors
///
/// As [`open_all`].
///
/// # Panics
///
/// As [`open_all`].
pub fn open_all_but(
    mut passed: Vec<Vec<UdpSocket>>,
    listen: &[SocketAddr],
    workers: usize,
) -> Result<Vec<SocketTransport>, BindError> {
    assert!(listen.len() <= usize::from(u16::MAX));
    passed.resize_with(listen.len(), Vec::new);
    // All are probed before the first is bound for good: the wildcard address and a special one
    // may share a port, and would be in each other's way.
    for (address, passed) in listen.iter().zip(&passed) {
        if address.port() != 0 && passed.is_empty() {
            open(*address, Sharing::Exclusive)?;
        }
    }
    let mut transports: Vec<SocketTransport> = Vec::with_capacity(workers);
    transports.resize_with(workers, || SocketTransport {
        sockets: Vec::new(),
        addresses: Vec::new(),
        counts: Vec::new(),
        workers,
    });
    for (address, passed) in listen.iter().zip(passed) {
        let (sockets, address) = match passed.is_empty() {
            true => bind_for_all(*address, workers)?,
            false => (adopt(passed, *address, workers)?, *address),
        };
        let count = sockets.len();
        // Those who have none of their own read what others have, each another one.
        let copies: Vec<UdpSocket> = (count..workers)
            .map(|worker| sockets[worker % count].try_clone())
            .collect::<io::Result<_>>()
            .map_err(|error| BindError::new(address, BindCall::Copy, &error))?;
        for (transport, socket) in transports.iter_mut().zip(sockets.into_iter().chain(copies)) {
            transport.sockets.push(socket);
            transport.addresses.push(address);
            transport.counts.push(count);
        }
    }
    Ok(transports)
}

/// Opens the sockets of an address for all workers.
fn bind_for_all(
    address: SocketAddr,
    workers: usize,
) -> Result<(Vec<UdpSocket>, SocketAddr), BindError> {
    let (first, address) = open_first(address)?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(open(address, Sharing::Workers)?.0);
    }
    Ok((sockets, address))
}

/// Makes sockets that were passed ours, and adds to them where there are fewer than workers. They
/// must have `SO_REUSEPORT` for that, and the user who has made them must be ours; so it may be
/// that none can be added.
fn adopt(
    passed: Vec<UdpSocket>,
    address: SocketAddr,
    workers: usize,
) -> Result<Vec<UdpSocket>, BindError> {
    let failed = |error: io::Error| BindError::new(address, BindCall::Option, &error);
    let mut sockets = Vec::with_capacity(workers);
    let mut takes_more = true;
    for socket in passed {
        let socket = Socket::from(socket);
        takes_more &= socket.reuse_port().map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        configure(&socket, address).map_err(failed)?;
        sockets.push(UdpSocket::from(socket));
    }
    while takes_more && sockets.len() < workers {
        match open(address, Sharing::Workers) {
            Ok((socket, _)) => sockets.push(socket),
            Err(_) => takes_more = false,
        }
    }
    Ok(sockets)
}

/// Opens the first worker's socket, with a port that nobody has where port 0 is asked for.
fn open_first(mut address: SocketAddr) -> Result<(UdpSocket, SocketAddr), BindError> {
    if address.port() != 0 {
        return open(address, Sharing::Workers);
    }
    let mut result;
    let mut tries = 0;
    loop {
        // Asked for a port with SO_REUSEPORT, the kernel may give one that another program of
        // this user shares. So it is chosen without, and held with.
        let (chooser, chosen) = open(address, Sharing::Exclusive)?;
        drop(chooser);
        result = open(chosen, Sharing::Workers);
        tries += 1;
        if result.is_ok() || tries == PORT_TRIES_MAX {
            return result;
        }
        address.set_port(0);
    }
}

/// Who else may bind the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    /// Nobody.
    Exclusive,
    /// Sockets of the same user that ask for it too: our workers.
    Workers,
}

/// Opens one socket. Returns the address with the port it got.
fn open(address: SocketAddr, sharing: Sharing) -> Result<(UdpSocket, SocketAddr), BindError> {
    let failed = |call| move |error: io::Error| BindError::new(address, call, &error);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking(), None)
        .map_err(failed(BindCall::Socket))?;
    prepare(&socket, address, sharing).map_err(failed(BindCall::Option))?;
    socket.bind(&address.into()).map_err(failed(BindCall::Bind))?;
    let socket = UdpSocket::from(socket);
    let bound = socket.local_addr().map_err(failed(BindCall::Name))?;
    Ok((socket, bound))
}

/// Sets all options, before the socket is bound, so that the first datagram obeys them.
fn prepare(socket: &Socket, address: SocketAddr, sharing: Sharing) -> io::Result<()> {
    let family = Family::of(&address);
    if family == Family::Ipv6 {
        // "[::]" and "0.0.0.0" are two listen addresses, whatever net.ipv6.bindv6only says.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(sharing == Sharing::Workers)?;
    configure(socket, address)
}

/// Sets the options that a bound socket takes, too.
fn configure(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    let family = Family::of(&address);
    // A socket of one address replies from that address; only one of all addresses must be told
    // which was asked. Asking costs both system calls a control message a datagram.
    if address.ip().is_unspecified() {
        sockopt::set_receive_packet_info(socket, family)?;
    }
    sockopt::ignore_path_mtu(socket, family)?;
    sockopt::set_receive_buffer(socket, RECEIVE_BUFFER_LEN)?;
    Ok(())
}

// ---- Errors

/// Which step of opening a listen address failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindCall {
    /// `socket(2)`.
    Socket,
    /// `setsockopt(2)`.
    Option,
    /// `bind(2)`.
    Bind,
    /// `listen(2)`.
    Listen,
    /// `getsockname(2)`.
    Name,
    /// `fcntl(2)`: another descriptor of the same socket.
    Copy,
}

impl BindCall {
    /// The system call's name.
    const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Option => "setsockopt",
            Self::Bind => "bind",
            Self::Listen => "listen",
            Self::Name => "getsockname",
            Self::Copy => "fcntl",
        }
    }
}

/// A listen address that could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The address, as configured.
    pub address: SocketAddr,
    /// What failed.
    pub call: BindCall,
    /// Why.
    pub errno: Errno,
}

impl BindError {
    /// The error of a system call.
    pub(super) fn new(address: SocketAddr, call: BindCall, error: &io::Error) -> Self {
        // Errors of std and socket2 without a number come from no system call: wrong arguments.
        let errno = Errno::from_io_error(error).unwrap_or(Errno::INVAL);
        Self { address, call, errno }
    }

    /// What the operator can do about it.
    const fn remedy(&self) -> &'static str {
        match self.errno {
            Errno::ADDRINUSE => "another program has this port: stop it, or listen elsewhere",
            Errno::ACCESS | Errno::PERM => {
                "a port below 1024 needs a right: run as root or give CAP_NET_BIND_SERVICE"
            }
            Errno::ADDRNOTAVAIL => {
                "no interface has this address: add it to one, or listen on a wildcard address"
            }
            Errno::AFNOSUPPORT => "this kernel has that IP version switched off",
            Errno::MFILE | Errno::NFILE => "raise the limit on open files",
            Errno::INVAL => "a link-local address needs its interface: [fe80::1%eth0]:53",
            _ => "see the error's name in errno(3)",
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, call) = (self.address, self.call.name());
        let reason = io::Error::from(self.errno);
        write!(f, "cannot listen on {address}: {call}: {reason}; {}", self.remedy())
    }
}

impl std::error::Error for BindError {}

#[cfg(test)]
mod tests;
