//! `dns64ctl query --trace`: the rule that decided is named, and nothing is told that the engine
//! does not do.

use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::daemon::{Daemon, dns64ctl, free_address};
use dns64_tests::netns::Scratch;
use serde_json::Value;

/// A server of names that say their own answer.
fn upstream() -> Upstream {
    Upstream::start("127.0.0.1:0".parse().unwrap(), Options::default()).unwrap()
}

/// A configuration with something for every kind of rule.
fn configuration(upstream: &Upstream, files: &Scratch) -> String {
    let zone = files.write(
        "block.zone",
        "a-1-1-1-1--ttl9.blocked.v4.test CNAME .\ngarden.v4.test CNAME a-192-0-2-9.v4.test.\n",
    );
    format!(
        "listen = [\"{}\"]\nallow = [\"::/0\", \"127.0.0.0/8\"]\ndrop = [\"192.0.2.66\"]\n\
         [upstream]\nservers = [\"{}\"]\n\
         [dns64]\nprefixes = [\"64:ff9b::/96\", {{ prefix = \"2001:db8:c::/96\", \
         domains = [\"corp.v4.test.\"] }}]\nbypass = [\"bypassed.v4.test.\"]\n\
         exclude_aaaa = [\"2001:db8:bad::/48\"]\n\
         [[view]]\nname = \"north\"\nclients = [\"fd00:1::/32\"]\n\
         dns64 = {{ prefixes = [\"2001:db8:64::/48\"] }}\n\
         [[view]]\nname = \"off\"\nclients = [\"fd00:2::/32\"]\ndns64 = {{ enabled = false }}\n\
         [[rpz]]\nname = \"block.rpz.\"\nfile = \"{}\"\n",
        free_address(),
        upstream.local_addr(),
        zone.display()
    )
}

/// The steps of a trace as `by: says`, its RCODE and its answer.
fn told(trace: &Value) -> (Vec<String>, String, Vec<String>) {
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let steps = trace["steps"].as_array().unwrap().iter();
    let steps = steps.map(|step| format!("{}: {}", text(&step["by"]), text(&step["says"])));
    let answer = trace["answer"].as_array().unwrap().iter().map(text).collect();
    (steps.collect(), text(&trace["rcode"]), answer)
}

