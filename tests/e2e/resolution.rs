//! Names and records through the responder, asked by the programs that people use.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use dns64_tests::netns::serial;

use crate::available;
use crate::dig::dig;
use crate::network::{Network, RESPONDER_V4, RESPONDER_V6};
use crate::subject::Subject;
use crate::zone::{MANY, big_text, numbered_ipv4};

/// Queries a second that two busy cores answer on every build, with room.
const DNSPERF_RATE: &str = "5000";

/// The AAAA record that an A record becomes under the test's prefix.
fn synthesized(ipv4: [u8; 4]) -> String {
    let low = u128::from(u32::from(Ipv4Addr::from(ipv4)));
    Ipv6Addr::from_bits(0x2001_0db8_0064_0000_u128 << 64 | low).to_string()
}

#[test]
fn dig_gets_what_an_ipv6_only_client_needs() {
    if !available() {
        return;
    }
    let _machine = serial();
    let subject = Subject::from_env();
    let network = Network::start(&subject);

    let reply = network.dig(&["v4only.e2e.test", "AAAA"]);
    assert_eq!(reply.status(), "NOERROR", "{}", reply.text);
    assert_eq!(reply.data("AAAA"), ["2001:db8:64::c633:6450"], "{}", reply.text);
    assert!(
        reply.has_flag("ra") && !reply.has_flag("ad") && !reply.has_flag("aa"),
        "{}",
        reply.text
    );
    // The SOA of the denial has a TTL of 300 but a MINIMUM of 60.
    assert!(reply.answer[0].ttl_secs <= 300, "{}", reply.text);
    if subject.is_dns64d() {
        assert!(reply.has_extended_error(29), "{}", reply.text);
    }

    let reply = network.dig(&["v4only.e2e.test", "A"]);
    assert_eq!(reply.data("A"), ["198.51.100.80"], "{}", reply.text);

    let reply = network.dig(&["dual.e2e.test", "AAAA"]);
    assert_eq!(reply.data("AAAA"), ["2001:db8:feed::81"], "{}", reply.text);
    assert!(!reply.has_extended_error(29), "{}", reply.text);

    let reply = network.dig(&["v6only.e2e.test", "A"]);
    assert_eq!((reply.status(), reply.answer.len()), ("NOERROR", 0), "{}", reply.text);

    let reply = network.dig(&["alias.e2e.test", "AAAA"]);
    let names: Vec<(&str, &str)> =
        reply.answer.iter().map(|record| (record.name.as_str(), record.rtype.as_str())).collect();
    let expected =
        [("alias.e2e.test.", "CNAME"), ("chain.e2e.test.", "CNAME"), ("v4only.e2e.test.", "AAAA")];
    assert_eq!(names, expected, "{}", reply.text);
    assert_eq!(reply.data("AAAA"), ["2001:db8:64::c633:6450"], "{}", reply.text);

    let reply = network.dig(&["-x", "2001:db8:64::c633:6450"]);
    assert_eq!(reply.data("PTR"), ["v4only.e2e.test."], "{}", reply.text);

    for rtype in ["AAAA", "A"] {
        let reply = network.dig(&["nosuchname.e2e.test", rtype]);
        assert_eq!((reply.status(), reply.answer.len()), ("NXDOMAIN", 0), "{}", reply.text);
    }
}

#[test]
fn dig_options_change_the_form_and_not_the_answer() {
    if !available() {
        return;
    }
    let _machine = serial();
    let subject = Subject::from_env();
    let network = Network::start(&subject);

    let forms: [&[&str]; 6] = [
        &["+cookie"],
        &["+nocookie"],
        &["+noedns"],
        &["+dnssec"],
        &["+tcp"],
        &["+bufsize=4096", "+nsid", "+subnet=0/0"],
    ];
    for form in forms {
        let mut arguments = vec!["v4only.e2e.test", "AAAA"];
        arguments.extend_from_slice(form);
        let reply = network.dig(&arguments);
        assert_eq!(reply.status(), "NOERROR", "{form:?}: {}", reply.text);
        assert_eq!(reply.data("AAAA"), ["2001:db8:64::c633:6450"], "{form:?}: {}", reply.text);
        assert!(!reply.has_flag("ad"), "{form:?}: {}", reply.text);
        let has_opt = reply.text.contains("; EDNS: version: 0");
        assert_eq!(has_opt, form != ["+noedns"], "{form:?}: {}", reply.text);
    }
    if subject.is_dns64d() {
        // Who checks signatures himself gets what is signed (RFC 6147 5.5).
        let reply = network.dig(&["v4only.e2e.test", "AAAA", "+dnssec", "+cdflag"]);
        assert_eq!((reply.status(), reply.answer.len()), ("NOERROR", 0), "{}", reply.text);
    }

    // Over IPv4 as well.
    let reply = dig(&network.client, RESPONDER_V4, &["v4only.e2e.test", "AAAA"]);
    assert_eq!(reply.data("AAAA"), ["2001:db8:64::c633:6450"], "{}", reply.text);

    // Another class is answered as if there were no DNS64 (RFC 6147 5.1).
    let reply = network.dig(&["version.bind", "CH", "TXT"]);
    assert!(!reply.status().is_empty(), "no reply: {}", reply.text);
    let reply = network.dig(&["version.bind", "CH", "AAAA"]);
    assert!(!reply.status().is_empty(), "no reply: {}", reply.text);
    assert!(reply.answer.is_empty(), "{}", reply.text);
}

