//! Who may not ask: refused, or not answered at all, on every way and with the same books.

use std::net::UdpSocket;
use std::time::Duration;

use dns64_tests::server::Server;

use crate::message::{AAAA, answer_count, query, query_edns, rcode};
use crate::network::{LIMIT, Network, SOCKET, V4, V6, XDP, ask_by, stop};
use dns64_tests::program::dns64d;

const NAME: &str = "a-11-22-33-44.v4.test";
const REFUSED: u8 = 5;

/// How long a client waits for what must not come.
const SILENCE: Duration = Duration::from_millis(300);

/// Starts `dns64d` with a list of clients whose queries are thrown away.
fn start_with_drop(network: &Network, datapath: &str) -> Server {
    let path = network.config(1, datapath, "");
    let text = std::fs::read_to_string(&path).expect("just written");
    let drop = "drop = [\"2001:db8:1::66\", \"192.0.2.66\"]\n";
    let path = network.scratch.write("drop.toml", &format!("{drop}{text}"));
    let path = path.to_string_lossy().into_owned();
    let mut server = network.responder.spawn(dns64d(), &["--config", &path]);
    server.wait_for(" ready ", LIMIT);
    server
}

/// Gives the client further addresses, and sockets on them.
fn sockets(network: &Network, addresses: [&str; 2]) -> [UdpSocket; 2] {
    let [v6, v4] = addresses;
    network.client.address("eth0", &format!("{v6}/64"));
    network.client.address("eth0", &format!("{v4}/24"));
    [network.socket(&format!("[{v6}]:0")), network.socket(&format!("{v4}:0"))]
}

#[test]
fn a_client_that_is_to_be_dropped_gets_nothing_on_any_way_and_is_counted() {
    let Some(network) = Network::new() else { return };
    let denied = sockets(&network, ["2001:db8:1::66", "192.0.2.66"]);
    for (datapath, in_kernel) in [(SOCKET, 0), (XDP, 6)] {
        let server = start_with_drop(&network, datapath);
        for (socket, to) in denied.iter().zip([V6, V4]) {
            socket.set_read_timeout(Some(SILENCE)).expect("a time to wait");
            for id in 1..=3 {
                socket.send_to(&query(id, NAME, AAAA), to).expect("the cable is in");
            }
            assert!(socket.recv(&mut [0; 512]).is_err(), "{to} answers");
            // The one beside it is answered.
            assert_eq!(answer_count(&network.ask(to, &query(9, NAME, AAAA))), 1);
        }
        let books = stop(server);
        books.balance();
        let counted = [books.get("denied"), books.get("kernel_drops"), books.get("queries")];
        assert_eq!(counted, [6, in_kernel, 8], "{datapath}");
    }
}

#[test]
fn a_client_that_may_not_ask_is_refused_inside_xdp_with_the_octets_of_user_space() {
    let Some(network) = Network::new() else { return };
    network.client.address("eth0", "2001:db8:1::bad/64");
    let socket = network.socket("[2001:db8:1::bad]:0");
    let queries = [
        query(7, NAME, AAAA),
        query(8, "WWW.Example", 1),
        query_edns((9, NAME, AAAA), 1_232, 0, false, &[]),
        query_edns((10, NAME, AAAA), 512, 0, false, &[]),
        // DO and options are not for the program.
        query_edns((11, NAME, AAAA), 1_232, 0, true, &[]),
        query_edns((12, NAME, AAAA), 1_232, 0, false, &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]),
    ];
    let mut replies = Vec::new();
    let generic = format!("{XDP}\nattach = \"generic\"");
    for (datapath, in_kernel) in [(SOCKET, 0), (generic.as_str(), 4)] {
        let server = network.start(1, datapath);
        let ask = |query: &Vec<u8>| ask_by(&socket, V6, query);
        replies.push(queries.iter().map(ask).collect::<Vec<_>>());
        let books = stop(server);
        books.balance();
        let counted = [books.get("refused"), books.get("kernel_answers"), books.get("cache_hits")];
        assert_eq!(counted, [6, in_kernel, 0], "{datapath}");
    }
    assert_eq!(replies[0], replies[1]);
    assert!(replies[0].iter().all(|reply| rcode(reply) == REFUSED));
}
