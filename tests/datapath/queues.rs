//! More queues than workers, and fewer; and where the frames are.

use std::collections::BTreeSet;

use dns64::datapath::Attach;
use dns64::limits::BATCH_LEN;
use dns64::transport::af_xdp::{Services, XskQueue};
use dns64::xdp::ladder::{Tier, climb, ways_back};
use dns64::xdp::steering::Steering;

use crate::message::{AAAA, answer_count, query};
use crate::network::{Network, V4, V6, XDP, ask_by, pass_program, stop};
use crate::wire::{Wire, frame};

const NAME: &str = "a-11-22-33-44.v4.test";

fn every_flow_is_answered(queues: u32, workers: u32) {
    let Some(network) = Network::with_queues(queues) else { return };
    let server = network.start(workers, XDP);
    assert!(server.log().contains(&format!(":{queues} workers={workers}")), "{}", server.log());
    let flows = 40;
    for (from, to) in [("[2001:db8:1::2]:0", V6), ("192.0.2.2:0", V4)] {
        for _ in 0..flows {
            let socket = network.socket(from);
            for id in [1, 2] {
                assert_eq!(answer_count(&ask_by(&socket, to, &query(id, NAME, AAAA))), 1);
            }
        }
    }
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("xsk_queries"), 4 * flows, "no queue is without a worker");
}

#[test]
fn four_queues_are_served_by_two_workers() {
    every_flow_is_answered(4, 2);
}

#[test]
fn one_queue_is_served_though_there_are_three_workers() {
    every_flow_is_answered(1, 3);
}

#[test]
fn frames_are_never_lost() {
    let Some(network) = Network::new() else { return };
    let mut wire = Wire::open(&network);
    let services = ["[2001:db8:1::53]:53", "192.0.2.53:53"].map(|text| text.parse().unwrap());
    network.responder.enter(|| {
        let mut steering = Steering::load(1, 2).unwrap();
        steering.set_services(&BTreeSet::from(services)).unwrap();
        let climbed = climb(&mut steering, "eth0", Attach::Auto, &mut |_| {}).unwrap();
        assert_eq!(climbed.tier, Tier::NativeCopy);
        let (index, first) = (climbed.index, climbed.first);
        let mut sockets = climbed.sockets;
        let room = steering.queue_room(first).unwrap();
        let mut queue = XskQueue::new(0, index, 1_500, sockets.remove(0)).with_room(room);
        steering.open(index, first, 1, ways_back(index)).unwrap();
        let services = Services::new(&services);
        let total = queue.census().total();
        let mut replies = 0;
        for round in 0..200_u16 {
            let count = 1 + round % 20;
            for port in 0..count {
                wire.send(&frame(round % 2 == 0, 4_000 + port, &query(round, NAME, AAAA)));
            }
            let mut received = 0;
            while received < usize::from(count) {
                let batch = queue.receive(&services);
                assert!(batch <= BATCH_LEN);
                assert_eq!(queue.census().held, batch);
                for slot in 0..batch {
                    let echo = queue.query(slot).unwrap().bytes.to_vec();
                    match (received + slot + usize::from(round)) % 3 {
                        0 => {
                            assert!(queue.reply(slot, &echo));
                            replies += 1;
                        }
                        1 => assert!(!queue.reply(slot, &[0; 1_473]), "too long for a packet"),
                        // Without an answer.
                        _ => {}
                    }
                }
                assert_eq!(queue.finish(), 0);
                assert_eq!((queue.census().held, queue.census().total()), (0, total));
                received += batch;
            }
        }
        while queue.census().tx > 0 {
            queue.flush();
        }
        let census = queue.census();
        assert_eq!((census.held, census.free + census.fill), (0, total), "all are back");
        assert_eq!(queue.counts().replies, replies);
        let statistics = queue.statistics().unwrap();
        assert_eq!((statistics.tx_invalid, statistics.rx_invalid), (0, 0));
        for _ in 0..replies {
            wire.receive();
        }
        let counts = steering.counts().unwrap();
        assert_eq!(counts.steered(), queue.counts().queries);
        assert_eq!(counts.left_to_stack(), [0; 3]);
    });
}

/// Asks one hot name by flows that lie in every queue. A reply that did not arrive would be asked
/// for again, and be one query too many in the books.
fn hot_answers_reach_every_flow(attach: &str) {
    let Some(network) = Network::with_queues(4) else { return };
    let _pass = (attach == "native").then(|| pass_program(&network.client));
    let server = network.start(2, &format!("{XDP}\nattach = \"{attach}\"\nhot_answers = true"));
    let (flows, rounds) = (16, 200);
    let sockets: Vec<_> = [("[2001:db8:1::2]:0", V6), ("192.0.2.2:0", V4)]
        .iter()
        .flat_map(|way| std::iter::repeat_n(way, flows))
        .map(|(from, to)| (network.socket(from), to))
        .collect();
    for id in 0..rounds {
        for (socket, to) in &sockets {
            assert_eq!(answer_count(&ask_by(socket, to, &query(id, NAME, AAAA))), 1);
        }
    }
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("queries"), sockets.len() as u64 * u64::from(rounds));
    assert!(books.get("kernel_answers") > 1_000, "{}", books.get("kernel_answers"));
}

#[test]
fn hot_answers_reach_every_flow_on_four_queues_in_native_mode() {
    hot_answers_reach_every_flow("native");
}

#[test]
fn hot_answers_reach_every_flow_on_four_queues_in_generic_mode() {
    hot_answers_reach_every_flow("generic");
}
