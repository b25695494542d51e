//! Queries that are none: each class of broken message gets the right reply or none, and the next
//! good query its answer.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::client::{framed, read_framed};
use dns64_tests::netns::serial;

use crate::client::{addresses, ask, exchange};
use crate::message::{
    HEADER_LEN, OPT, header, id_of, mapped, query, question, rcode, rtype, wire_name,
};
use crate::responder::Responder;

/// Long enough for a reply that is made at once, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(5);

const NAME: &str = "a-198-51-100-7.malformed.test";
const ID: u16 = 0xabcd;

/// What a message must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Silence,
    Rcode(u16),
}

/// A query whose octets behind the header are given.
fn with_body(counts: [u16; 4], body: &[u8]) -> Vec<u8> {
    let mut octets = header(ID, 0x0100, counts);
    octets.extend(body);
    octets
}

/// A good question and then these octets, as so many additional records.
fn with_additional(count: u16, records: &[u8]) -> Vec<u8> {
    let mut body = question(NAME, rtype::AAAA);
    body.extend(records);
    with_body([1, 0, 0, count], &body)
}

/// A question whose name is these octets.
fn with_name(name: &[u8]) -> Vec<u8> {
    let mut body = name.to_vec();
    body.extend([0, 28, 0, 1]);
    with_body([1, 0, 0, 0], &body)
}

/// Every class of malformed message, by name.
fn classes() -> Vec<(String, Vec<u8>, Fate)> {
    use Fate::{Rcode, Silence};
    let formerr = Rcode(rcode::FORMERR);
    let good = query(ID, NAME, rtype::AAAA);
    let mut classes: Vec<(String, Vec<u8>, Fate)> = Vec::new();
    let mut add = |name: &str, octets: Vec<u8>, fate| classes.push((name.to_owned(), octets, fate));

    for len in 0..HEADER_LEN {
        add(&format!("{len} octets"), good[..len].to_vec(), Silence);
    }
    for len in [12, 13, 20, good.len() - OPT.len() - 1, good.len() - 1, good.len() - 5] {
        add(&format!("cut to {len} octets"), good[..len].to_vec(), formerr);
    }
    let mut flipped = good.clone();
    flipped[2] |= 0x80;
    add("a response", flipped, Silence);
    for opcode in 1..16_u8 {
        let mut octets = good.clone();
        octets[2] |= opcode << 3;
        add(&format!("opcode {opcode}"), octets, Rcode(rcode::NOTIMP));
    }

    // Counts that lie.
    for questions in [0, 2, 65_535] {
        let body = question(NAME, rtype::AAAA);
        add(&format!("{questions} questions"), with_body([questions, 0, 0, 0], &body), formerr);
    }
    let twice = [question(NAME, rtype::AAAA), question(NAME, rtype::A)].concat();
    add("two questions indeed", with_body([2, 0, 0, 0], &twice), formerr);
    for (name, counts) in [
        ("an answer that is not there", [1, 1, 0, 0]),
        ("authority that is not there", [1, 0, 1, 0]),
        ("additional that is not there", [1, 0, 0, 1]),
        ("all counts at their most", [65_535; 4]),
        ("additional at its most", [1, 0, 0, 65_535]),
    ] {
        add(name, with_body(counts, &question(NAME, rtype::AAAA)), formerr);
    }

    // RFC 9267: names.
    add("a pointer to itself", with_name(&[0xc0, 12]), formerr);
    add("pointers to each other", with_name(&[1, b'a', 0xc0, 16, 0xc0, 14]), formerr);
    add("a pointer forward", with_name(&[0xc0, 14]), formerr);
    add("a pointer beyond the end", with_name(&[0xff, 0xff]), formerr);
    add("a pointer into the header", with_name(&[0xc0, 0]), formerr);
    add("half a pointer", with_body([1, 0, 0, 0], &[0xc0]), formerr);
    add("a label of 64 octets", with_name(&[&[64], &[b'a'; 64][..], &[0]].concat()), formerr);
    add("a label of an unknown kind", with_name(&[0x80, b'a', 0]), formerr);
    add("a bit-string label", with_name(&[0x41, 1, 0x80, 0]), formerr);
    add("a label beyond the end", with_body([1, 0, 0, 0], &[40, b'a', b'b']), formerr);
    add("a name without end", with_body([1, 0, 0, 0], &[1, b'a', 1, b'b']), formerr);
    let mut long = Vec::new();
    for _ in 0..4 {
        long.push(63);
        long.extend([b'a'; 63]);
    }
    long.push(0);
    add("a name of 257 octets", with_name(&long), formerr);
    let many: Vec<u8> = [1, b'a'].repeat(128).into_iter().chain([0]).collect();
    add("a name of 129 labels", with_name(&many), formerr);

    // OPT.
    let opt_with = |rdata: &[u8]| {
        let mut octets = OPT[..9].to_vec();
        octets.extend((rdata.len() as u16).to_be_bytes());
        octets.extend(rdata);
        octets
    };
    add("OPT twice", with_additional(2, &[OPT, OPT].concat()), formerr);
    let named_opt = [&[1, b'a'][..], &OPT[..]].concat();
    add("OPT of a name", with_additional(1, &named_opt), formerr);
    add("an option cut", with_additional(1, &opt_with(&[0, 10, 0, 8, 1, 2])), formerr);
    add("half an option header", with_additional(1, &opt_with(&[0, 10, 0])), formerr);
    let mut longer = OPT;
    longer[10] = 200;
    add("RDLENGTH beyond the end", with_additional(1, &longer), formerr);
    for version in [1, 2, 255] {
        let mut octets = OPT;
        octets[6] = version;
        add(&format!("EDNS version {version}"), with_additional(1, &octets), Rcode(rcode::BADVERS));
    }
    let mut tiny = OPT;
    tiny[3..5].copy_from_slice(&[0, 0]);
    add("a payload of 0 octets", with_additional(1, &tiny), Rcode(rcode::NOERROR));
    let unknown = opt_with(&[0xff, 0xfe, 0, 2, 1, 2]);
    add("an unknown option", with_additional(1, &unknown), Rcode(rcode::NOERROR));
    let z_bits = [&OPT[..7], &[0x7f, 0xff, 0, 0][..]].concat();
    add("all reserved EDNS flags", with_additional(1, &z_bits), Rcode(rcode::NOERROR));

    // What is odd and no fault.
    let mut reserved = good.clone();
    reserved[3] |= 0x40;
    add("the reserved header bit", reserved, Rcode(rcode::NOERROR));
    let mut with_rcode = good.clone();
    with_rcode[3] |= 0x0f;
    add("an RCODE in a query", with_rcode, Rcode(rcode::NOERROR));
    let trailing = [&good[..], &[0xee; 300][..]].concat();
    add("octets behind the end", trailing, Rcode(rcode::NOERROR));
    for qtype in [251, 252] {
        let octets = query(ID, NAME, qtype);
        add(&format!("a zone transfer, type {qtype}"), octets, Rcode(rcode::REFUSED));
    }
    classes
}

