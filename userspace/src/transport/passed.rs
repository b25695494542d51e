//! Sockets that systemd has opened for us (systemd.socket(5)), by the listen addresses that they
//! are bound to.
//!
//! A UDP address may be passed once for each worker (`ReusePort=yes` and as many lines of
//! `ListenDatagram=`): then each worker has a socket of its own, as if we had bound them. Where
//! there are fewer than workers, the others read them too.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::sys::listen_fds::ListenFd;

/// Sockets by their addresses; what is taken is gone from it.
#[derive(Debug, Default)]
pub struct PassedSockets {
    udp: Vec<Passed>,
    tcp: Vec<Passed>,
}

/// A socket that was passed.
#[derive(Debug)]
struct Passed {
    address: SocketAddr,
    socket: Socket,
    /// The name that systemd has for it.
    name: String,
}

impl PassedSockets {
    /// Looks what was passed.
    ///
    /// # Errors
    /// [`PassedError`]: something is no socket that queries could come by.
    pub fn of(passed: Vec<ListenFd>) -> Result<Self, PassedError> {
        let mut sockets = Self::default();
        for ListenFd { name, fd } in passed {
            let socket = Socket::from(fd);
            let (kind, address) = match look_at(&socket) {
                Ok(found) => found,
                Err(reason) => return Err(PassedError { name, reason }),
            };
            let of_kind = match kind {
                Kind::Udp => &mut sockets.udp,
                Kind::Tcp => &mut sockets.tcp,
            };
            if kind == Kind::Tcp && of_kind.iter().any(|other| other.address == address) {
                return Err(PassedError { name, reason: Reason::Twice(address) });
            }
            of_kind.push(Passed { address, socket, name });
        }
        Ok(sockets)
    }

    /// The UDP sockets of each address, for so many workers.
    ///
    /// # Errors
    /// [`PassedError`]: there are more of an address than workers.
    pub fn take_udp(
        &mut self,
        listen: &[SocketAddr],
        workers: usize,
    ) -> Result<Vec<Vec<UdpSocket>>, PassedError> {
        let mut take = |address: SocketAddr| {
            let taken: Vec<Passed> =
                self.udp.extract_if(.., |passed| is_same(passed.address, address)).collect();
            if let Some(surplus) = taken.get(workers) {
                let name = surplus.name.clone();
                let reason = Reason::Surplus { address, sockets: taken.len(), workers };
                return Err(PassedError { name, reason });
            }
            Ok(taken.into_iter().map(|passed| passed.socket.into()).collect())
        };
        listen.iter().map(|address| take(*address)).collect()
    }

    /// The TCP socket of an address.
    pub fn take_tcp(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let place = self.tcp.iter().position(|passed| is_same(passed.address, address))?;
        Some(self.tcp.remove(place).socket.into())
    }

    /// Says if something is left that nobody has taken.
    ///
    /// # Errors
    /// [`PassedError`] if there is.
    pub fn all_taken(self) -> Result<(), PassedError> {
        let left = self.udp.into_iter().map(|passed| (Kind::Udp, passed));
        let mut left = left.chain(self.tcp.into_iter().map(|passed| (Kind::Tcp, passed)));
        match left.next() {
            None => Ok(()),
            Some((kind, Passed { address, name, .. })) => {
                Err(PassedError { name, reason: Reason::NotListed(kind, address) })
            }
        }
    }
}

/// What queries come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Udp,
    Tcp,
}

impl Kind {
    /// Its name, and that of its key in a socket unit.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Udp => ("UDP", "ListenDatagram"),
            Self::Tcp => ("TCP", "ListenStream"),
        }
    }
}

/// Whether a socket's address is one of `listen`: its flow label is no part of it.
fn is_same(bound: SocketAddr, listed: SocketAddr) -> bool {
    let scope = |address: SocketAddr| match address {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(address) => address.scope_id(),
    };
    bound.ip() == listed.ip() && bound.port() == listed.port() && scope(bound) == scope(listed)
}

/// What a socket is, and what it is bound to.
fn look_at(socket: &Socket) -> Result<(Kind, SocketAddr), Reason> {
    let domain = socket.domain().map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOTSOCK) => Reason::NotASocket,
        _ => Reason::System(error),
    })?;
    if domain != Domain::IPV4 && domain != Domain::IPV6 {
        return Err(Reason::NotInternet);
    }
    let kind = match socket.r#type().map_err(Reason::System)? {
        Type::DGRAM => Kind::Udp,
        Type::STREAM if socket.is_listener().map_err(Reason::System)? => Kind::Tcp,
        Type::STREAM => return Err(Reason::Connected),
        _ => return Err(Reason::NotInternet),
    };
    let address = socket.local_addr().map_err(Reason::System)?;
    let address = address.as_socket().ok_or(Reason::NotInternet)?;
    if domain == Domain::IPV6
        && address.ip().is_unspecified()
        && !socket.only_v6().map_err(Reason::System)?
    {
        return Err(Reason::BothVersions(kind, address));
    }
    Ok((kind, address))
}

/// A socket that was passed and cannot be used.
#[derive(Debug)]
pub struct PassedError {
    name: String,
    reason: Reason,
}

