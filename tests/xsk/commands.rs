//! `dns64bench echo --xdp` and `dns64bench reflect`, asked by plain sockets.

use rustix::process::Signal;

use crate::lab::{INTERFACE, LIMIT, Lab, SERVER_V4, SERVER_V6, expect_reflection, query};

/// Message lengths that have every remainder of eight, short and long.
const LENGTHS: [usize; 14] = [16, 17, 18, 19, 20, 21, 22, 23, 60, 333, 512, 600, 1_231, 1_400];

/// Asks with every length over both families.
fn expect_reflections(lab: &Lab) {
    for server in [SERVER_V4, SERVER_V6] {
        let socket = lab.connect(server);
        for (id, len) in (1..).zip(LENGTHS) {
            expect_reflection(&socket, &query(id, len));
        }
    }
}

#[test]
fn the_af_xdp_echo_answers_every_length_in_native_and_generic_mode() {
    let Some(lab) = Lab::new(1) else { return };
    for mode in ["native", "generic"] {
        let arguments = ["echo", "--xdp", INTERFACE, "--xdp-mode", mode, "--listen", "[::]:5301"];
        let (_echo, said) = Lab::start(&lab.server, &arguments);
        assert!(said.contains(&format!("{mode} XDP")), "{said}");
        expect_reflections(&lab);
    }
}

#[test]
fn the_echo_appends_records_in_the_frame_of_the_query() {
    let Some(lab) = Lab::new(1) else { return };
    let arguments = ["echo", "--xdp", INTERFACE, "--listen", "[::]:5301", "--records", "3"];
    let (_echo, _) = Lab::start(&lab.server, &arguments);
    let mut query = query(7, 16);
    query.splice(12.., *b"\x01t\0\0\x1c\0\x01");
    for server in [SERVER_V4, SERVER_V6] {
        let socket = lab.connect(server);
        let mut reply = [0; 2_048];
        socket.send(&query).unwrap();
        let len = socket.recv(&mut reply).unwrap();
        assert_eq!(len, query.len() + 3 * 28);
        assert_eq!(reply[..8], [0, 7, 0x81, 0x80, 0, 1, 0, 3]);
        assert_eq!(reply[12..query.len()], query[12..]);
    }
}

#[test]
fn the_reflector_answers_every_length_from_inside_xdp() {
    let Some(lab) = Lab::new(1) else { return };
    // Without a program at this end veth drops what XDP sends at the other.
    let (_pass, _) = Lab::start(&lab.client, &["reflect", INTERFACE, "--pass"]);
    let (_reflect, said) =
        Lab::start(&lab.server, &["reflect", INTERFACE, "--listen", "[::]:5301"]);
    assert!(said.contains("native XDP"), "{said}");
    expect_reflections(&lab);
}

#[test]
fn every_queue_of_an_interface_is_echoed() {
    let Some(lab) = Lab::new(2) else { return };
    let arguments = ["echo", "--xdp", INTERFACE, "--listen", "[::]:5301"];
    let (_echo, said) = Lab::start(&lab.server, &arguments);
    assert!(said.contains("2 queues"), "{said}");
    // So many flows that all of them in one queue would be a wonder.
    for id in 0..32 {
        expect_reflection(&lab.connect(SERVER_V6), &query(id, 40));
    }
}

#[test]
fn what_is_not_for_the_echo_goes_on_to_the_stack() {
    let Some(lab) = Lab::new(1) else { return };
    let arguments = ["echo", "--xdp", INTERFACE, "--listen", "10.64.0.2:5302"];
    let (_echo, _) = Lab::start(&lab.server, &arguments);
    let stack = lab.server.enter(|| std::net::UdpSocket::bind("10.64.0.2:5301").unwrap());
    stack.set_read_timeout(Some(LIMIT)).unwrap();
    lab.connect(SERVER_V4).send(b"for the stack").unwrap();
    let mut buffer = [0; 64];
    assert_eq!(stack.recv(&mut buffer).unwrap(), 13);
}

#[test]
fn a_killed_process_leaves_no_program_behind() {
    let Some(lab) = Lab::new(1) else { return };
    for arguments in [
        ["echo", "--xdp", INTERFACE, "--listen", "[::]:5301"],
        ["reflect", INTERFACE, "--listen", "[::]:5301", "--xdp-mode=generic"],
    ] {
        let (mut process, _) = Lab::start(&lab.server, &arguments);
        assert!(Lab::has_program(&lab.server));
        process.signal(Signal::KILL);
        assert!(process.wait(LIMIT).is_some());
        assert!(!Lab::has_program(&lab.server), "after {arguments:?}");
    }
}

#[test]
fn refusals_say_what_to_do_and_end_with_exit_code_2() {
    let Some(lab) = Lab::new(1) else { return };
    let (_reflect, _) = Lab::start(&lab.server, &["reflect", INTERFACE]);
    for (arguments, words) in [
        (vec!["reflect", INTERFACE], "another XDP program is attached"),
        (vec!["echo", "--xdp", INTERFACE], "another XDP program is attached"),
        (vec!["echo", "--xdp", "none0"], "there is no interface none0"),
        (vec!["echo", "--xdp", INTERFACE, "--queues", "9"], "no such queue"),
    ] {
        let (code, _, said) = Lab::run(&lab.server, &arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    assert!(Lab::has_program(&lab.server), "the first one is still there");
}