fn assert_answers(address: SocketAddr) {
    let expected = IpAddr::V6(mapped(Ipv4Addr::new(198, 51, 100, 7)));
    assert_eq!(addresses(&ask(address, NAME, rtype::AAAA)), [expected]);
}

/// The RCODE of a reply, with the bits in its OPT record.
fn rcode_of(octets: &[u8]) -> u16 {
    let low = u16::from(octets[3] & 0x0f);
    let opt = octets.windows(3).position(|window| window == [0, 0, 41]);
    let high = opt.filter(|_| octets[11] == 1).map_or(0, |at| u16::from(octets[at + 5]));
    high << 4 | low
}

fn start() -> (Upstream, Responder) {
    let listen = "127.0.0.1:0".parse().expect("valid");
    let upstream = Upstream::start(listen, Options::default()).expect("starts");
    let responder = Responder::start(&[upstream.local_addr()]);
    (upstream, responder)
}

#[test]
fn every_class_of_malformed_query_gets_its_reply_or_none_over_udp() {
    let _machine = serial();
    let (upstream, mut responder) = start();
    assert_answers(responder.address());
    let before = upstream.counts();
    let mut wrong = Vec::new();
    for (name, octets, fate) in classes() {
        // Silence is shown by the reply to the next query being the first that comes.
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(responder.address()).expect("a route");
        socket.set_read_timeout(Some(PATIENCE)).expect("a valid time");
        socket.send(&octets).expect("loopback takes messages");
        let mut buffer = [0; 4_096];
        if fate == Fate::Silence {
            socket.send(&query(0x7777, NAME, rtype::AAAA)).expect("loopback takes messages");
        }
        let reply = socket.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec());
        let got = match &reply {
            None => None,
            Some(reply) if fate == Fate::Silence && id_of(reply) == Some(0x7777) => {
                Some(Fate::Silence)
            }
            Some(reply) => Some(Fate::Rcode(rcode_of(reply))),
        };
        if got != Some(fate) {
            wrong.push(format!("{name}: {got:?} instead of {fate:?}"));
        }
        if let (Some(reply), Fate::Rcode(_)) = (&reply, fate) {
            assert_eq!(id_of(reply), Some(ID), "{name}");
            assert!(reply[2] & 0x80 != 0, "{name}: QR");
            assert!(reply.len() <= 512, "{name}: {} octets", reply.len());
        }
        responder.assert_alive();
        assert_answers(responder.address());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(upstream.counts().udp_queries, before.udp_queries, "nothing of it went upstream");
}