#[test]
fn a_trace_names_the_rule_that_decided_and_says_what_is_answered() {
    let (upstream, files) = (upstream(), Scratch::new());
    let text = configuration(&upstream, &files);
    let config = files.write("dns64d.toml", &text);
    let config = config.to_string_lossy();
    let cases: &[(&[&str], &[&str], &str, &str)] = &[
        (
            &["a-192-0-2-1.v4.test"],
            &[
                "view: \"default\": 64:ff9b::/96, 2001:db8:c::/96",
                "rpz: no zone has a trigger for the name",
                "domains: for this name: 64:ff9b::/96",
                "plan: AAAA, made of A where there is none",
                "answer: A is asked for: there is no AAAA (RFC 6147 5.1.6)",
                "prefixes: 192.0.2.1 under 64:ff9b::/96 is 64:ff9b::c000:201",
            ],
            "NOERROR",
            "64:ff9b::c000:201",
        ),
        (
            &["a-10-0-0-1.v4.test"],
            &["mapped: 10.0.0.1 is not mapped under 64:ff9b::/96: non_global_ipv4 has it"],
            "NOERROR",
            "",
        ),
        (
            &["a-10-0-0-1.corp.v4.test"],
            &["domains: for this name: 2001:db8:c::/96"],
            "NOERROR",
            "2001:db8:c::a00:1",
        ),
        (
            &["a-192-0-2-1.v4.test", "--client", "fd00:1::5"],
            &["view: \"north\": 2001:db8:64::/48"],
            "NOERROR",
            "2001:db8:64:c000:2:100::",
        ),
        (
            &["a-192-0-2-1.v4.test", "--client", "fd00:2::5"],
            &[
                "view: \"off\": DNS64 is off",
                "plan: passed on without synthesis: no prefix is for this client",
            ],
            "NOERROR",
            "",
        ),
        (
            &["a-192-0-2-1.v4.test", "--cd"],
            &["plan: passed on without synthesis: CD is set (RFC 6147 5.5)"],
            "NOERROR",
            "",
        ),
        (
            &["a-192-0-2-1.bypassed.v4.test"],
            &["plan: passed on without synthesis: the name is in `bypass`"],
            "NOERROR",
            "",
        ),
        (
            &["a-192-0-2-1.v4.test", "A"],
            &["plan: passed on without synthesis: the type is not AAAA"],
            "NOERROR",
            "192.0.2.1",
        ),
        (
            &["q-20010db8900d00000000000000000001.v4.test"],
            &["answer: it stands: there are AAAA (RFC 6147 5.1.1)"],
            "NOERROR",
            "2001:db8:900d::1",
        ),
        (
            &["a-192-0-2-1--q-20010db80bad00000000000000000001.v4.test"],
            &[
                "exclude_aaaa: 2001:db8:bad::1 counts as absent",
                "answer: A is asked for: every AAAA counts as absent (RFC 6147 5.1.4)",
            ],
            "NOERROR",
            "64:ff9b::c000:201",
        ),
        (
            &["nx.v4.test"],
            &["answer: it stands: the name does not exist (RFC 6147 5.1.2)"],
            "NXDOMAIN",
            "",
        ),
        (&["a-1-1-1-1--ttl9.blocked.v4.test"], &["rpz: block.rpz.: nxdomain"], "NXDOMAIN", ""),
        (
            &["garden.v4.test"],
            &["rpz: block.rpz.: redirect", "rpz: a-192-0-2-9.v4.test. is looked up in its place"],
            "NOERROR",
            "64:ff9b::c000:209",
        ),
        (&["ipv4only.arpa"], &["plan: answered here: WellKnownAaaa"], "NOERROR", "c000:aa"),
        (&["64:ff9b::c000:201", "PTR"], &["plan: the PTR of 192.0.2.1"], "NOERROR", "PTR"),
        (
            &["a.v4.test", "--client", "192.0.2.66"],
            &["drop: the client's queries are thrown away"],
            "none",
            "",
        ),
        (
            &["a.v4.test", "--client", "198.51.100.1"],
            &["allow: the client may not ask: REFUSED"],
            "REFUSED",
            "",
        ),
    ];
    for (arguments, steps, rcode, answer) in cases {
        let all = [&["query"], *arguments, &["--trace", "--json", "--config", &config]].concat();
        let output = dns64ctl(&all);
        assert!(output.status.success(), "{output:?}");
        let trace = serde_json::from_slice(&output.stdout).unwrap();
        let (said, said_rcode, said_answer) = told(&trace);
        for step in *steps {
            let found = said.iter().any(|said| said.starts_with(step));
            assert!(found, "{arguments:?}: {step} is not in {said:#?}");
        }
        assert_eq!(&said_rcode, rcode, "{arguments:?}: {said:#?}");
        match *answer {
            "" => assert!(said_answer.is_empty(), "{arguments:?}: {said_answer:?}"),
            answer => {
                let found = said_answer.iter().any(|record| record.contains(answer));
                assert!(found, "{arguments:?}: {said_answer:?}");
            }
        }
    }
}

#[test]
fn the_running_program_tells_the_same_by_its_control_socket() {
    let (upstream, files) = (upstream(), Scratch::new());
    let daemon = Daemon::start(&files, None, &configuration(&upstream, &files));
    for question in ["a-192-0-2-1.corp.v4.test", "garden.v4.test", "a-10-0-0-1.v4.test"] {
        let client = ["--client", "fd00:1::1", "--trace", "--json"];
        let by_socket = daemon.ctl(&[&["query", question], &client[..]].concat());
        assert!(by_socket.status.success(), "{by_socket:?}");
        let config = daemon.config.to_string_lossy();
        let by_file = [&["query", question], &client[..], &["--config", &config]].concat();
        let by_file = dns64ctl(&by_file);
        let of = |octets: &[u8]| told(&serde_json::from_slice(octets).unwrap());
        assert_eq!(of(&by_socket.stdout), of(&by_file.stdout), "{question}");
    }
    let output = daemon.ctl(&["query", "a-192-0-2-1.v4.test", "--trace"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("view          \"default\": 64:ff9b::/96"), "{text}");
    assert!(text.contains("reply         NOERROR, EDE 29 (Synthesized)"), "{text}");
}

#[test]
fn a_trace_without_a_program_or_with_a_wrong_address_says_what_to_do() {
    let files = Scratch::new();
    let socket = files.path().join("nobody.sock");
    let output = dns64ctl(&["query", "a.test", "--trace", "--socket", &socket.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--config FILE tells it without a running dns64d"), "{said}");
    let config = files.write(
        "dns64d.toml",
        "listen = [\"127.0.0.1:5364\"]\n[upstream]\nservers = [\"192.0.2.53\"]\n",
    );
    let config = config.to_string_lossy();
    let arguments = ["query", "a.test", "--trace", "--config", &config, "--listen", "192.0.2.1:53"];
    let output = dns64ctl(&arguments);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("nobody listens at 192.0.2.1:53"), "{said}");
}
