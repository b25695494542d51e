//! `dns64bench load --xdp`: its queries are understood by servers on plain sockets, and it
//! recognizes their answers.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{INTERFACE, LIMIT, Lab, PORT, SERVER_V4, SERVER_V6, dns64bench};
use dns64_tests::netns::Scratch;

/// Names that say their own answer.
fn names(scratch: &Scratch) -> String {
    let lines: String = (1..=200).map(|n| format!("a-11-7-3-{n}.t A\n")).collect();
    scratch.write("queries", &lines).to_string_lossy().into_owned()
}

#[test]
fn every_query_by_af_xdp_is_answered_over_both_families() {
    let Some(lab) = Lab::new(1) else { return };
    let scratch = Scratch::new();
    let file = names(&scratch);
    let port = PORT.to_string();
    for (server, listen) in [(SERVER_V4, "10.64.0.2:5301"), (SERVER_V6, "[2001:db8:64::2]:5301")] {
        let (_upstream, _) = Lab::start(&lab.server, &["upstream", "--listen", listen]);
        let arguments = [
            "load",
            "--xdp",
            INTERFACE,
            "-s",
            server,
            "-p",
            &port,
            "-d",
            &file,
            "-n",
            "5",
            "-c",
            "7",
            "-q",
            "20",
            "--form-only",
            "--json",
        ];
        let (code, report, said) = Lab::run(&lab.client, &arguments);
        assert_eq!(code, Some(0), "{said}");
        let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{report}"));
        let totals = report.to_string();
        assert!(totals.contains("\"completed\":1000"), "{totals}");
        assert!(!Lab::has_program(&lab.client), "it takes its program with it");
    }
}

#[test]
fn both_ends_by_af_xdp_on_two_queues_lose_nothing() {
    let Some(lab) = Lab::new(2) else { return };
    let scratch = Scratch::new();
    let file = names(&scratch);
    let (_echo, _) =
        Lab::start(&lab.server, &["echo", "--xdp", INTERFACE, "--listen", "[::]:5301"]);
    let arguments = [
        "load",
        "--xdp",
        INTERFACE,
        "-s",
        SERVER_V6,
        "-p",
        "5301",
        "-d",
        &file,
        "-n",
        "100",
        "-c",
        "16",
        "-q",
        "200",
        "--form-only",
        "--json",
    ];
    let (code, report, said) = Lab::run(&lab.client, &arguments);
    assert_eq!(code, Some(0), "{said}");
    assert!(report.replace(' ', "").contains("\"completed\":20000"), "{report}");
}

#[test]
fn what_af_xdp_cannot_do_is_said_with_exit_code_2() {
    let Some(lab) = Lab::new(1) else { return };
    let scratch = Scratch::new();
    let file = names(&scratch);
    for (more, words) in [
        (["--xdp", "none0", "-s", SERVER_V4], "there is no interface none0"),
        (["--xdp", INTERFACE, "-s", "192.0.2.1"], "unreachable"),
        (["--xdp", INTERFACE, "-T2", "-s10.64.0.2"], "one thread"),
        (["--xdp", INTERFACE, "-mtcp", "-s10.64.0.2"], "UDP only"),
    ] {
        let mut arguments = vec!["load", "-d", &file, "-n", "1", "-c", "2"];
        arguments.extend(more);
        let (code, _, said) = Lab::run(&lab.client, &arguments);
        assert_eq!(code, Some(2), "{more:?}: {said}");
        assert!(said.contains(words), "{more:?}: {said}");
    }
}

#[test]
fn a_second_generator_on_an_interface_and_one_without_rights_are_refused() {
    let Some(lab) = Lab::new(1) else { return };
    let scratch = Scratch::new();
    let file = names(&scratch);
    let load =
        ["load", "--xdp", INTERFACE, "-s", SERVER_V4, "-p", "5301", "-d", &file, "--form-only"];
    let (_echo, _) =
        Lab::start(&lab.server, &["echo", "--xdp", INTERFACE, "--listen", "[::]:5301"]);
    let mut first =
        lab.client.spawn(dns64bench(), &[&load[..], &["-Q", "10", "-l", "600"]].concat());
    let deadline = Instant::now() + LIMIT;
    while !Lab::has_program(&lab.client) {
        assert!(Instant::now() < deadline, "it does not attach: {}", first.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let (code, _, said) = Lab::run(&lab.client, &load);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("busy") || said.contains("another XDP program is attached"), "{said}");
    assert!(Lab::has_program(&lab.client), "the first one goes on");
    first.signal(rustix::process::Signal::INT);
    assert!(first.wait(LIMIT).is_some_and(|status| status.success()), "{}", first.log());
    assert!(!Lab::has_program(&lab.client));

    // Others may not enter every directory that programs are built in, nor the scratch directory.
    let copy = scratch.path().join("dns64bench");
    std::fs::copy(dns64bench(), &copy).expect("a copy");
    let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let mut command = lab.client.command("setpriv");
    command.args(nobody).arg(&copy).args(load).current_dir("/");
    let output = command.output().expect("setpriv starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("CAP_NET_RAW"), "{said}");
}
