//! A reply comes from the address that was asked (RFC 2181 4.1), whatever address the system would
//! choose: clients throw away anything else.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use dns64_tests::netns::serial;

use crate::available;
use crate::dig::dig;
use crate::message::{has_answer, query, response_id};
use crate::network::Network;
use crate::subject::Subject;

/// The two addresses of each family on the responder's interface. Of each two the system prefers
/// one, for whatever it sends of its own accord.
const ADDRESSES: [&str; 4] = ["2001:db8:1::53", "2001:db8:1::54", "192.0.2.53", "192.0.2.54"];

/// Asks each address over UDP by a socket that takes replies from anywhere, and over TCP.
fn assert_each_address_answers_for_itself(network: &Network) {
    for (id, address) in (1..).zip(ADDRESSES) {
        let address: IpAddr = address.parse().expect("a literal address");
        let from = network.client.enter(|| {
            let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(any).expect("a free port");
            socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a valid time");
            let to = SocketAddr::new(address, 53);
            socket.send_to(&query(id, "v4only.e2e.test"), to).expect("a route");
            let mut reply = [0; 1232];
            let (len, from) = socket.recv_from(&mut reply).expect("a reply");
            assert_eq!(response_id(&reply[..len]), Some(id));
            assert!(has_answer(&reply[..len]), "an error for {address}");
            from
        });
        assert_eq!(from, SocketAddr::new(address, 53));
        let reply =
            dig(&network.client, &address.to_string(), &["+tcp", "v4only.e2e.test", "AAAA"]);
        assert_eq!(reply.data("AAAA"), ["2001:db8:64::c633:6450"], "{}", reply.text);
    }
}

#[test]
fn each_of_several_listen_addresses_answers_for_itself() {
    if !available() {
        return;
    }
    let _machine = serial();
    let listen = ["[2001:db8:1::53]:53", "[2001:db8:1::54]:53", "192.0.2.53:53", "192.0.2.54:53"];
    let network = Network::start_with(&Subject::from_env(), &listen, 0);
    assert_each_address_answers_for_itself(&network);
}

#[test]
fn a_wildcard_listener_answers_from_the_asked_address() {
    if !available() {
        return;
    }
    let _machine = serial();
    let network = Network::start_with(&Subject::from_env(), &["[::]:53", "0.0.0.0:53"], 0);
    assert_each_address_answers_for_itself(&network);
}
