//! Socket options that rustix and socket2 lack.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};

/// The two IP versions, where a socket option has one name for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of a socket address.
    #[must_use]
    pub const fn of(address: &std::net::SocketAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// Asks for our own address beside each received datagram: `IP_PKTINFO`, `IPV6_RECVPKTINFO`.
///
/// # Errors
///
/// Where the socket is of another family.
pub fn set_receive_packet_info(socket: impl AsFd, family: Family) -> io::Result<()> {
    match family {
        Family::Ipv4 => set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        Family::Ipv6 => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Stops the socket from believing what ICMP says about path MTUs: `IP_MTU_DISCOVER` is
/// `IP_PMTUDISC_OMIT`.
///
/// A forged "packet too big" could otherwise make us fragment small replies, and fragments are
/// what an off-path attacker can replace. With this, datagrams go out whole if the interface
/// takes them, and are fragmented by the interface's MTU alone.
///
/// # Errors
///
/// Where the socket is of another family.
pub fn ignore_path_mtu(socket: impl AsFd, family: Family) -> io::Result<()> {
    match family {
        Family::Ipv4 => sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT)?,
        Family::Ipv6 => sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::OMIT)?,
    }
    Ok(())
}

/// Makes the receive buffer this large, past `net.core.rmem_max` where we have CAP_NET_ADMIN, up
/// to it where not. Returns what was granted, in octets of payload and bookkeeping.
///
/// # Errors
///
/// Where the file descriptor is no socket.
pub fn set_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<usize> {
    let socket = socket.as_fd();
    if sockopt::set_socket_recv_buffer_size_force(socket, bytes).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, bytes)?;
    }
    // socket(7): "The kernel doubles this value (to allow space for bookkeeping overhead)".
    Ok(sockopt::socket_recv_buffer_size(socket)? / 2)
}

/// How full the receive buffer of a socket is, in per cent: `SO_MEMINFO`.
///
/// # Errors
///
/// Where the file descriptor is no socket.
pub fn receive_buffer_use(socket: impl AsFd) -> io::Result<u32> {
    /// Places of linux/sock_diag.h, and how many there are to ask for.
    const SK_MEMINFO_RMEM_ALLOC: usize = 0;
    const SK_MEMINFO_RCVBUF: usize = 1;
    let mut info = [0_u32; 2];
    let mut len = size_of_val(&info) as libc::socklen_t;
    // SAFETY: getsockopt(2) writes at most `optlen` octets to `optval`, which are those of `info`,
    // and to `optlen`: both are local variables that outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let (used, size) = (info[SK_MEMINFO_RMEM_ALLOC], info[SK_MEMINFO_RCVBUF]);
    Ok((u64::from(used) * 100 / u64::from(size.max(1))) as u32)
}

/// Sets an option whose value is an `int`.
pub(crate) fn set_option(
    socket: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: setsockopt(2) only reads `optlen` octets at `optval`, which are those of `value`,
    // a local variable that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            // "sockfd": borrowed, so open for the length of the call.
            socket.as_fd().as_raw_fd(),
            level,
            name,
            // "the arguments optval and optlen are used to access option values".
            (&raw const value).cast(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn options_are_taken_by_sockets_of_their_family() {
        let ipv4 = UdpSocket::bind("127.0.0.1:0").unwrap();
        set_receive_packet_info(&ipv4, Family::Ipv4).unwrap();
        ignore_path_mtu(&ipv4, Family::Ipv4).unwrap();
        let ipv6 = UdpSocket::bind("[::1]:0").unwrap();
        set_receive_packet_info(&ipv6, Family::Ipv6).unwrap();
        ignore_path_mtu(&ipv6, Family::Ipv6).unwrap();
        assert!(set_receive_packet_info(&ipv4, Family::Ipv6).is_err());
    }

    #[test]
    fn what_waits_at_a_socket_fills_its_buffer() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(receive_buffer_use(&socket).unwrap(), 0);
        set_receive_buffer(&socket, 65_536).unwrap();
        let to = socket.local_addr().unwrap();
        for _ in 0..200 {
            socket.send_to(&[0; 1_000], to).unwrap();
        }
        assert!(receive_buffer_use(&socket).unwrap() >= 90, "more than it holds has come");
    }

    #[test]
    fn the_receive_buffer_is_granted_in_part_or_in_full() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(set_receive_buffer(&socket, 65_536).unwrap(), 65_536);
        assert!(set_receive_buffer(&socket, 4 << 20).unwrap() >= 65_536);
    }
}
