//! The process does not work, or is no more.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::load::{RING, under_load};
use super::{AUTO, FAST, LIMITS, came_by_af_xdp, every_query_is_accounted_for};
use crate::faults::{has_program, wait_for_count};
use crate::network::{LIMIT, Network, V4, V6, stop};

#[test]
fn a_stalled_process_loses_what_its_rings_do_not_hold_and_no_frame() {
    let Some(network) = Network::new() else { return };
    let server = network.start_with(1, AUTO, LIMITS);
    let mut stalled = Duration::ZERO;
    let mut answered = 0;
    let brought = under_load(&network, V6, 8, |load| {
        let since = Instant::now();
        server.signal(Signal::STOP);
        // Then the fill ring is empty and the other one full.
        load.wait_for_queries(RING);
        server.signal(Signal::CONT);
        stalled = since.elapsed();
        let back = load.answered();
        // As many as there are frames: those that were lost would be missed.
        load.wait_for_answers(2 * RING);
        answered = load.answered() - back;
    });
    brought.is_right(stalled);
    assert_eq!(server.log().matches(FAST).count(), 1, "{}", server.log());
    let books = stop(server);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, answered);
}

#[test]
fn a_killed_process_leaves_no_answers_in_the_kernel_and_the_next_takes_over() {
    let Some(network) = Network::new() else { return };
    // Generic mode gives hot answers inside the program.
    let generic = format!("{AUTO}\nattach = \"generic\"");
    let mut first = network.start_with(1, &generic, LIMITS);
    let mut second = None;
    let mut away = Duration::ZERO;
    let mut back = 0;
    let brought = under_load(&network, V4, 8, |load| {
        first.signal(Signal::KILL);
        let since = Instant::now();
        assert!(first.wait(LIMIT).is_some());
        while has_program(&network.responder) {
            assert!(since.elapsed() < LIMIT, "the program stays");
        }
        load.wait_for_silence();
        second = Some(network.start_with(1, &generic, LIMITS));
        away = since.elapsed();
        back = load.answered();
        load.wait_for_answers(2 * RING);
        back = load.answered() - back;
    });
    brought.is_right(away);
    let second = second.expect("it was started");
    wait_for_count(&second, FAST, 1);
    let books = stop(second);
    every_query_is_accounted_for(&books);
    came_by_af_xdp(&books, back);
    assert!(books.get("kernel_answers") > 0, "hot answers are back, too");
}
