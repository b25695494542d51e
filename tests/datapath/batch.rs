//! Batches are what has come, never what is waited for.

use crate::message::{AAAA, answer_count, query};
use crate::network::{Network, V6, XDP, stop};
use crate::wire::{Wire, frame};

const NAME: &str = "a-11-22-33-44.v4.test";

#[test]
fn a_query_that_comes_alone_is_answered_without_a_second_one() {
    let Some(network) = Network::new() else { return };
    let server = network.start(1, &format!("{XDP}\nhot_answers = false"));
    network.ask(V6, &query(1, NAME, AAAA));
    let mut wire = Wire::open(&network);
    // Each waits for its reply before the next one goes: no two are ever under way.
    for id in 0..200 {
        wire.send(&frame(false, 4_000, &query(id, NAME, AAAA)));
        let reply = crate::wire::message_of(&wire.receive(), false, 4_000);
        assert_eq!((reply[..2].to_vec(), answer_count(&reply)), (id.to_be_bytes().to_vec(), 1));
    }
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("queries"), 201, "none was sent twice");
    assert!(books.get("xsk_replies") >= 200);
}