#[test]
fn every_class_of_malformed_query_gets_its_reply_or_none_over_tcp() {
    let _machine = serial();
    let (_upstream, mut responder) = start();
    assert_answers(responder.address());
    let mut wrong = Vec::new();
    for (name, octets, fate) in classes() {
        if octets.is_empty() {
            // Of length 0 over TCP: the stream is out of step. Has its own test.
            continue;
        }
        let mut stream = TcpStream::connect(responder.address()).expect("accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
        stream.write_all(&framed(&octets)).expect("takes it");
        if fate == Fate::Silence {
            stream.write_all(&framed(&query(0x7777, NAME, rtype::AAAA))).expect("takes it");
        }
        let got = match read_framed(&mut stream) {
            Err(_) => None,
            Ok(reply) if fate == Fate::Silence && id_of(&reply) == Some(0x7777) => {
                Some(Fate::Silence)
            }
            Ok(reply) => Some(Fate::Rcode(rcode_of(&reply))),
        };
        if got != Some(fate) {
            wrong.push(format!("{name}: {got:?} instead of {fate:?}"));
        }
        responder.assert_alive();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_answers(responder.address());
}

#[test]
fn datagrams_of_any_size_up_to_the_largest_leave_the_program_answering() {
    let _machine = serial();
    let (_upstream, mut responder) = start();
    for len in [0, 1, 512, 513, 1_232, 4_095, 4_096, 4_097, 9_000, 65_507] {
        for fill in [0x00, 0x3f, 0xc0, 0xff] {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
            socket.send_to(&vec![fill; len], responder.address()).expect("loopback takes it");
        }
        // A good query with that much behind it.
        let mut octets = query(ID, NAME, rtype::AAAA);
        octets.resize(octets.len().max(len), 0);
        if let Some(reply) = exchange(responder.address(), &octets, Duration::from_millis(300)) {
            assert!(matches!(rcode_of(&reply), rcode::NOERROR | rcode::FORMERR), "{len}");
        }
        assert_answers(responder.address());
    }
    responder.assert_alive();
}

#[test]
fn options_as_long_as_a_message_may_be_are_walked_over() {
    let _machine = serial();
    let (_upstream, mut responder) = start();
    // Empty options of an unknown code: as many as fit.
    let room = 65_535 - HEADER_LEN - question(NAME, rtype::AAAA).len() - OPT.len();
    for option in [&[0xff_u8, 0xfe, 0, 0][..], &[0, 3, 0, 0], &[0, 10, 0, 0]] {
        let rdata = option.repeat(room / 4);
        let mut record = OPT[..9].to_vec();
        record.extend((rdata.len() as u16).to_be_bytes());
        record.extend(&rdata);
        let octets = with_additional(1, &record);
        let mut stream = TcpStream::connect(responder.address()).expect("accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
        stream.write_all(&framed(&octets)).expect("takes it");
        let reply = read_framed(&mut stream).expect("a reply");
        assert!(matches!(rcode_of(&reply), rcode::NOERROR | rcode::FORMERR), "{option:?}");
        assert!(reply.len() < 512, "nothing is repeated: {} octets", reply.len());
        assert_answers(responder.address());
    }
    responder.assert_alive();
}

#[test]
fn names_of_any_octets_go_through_unharmed() {
    let _machine = serial();
    let (_upstream, mut responder) = start();
    let mut labels = vec![vec![0_u8], vec![b'.'], vec![0xff; 63], b"\n<script>\"\\".to_vec()];
    labels.extend((0..8_u8).map(|n| (n * 32..=n * 32 + 31).collect::<Vec<u8>>()));
    for label in labels {
        let mut name = vec![label.len() as u8];
        name.extend(&label);
        name.extend(wire_name("test"));
        let octets = with_name(&name);
        let reply = exchange(responder.address(), &octets, PATIENCE).expect("a reply");
        assert_eq!(rcode_of(&reply), rcode::NXDOMAIN, "{label:?}");
        assert_eq!(&reply[HEADER_LEN..HEADER_LEN + name.len()], &name[..]);
    }
    responder.assert_alive();
}
