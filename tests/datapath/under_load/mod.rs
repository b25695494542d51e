//! Faults while queries come at a rate that keeps all parts busy. After each of them: no answer was
//! wrong, no more than one ring of packets is lost beyond what came while the interface, or the
//! program, was really away, and queries come by `AF_XDP` again without anybody's help.

mod changed;
mod load;
mod reloaded;
mod stopped;
mod taken;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::network::{Books, LIMIT, Network};

/// What `dns64d` is told: the fast path where it can be had, and room for one busy client.
const AUTO: &str = "interfaces = [\"eth0\"]";
const LIMITS: &str = "[limits]\ninflight_per_client = 0";

/// The line that says that queries come by `AF_XDP`.
const FAST: &str = "queries come by xdp";

/// How long a connection may take on a cable that works.
const CONNECTION_WAIT: Duration = Duration::from_millis(50);

/// How long it takes from `since` until the network stack of the responder can be reached. TCP
/// is the witness: XDP leaves it alone, and the kernel accepts it by itself.
fn outage(network: &Network, server: &str, since: Instant) -> Duration {
    let server: SocketAddr = server.parse().expect("an address");
    let reached = || network.client.enter(|| TcpStream::connect_timeout(&server, CONNECTION_WAIT));
    while reached().is_err() {
        assert!(since.elapsed() < LIMIT, "{server} is not there");
    }
    since.elapsed()
}

/// That at least so many queries came by `AF_XDP`, but for a quarter of them: the load is counted
/// twenty times a second only.
fn came_by_af_xdp(books: &Books, queries: u64) {
    let came = books.get("xsk_queries") + books.get("kernel_answers");
    assert!(came >= queries - queries / 4, "{came} of {queries} came the fast way");
}

/// Every query has ended as one response or one drop.
fn every_query_is_accounted_for(books: &Books) {
    assert_eq!(books.get("queries"), books.get("responses") + books.get("drops"));
}
