//! A worker that falls behind: what its ring has no room for comes by its socket.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dns64::xdp::steering::{Steering, WaysBack};
use dns64_ebpf::abi::WayBack;
use dns64_tests::netns::available;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::process::Signal;

use crate::message::{AAAA, query};
use crate::network::{LIMIT, Network, V4, V6, XDP, stop};
use crate::wire::frame;

const NAME: &str = "a-11-22-33-44.v4.test";

/// More than the ring of a queue holds.
const QUERIES: u16 = 2_800;

/// More than a worker looks up while they are sent, and its ring and socket hold.
const COLD_QUERIES: u32 = 60_000;

#[test]
fn a_frame_for_which_a_socket_has_no_room_is_left_to_the_stack() {
    if !available(&[]) {
        return;
    }
    let mut steering = Steering::load(1, 2).expect("the kernel takes the program");
    let services = [V6, V4].map(|text| text.parse::<SocketAddr>().expect("an address"));
    steering.set_services(&BTreeSet::from(services)).expect("a map to write");
    // Frames of a test run come by the loopback interface. No socket is there: what is given to it
    // passes after all.
    let ways = WaysBack { v4: WayBack::Same, v6: WayBack::Same };
    steering.open(1, 7, 1, ways).expect("a map to write");
    let room = steering.queue_room(7).expect("a map to be mapped");
    let neighbour = steering.queue_room(8).expect("a map to be mapped");
    neighbour.set(neighbour.given(), 1_000);
    let frame = frame(false, 4_000, &query(9, NAME, AAAA));
    let mut run = || {
        steering.program().run_on(&frame, 1).expect("a frame to be judged");
        let counts = steering.counts().expect("a map to be read");
        (counts.diverted(), counts.left_to_stack()[0], counts.shed())
    };
    assert_eq!(run(), (1, 0, 0), "before anybody serves the queue");
    room.set(room.given(), 1_000);
    assert_eq!(run(), (1, 1, 0));
    assert_eq!(room.given(), 1);
    room.give_for_test(1_000);
    assert_eq!(run(), (2, 1, 0));
    assert_eq!((room.given(), neighbour.given()), (1_001, 0), "nothing was given");
    room.shed(true);
    assert_eq!(run(), (2, 1, 1), "nobody could answer it");
    room.shed(false);
    room.set(room.given(), 1_000);
    assert_eq!(run(), (2, 2, 1));
}

#[test]
fn what_neither_ring_nor_socket_has_room_for_is_thrown_away_by_the_program() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    network.ask(V6, &query(1, NAME, AAAA));
    let socket = network.socket("[2001:db8:1::2]:0");
    // Names that nobody has asked for: the worker cannot keep pace with one who only sends.
    for number in 0..COLD_QUERIES {
        let [_, high, middle, low] = number.to_be_bytes();
        let name = format!("a-10-{high}-{middle}-{low}.v4.test");
        socket.send_to(&query(number as u16, &name, AAAA), V6).expect("the cable is in");
    }
    // It is over when there is room again.
    network.ask(V6, &query(1, NAME, AAAA));
    let books = stop(server);
    books.balance();
    let (shed, diverted) = (books.get("kernel_drops"), books.get("xsk_diverted"));
    assert!(shed > 0 && diverted > 0, "{shed} thrown away, {diverted} by the socket");
}

#[test]
fn a_stalled_process_loses_no_query_that_its_sockets_have_room_for() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    network.ask(V6, &query(1, NAME, AAAA));
    let socket = network.socket("[2001:db8:1::2]:0");
    set_socket_recv_buffer_size_force(&socket, 64 << 20).expect("root may");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a time to wait");
    server.signal(Signal::STOP);
    for id in 0..QUERIES {
        socket.send_to(&query(id, NAME, AAAA), V6).expect("the cable is in");
    }
    server.signal(Signal::CONT);
    let mut answered = BTreeSet::new();
    let deadline = Instant::now() + LIMIT;
    let mut reply = [0; 512];
    while answered.len() < usize::from(QUERIES) && Instant::now() < deadline {
        if socket.recv(&mut reply).is_ok() {
            answered.insert([reply[0], reply[1]]);
        }
    }
    let books = stop(server);
    books.balance();
    assert_eq!(answered.len(), usize::from(QUERIES));
    let (by_ring, diverted) = (books.get("xsk_queries"), books.get("xsk_diverted"));
    assert!(by_ring >= 1_000 && diverted >= 500, "{by_ring} by the ring, {diverted} by the socket");
    assert_eq!(books.get("queries"), u64::from(QUERIES) + 1);
}
