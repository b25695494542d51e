//! Which prefix a client gets: by who it is, by where it asks, by the name, by the IPv4 address.

use dns64_tests::in_process::{Query, Responder};

use crate::{NOERROR, only_a};

/// A responder with these prefixes.
fn prefixes(entries: &str) -> Responder {
    Responder::new(&format!("prefixes = [{entries}]"))
}

/// The AAAA of a question, by their data.
fn aaaa(responder: &mut Responder, query: &Query) -> Vec<String> {
    let answered = responder.ask(query);
    assert_eq!(answered.rcode(), NOERROR);
    answered.reply.answer.iter().map(|record| record.rdata_text.clone()).collect()
}

/// The AAAA of a name.
fn of_name(responder: &mut Responder, name: &str) -> Vec<String> {
    aaaa(responder, &Query::of(&format!("{name} AAAA")))
}

const BY_NAME: &str = "\"2001:db8:1::/96\", \
    { prefix = \"2001:db8:2::/96\", domains = [\"corp.example.\"] }, \
    { prefix = \"2001:db8:3::/96\", domains = [\"Lab.Corp.example.\", \"x.test.\"] }";

#[test]
fn the_prefix_of_the_longest_domain_is_used_and_no_other() {
    let mut responder = prefixes(BY_NAME);
    for (name, expected) in [
        ("www.example.", "2001:db8:1::c000:201"),
        ("corp.example.", "2001:db8:2::c000:201"),
        ("a.b.CORP.example.", "2001:db8:2::c000:201"),
        ("lab.corp.example.", "2001:db8:3::c000:201"),
        ("www.lab.corp.example.", "2001:db8:3::c000:201"),
        ("x.test.", "2001:db8:3::c000:201"),
        ("notcorp.example.", "2001:db8:1::c000:201"),
    ] {
        only_a(&mut responder, name, "192.0.2.1");
        for _ in 0..3 {
            assert_eq!(of_name(&mut responder, name), [expected], "{name}");
        }
    }
}

#[test]
fn a_domain_counts_only_for_clients_that_have_its_prefix() {
    let entries = "\"2001:db8:1::/96\", { prefix = \"2001:db8:2::/96\", \
        domains = [\"corp.example.\"], clients = [\"fd00::/8\"] }";
    let mut responder = prefixes(entries);
    only_a(&mut responder, "www.corp.example.", "192.0.2.1");
    let query = Query::of("www.corp.example. AAAA");
    for _ in 0..2 {
        assert_eq!(aaaa(&mut responder, &query), ["2001:db8:1::c000:201"]);
        let query = query.clone().from_client("fd00::1");
        assert_eq!(aaaa(&mut responder, &query), ["2001:db8:2::c000:201"]);
    }
}

#[test]
fn the_ipv4_destination_chooses_among_the_prefixes_of_the_name() {
    let entries = "{ prefix = \"2001:db8:1::/96\", domains = [\"a.example.\"], \
        mapped = [\"10.0.0.0/8\"] }, { prefix = \"2001:db8:2::/96\", domains = [\"a.example.\"], \
        mapped = [\"!10.0.0.0/8\", \"0.0.0.0/0\"] }, \"2001:db8:3::/96\"";
    let mut responder = prefixes(entries);
    for (name, address, expected) in [
        ("p.a.example.", "10.0.0.1", "2001:db8:1::a00:1"),
        ("q.a.example.", "192.0.2.1", "2001:db8:2::c000:201"),
        ("r.example.", "10.0.0.1", "2001:db8:3::a00:1"),
    ] {
        only_a(&mut responder, name, address);
        assert_eq!(of_name(&mut responder, name), [expected]);
    }
}

#[test]
fn a_name_without_any_prefix_is_not_synthesized_for() {
    let mut responder = prefixes("{ prefix = \"2001:db8:2::/96\", domains = [\"corp.example.\"] }");
    only_a(&mut responder, "www.example.", "192.0.2.1");
    assert!(of_name(&mut responder, "www.example.").is_empty());
    assert_eq!(responder.questions_asked(), ["www.example. AAAA"]);
}

