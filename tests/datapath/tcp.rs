//! Connections to an interface whose program takes the datagrams (RFC 7766).

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use dns64_tests::client::{framed, read_framed};

use crate::message::{A, AAAA, answer_count, query};
use crate::network::{LIMIT, Network, V4, V6, XDP, stop};

/// Queries on a connection, all of them sent before the first reply is read.
const PIPELINE: u16 = 20;

#[test]
fn connections_pass_by_the_program() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, XDP);
    for address in [V6, V4] {
        let address: SocketAddr = address.parse().expect("an address");
        let mut stream = network.client.enter(|| TcpStream::connect(address)).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a time to wait");
        stream.set_nodelay(true).expect("an option of TCP");
        // Octet by octet.
        for octet in framed(&query(PIPELINE, "a-11-0-0-1.v4.test", AAAA)) {
            stream.write_all(&[octet]).expect("it reads");
        }
        let reply = read_framed(&mut stream).expect("a reply");
        assert_eq!((reply[..2].to_vec(), answer_count(&reply)), (vec![0, PIPELINE as u8], 1));
        let queries = (0..PIPELINE).flat_map(|id| {
            framed(&query(
                id,
                &format!("a-11-0-2-{id}.v4.test"),
                if id % 2 == 0 { A } else { AAAA },
            ))
        });
        stream.write_all(&queries.collect::<Vec<u8>>()).expect("it reads");
        let mut open: Vec<u16> = (0..PIPELINE).collect();
        while !open.is_empty() {
            let reply = read_framed(&mut stream).expect("a reply");
            let id = u16::from_be_bytes([reply[0], reply[1]]);
            assert_eq!(answer_count(&reply), 1);
            open.retain(|other| *other != id);
        }
    }
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("queries"), 2 * (u64::from(PIPELINE) + 1));
    assert_eq!((books.get("xsk_queries"), books.get("kernel_answers")), (0, 0));
}
