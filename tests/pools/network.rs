//! Questions and answers of the tests.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dns64_tests::cases::Transport;
use dns64_tests::client::exchange;
use dns64_tests::presentation::parse_name;
use dns64_tests::reply::Reply;

/// How long a reply may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// AAAA and PTR.
pub(crate) const AAAA: u16 = 28;
pub(crate) const PTR: u16 = 12;

/// Asks a question from an address; run inside the namespace that has it.
pub(crate) fn ask(server: SocketAddr, source: IpAddr, name: &str, rtype: u16) -> Reply {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(parse_name(name).expect("a name"));
    query.extend(rtype.to_be_bytes());
    query.extend([0, 1]);
    let (octets, _) = exchange(&query, source, server, Transport::Udp, PATIENCE).expect("a reply");
    Reply::parse(octets).expect("replies are well-formed")
}

/// The addresses of a reply, with the TTL of each.
pub(crate) fn addresses(reply: &Reply) -> Vec<(Ipv6Addr, u32)> {
    let records = reply.answer.iter().filter(|record| record.wire.rtype.to_int() == AAAA);
    records
        .map(|record| {
            let octets: [u8; 16] = record.wire.rdata.as_slice().try_into().expect("an address");
            (Ipv6Addr::from(octets), record.wire.ttl_secs)
        })
        .collect()
}