/// Why not.
#[derive(Debug)]
enum Reason {
    NotASocket,
    NotInternet,
    Connected,
    BothVersions(Kind, SocketAddr),
    Twice(SocketAddr),
    Surplus { address: SocketAddr, sockets: usize, workers: usize },
    NotListed(Kind, SocketAddr),
    System(io::Error),
}

impl fmt::Display for PassedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a socket that systemd has passed ({}): ", self.name)?;
        match &self.reason {
            Reason::NotASocket => write!(
                f,
                "this is no socket\n  hint: ListenDatagram= and ListenStream= are what queries \
                 come by"
            ),
            Reason::NotInternet => write!(
                f,
                "queries come by UDP and TCP alone\n  hint: give ListenDatagram= and ListenStream= \
                 an IP address and a port; the control socket is made by dns64d itself"
            ),
            Reason::Connected => {
                write!(f, "it takes no connections\n  hint: Accept=no, which is the default")
            }
            Reason::BothVersions(kind, address) => write!(
                f,
                "the {} socket of {address} has IPv4, too\n  hint: BindIPv6Only=ipv6-only; \
                 0.0.0.0 is an address of its own",
                kind.words().0
            ),
            Reason::Twice(address) => {
                write!(f, "the TCP socket of {address} is there twice\n  hint: once is enough")
            }
            Reason::Surplus { address, sockets, workers } => write!(
                f,
                "there are {sockets} UDP sockets of {address} for {workers} workers\n  hint: at \
                 most one line of ListenDatagram= for each worker; the key workers says \
                 how many there are"
            ),
            Reason::NotListed(kind, address) => {
                let (protocol, key) = kind.words();
                write!(
                    f,
                    "no address of listen is {address}, which this {protocol} socket is bound to\n  \
                     hint: put {address} into listen, or remove {key}={address} from the socket \
                     unit"
                )
            }
            Reason::System(error) => write!(f, "it cannot be looked at: {error}"),
        }
    }
}

impl std::error::Error for PassedError {}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn bound(address: &str, kind: Type) -> Socket {
        let address: SocketAddr = address.parse().expect("an address");
        let socket = Socket::new(Domain::for_address(address), kind, None).expect("a socket");
        socket.bind(&address.into()).expect("a free port");
        socket
    }

    fn address_of(socket: &Socket) -> SocketAddr {
        socket.local_addr().expect("an address").as_socket().expect("an address of IP")
    }

    fn listen_fd(socket: impl Into<std::os::fd::OwnedFd>) -> ListenFd {
        ListenFd { name: "dns64d.socket".to_owned(), fd: socket.into() }
    }

    #[test]
    fn sockets_are_found_by_their_addresses_once() {
        let (udp, tcp) = (bound("127.0.0.1:0", Type::DGRAM), bound("127.0.0.1:0", Type::STREAM));
        tcp.listen(1).expect("it listens");
        let (udp_address, tcp_address) = (address_of(&udp), address_of(&tcp));
        let elsewhere = SocketAddr::new([127, 0, 0, 2].into(), udp_address.port());
        let mut passed =
            PassedSockets::of(vec![listen_fd(udp), listen_fd(tcp)]).expect("both are good");
        let taken = passed.take_udp(&[elsewhere, udp_address], 1).expect("one is enough");
        assert_eq!(taken.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1]);
        assert!(passed.take_tcp(elsewhere).is_none());
        assert!(passed.take_tcp(tcp_address).is_some() && passed.take_tcp(tcp_address).is_none());
        passed.all_taken().expect("nothing is left");
    }

    #[test]
    fn what_is_left_or_too_much_is_named() {
        let udp = bound("127.0.0.1:0", Type::DGRAM);
        let address = address_of(&udp);
        let again = udp.try_clone().expect("a descriptor");
        let mut passed = PassedSockets::of(vec![listen_fd(udp), listen_fd(again)]).expect("good");
        let error = passed.take_udp(&[address], 1).expect_err("one worker").to_string();
        assert!(error.contains(&format!("2 UDP sockets of {address} for 1 workers")), "{error}");
        let passed = PassedSockets::of(vec![listen_fd(bound("[::1]:0", Type::DGRAM))]);
        let error = passed.expect("good").all_taken().expect_err("it is left").to_string();
        assert!(error.contains("no address of listen is [::1]:"), "{error}");
        assert!(error.contains("remove ListenDatagram=[::1]:"), "{error}");
    }

    #[test]
    fn what_is_no_socket_for_queries_is_refused() {
        let file = File::open("/dev/null").expect("it is there");
        let not_listening = bound("127.0.0.1:0", Type::STREAM);
        let both = Socket::new(Domain::IPV6, Type::DGRAM, None).expect("a socket");
        both.set_only_v6(false).expect("an option");
        let any: SocketAddr = "[::]:0".parse().expect("an address");
        both.bind(&any.into()).expect("a free port");
        for (fd, said) in [
            (listen_fd(file), "this is no socket"),
            (listen_fd(not_listening), "it takes no connections"),
            (listen_fd(both), "has IPv4, too"),
        ] {
            let error = PassedSockets::of(vec![fd]).expect_err(said).to_string();
            assert!(error.contains(said) && error.contains("(dns64d.socket)"), "{error}");
        }
    }
}
