//! Queries that come by `AF_XDP`, and their replies in the same frames.
//!
//! The XDP program has judged each frame before it came here; it is read once more by the same
//! library, because what a frame says of its own lengths is never taken on trust. A reply that can
//! be given at once is written over its query and goes back through the queue that it came by.
//!
//! A reply that comes later leaves by the UDP socket of the worker: it is then an ordinary datagram
//! from the same address and port, which the network stack routes and, where it must, fragments,
//! and no frame is kept waiting for a server on the other side of the world. The same holds for a
//! reply that is longer than the interface's packets.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, BorrowedFd};

use dns64_ebpf::checksum::Sum;
use dns64_ebpf::flow;
use dns64_ebpf::frame::{Frame, PROTOCOL_UDP};
use dns64_ebpf::headers::{self, MESSAGE_LEN_MAX};

use crate::datagram::{Channel, Client, Datagram};
use crate::limits::BATCH_LEN;
use crate::sys::queue_room::QueueRoom;
use crate::sys::xsk::{Census, Statistics, Xsk, XskFrame};

/// The addresses that we listen on, by their places in the list of listen addresses.
#[derive(Clone, Debug)]
pub struct Services(Vec<SocketAddr>);

impl Services {
    /// The services of these addresses.
    #[must_use]
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self(addresses.to_vec())
    }

    /// The socket that the network stack would give a datagram for this address and port: the one
    /// that is bound to the address, or else the one of all addresses.
    #[must_use]
    pub fn place(&self, address: IpAddr, port: u16) -> Option<u16> {
        let place = |wanted: &dyn Fn(&SocketAddr) -> bool| {
            self.0.iter().position(wanted).and_then(|place| u16::try_from(place).ok())
        };
        let is_wildcard = |service: &SocketAddr| {
            service.ip().is_unspecified() && service.is_ipv4() == address.is_ipv4()
        };
        place(&|service| service.port() == port && service.ip() == address)
            .or_else(|| place(&|service| service.port() == port && is_wildcard(service)))
    }
}

/// What a queue has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// Queries that came by it.
    pub queries: u64,
    /// Replies that went back by it.
    pub replies: u64,
    /// Replies that were too long for it.
    pub too_long: u64,
    /// Replies that the interface had no room for.
    pub unsent: u64,
    /// Frames that were no datagram for us, or had a wrong checksum: the network stack would have
    /// thrown them away too.
    pub strays: u64,
}

/// A query in a frame.
#[derive(Debug)]
struct Received {
    frame: XskFrame,
    datagram: flow::Datagram,
    client: Client,
}

/// One queue of one interface.
#[derive(Debug)]
pub struct XskQueue {
    /// Its number: no two of a run have the same.
    id: u32,
    /// The interface's index.
    interface: u32,
    /// Octets of the longest IP packet that the interface sends.
    mtu: usize,
    xsk: Xsk,
    /// Where the XDP program is told how much can come.
    room: Option<QueueRoom>,
    incoming: Vec<XskFrame>,
    /// The queries of the batch; one that has been answered is gone.
    batch: Vec<Option<Received>>,
    replies: Vec<XskFrame>,
    counts: QueueCounts,
}

impl XskQueue {
    /// A queue with its socket.
    #[must_use]
    pub fn new(id: u32, interface: u32, mtu: usize, xsk: Xsk) -> Self {
        Self {
            id,
            interface,
            mtu,
            xsk,
            room: None,
            incoming: Vec::with_capacity(BATCH_LEN),
            batch: Vec::with_capacity(BATCH_LEN),
            replies: Vec::with_capacity(BATCH_LEN),
            counts: QueueCounts::default(),
        }
    }

    /// The same, and from now on the XDP program gives it what there is room for.
    #[must_use]
    pub fn with_room(mut self, room: QueueRoom) -> Self {
        self.room = Some(room);
        self.tell_room();
        self
    }

    /// Tells the XDP program how much can come. To be called from time to time also if nothing
    /// comes: what was lost on its way here counts as given until then.
    pub fn tell_room(&mut self) {
        let Some(room) = &self.room else { return };
        let given = room.given();
        room.set(given, self.xsk.room());
    }

    /// Tells the XDP program whether queries that there is no room for are thrown away, or go to
    /// the network stack.
    pub fn shed(&self, sheds: bool) {
        if let Some(room) = &self.room {
            room.shed(sheds);
        }
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Octets of the longest IP packet that its interface sends from now on.
    pub const fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
    }

