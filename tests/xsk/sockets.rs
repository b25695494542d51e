//! `AF_XDP` sockets by themselves: frames are conserved, losses counted, checksums verified.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use dns64::sys::xsk::{Bind, Census, Settings, Xsk};
use dns64::xdp::{Attached, ModeWanted, Object, Program, XdpMode, interface};
use dns64_ebpf::abi::{self, mapped};
use dns64_ebpf::flow::{Datagram, Endpoints, FlowFilter};
use dns64_ebpf::headers;

use crate::lab::{INTERFACE, LIMIT, Lab, PORT, SERVER_V4, SERVER_V6, query};

const RING_LEN: u32 = 64;
const FRAMES: usize = 4 * RING_LEN as usize;

/// Sockets on queues of the server, with everything for the port brought to them.
fn open(lab: &Lab, queues: u32) -> (Vec<Xsk>, Attached) {
    lab.server.enter(|| {
        let index = interface::index_of(INTERFACE).unwrap();
        let mut program = Program::load(Object::Bench, abi::PROGRAM_REDIRECT).unwrap();
        let service = Endpoints::new([0; 16], 0, PORT, PORT);
        program.set_filter(&FlowFilter::new(Endpoints::ANY, service)).unwrap();
        let settings = Settings { ring_len: RING_LEN, bind: Bind::Copy, busy_poll: None };
        let sockets: Vec<Xsk> =
            (0..queues).map(|queue| Xsk::open(index, queue, &settings).unwrap()).collect();
        for socket in &sockets {
            program.insert_socket(socket.queue(), socket).unwrap();
        }
        (sockets, program.attach(INTERFACE, ModeWanted::Only(XdpMode::Native)).unwrap())
    })
}

/// Echoes what comes until so many packets have been.
fn echo(socket: &mut Xsk, count: usize) {
    let deadline = Instant::now() + LIMIT;
    let (mut done, mut received, mut replies) = (0, Vec::new(), Vec::new());
    while done < count {
        assert!(Instant::now() < deadline, "{done} of {count} packets: {:?}", socket.statistics());
        socket.wait(LIMIT).unwrap();
        done += socket.receive(&mut received, 16);
        for mut frame in received.drain(..) {
            let len = frame.len();
            let packet = &mut socket.room_mut(&mut frame)[..len];
            let datagram = Datagram::read(packet).unwrap();
            assert_eq!(headers::reflect(packet, &datagram), Some(len));
            replies.push(frame);
        }
        while !replies.is_empty() {
            socket.send(&mut replies);
            socket.flush().unwrap();
        }
    }
}

#[test]
fn frames_are_conserved_while_rings_go_round() {
    let Some(lab) = Lab::new(1) else { return };
    let (mut sockets, _attached) = open(&lab, 1);
    let socket = &mut sockets[0];
    let fresh = socket.census();
    assert_eq!(fresh, Census { fill: 64, free: FRAMES - 64, held: 0, tx: 0 });
    let client = lab.connect(SERVER_V6);
    let mut reply = [0; 2_048];
    // Rings of 64 entries, 20 times round.
    for round in 0..80_u16 {
        for id in 0..16 {
            client.send(&query(round * 16 + id, 16 + usize::from(round))).unwrap();
        }
        echo(socket, 16);
        for id in 0..16 {
            let len = client.recv(&mut reply).unwrap();
            assert_eq!(len, 16 + usize::from(round));
            assert_eq!(reply[..2], (round * 16 + id).to_be_bytes());
        }
        assert_eq!(socket.census().total(), FRAMES);
    }
    socket.complete();
    socket.receive(&mut Vec::new(), 16);
    assert_eq!(socket.census(), fresh, "every frame is back where it was");
    assert_eq!(socket.statistics().unwrap().rx_invalid, 0);
    assert_eq!(socket.statistics().unwrap().tx_invalid, 0);
}

