//! RFC 7766: DNS transport over TCP, through the real program.

use std::io::Write;

use dns64_tests::cases::ScriptEntry;
use dns64_tests::client::{framed, read_framed};
use dns64_tests::in_process::Query;
use dns64_tests::reply::Reply;

use crate::program::Program;

/// An A record of a name, said after so many milliseconds.
fn entry(name: &str, delay_ms: u64) -> ScriptEntry {
    ScriptEntry {
        qname: name.to_owned(),
        qtype: "A".to_owned(),
        rcode: "NOERROR".to_owned(),
        answer: vec![format!("{name} 60 IN A 192.0.2.1")],
        authority: Vec::new(),
        additional: Vec::new(),
        truncate_udp: false,
        ad: false,
        ede: Vec::new(),
        validation: None,
        ecs: None,
        delay_ms,
    }
}

/// A framed question for A with this ID.
fn question(name: &str, id: u16) -> Vec<u8> {
    framed(&Query::of(&format!("{name} A")).with_id(id).octets())
}

fn id(reply: &[u8]) -> u16 {
    u16::from_be_bytes([reply[0], reply[1]])
}

//= rfc7766#5
//= type=test
//# All general-purpose DNS implementations MUST support both UDP and TCP transport.
//= rfc7766#6.2.1.1
//= type=test
//# (paraphrase) Servers SHOULD process pipelined queries concurrently and send responses out of
//# order.
#[test]
fn a_fast_answer_overtakes_a_slow_one_on_the_same_connection() {
    let script = [entry("slow.example.", 200), entry("fast.example.", 0)];
    let program = Program::start(&script);
    let mut stream = program.connect();
    let both = [question("slow.example.", 1), question("fast.example.", 2)].concat();
    stream.write_all(&both).unwrap();
    let order = [read_framed(&mut stream).unwrap(), read_framed(&mut stream).unwrap()];
    assert_eq!(order.map(|reply| id(&reply)), [2, 1]);
}

//= rfc7766#6.2.1
//= type=test
//# (paraphrase) A connection serves many queries; the server does not close it after one.
//= rfc7766#7
//= type=test
//# (paraphrase) Responses are told apart by ID and question.
#[test]
fn every_query_of_a_pipeline_is_answered_on_the_connection_it_came_by() {
    let names: Vec<String> = (0..20).map(|number| format!("n{number}.example.")).collect();
    let script: Vec<ScriptEntry> = names.iter().map(|name| entry(name, 0)).collect();
    let program = Program::start(&script);
    let mut stream = program.connect();
    for round in 0..2 {
        let first_id = round * 100;
        let numbered = names.iter().zip(first_id..);
        let all: Vec<u8> = numbered.flat_map(|(name, id)| question(name, id)).collect();
        stream.write_all(&all).unwrap();
        let mut open: Vec<u16> = (first_id..first_id + 20).collect();
        while !open.is_empty() {
            let reply = Reply::parse(read_framed(&mut stream).unwrap()).unwrap();
            let id = id(&reply.octets);
            let place = open.iter().position(|open| *open == id).expect("an ID that is open");
            open.swap_remove(place);
            let name = &names[usize::from(id - first_id)];
            assert_eq!(reply.answer[0].text, format!("{name} 60 IN A 192.0.2.1"));
        }
    }
}

//= rfc7766#8
//= type=test
//# (paraphrase) The length and the message may arrive in pieces of any size.
#[test]
fn a_query_that_arrives_octet_by_octet_is_answered() {
    let program = Program::start(&[entry("n.example.", 0)]);
    let mut stream = program.connect();
    for octet in question("n.example.", 7) {
        stream.write_all(&[octet]).unwrap();
    }
    let reply = read_framed(&mut stream).unwrap();
    assert_eq!(id(&reply), 7);
}

//= rfc7766#5
//= type=test
//# (paraphrase) What does not fit into a datagram is had by TCP.
#[test]
fn a_reply_too_large_for_a_datagram_comes_by_tcp_whole() {
    let mut large = entry("large.example.", 0);
    large.answer = (0..200).map(|last| format!("large.example. 60 IN A 192.0.2.{last}")).collect();
    let program = Program::start(&[large]);
    let mut stream = program.connect();
    let query = framed(&Query::of("large.example. AAAA").octets());
    stream.write_all(&query).unwrap();
    let reply = Reply::parse(read_framed(&mut stream).unwrap()).unwrap();
    assert!(!reply.is_truncated());
    assert_eq!(reply.answer.len(), 200);
    assert!(reply.octets.len() > 5_000);
}
