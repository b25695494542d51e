//! Sockets as the servers of this package open them.
#![forbid(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use dns64::sys::sockopt::{Family, set_receive_buffer, set_receive_packet_info};
use socket2::{Domain, Protocol, Socket, Type};

/// Octets of datagrams that may wait at a socket: what a burst of some milliseconds brings.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// How many TCP connections may wait to be accepted.
const BACKLOG_LEN: i32 = 256;

/// A UDP socket that shares its address with others (SO_REUSEPORT), takes bursts, and is told which
/// of our addresses was asked.
///
/// # Errors
/// Those of socket(2) and bind(2).
pub fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bindable(address, Type::DGRAM, Protocol::UDP)?;
    socket.set_reuse_port(true)?;
    set_receive_buffer(&socket, RECEIVE_BUFFER_BYTES)?;
    set_receive_packet_info(&socket, Family::of(&address))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A TCP socket that listens.
///
/// # Errors
/// Those of socket(2), bind(2) and listen(2).
pub fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bindable(address, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG_LEN)?;
    Ok(socket.into())
}

/// A UDP socket of a client that talks to one server from a port of the system's choice.
///
/// # Errors
/// Those of socket(2), bind(2) and connect(2).
pub fn connect_udp(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM, Some(Protocol::UDP))?;
    set_receive_buffer(&socket, RECEIVE_BUFFER_BYTES)?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// A socket for this address; one for IPv6 leaves IPv4 to a socket of its own.
fn bindable(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}
