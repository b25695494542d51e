//! Zones from text: what they decide, and what is wrong with them.

use super::*;
use crate::wire::name::NameBuf;
use crate::wire::question::Rtype;

const APEX: &str = "rpz.example.";

fn wire(name: &str) -> Vec<u8> {
    name.parse::<NameBuf>().unwrap().as_wire().to_vec()
}

fn read(text: &str) -> (RpzZone, Scanned) {
    let mut zone = RpzZone::new("rpz", None, None);
    let scanned = scan(text.as_bytes(), &wire(APEX), Unsupported::Refuse, &mut zone);
    (zone, scanned)
}

fn good(text: &str) -> RpzZone {
    let (zone, scanned) = read(text);
    assert_eq!(scanned, Scanned::default(), "{text}");
    zone
}

/// The only mistake of a text: its line, and what is wrong.
fn only_fault(text: &str) -> (usize, String) {
    let (_, scanned) = read(text);
    let [fault] = &scanned.faults[..] else { panic!("{text}: {scanned:?}") };
    (fault.line, fault.message.clone())
}

#[test]
fn every_action_is_read_in_the_encoding_of_the_draft() {
    let zone = good(
        "$TTL 300\n\
         @ SOA . . 1 3600 600 86400 30\n\
         @ NS localhost.\n\
         nx.test CNAME .\n\
         nodata.test CNAME *.\n\
         pass.test 60 IN CNAME rpz-passthru.\n\
         oldpass.test CNAME oldpass.test.\n\
         drop.test CNAME rpz-drop.\n\
         tcp.test CNAME rpz-tcp-only.\n\
         data.test A 192.0.2.1\n\
         \x20         A 192.0.2.2 ; the same name\n\
         data.test.rpz.example. TXT \"a; b\" c\n\
         garden.test CNAME walled.example.\n\
         each.test CNAME *.walled.example.\n",
    );
    let action = |name: &str| zone.action(&wire(name));
    assert_eq!(action("nx.test."), Some(Action::Nxdomain));
    assert_eq!(action("NX.Test."), Some(Action::Nxdomain), "in any letter case");
    assert_eq!(action("nodata.test."), Some(Action::NoData));
    assert_eq!(action("pass.test."), Some(Action::Passthru));
    assert_eq!(action("oldpass.test."), Some(Action::Passthru));
    assert_eq!(action("drop.test."), Some(Action::Drop));
    assert_eq!(action("tcp.test."), Some(Action::TcpOnly));
    assert_eq!(action("other.test."), None);
    assert_eq!(action("below.nx.test."), None, "a name is not what lies below it");
    assert_eq!(zone.negative_ttl_secs, 30);
    let Some(Action::Data(data)) = action("data.test.") else { panic!("{zone:?}") };
    let records: Vec<_> =
        zone.records(data).iter().map(|record| (record.rtype, &*record.rdata)).collect();
    assert_eq!(
        records,
        [
            (Rtype::A, &[192, 0, 2, 1][..]),
            (Rtype::A, &[192, 0, 2, 2]),
            (Rtype::TXT, b"\x04a; b\x01c"),
        ]
    );
    let target = |name: &str| match action(name) {
        Some(Action::Redirect(redirect)) => {
            zone.redirect(redirect).unwrap().target_of(&wire(name)).unwrap()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(target("garden.test."), wire("walled.example."));
    assert_eq!(target("each.test."), wire("each.test.walled.example."));
}

#[test]
fn a_name_comes_before_wildcards_and_a_near_wildcard_before_a_far_one() {
    let zone = good(
        "*.test CNAME .\n*.inner.test CNAME *.\nname.inner.test CNAME rpz-passthru.\n* CNAME rpz-drop.\n",
    );
    let action = |name: &str| zone.action(&wire(name));
    assert_eq!(action("name.inner.test."), Some(Action::Passthru));
    assert_eq!(action("other.inner.test."), Some(Action::NoData));
    assert_eq!(action("inner.test."), Some(Action::Nxdomain), "a wildcard is below its name");
    assert_eq!(action("a.b.c.test."), Some(Action::Nxdomain));
    assert_eq!(action("test."), Some(Action::Drop));
    assert_eq!(action("."), None, "nothing is above the root");
}

#[test]
fn the_first_zone_that_has_a_trigger_decides_and_zones_are_for_their_views() {
    let zone = |name: &str, text: &str, views: Option<&[&str]>| {
        let mut zone = RpzZone::new(name, None, None);
        scan(text.as_bytes(), &wire(APEX), Unsupported::Refuse, &mut zone);
        let views = views.map(|views| views.iter().map(|view| (*view).to_owned()).collect());
        RpzSettings { zone: Arc::new(zone), views }
    };
    let zones = [
        zone("first", "*.a.test CNAME rpz-passthru.\n", None),
        zone("second", "x.a.test CNAME .\ny.test CNAME .\n", Some(&["default"])),
        zone("third", "y.test CNAME *.\n", None),
    ];
    let rpz = Rpz::new(&zones, ["default", "north"].into_iter());
    let decide = |view: u16, name: &str| {
        rpz.decide(ViewId(view), &wire(name)).map(|decision| (decision.rank, decision.action))
    };
    assert_eq!(decide(0, "x.a.test."), Some((0, Action::Passthru)));
    assert_eq!(decide(0, "y.test."), Some((1, Action::Nxdomain)));
    assert_eq!(decide(1, "y.test."), Some((2, Action::NoData)));
    assert_eq!(decide(1, "z.test."), None);
    assert!(!Rpz::new(&[], ["default"].into_iter()).is_for(ViewId(0)));
}

#[test]
fn an_override_takes_the_place_of_every_action() {
    let mut zone = RpzZone::new("rpz", None, Some(Override::Action(Action::Passthru)));
    scan(b"a.test CNAME .\nb.test A 192.0.2.1\n", &wire(APEX), Unsupported::Refuse, &mut zone);
    assert_eq!(zone.action(&wire("a.test.")), Some(Action::Passthru));
    assert_eq!(zone.action(&wire("b.test.")), Some(Action::Passthru));
    assert_eq!(zone.action(&wire("c.test.")), None);
}

#[test]
fn a_mistake_is_reported_with_the_line_its_entry_starts_in() {
    for (text, line, message) in [
        ("a.test CNAME .\n\n; comment\nb.test A 192.0.2.300\n", 4, "expected IPv4 address"),
        ("a.test CNAME (\n .\n)\nb.test FROB x\n", 4, ""),
        ("a.test CNAME .\na.test. CNAME .\n", 2, "a.test. is not in the zone rpz.example."),
        ("a.test CNAME rpz-frob.\n", 1, "there is no action rpz-frob."),
        ("a.test CNAME .\na.test CNAME *.\n", 2, "a.test. has another action already: nxdomain"),
        ("a.test A 192.0.2.1\na.test CNAME .\n", 2, "a.test. has another action already"),
        ("a.test CNAME .\nb.test A\n", 2, ""),
        ("a.test NS b.test.\n", 1, "NS is no record of a trigger"),
        ("a.test CH TXT x\n", 1, ""),
        ("24.2.0.192.rpz-ip CNAME .\n", 1, "triggers of the kind rpz-ip are not supported"),
        ("a.test.rpz-nsdname CNAME .\n", 1, "triggers of the kind rpz-nsdname"),
        ("a.rpz-frob CNAME .\n", 1, "there are no triggers of the kind rpz-frob"),
        ("a.test CNAME .\nb.test TXT \"open\n", 2, "a parenthesis or a quotation mark"),
        ("$INCLUDE other.zone\n", 1, "$INCLUDE is not supported"),
        ("@ CNAME .\n", 1, "the name of the zone itself is no trigger"),
    ] {
        let (found, said) = only_fault(text);
        assert_eq!(found, line, "{text}: {said}");
        assert!(said.starts_with(message), "{text}: {said}");
        assert!(!said.is_empty(), "{text}");
    }
}

#[test]
fn several_mistakes_of_a_file_are_reported_at_once_and_no_more_than_twenty() {
    let (_, scanned) = read("a A x\nb.test CNAME .\nc A y\n");
    assert_eq!(scanned.faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 3]);
    let (_, scanned) = read(&"a A x\n".repeat(100));
    assert_eq!(scanned.faults.len(), 20);
}

#[test]
fn triggers_that_are_not_supported_are_left_out_where_that_is_wanted() {
    let text =
        b"a.test CNAME .\n32.1.2.0.192.rpz-client-ip CNAME .\n24.0.2.0.192.rpz-nsip CNAME .\n";
    let mut zone = RpzZone::new("rpz", None, None);
    let scanned = scan(text, &wire(APEX), Unsupported::Skip, &mut zone);
    assert_eq!(scanned, Scanned { faults: Vec::new(), skipped: Some((2, 2)) });
    assert_eq!(zone.len(), 1);
}

#[test]
fn origin_and_ttl_directives_hold_for_what_follows() {
    let zone = good(
        "$ORIGIN sub.rpz.example.\n$TTL 77\na A 192.0.2.1\n$ORIGIN rpz.example.\nb A 192.0.2.2\n",
    );
    let Some(Action::Data(data)) = zone.action(&wire("a.sub.")) else { panic!("{zone:?}") };
    assert_eq!(zone.records(data)[0].ttl_secs, 77);
    assert!(matches!(zone.action(&wire("b.")), Some(Action::Data(_))));
}

#[test]
fn a_hundred_thousand_names_take_less_than_64_octets_each() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for number in 0..100_000 {
        writeln!(text, "host-{number:06}.blocked.example CNAME .").unwrap();
    }
    let zone = good(&text);
    assert_eq!(zone.len(), 100_000);
    assert!(zone.memory() < 64 * 100_000, "{} octets", zone.memory());
    assert_eq!(zone.action(&wire("host-099999.blocked.example.")), Some(Action::Nxdomain));
    assert_eq!(zone.action(&wire("host-100000.blocked.example.")), None);
}