    /// What it has seen.
    #[must_use]
    pub const fn counts(&self) -> QueueCounts {
        self.counts
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn statistics(&self) -> io::Result<Statistics> {
        self.xsk.statistics()
    }

    /// Where the frames are.
    #[must_use]
    pub fn census(&self) -> Census {
        self.xsk.census()
    }

    /// Takes the queries that have come, [`BATCH_LEN`] at most, and returns how many. The batch
    /// before it must have been finished.
    pub fn receive(&mut self, services: &Services) -> usize {
        debug_assert!(self.batch.is_empty() && self.incoming.is_empty());
        if self.xsk.receive(&mut self.incoming, BATCH_LEN) > 0 {
            self.tell_room();
        }
        for frame in self.incoming.drain(..) {
            match read(self.xsk.packet(&frame), services, self.interface) {
                Some((datagram, client)) => {
                    self.batch.push(Some(Received { frame, datagram, client }));
                }
                None => {
                    self.counts.strays += 1;
                    self.xsk.release(frame);
                }
            }
        }
        self.counts.queries += self.batch.len() as u64;
        self.batch.len()
    }

    /// The messages of the batch.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.batch.len()).map(|slot| self.query(slot).map_or(&[][..], |query| query.bytes))
    }

    /// A query of the batch, until it is answered.
    #[must_use]
    pub fn query(&self, slot: usize) -> Option<Datagram<'_>> {
        let received = self.batch.get(slot)?.as_ref()?;
        let message = received.datagram.message();
        let packet = self.xsk.packet(&received.frame);
        let bytes = packet.get(message..message + received.datagram.message_len())?;
        Some(Datagram { bytes, client: received.client })
    }

    /// Writes a reply over its query, to leave with [`Self::finish`]. False if it is too long for
    /// the interface: then the query stays where it is.
    #[must_use]
    pub fn reply(&mut self, slot: usize, reply: &[u8]) -> bool {
        let Some(place) = self.batch.get_mut(slot) else { return false };
        let Some(mut received) = place.take() else { return false };
        let room = self.xsk.room_mut(&mut received.frame);
        match write(room, &received.datagram, reply, self.mtu) {
            Some(len) => {
                received.frame.set_len(len);
                self.replies.push(received.frame);
                true
            }
            None => {
                self.counts.too_long += 1;
                *place = Some(received);
                false
            }
        }
    }

    /// Sends the replies, and gives back the frames of queries that got none. Returns how many
    /// replies the interface did not take.
    pub fn finish(&mut self) -> u64 {
        for received in self.batch.drain(..).flatten() {
            self.xsk.release(received.frame);
        }
        let sent = self.xsk.send(&mut self.replies) as u64;
        // An interface that is down keeps what it was given until it is up, or gone.
        let _down = self.xsk.flush();
        let unsent = self.replies.len() as u64;
        for frame in self.replies.drain(..) {
            self.xsk.release(frame);
        }
        self.counts.replies += sent;
        self.counts.unsent += unsent;
        unsent
    }

    /// Whether the interface has been given replies that it has not sent yet.
    pub fn has_unsent(&mut self) -> bool {
        self.xsk.unsent() > 0
    }

    /// Sends what is left of earlier batches.
    pub fn flush(&mut self) {
        let _down = self.xsk.flush();
    }
}

impl AsFd for XskQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.xsk.as_fd()
    }
}

/// The datagram in a frame and who sent it, if it is one for us.
fn read(packet: &[u8], services: &Services, interface: u32) -> Option<(flow::Datagram, Client)> {
    let datagram = flow::Datagram::read(packet).ok()?;
    let local = Ipv6Addr::from(datagram.destination).to_canonical();
    let socket = services.place(local, datagram.destination_port)?;
    if !checksum_holds(packet, &datagram) {
        return None;
    }
    let peer = match Ipv6Addr::from(datagram.source).to_canonical() {
        // A link-local address means nothing without its link.
        IpAddr::V6(address) if address.is_unicast_link_local() => {
            SocketAddrV6::new(address, datagram.source_port, 0, interface).into()
        }
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => SocketAddr::new(address, datagram.source_port),
    };
    Some((datagram, Client { peer, local, interface, channel: Channel::Udp { socket } }))
}

/// Whether the checksum of UDP is right, absent, or still to be computed: a sender on the same
/// machine leaves the sum of the pseudo-header there, for hardware that a virtual interface does
/// not have.
fn checksum_holds(packet: &[u8], datagram: &flow::Datagram) -> bool {
    let Some(field) = packet.octets::<2>(datagram.udp + 6) else { return false };
    if field == [0, 0] {
        return datagram.is_ipv4;
    }
    let pseudo = Sum::new()
        .address(&datagram.source)
        .address(&datagram.destination)
        .number(u16::from(PROTOCOL_UDP))
        .number(datagram.udp_len as u16);
    let [high, low] = pseudo.checksum();
    let whole = pseudo.octets(packet, datagram.udp, datagram.udp_len).map(Sum::checksum);
    whole == Some([0, 0]) || field == [!high, !low]
}

