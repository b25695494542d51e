//! The engine of `AF_XDP`: whole frames straight to the interface and back, past the network stack.
//!
//! A port is a source address and port, as it is for sockets; there is no socket behind it, so the
//! kernel need not know the port, and must not use it for anything else. Queries of a port always
//! leave by the same queue. Their answers may come by any: all queues are one engine's.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use dns64::limits::BATCH_LEN;
use dns64::sys::xsk::{Xsk, XskFrame};
use dns64::xdp::{Attached, interface};
use dns64_ebpf::abi::mapped;
use dns64_ebpf::flow::{Datagram, Endpoints, FlowFilter};
use dns64_ebpf::headers::{self, EthernetAddresses, IpEndpoints, MESSAGE_LEN_MAX};
use rustix::event::{PollFd, PollFlags};

use super::clock::Clock;
use super::engine::{Arrival, Carried, Engine};
use crate::route;
use crate::wait::wait_for;
use crate::xdp::Place;

/// Ports that are taken where none is asked for: first those that Linux gives to no socket by
/// itself (`ip_local_port_range` ends at 60999), then those below the ones that it does.
const FREE_PORTS: [std::ops::RangeInclusive<u16>; 2] = [61_000..=65_535, 10_000..=32_767];

/// `AF_XDP` sockets to one server.
#[derive(Debug)]
pub struct XdpSockets {
    /// One a queue.
    sockets: Vec<Xsk>,
    /// Frames that are to be sent, by queue.
    outboxes: Vec<Vec<XskFrame>>,
    /// Frames that came.
    inbox: Vec<XskFrame>,
    /// Between which addresses a port's queries go.
    endpoints: Vec<IpEndpoints>,
    /// The ports by address and number, sorted.
    places: Vec<(([u8; 16], u16), usize)>,
    /// The server's address and port, as packets have them.
    server: ([u8; 16], u16),
    /// Our interface and the next hop.
    ethernet: EthernetAddresses,
    /// The program that brings answers.
    _attached: Attached,
}

impl XdpSockets {
    /// Opens a socket on each of the queues, and has the datagrams to the sources brought to them.
    /// An unspecified source address is the one that the kernel would use.
    ///
    /// # Errors
    /// If XDP or `AF_XDP` cannot be used, the server cannot be reached by the interface, or there
    /// are more sources than ports.
    pub fn open(place: &Place, server: SocketAddr, sources: &[SocketAddr]) -> io::Result<Self> {
        let refused = |error: anyhow::Error| io::Error::other(format!("{error:#}"));
        let index = interface::index_of(&place.interface).map_err(io::Error::other)?;
        let route = route::find(index, server.ip())?;
        let endpoints = endpoints_of(server, sources, route.source)?;
        let (sockets, attached) = place.open(&answers_to(&endpoints)).map_err(refused)?;
        let mut places: Vec<_> = endpoints
            .iter()
            .enumerate()
            .map(|(place, ends)| ((ends.source, ends.source_port), place))
            .collect();
        places.sort_unstable();
        Ok(Self {
            outboxes: sockets.iter().map(|_| Vec::with_capacity(BATCH_LEN)).collect(),
            inbox: Vec::with_capacity(BATCH_LEN),
            sockets,
            endpoints,
            places,
            server: (mapped(server.ip()), server.port()),
            ethernet: route.ethernet,
            _attached: attached,
        })
    }