#[test]
fn an_answer_too_long_for_udp_comes_over_tcp() {
    if !available() {
        return;
    }
    let _machine = serial();
    let network = Network::start(&Subject::from_env());

    let reply = network.dig(&["big.e2e.test", "TXT", "+ignore"]);
    assert!(reply.has_flag("tc"), "{}", reply.text);

    let reply = network.dig(&["big.e2e.test", "TXT"]);
    assert!(reply.text.contains(";; Truncated, retrying in TCP mode."), "{}", reply.text);
    assert!(!reply.has_flag("tc"), "{}", reply.text);
    let texts: Vec<String> = big_text().iter().map(|text| format!("\"{text}\"")).collect();
    assert_eq!(reply.data("TXT"), [texts.join(" ")]);
}

#[test]
fn getaddrinfo_finds_ipv6_addresses_of_ipv4_only_hosts() {
    if !available() {
        return;
    }
    let _machine = serial();
    let network = Network::start(&Subject::from_env());
    network.client.name_server(RESPONDER_V6);

    for (name, expected) in [
        ("v4only.e2e.test", "2001:db8:64::c633:6450"),
        ("alias.e2e.test", "2001:db8:64::c633:6450"),
        ("dual.e2e.test", "2001:db8:feed::81"),
    ] {
        let text = network.client.run("getent", &["ahostsv6", name]);
        let addresses: Vec<&str> =
            text.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert!(!addresses.is_empty(), "{name}: {text}");
        assert!(addresses.iter().all(|address| *address == expected), "{name}: {text}");
    }
    let text = network.client.run("getent", &["hosts", "2001:db8:64::c633:6450"]);
    assert!(text.contains("v4only.e2e.test"), "{text}");
    assert!(
        !network.client.output("getent", &["ahostsv6", "nosuchname.e2e.test"]).status.success()
    );
}

#[test]
fn a_hundred_thousand_different_names_are_all_answered() {
    if !available() {
        return;
    }
    let _machine = serial();
    let listen = ["[2001:db8:1::53]:53"];
    let network = Network::start_with(&Subject::from_env(), &listen, MANY);
    let mut queries = String::new();
    for number in 0..MANY {
        let _ = writeln!(queries, "n{number}.e2e.test AAAA");
    }
    let queries = network.scratch.write("queries", &queries);
    let queries = queries.to_string_lossy();
    let report = network.client.run(
        "dnsperf",
        &[
            "-s",
            RESPONDER_V6,
            "-d",
            &queries,
            "-n",
            "1",
            "-Q",
            DNSPERF_RATE,
            "-q",
            "200",
            "-t",
            "5",
            "-b",
            "4096",
        ],
    );
    let figure = |name: &str| {
        let line = report.lines().find_map(|line| line.trim().strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {report}")).trim().to_owned()
    };
    assert_eq!(figure("Queries sent:"), "100000", "{report}");
    assert_eq!(figure("Queries completed:"), "100000 (100.00%)", "{report}");
    assert_eq!(figure("Queries lost:"), "0 (0.00%)", "{report}");
    assert_eq!(figure("Response codes:"), "NOERROR 100000 (100.00%)", "{report}");

    // dnsperf counts answers but does not read them.
    let sample: Vec<u32> = (0..MANY).step_by(997).collect();
    let mut names = String::new();
    let mut expected = String::new();
    for number in sample {
        let _ = writeln!(names, "n{number}.e2e.test AAAA");
        let _ = writeln!(expected, "{}", synthesized(numbered_ipv4(number)));
    }
    let names = network.scratch.write("sample", &names);
    let at = format!("@{RESPONDER_V6}");
    let answers =
        network.client.run("dig", &[&at, "+short", "+tries=1", "-f", &names.to_string_lossy()]);
    assert_eq!(answers, expected);
}
