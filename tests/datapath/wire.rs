//! The client's end of the cable, frame by frame.

use std::time::{Duration, Instant};

use dns64::sys::xsk::{Bind, Settings, Xsk};
use dns64::xdp::{Attached, ModeWanted};
use dns64_bench::xdp::Place;
use dns64_ebpf::abi::mapped;
use dns64_ebpf::checksum::Sum;
use dns64_ebpf::flow::{Datagram, Endpoints, FlowFilter};
use dns64_ebpf::frame::Ipv4;
use dns64_ebpf::headers::{self, EthernetAddresses, IpEndpoints};
use dns64_tests::netns::Netns;

use crate::network::{LIMIT, Network};

/// How long a wrong frame must stay without reply.
const SILENCE: Duration = Duration::from_millis(300);

/// The Ethernet addresses that tests give both ends.
const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 2];
const RESPONDER: [u8; 6] = [2, 0, 0, 0, 0, 0x53];

/// A socket that sends whole frames, and gets what comes from port 53.
pub(crate) struct Wire {
    socket: Xsk,
    _program: Attached,
}

/// Gives both ends Ethernet addresses that are known, and each other's.
pub(crate) fn know_each_other(network: &Network) {
    let set = |netns: &Netns, address: &str, others: [&str; 2], there: &str| {
        netns.ip(&["link", "set", "eth0", "address", address]);
        for other in others {
            let permanent =
                ["neigh", "replace", other, "lladdr", there, "dev", "eth0", "nud", "permanent"];
            netns.ip(&permanent);
        }
    };
    let (client, responder) = ("02:00:00:00:00:02", "02:00:00:00:00:53");
    set(&network.client, client, ["2001:db8:1::53", "192.0.2.53"], responder);
    set(&network.responder, responder, ["2001:db8:1::2", "192.0.2.2"], client);
}

impl Wire {
    /// Opens the client's end.
    pub(crate) fn open(network: &Network) -> Self {
        know_each_other(network);
        Self::open_at(&network.client)
    }

    /// Puts a program and a socket on an end.
    pub(crate) fn open_at(netns: &Netns) -> Self {
        let place = Place {
            interface: "eth0".to_owned(),
            mode: ModeWanted::Any,
            queues: vec![0],
            settings: Settings { ring_len: 1_024, bind: Bind::Copy, busy_poll: None },
        };
        let from_port_53 = FlowFilter::new(Endpoints::new([0; 16], 0, 53, 53), Endpoints::ANY);
        netns.enter(|| {
            let (mut sockets, program) = place.open(&from_port_53).expect("a socket");
            Self { socket: sockets.remove(0), _program: program }
        })
    }

    /// Sends a frame as it is.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        let mut frame = self.socket.allocate().expect("a free frame");
        self.socket.room_mut(&mut frame)[..octets.len()].copy_from_slice(octets);
        frame.set_len(octets.len());
        let mut frames = vec![frame];
        assert_eq!(self.socket.send(&mut frames), 1);
        self.socket.flush().expect("the cable is in");
    }

    /// The next frame from port 53.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        self.receive_within(LIMIT).expect("no frame came")
    }

    /// That no frame comes.
    pub(crate) fn nothing_comes(&mut self) {
        let frame = self.receive_within(SILENCE);
        assert!(frame.is_none(), "this should not have been answered: {frame:x?}");
    }

    fn receive_within(&mut self, limit: Duration) -> Option<Vec<u8>> {
        let deadline = Instant::now() + limit;
        let mut frames = Vec::new();
        while self.socket.receive(&mut frames, 1) == 0 {
            let left = deadline.checked_duration_since(Instant::now())?;
            self.socket.wait(left).expect("poll works");
        }
        let frame = frames.remove(0);
        let octets = self.socket.packet(&frame).to_vec();
        self.socket.release(frame);
        Some(octets)
    }
}

/// A frame from the client to the responder.
pub(crate) fn frame(is_ipv4: bool, port: u16, message: &[u8]) -> Vec<u8> {
    let mut room = vec![0; 1_792];
    let at = headers::message_offset(is_ipv4);
    room[at..at + message.len()].copy_from_slice(message);
    let address =
        |v4: &str, v6: &str| mapped(if is_ipv4 { v4 } else { v6 }.parse().expect("an address"));
    let endpoints = IpEndpoints {
        source: address("192.0.2.2", "2001:db8:1::2"),
        source_port: port,
        destination: address("192.0.2.53", "2001:db8:1::53"),
        destination_port: 53,
    };
    let ethernet = EthernetAddresses { source: CLIENT, destination: RESPONDER };
    let len = headers::write(&mut room[..], &ethernet, &endpoints, message.len());
    room.truncate(len.expect("there is room"));
    room
}

/// The message in a frame from the responder to the client, whose every header must be right.
pub(crate) fn message_of(frame: &[u8], is_ipv4: bool, port: u16) -> Vec<u8> {
    let datagram = Datagram::read(frame).expect("a datagram");
    assert_eq!((&frame[..6], &frame[6..12]), (&CLIENT[..], &RESPONDER[..]));
    assert_eq!(datagram.is_ipv4, is_ipv4);
    assert_eq!((datagram.source_port, datagram.destination_port), (53, port));
    assert_eq!(datagram.message() + datagram.message_len(), frame.len(), "nothing behind it");
    assert!(!is_ipv4 || Ipv4::checksum_holds(frame, datagram.ip), "checksum of IPv4");
    let sum = Sum::new()
        .address(&datagram.source)
        .address(&datagram.destination)
        .number(17)
        .number(datagram.udp_len as u16)
        .octets(frame, datagram.udp, datagram.udp_len);
    assert_eq!(sum.map(Sum::checksum), Some([0, 0]), "checksum of UDP");
    assert_ne!(frame[datagram.udp + 6..datagram.udp + 8], [0, 0], "there is a checksum");
    frame[datagram.message()..].to_vec()
}