/// Writes a reply over its query; how long the frame is then. `None`, and the frame is as it was,
/// if the reply does not fit a packet of `mtu` octets.
fn write(room: &mut [u8], query: &flow::Datagram, reply: &[u8], mtu: usize) -> Option<usize> {
    let at = query.message();
    if reply.len() > MESSAGE_LEN_MAX || at - query.ip + reply.len() > mtu {
        return None;
    }
    room.get_mut(at..at + reply.len())?.copy_from_slice(reply);
    let turned = headers::turn_round(room, query)?;
    headers::finish(room, &turned, reply.len())
}

#[cfg(test)]
mod tests {
    use dns64_ebpf::abi::mapped;
    use dns64_ebpf::headers::{EthernetAddresses, IpEndpoints};

    use super::*;

    fn frame(source: &str, destination: &str, message: &[u8]) -> Vec<u8> {
        let mut room = vec![0; 1_700];
        let source: SocketAddr = source.parse().unwrap();
        let destination: SocketAddr = destination.parse().unwrap();
        let at = headers::message_offset(source.is_ipv4());
        room[at..at + message.len()].copy_from_slice(message);
        let ethernet = EthernetAddresses { source: [2; 6], destination: [4; 6] };
        let endpoints = IpEndpoints {
            source: mapped(source.ip()),
            source_port: source.port(),
            destination: mapped(destination.ip()),
            destination_port: destination.port(),
        };
        let len = headers::write(&mut room[..], &ethernet, &endpoints, message.len()).unwrap();
        room.truncate(len);
        room
    }

    fn services() -> Services {
        let addresses = ["[::]:53", "192.0.2.1:53", "0.0.0.0:53"];
        Services::new(&addresses.map(|address| address.parse().unwrap()))
    }

    #[test]
    fn a_datagram_belongs_to_the_socket_that_the_stack_would_choose() {
        let place = |address: &str, port| services().place(address.parse().unwrap(), port);
        assert_eq!(place("192.0.2.1", 53), Some(1));
        assert_eq!(place("192.0.2.2", 53), Some(2));
        assert_eq!(place("2001:db8::1", 53), Some(0));
        assert_eq!(place("192.0.2.1", 54), None);
    }

    #[test]
    fn a_frame_says_who_asked_and_where() {
        let packet = frame("198.51.100.7:4000", "192.0.2.9:53", b"a dns message");
        let (datagram, client) = read(&packet, &services(), 7).unwrap();
        assert_eq!(client.peer, "198.51.100.7:4000".parse().unwrap());
        assert_eq!(client.local, "192.0.2.9".parse::<IpAddr>().unwrap());
        assert_eq!(client.channel, Channel::Udp { socket: 2 });
        assert_eq!(&packet[datagram.message()..], b"a dns message");
        let packet = frame("[fe80::1]:4000", "[fe80::2]:53", b"a dns message");
        let (_, client) = read(&packet, &services(), 7).unwrap();
        assert_eq!(client.peer, "[fe80::1%7]:4000".parse().unwrap());
    }

    #[test]
    fn a_wrong_checksum_is_seen_and_an_unfinished_one_is_right() {
        for (from, to) in [("198.51.100.7:4000", "192.0.2.9:53"), ("[2001:db8::7]:9", "[::9]:53")] {
            let mut packet = frame(from, to, b"a dns message");
            let (datagram, _) = read(&packet, &services(), 7).unwrap();
            let last = packet.len() - 1;
            packet[last] ^= 1;
            assert!(read(&packet, &services(), 7).is_none(), "one bit is wrong");
            let pseudo = Sum::new()
                .address(&datagram.source)
                .address(&datagram.destination)
                .number(17)
                .number(datagram.udp_len as u16)
                .checksum();
            packet[datagram.udp + 6..datagram.udp + 8].copy_from_slice(&pseudo.map(|octet| !octet));
            assert!(read(&packet, &services(), 7).is_some(), "left to hardware");
        }
    }

    #[test]
    fn a_reply_longer_than_the_packets_of_the_interface_is_not_written() {
        let packet = frame("[2001:db8::7]:4000", "[2001:db8::1]:53", b"a dns message");
        let (query, _) = read(&packet, &services(), 7).unwrap();
        let mut room = packet.clone();
        room.resize(1_792, 0);
        let before = room.clone();
        assert_eq!(write(&mut room, &query, &[0; 1_453], 1_500), None);
        assert_eq!(room, before, "untouched");
        assert_eq!(write(&mut room, &query, &[0; 1_452], 1_500), Some(1_514));
    }
}
