//! Batches over loopback sockets.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

use super::*;
use crate::sys::sockopt::{Family, set_receive_packet_info};

/// A socket that learns its own address of each datagram.
fn listen(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    let family = Family::of(&socket.local_addr().unwrap());
    set_receive_packet_info(&socket, family).unwrap();
    socket
}

/// A client that does not wait for ever.
fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

/// Receives what waits, once something does.
fn recv(batch: &mut MessageBatch, socket: &UdpSocket) -> usize {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 5, tv_nsec: 0 })).unwrap();
    batch.recv(socket.as_fd(), 7).unwrap()
}

/// Writes the query, reversed, as its reply.
fn reverse(batch: &mut MessageBatch, slot: usize) {
    let (query, reply) = batch.split(slot);
    let len = query.bytes.len();
    for (to, from) in reply.iter_mut().zip(query.bytes.iter().rev()) {
        *to = *from;
    }
    batch.set_reply(slot, len);
}

/// Receives one datagram: its octets and sender.
fn take(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut room = [0; UDP_RECEIVE_LEN];
    let (len, from) = socket.recv_from(&mut room).unwrap();
    (room[..len].to_vec(), from)
}

#[test]
fn nothing_waiting_is_an_empty_batch() {
    let socket = listen("127.0.0.1:0");
    let mut batch = MessageBatch::new();
    assert_eq!(batch.recv(socket.as_fd(), 0).unwrap(), 0);
    assert!(batch.is_empty());
    assert_eq!(batch.send(socket.as_fd()), SendReport::default());
}

#[test]
fn a_wildcard_ipv4_socket_replies_from_the_address_asked() {
    let server = listen("0.0.0.0:0");
    let port = server.local_addr().unwrap().port();
    let mut batch = MessageBatch::new();
    for asked in ["127.0.0.1", "127.0.0.2", "127.77.0.3"] {
        let asker = client("127.0.0.9:0");
        asker.send_to(b"abc", (asked, port)).unwrap();
        assert_eq!(recv(&mut batch, &server), 1);
        let query = batch.datagram(0);
        assert_eq!(query.bytes, b"abc");
        assert_eq!(query.client.peer, asker.local_addr().unwrap());
        assert_eq!(query.client.local, asked.parse::<IpAddr>().unwrap());
        assert_eq!(query.client.channel, Channel::Udp { socket: 7 });
        reverse(&mut batch, 0);
        assert_eq!(batch.send(server.as_fd()), SendReport { sent: 1, failed: 0 });
        let (reply, from) = take(&asker);
        assert_eq!(reply, b"cba");
        assert_eq!(from, SocketAddr::new(asked.parse().unwrap(), port));
    }
}

#[test]
fn a_wildcard_ipv6_socket_replies_from_the_address_asked() {
    let server = listen("[::]:0");
    let port = server.local_addr().unwrap().port();
    let asker = client("[::1]:0");
    asker.send_to(b"abc", ("::1", port)).unwrap();
    let mut batch = MessageBatch::new();
    assert_eq!(recv(&mut batch, &server), 1);
    let peer = batch.datagram(0).client.peer;
    assert_eq!(peer, asker.local_addr().unwrap());
    assert_eq!(batch.datagram(0).client.local, "::1".parse::<IpAddr>().unwrap());
    reverse(&mut batch, 0);
    assert_eq!(batch.send(server.as_fd()), SendReport { sent: 1, failed: 0 });
    assert_eq!(take(&asker), (b"cba".to_vec(), SocketAddr::new("::1".parse().unwrap(), port)));
}

#[test]
fn more_than_a_batch_comes_in_two() {
    let server = listen("127.0.0.1:0");
    let asker = client("127.0.0.1:0");
    for number in 0..BATCH_LEN as u8 + 3 {
        asker.send_to(&[number, 1], server.local_addr().unwrap()).unwrap();
    }
    let mut batch = MessageBatch::new();
    assert_eq!(recv(&mut batch, &server), BATCH_LEN);
    for slot in 0..BATCH_LEN {
        assert_eq!(batch.datagram(slot).bytes, [slot as u8, 1]);
    }
    // Every second query gets a reply: the gaps must neither be sent nor shift the others.
    for slot in (0..BATCH_LEN).step_by(2) {
        reverse(&mut batch, slot);
    }
    let report = batch.send(server.as_fd());
    assert_eq!(report, SendReport { sent: BATCH_LEN / 2, failed: 0 });
    for slot in (0..BATCH_LEN).step_by(2) {
        assert_eq!(take(&asker).0, [1, slot as u8]);
    }
    assert_eq!(recv(&mut batch, &server), 3);
    assert_eq!(batch.datagram(2).bytes, [66, 1]);
    // The replies of the batch before are forgotten.
    assert_eq!(batch.send(server.as_fd()), SendReport::default());
}

#[test]
fn a_long_datagram_is_cut_and_an_empty_one_is_empty() {
    let server = listen("127.0.0.1:0");
    let asker = client("127.0.0.1:0");
    asker.send_to(&[9; UDP_RECEIVE_LEN + 100], server.local_addr().unwrap()).unwrap();
    asker.send_to(&[], server.local_addr().unwrap()).unwrap();
    let mut batch = MessageBatch::new();
    assert_eq!(recv(&mut batch, &server), 2);
    assert_eq!(batch.datagram(0).bytes, [9; UDP_RECEIVE_LEN]);
    assert!(batch.datagram(1).bytes.is_empty());
}

