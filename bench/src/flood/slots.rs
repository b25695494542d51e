//! Queries as finished frames, in the memory of the programs.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

use dns64_ebpf::checksum::Sum;
use dns64_ebpf::flood::slot::{ADDRESSES, FRAME_LEN_MAX, RECORD, SHAPE, SLOT_WORDS, SUM};
use dns64_ebpf::frame::PROTOCOL_UDP;
use dns64_ebpf::headers::{self, EthernetAddresses, IpEndpoints, message_offset};

use super::expect::{Answer, answer_to};
use super::{Expect, QUERIES_MAX};
use crate::load::queries::Queries;

/// The words of a slot.
pub(super) type SlotWords = [u64; SLOT_WORDS];

/// Makes the slot of a query with this ID.
///
/// # Errors
/// A text, if its answer cannot be known or it is too long.
pub(super) fn slot(
    query: &[u8],
    id: u16,
    ethernet: &EthernetAddresses,
    ends: &IpEndpoints,
    expect: &Expect,
) -> Result<SlotWords, String> {
    let Answer { shape, data } = answer_to(query, expect)?;
    let at =
        message_offset(ends.destination.starts_with(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255]));
    let mut frame = [0; FRAME_LEN_MAX + 1];
    if at + query.len() > FRAME_LEN_MAX {
        let most = FRAME_LEN_MAX - at;
        return Err(format!("a query of {} octets: at most {most} have room", query.len()));
    }
    frame[at..at + query.len()].copy_from_slice(query);
    frame[at..at + 2].copy_from_slice(&id.to_be_bytes());
    let without_port = IpEndpoints { source_port: 0, ..*ends };
    let len = headers::write(&mut frame[..], ethernet, &without_port, query.len())
        .ok_or("the two addresses are of two families")?;
    let udp_at = at - 8;
    frame[udp_at + 6..udp_at + 8].fill(0);
    let sum = Sum::new()
        .address(&ends.source)
        .address(&ends.destination)
        .number(u16::from(PROTOCOL_UDP))
        .number((len - udp_at) as u16)
        .octets(&frame[..len], udp_at, len - udp_at)
        .ok_or("the frame is cut")?;
    let mut words = [0; SLOT_WORDS];
    for (word, octets) in words.iter_mut().zip(frame.as_chunks::<8>().0) {
        *word = u64::from_ne_bytes(*octets);
    }
    words[SHAPE..=RECORD].copy_from_slice(&shape.words(len));
    words[SUM] = sum.state();
    for (place, octets) in data.as_flattened().as_chunks::<8>().0.iter().enumerate() {
        words[ADDRESSES + place] = u64::from_ne_bytes(*octets);
    }
    Ok(words)
}

/// How many slots are filled: all queries as often as they fit, until there are `wanted`.
pub(super) fn slot_count(queries: usize, wanted: usize) -> usize {
    let rounds = wanted.div_ceil(queries.max(1)).min(QUERIES_MAX / queries.max(1)).max(1);
    queries * rounds
}

/// Fills the slots with the queries in turn.
///
/// # Errors
/// As [`slot`], with the number of the query.
pub(super) fn fill(
    memory: &[AtomicU64],
    queries: &Queries,
    ethernet: &EthernetAddresses,
    ends: &IpEndpoints,
    expect: &Expect,
) -> Result<(), String> {
    for (place, room) in memory.chunks_exact(SLOT_WORDS).enumerate() {
        let query = place % queries.len();
        let words = slot(queries.query(query), place as u16, ethernet, ends, expect)
            .map_err(|reason| format!("query {}: {reason}", query + 1))?;
        for (to, from) in room.iter().zip(words) {
            to.store(from, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dns64_ebpf::abi::mapped;
    use dns64_ebpf::flood::Words;
    use dns64_ebpf::flood::slot::{frame_len, udp_checksum};
    use dns64_ebpf::flow::Datagram;

    use super::*;
    use crate::wire::{Query, name_from_text, rtype, write_query};

    #[derive(Clone, Copy)]
    struct Read<'s>(&'s SlotWords);

    impl Words for Read<'_> {
        fn word(self, index: usize) -> u64 {
            self.0[index]
        }
    }

    #[test]
    fn a_slot_becomes_a_frame_with_a_right_checksum_for_each_port() {
        let mut query = [0; 100];
        let name = name_from_text("a-11-0-0-9.v4.test").unwrap();
        let len = write_query(&mut query, 0, &name, rtype::AAAA, None);
        for (source, server) in [("192.0.2.1", "192.0.2.53"), ("2001:db8::1", "2001:db8::53")] {
            let address = |text: &str| mapped(text.parse().unwrap());
            let ends = IpEndpoints {
                source: address(source),
                source_port: 0,
                destination: address(server),
                destination_port: 53,
            };
            let ethernet = EthernetAddresses { source: [2; 6], destination: [4; 6] };
            let slot = slot(&query[..len], 0x1234, &ethernet, &ends, &Expect::Reflected).unwrap();
            let mut frame: Vec<u8> =
                slot[..32].iter().flat_map(|word| word.to_ne_bytes()).collect();
            frame.truncate(frame_len(Read(&slot)));
            for port in [61_000, 61_001, 65_535] {
                let udp_at = message_offset(source.contains('.')) - 8;
                frame[udp_at..udp_at + 2].copy_from_slice(&u16::to_be_bytes(port));
                let checksum = udp_checksum(Read(&slot), port);
                frame[udp_at + 6..udp_at + 8].copy_from_slice(&checksum);
                let datagram = Datagram::read(&frame[..]).unwrap();
                assert_eq!((datagram.source_port, datagram.destination_port), (port, 53));
                let sum = Sum::new()
                    .address(&datagram.source)
                    .address(&datagram.destination)
                    .number(17)
                    .number(datagram.udp_len as u16)
                    .octets(&frame[..], datagram.udp, datagram.udp_len);
                assert_eq!(sum.unwrap().checksum(), [0, 0], "port {port}");
                let message = &frame[datagram.message()..];
                assert_eq!(Query::parse(message).unwrap().id(), 0x1234);
                assert_eq!(message[2..], query[2..len]);
            }
        }
    }

    #[test]
    fn queries_are_repeated_in_whole_rounds() {
        assert_eq!(slot_count(10, 5), 10);
        assert_eq!(slot_count(10, 101), 110);
        assert_eq!(slot_count(40_000, 65_536), 40_000);
        assert_eq!(slot_count(1, 1 << 20), 65_536);
    }

    #[test]
    fn a_query_that_has_no_room_is_refused() {
        let ends = IpEndpoints {
            source: [1; 16],
            source_port: 0,
            destination: [2; 16],
            destination_port: 53,
        };
        let ethernet = EthernetAddresses { source: [2; 6], destination: [4; 6] };
        let name = name_from_text(&format!("{0}.{0}.{0}.test", "x".repeat(60))).unwrap();
        let mut query = [0; 300];
        let len = write_query(&mut query, 0, &name, rtype::AAAA, None);
        let refusal = slot(&query[..len], 0, &ethernet, &ends, &Expect::Reflected).unwrap_err();
        assert!(refusal.contains("at most 193"), "{refusal}");
    }
}
