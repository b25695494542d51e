//! `dns64bench load --xdp`: its queries are understood by servers on plain sockets, and it
//! recognizes their answers.

use serde_json::Value;

use crate::lab::{INTERFACE, Lab, PORT, SERVER_V4, SERVER_V6};
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