    /// Hands out what has come; whether anything has.
    fn take_all(&mut self, clock: Clock, take: &mut impl FnMut(Arrival<'_>)) -> bool {
        let Self { sockets, inbox, places, server, .. } = self;
        let mut any = false;
        for socket in sockets {
            while socket.receive(inbox, BATCH_LEN) > 0 {
                any = true;
                let at_ns = clock.now_ns();
                for frame in inbox.drain(..) {
                    if let Some(arrival) = read(socket.packet(&frame), *server, places, at_ns) {
                        take(arrival);
                    }
                    socket.release(frame);
                }
            }
        }
        any
    }
}

/// The message in a packet, and the port it came to.
fn read<'p>(
    packet: &'p [u8],
    server: ([u8; 16], u16),
    places: &[(([u8; 16], u16), usize)],
    at_ns: u64,
) -> Option<Arrival<'p>> {
    let datagram = Datagram::read(packet).ok()?;
    let to = (datagram.destination, datagram.destination_port);
    let place = places.binary_search_by_key(&to, |(source, _)| *source).ok()?;
    let bytes = packet.get(datagram.message()..datagram.message() + datagram.message_len())?;
    let from_server = (datagram.source, datagram.source_port) == server;
    Some(Arrival { port: places[place].1, from_server, bytes, at_ns })
}

/// Between which addresses the queries of each port go.
fn endpoints_of(
    server: SocketAddr,
    sources: &[SocketAddr],
    usual: IpAddr,
) -> io::Result<Vec<IpEndpoints>> {
    let asked: Vec<u16> = sources.iter().map(SocketAddr::port).filter(|port| *port != 0).collect();
    let mut free = FREE_PORTS.into_iter().flatten().filter(|port| !asked.contains(port));
    let exhausted = || io::Error::other("more sources than there are ports: name some addresses");
    let mut all = Vec::with_capacity(sources.len());
    for source in sources {
        let address = if source.ip().is_unspecified() { usual } else { source.ip() };
        if address.is_ipv4() != server.is_ipv4() {
            let text = format!("{address} cannot ask {server}: they are of two families");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let source_port = match source.port() {
            0 => free.next().ok_or_else(exhausted)?,
            port => port,
        };
        all.push(IpEndpoints {
            source: mapped(address),
            source_port,
            destination: mapped(server.ip()),
            destination_port: server.port(),
        });
    }
    Ok(all)
}

/// Takes the answers to some ports, from whomever they come: the narrowest network and range of
/// ports that has all of them.
fn answers_to(endpoints: &[IpEndpoints]) -> FlowFilter {
    let first = endpoints.first().map_or([0; 16], |ends| ends.source);
    let differing = endpoints.iter().fold(0, |bits, ends| {
        bits | (u128::from_be_bytes(ends.source) ^ u128::from_be_bytes(first))
    });
    let ports = || endpoints.iter().map(|ends| ends.source_port);
    let (low, high) = (ports().min().unwrap_or(0), ports().max().unwrap_or(0));
    let ours = Endpoints::new(first, differing.leading_zeros(), low, high);
    FlowFilter::new(Endpoints::ANY, ours)
}

impl Engine for XdpSockets {
    fn ports(&self) -> usize {
        self.endpoints.len()
    }

    fn push(&mut self, port: usize, id: u16, query: &[u8]) -> bool {
        let queue = port % self.sockets.len();
        let (socket, ends) = (&mut self.sockets[queue], &self.endpoints[port]);
        if query.len() > MESSAGE_LEN_MAX {
            return false;
        }
        let Some(mut frame) = socket.allocate() else {
            // Room for the next one, perhaps.
            socket.complete();
            return false;
        };
        let room = socket.room_mut(&mut frame);
        let at = headers::message_offset(ends.source.starts_with(&MAPPED));
        room[at..at + query.len()].copy_from_slice(query);
        room[at..at + 2].copy_from_slice(&id.to_be_bytes());
        let len = headers::write(room, &self.ethernet, ends, query.len())
            .expect("a frame has room for the longest message, and both ends have one family");
        frame.set_len(len);
        self.outboxes[queue].push(frame);
        true
    }

    fn flush(&mut self) -> io::Result<()> {
        for (socket, outbox) in self.sockets.iter_mut().zip(&mut self.outboxes) {
            // What the ring has no room for leaves with the next flush.
            socket.send(outbox);
            socket.flush()?;
        }
        Ok(())
    }

    fn receive(
        &mut self,
        clock: Clock,
        timeout: Duration,
        mut take: impl FnMut(Arrival<'_>),
    ) -> io::Result<()> {
        self.flush()?;
        if self.take_all(clock, &mut take) || timeout.is_zero() {
            return Ok(());
        }
        let mut fds: Vec<_> = self
            .sockets
            .iter()
            .map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN))
            .collect();
        wait_for(&mut fds, Some(timeout))?;
        self.take_all(clock, &mut take);
        Ok(())
    }

    fn carried(&self) -> Carried {
        let refused = |socket: &Xsk| socket.statistics().map_or(0, |counted| counted.tx_invalid);
        Carried { unsent: self.sockets.iter().map(refused).sum(), ..Carried::default() }
    }
}