#[test]
fn a_reply_that_cannot_be_sent_costs_no_other() {
    let server = listen("127.0.0.1:0");
    let asker = client("127.0.0.1:0");
    for number in 0..5_u8 {
        asker.send_to(&[number], server.local_addr().unwrap()).unwrap();
    }
    let mut batch = MessageBatch::new();
    assert_eq!(recv(&mut batch, &server), 5);
    // Port 0 is no destination (EINVAL); nor is an address we do not have a source.
    batch.clients[0].peer.set_port(0);
    batch.clients[2].local = "192.0.2.250".parse().unwrap();
    batch.clients[4].peer.set_port(0);
    for slot in 0..5 {
        reverse(&mut batch, slot);
    }
    assert_eq!(batch.send(server.as_fd()), SendReport { sent: 2, failed: 3 });
    assert_eq!((take(&asker).0, take(&asker).0), (vec![1], vec![3]));
}

#[test]
fn late_replies_leave_by_the_socket_and_address_asked() {
    let sockets = [listen("0.0.0.0:0"), listen("[::1]:0")];
    let ports = [0, 1].map(|place: usize| sockets[place].local_addr().unwrap().port());
    let askers = [client("127.0.0.1:0"), client("[::1]:0")];
    let mut late = ReplyBatch::new();
    for number in 0..6_u8 {
        let place = number % 2;
        let local: IpAddr = if place == 0 { "127.0.0.5" } else { "::1" }.parse().unwrap();
        let client = Client {
            peer: askers[usize::from(place)].local_addr().unwrap(),
            local,
            interface: 0,
            channel: Channel::Udp { socket: u16::from(place) },
        };
        assert!(late.push(&client, &[number]));
    }
    // One whose socket is gone, one who came by TCP.
    let mut client = Client { channel: Channel::Udp { socket: 9 }, ..NO_CLIENT };
    assert!(late.push(&client, &[0]));
    client.channel = Channel::Tcp { connection: 1, socket: 0 };
    assert!(late.push(&client, &[0]));

    let report = late.flush(|place| sockets.get(usize::from(place)).map(AsFd::as_fd));
    assert_eq!(report, SendReport { sent: 6, failed: 2 });
    assert!(late.is_empty());
    let ipv4 = SocketAddr::new("127.0.0.5".parse().unwrap(), ports[0]);
    let ipv6 = SocketAddr::new("::1".parse().unwrap(), ports[1]);
    for number in [0, 2, 4] {
        assert_eq!(take(&askers[0]), (vec![number], ipv4));
        assert_eq!(take(&askers[1]), (vec![number + 1], ipv6));
    }
}

#[test]
fn a_full_reply_batch_takes_no_more() {
    let mut late = ReplyBatch::new();
    assert!(!late.push(&NO_CLIENT, &[0; UDP_RECEIVE_LEN + 1]));
    for _ in 0..BATCH_LEN {
        assert!(!late.is_full());
        assert!(late.push(&NO_CLIENT, &[1]));
    }
    assert!(late.is_full());
    assert!(!late.push(&NO_CLIENT, &[1]));
    assert_eq!(late.flush(|_| None), SendReport { sent: 0, failed: BATCH_LEN });
}

#[test]
fn an_error_of_the_socket_is_reported_and_leaves_no_queries() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let mut batch = MessageBatch::new();
    assert!(batch.recv(file.as_fd(), 0).is_err());
    assert!(batch.is_empty());
}

#[test]
fn replies_of_one_length_to_one_client_arrive_as_so_many_datagrams() {
    let server = listen("127.0.0.1:0");
    let one = client("127.0.0.1:0");
    let other = client("127.0.0.1:0");
    let to = server.local_addr().unwrap();
    for n in 0..10_u8 {
        one.send_to(&[n, 1, 2, 3], to).unwrap();
        other.send_to(&[n, 4, 5], to).unwrap();
        one.send_to(&[n, 6, 7, 8, 9], to).unwrap();
    }
    let mut batch = MessageBatch::new();
    let mut answered = 0;
    while answered < 30 {
        let received = recv(&mut batch, &server);
        for slot in 0..received {
            reverse(&mut batch, slot);
        }
        let report = batch.send(server.as_fd());
        assert_eq!((report.sent, report.failed), (received, 0));
        answered += received;
    }
    let mut from_one: Vec<Vec<u8>> = (0..20).map(|_| take(&one).0).collect();
    let mut from_other: Vec<Vec<u8>> = (0..10).map(|_| take(&other).0).collect();
    from_one.sort();
    from_other.sort();
    let mut expected: Vec<Vec<u8>> =
        (0..10).flat_map(|n| [vec![3, 2, 1, n], vec![9, 8, 7, 6, n]]).collect();
    expected.sort();
    assert_eq!(from_one, expected);
    assert_eq!(from_other, (0..10).map(|n| vec![5, 4, n]).collect::<Vec<_>>());
}

#[test]
fn a_group_holds_messages_of_one_length_to_one_client_only() {
    let peer = |port| Client { peer: ([192, 0, 2, 1], port).into(), ..NO_CLIENT };
    let (one, other) = (peer(1), peer(2));
    let octets = [0; UDP_RECEIVE_LEN];
    let messages: [(&Client, &[u8]); 6] = [
        (&one, &octets[..40]),
        (&other, &octets[..40]),
        (&one, &octets[..40]),
        (&one, &octets[..41]),
        (&one, &octets[..40]),
        (&other, &octets[..GROUPED_LEN_MAX + 1]),
    ];
    let groups = Groups::of(messages.into_iter());
    let rows = groups.row_of;
    assert_eq!(rows[0], rows[2]);
    assert_eq!(rows[0], rows[4]);
    assert_eq!(groups.count[usize::from(rows[0])], 3);
    for alone in [1, 3, 5] {
        assert_eq!(groups.count[usize::from(rows[alone])], 1, "message {alone}");
    }
    let firsts: Vec<u8> = groups.first_iovec[..4].to_vec();
    assert_eq!(firsts, [0, 3, 4, 5], "iovecs of a group stand side by side");
}