#[test]
fn what_nobody_takes_is_counted_and_the_socket_goes_on() {
    let Some(lab) = Lab::new(1) else { return };
    let (mut sockets, _attached) = open(&lab, 1);
    let socket = &mut sockets[0];
    let client = lab.connect(SERVER_V4);
    let lost = |socket: &Xsk| {
        let counted = socket.statistics().unwrap();
        counted.rx_ring_full + counted.fill_ring_empty + counted.rx_dropped
    };
    // veth's own ring holds 256, so a burst is shorter.
    let deadline = Instant::now() + LIMIT;
    while lost(socket) == 0 {
        assert!(Instant::now() < deadline);
        client.send(&query(1, 40)).unwrap();
    }
    let mut received = Vec::new();
    assert_eq!(socket.receive(&mut received, 1_000), RING_LEN as usize);
    assert_eq!(socket.census().held, RING_LEN as usize);
    for frame in received {
        socket.release(frame);
    }
    // What was still on its way may come before it.
    client.send(&query(2, 40)).unwrap();
    echo_until(socket, &client, [0, 2]);
    assert_eq!(socket.census().total(), FRAMES);
}

/// Echoes until the reply with an ID has come to the client.
fn echo_until(socket: &mut Xsk, client: &UdpSocket, id: [u8; 2]) {
    let mut reply = [0; 2_048];
    loop {
        echo(socket, 1);
        client.recv(&mut reply).unwrap();
        if reply[..2] == id {
            return;
        }
    }
}

#[test]
fn each_queue_has_a_socket_of_its_own() {
    let Some(lab) = Lab::new(2) else { return };
    let (mut sockets, _attached) = open(&lab, 2);
    let mut seen = [0; 2];
    let deadline = Instant::now() + LIMIT;
    let mut received = Vec::new();
    // The kernel chooses the queue by the flow, so other flows find the other queue in the end.
    while seen.contains(&0) {
        assert!(Instant::now() < deadline, "{seen:?}");
        lab.connect(SERVER_V6).send(&query(3, 40)).unwrap();
        for (socket, seen) in sockets.iter_mut().zip(&mut seen) {
            *seen += socket.receive(&mut received, 16);
            for frame in received.drain(..) {
                socket.release(frame);
            }
        }
    }
}

#[test]
fn a_wrong_checksum_does_not_arrive_and_a_right_one_does() {
    let Some(lab) = Lab::new(1) else { return };
    for server in [SERVER_V4, SERVER_V6] {
        let (mut sockets, _attached) = open(&lab, 1);
        let socket = &mut sockets[0];
        let client = lab.connect(server);
        client.send(&query(4, 40)).unwrap();
        let mut received = Vec::new();
        socket.wait(LIMIT).unwrap();
        while socket.receive(&mut received, 1) == 0 {
            socket.wait(LIMIT).unwrap();
        }
        let mut good = received.pop().unwrap();
        let mut bad = socket.allocate().unwrap();
        let len = good.len();
        let packet = &mut socket.room_mut(&mut good)[..len];
        let datagram = Datagram::read(packet).unwrap();
        assert_eq!(datagram.destination, mapped(server.parse().unwrap()));
        headers::reflect(packet, &datagram).unwrap();
        let mut copy = packet.to_vec();
        copy[len - 1] ^= 1;
        socket.room_mut(&mut bad)[..len].copy_from_slice(&copy);
        bad.set_len(len);
        assert_eq!(socket.send(&mut vec![bad, good]), 2);
        socket.flush().unwrap();
        let mut reply = [0; 64];
        let arrived = client.recv(&mut reply).unwrap();
        assert_eq!(arrived, 40);
        assert_eq!(reply[39], 0x5a, "the first one to arrive is the right one");
    }
}

#[test]
fn a_queue_is_waited_for_while_a_socket_lets_go_of_it() {
    let Some(lab) = Lab::new(1) else { return };
    let (sockets, _attached) = open(&lab, 1);
    std::thread::scope(|scope| {
        // The kernel takes a socket apart some time after it was closed: here a long time.
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(sockets);
        });
        lab.server.enter(|| {
            let index = interface::index_of(INTERFACE).unwrap();
            let second = Xsk::open(index, 0, &Settings::default());
            assert!(second.is_ok(), "{second:?}");
        });
    });
}

#[test]
fn a_queue_has_one_socket() {
    let Some(lab) = Lab::new(1) else { return };
    let (_sockets, _attached) = open(&lab, 1);
    let error = lab.server.enter(|| {
        let index = interface::index_of(INTERFACE).unwrap();
        Xsk::open(index, 0, &Settings::default()).unwrap_err()
    });
    assert!(error.to_string().contains("another program"), "{error}");
}