#[test]
fn discovery_follows_the_view_and_leaves_out_prefixes_of_domains() {
    let text = format!(
        "listen = [\"[2001:db8::53]:53\", \"[2001:db8::54]:53\"]\nallow = [\"::/0\"]\n\
         [upstream]\nservers = [\"192.0.2.53\"]\n[dns64]\nprefixes = [{BY_NAME}]\n\
         [[view]]\nname = \"north\"\nclients = [\"fd00:1::/32\"]\n\
         dns64 = {{ prefixes = [\"2001:db8:64::/48\"] }}\n\
         [[view]]\nname = \"door\"\nlisten = [\"[2001:db8::54]:53\"]\n\
         dns64 = {{ prefixes = [\"2001:db8:d::/96\"] }}\n\
         [[view]]\nname = \"off\"\nclients = [\"fd00:2::/32\"]\ndns64 = {{ enabled = false }}\n"
    );
    let mut responder = Responder::configured(&text);
    let query = || Query::of("ipv4only.arpa. AAAA");
    let learned = |responder: &mut Responder, query: Query| aaaa(responder, &query);
    assert_eq!(learned(&mut responder, query()), ["2001:db8:1::c000:aa", "2001:db8:1::c000:ab"]);
    assert_eq!(
        learned(&mut responder, query().from_client("fd00:1::1")),
        ["2001:db8:64:c000:0:aa00::", "2001:db8:64:c000:0:ab00::"]
    );
    assert_eq!(
        learned(&mut responder, query().from_client("fd00:3::1").sent_to(1, "2001:db8::54")),
        ["2001:db8:d::c000:aa", "2001:db8:d::c000:ab"]
    );
}

/// A responder that listens on an address, and on every address at another port.
fn doors() -> Responder {
    Responder::configured(
        "listen = [\"[2001:db8::53]:53\", \"[::]:5353\"]\nallow = [\"::/0\"]\n\
         [upstream]\nservers = [\"192.0.2.53\"]\n[dns64]\nprefixes = [\"2001:db8:a::/96\"]\n\
         [[view]]\nname = \"both\"\nclients = [\"fd00:1::/32\"]\nlisten = [\"[2001:db8::d]:5353\"]\n\
         dns64 = { prefixes = [\"2001:db8:b::/96\"] }\n\
         [[view]]\nname = \"named\"\nlisten = [\"[2001:db8::d]:5353\"]\n\
         dns64 = { prefixes = [\"2001:db8:c::/96\"] }\n\
         [[view]]\nname = \"port\"\nlisten = [\"[::]:5353\"]\n\
         dns64 = { prefixes = [\"2001:db8:d::/96\"] }\n",
    )
}

#[test]
fn the_first_view_of_the_client_and_of_the_address_it_asks_wins() {
    let mut responder = doors();
    only_a(&mut responder, "www.example.", "192.0.2.1");
    for by_tcp in [false, true] {
        for (client, place, asked, expected) in [
            ("fd00:1::1", 0, "2001:db8::53", "2001:db8:a::c000:201"),
            ("fd00:1::1", 1, "2001:db8::d", "2001:db8:b::c000:201"),
            ("fd00:9::1", 1, "2001:db8::d", "2001:db8:c::c000:201"),
            ("fd00:9::1", 1, "2001:db8::e", "2001:db8:d::c000:201"),
            ("fd00:1::1", 1, "2001:db8::e", "2001:db8:d::c000:201"),
        ] {
            let query = Query::of("www.example. AAAA").from_client(client).sent_to(place, asked);
            let query = if by_tcp { query.by_tcp() } else { query };
            // The same client gets each door's answer, whatever is kept ready for another.
            for _ in 0..3 {
                assert_eq!(aaaa(&mut responder, &query), [expected], "{client} at {asked}");
            }
        }
    }
}

#[test]
fn who_has_another_class_at_another_door_gets_nothing_from_the_kernel() {
    let policy = doors().engine.policy().clone();
    let classes = policy.client_networks().map(|(_, class)| class);
    let allowed: Vec<_> = classes.filter(|class| class.allowed).collect();
    assert!(!allowed.is_empty());
    assert!(allowed.iter().all(|class| policy.audience(*class) == 0));
    // Where every client has one class, it has an audience.
    let policy = Responder::new("").engine.policy().clone();
    let has_audience = |class| policy.audience(class) != 0;
    assert!(policy.client_networks().any(|(_, class)| has_audience(class)));
}

#[test]
fn a_listen_address_of_a_view_must_be_one_that_is_listened_on() {
    let text = |listen: &str| {
        format!("listen = [\"[2001:db8::53]:53\"]\n[[view]]\nname = \"x\"\nlisten = [{listen}]\n")
    };
    let read = |listen: &str| dns64::config::parse(&text(listen), "test.toml");
    assert!(read("\"[2001:db8::53]:53\"").is_ok());
    for (listen, message) in [
        ("\"[2001:db8::54]:53\"", "nobody listens at [2001:db8::54]:53"),
        ("\"[2001:db8::53]:5353\"", "nobody listens at [2001:db8::53]:5353"),
        ("", "a view that no address is asked for has no clients"),
    ] {
        let errors = read(listen).unwrap_err().to_string();
        assert!(errors.contains(message), "{errors}");
        assert!(errors.contains("test.toml:4:"), "{errors}");
    }
}