/// The first 96 bits of IPv4 addresses in their mapped form.
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "192.0.2.53:53";

    fn endpoints(sources: &[&str]) -> io::Result<Vec<IpEndpoints>> {
        let sources: Vec<_> = sources.iter().map(|source| source.parse().unwrap()).collect();
        endpoints_of(SERVER.parse().unwrap(), &sources, "192.0.2.7".parse().unwrap())
    }

    #[test]
    fn ports_of_our_choice_are_different_and_none_that_was_asked_for() {
        let ends = endpoints(&["0.0.0.0:0", "0.0.0.0:61000", "192.0.2.9:0"]).unwrap();
        let ports: Vec<_> = ends.iter().map(|ends| ends.source_port).collect();
        assert_eq!(ports, [61_001, 61_000, 61_002]);
        assert_eq!(ends[0].source, mapped("192.0.2.7".parse().unwrap()));
        assert_eq!(ends[2].source, mapped("192.0.2.9".parse().unwrap()));
    }

    #[test]
    fn a_source_of_the_other_family_is_refused() {
        assert!(endpoints(&["[2001:db8::1]:0"]).is_err());
    }

    #[test]
    fn the_filter_takes_what_comes_to_the_ports_and_little_else() {
        let ends = endpoints(&["192.0.2.8:4000", "192.0.2.11:4003"]).unwrap();
        let filter = answers_to(&ends);
        let takes = |address: &str, port| {
            filter.takes(&Datagram {
                is_ipv4: true,
                ip: 14,
                udp: 34,
                udp_len: 20,
                source: mapped("198.51.100.1".parse().unwrap()),
                destination: mapped(address.parse().unwrap()),
                source_port: 53,
                destination_port: port,
            })
        };
        assert!(takes("192.0.2.8", 4_000) && takes("192.0.2.11", 4_003));
        assert!(!takes("192.0.2.12", 4_000) && !takes("192.0.2.7", 4_000));
        assert!(!takes("192.0.2.8", 3_999) && !takes("192.0.2.8", 4_004));
    }

    #[test]
    fn an_answer_is_known_by_where_it_goes_and_comes_from() {
        let ends = endpoints(&["192.0.2.8:4003", "192.0.2.8:4000"]).unwrap();
        let mut places: Vec<_> =
            ends.iter().enumerate().map(|(at, e)| ((e.source, e.source_port), at)).collect();
        places.sort_unstable();
        let server = (mapped("192.0.2.53".parse().unwrap()), 53);
        let ethernet = EthernetAddresses { source: [2; 6], destination: [4; 6] };
        let mut frame = [7; 100];
        for (port, from) in [(0, 53), (1, 54)] {
            let back = IpEndpoints {
                source: server.0,
                source_port: from,
                destination: ends[port].source,
                destination_port: ends[port].source_port,
            };
            let len = headers::write(&mut frame[..], &ethernet, &back, 12).unwrap();
            let arrival = read(&frame[..len], server, &places, 9).unwrap();
            assert_eq!((arrival.port, arrival.from_server), (port, from == 53));
            assert_eq!((arrival.bytes, arrival.at_ns), (&[7; 12][..], 9));
            assert!(read(&frame[..len], server, &places[..0], 9).is_none());
        }
    }
}
