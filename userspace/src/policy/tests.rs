//! Tests of views and classes against the slow reading of the lists.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::pref64::{UOctet, WELL_KNOWN};

fn list(entries: &[&str]) -> AddressList {
    let entry = |text: &&str| {
        let (network, verdict) = match text.strip_prefix('!') {
            Some(network) => (network, Verdict::Out),
            None => (*text, Verdict::In),
        };
        let address = network.parse::<IpAddr>().map(IpNet::from);
        ListEntry { network: address.unwrap_or_else(|_| network.parse().unwrap()), verdict }
    };
    AddressList::new(entries.iter().map(entry).collect())
}

fn prefix(text: &str) -> PrefixSettings {
    let prefix = text.parse().unwrap();
    let pref64 = crate::pref64::Pref64::new(prefix, Ipv6Addr::UNSPECIFIED, UOctet::Zero).unwrap();
    PrefixSettings::new(pref64)
}

fn view(prefixes: Vec<PrefixSettings>) -> ViewSettings {
    ViewSettings { prefixes, ..ViewSettings::default() }
}

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The class of a client that asks anywhere.
fn class_of(policy: &Policy, client: IpAddr) -> ClientClass {
    policy.classify_at(client, 0, IpAddr::V6(Ipv6Addr::LOCALHOST))
}

fn policy(views: Vec<ViewSettings>, allow: AddressList) -> Policy {
    Policy::new(&PolicySettings {
        allow,
        drop: list(&["192.0.2.66", "2001:db8:bad::/48"]),
        views,
        listen: Vec::new(),
        rpz: Vec::new(),
        pools: Vec::new(),
        servers: vec!["192.0.2.53:53".parse().unwrap()],
        forwards: Vec::new(),
        cache: CachePolicy::default(),
        timing: Timing::default(),
        limits: Limits::default(),
        dnssec: DnssecSettings::default(),
    })
}

// ---- Clients

#[test]
fn who_is_to_be_dropped_is_dropped_whatever_else_is_said_of_it() {
    let policy = policy(vec![view(Vec::new())], AddressList::any());
    for (client, dropped) in [
        ("192.0.2.66", true),
        ("192.0.2.67", false),
        ("2001:db8:bad::1", true),
        ("::ffff:192.0.2.66", true),
    ] {
        let class = class_of(&policy, client.parse().unwrap());
        assert_eq!((class.allowed, class.dropped), (!dropped, dropped), "{client}");
        assert_eq!(policy.audience(class) == 0, dropped);
    }
}

// ---- A records

#[test]
fn a_prefix_maps_what_its_list_has() {
    let mut private = prefix("2001:db8:a::/96");
    private.mapped = Some(list(&["10.0.0.0/8"]));
    let mut public = prefix("2001:db8:b::/96");
    public.mapped = Some(list(&["!10.0.0.0/8", "0.0.0.0/0"]));
    let view = View::new(&view(vec![private, public, prefix("2001:db8:c::/96")]));
    assert_eq!(view.mapped(v4("10.1.2.3")), PrefixMask(0b101));
    assert_eq!(view.mapped(v4("192.0.2.1")), PrefixMask(0b110));
}

#[test]
fn non_global_ipv4_has_no_place_under_the_well_known_prefix_only() {
    let view = View::new(&view(vec![prefix("64:ff9b::/96"), prefix("64:ff9b:1::/96")]));
    for address in [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "192.0.0.1",
        "192.0.0.169",
        "192.0.0.172",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        assert_eq!(view.mapped(v4(address)), PrefixMask(0b10), "{address}");
        assert!(view.non_global(v4(address)), "{address}");
    }
    for address in ["1.0.0.0", "100.128.0.0", "192.0.2.1", "198.51.100.1", "203.0.113.1"] {
        assert_eq!(view.mapped(v4(address)), PrefixMask(0b11), "{address}");
    }
}

#[test]
fn the_addresses_of_ipv4only_arpa_are_mapped_under_the_well_known_prefix() {
    let view = View::new(&ViewSettings::default());
    for address in ["192.0.0.170", "192.0.0.171"] {
        assert_eq!(view.mapped(v4(address)), PrefixMask(1));
        assert!(!view.non_global(v4(address)));
    }
    // Unless the operator excludes them by name.
    let settings = ViewSettings { exclude_a: list(&["192.0.0.0/24"]), ..ViewSettings::default() };
    assert_eq!(View::new(&settings).mapped(v4("192.0.0.170")), PrefixMask::EMPTY);
}

#[test]
fn an_excluded_ipv4_is_mapped_under_no_prefix() {
    let mut settings = view(vec![prefix("2001:db8:a::/96"), prefix("2001:db8:b::/96")]);
    settings.exclude_a = list(&["!192.0.2.7", "192.0.2.0/24"]);
    let view = View::new(&settings);
    assert_eq!(view.mapped(v4("192.0.2.66")), PrefixMask::EMPTY);
    assert_eq!(view.mapped(v4("192.0.2.7")), PrefixMask(0b11));
}

// ---- AAAA records

#[test]
fn ipv4_mapped_aaaa_count_as_absent_by_default_and_ipv4_compatible_do_not() {
    let view = View::new(&ViewSettings::default());
    assert!(view.is_absent(v6("::ffff:192.0.2.1"), PrefixMask(1)));
    assert!(!view.is_absent(v6("::192.0.2.1"), PrefixMask(1)));
    assert!(!view.is_absent(v6("64:ff9b::808:808"), PrefixMask(1)));
    assert!(!view.excludes_nothing());
    let settings = ViewSettings { exclude_aaaa: list(&[]), ..ViewSettings::default() };
    assert!(View::new(&settings).excludes_nothing());
}

#[test]
fn a_list_of_a_prefix_replaces_that_of_the_view() {
    let mut own = prefix("2001:db8:a::/96");
    own.exclude_aaaa = Some(list(&["2001:eeee::/32"]));
    let view = View::new(&view(vec![own]));
    assert!(view.is_absent(v6("2001:eeee::1"), PrefixMask(1)));
    assert!(!view.is_absent(v6("::ffff:192.0.2.1"), PrefixMask(1)));
}

#[test]
fn an_aaaa_stays_if_one_prefix_of_the_client_lets_it_pass() {
    let mut own = prefix("2001:db8:a::/96");
    own.exclude_aaaa = Some(list(&["2001:eeee::/32", "::ffff:0:0/96"]));
    let view = View::new(&view(vec![own, prefix("2001:db8:b::/96")]));
    let excluded_by_one = v6("2001:eeee::1");
    assert!(view.is_absent(excluded_by_one, PrefixMask(0b01)));
    assert!(!view.is_absent(excluded_by_one, PrefixMask(0b10)));
    assert!(!view.is_absent(excluded_by_one, PrefixMask(0b11)));
    assert!(view.is_absent(v6("::ffff:192.0.2.1"), PrefixMask(0b11)));
}

#[test]
fn a_client_without_prefixes_keeps_every_aaaa() {
    let view = View::new(&ViewSettings::default());
    assert!(!view.is_absent(v6("::ffff:192.0.2.1"), PrefixMask::EMPTY));
}

#[test]
fn names_below_a_listed_one_are_ignored_and_bypassed() {
    let mut settings = ViewSettings {
        ignore_aaaa: vec![b"\x06broken\x07example\x00".to_vec()],
        bypass: vec![b"\x02v6\x00".to_vec()],
        ..ViewSettings::default()
    };
    let view = View::new(&settings);
    assert!(view.ignores_aaaa(b"\x01a\x06BROKEN\x07example\x00"));
    assert!(!view.ignores_aaaa(b"\x07example\x00"));
    assert!(view.bypasses(b"\x01a\x02V6\x00"));
    assert!(!view.bypasses(b"\x01a\x00"));
    settings.synth_all = true;
    assert!(View::new(&settings).ignores_aaaa(b"\x07example\x00"));
}

// ---- Reverse

#[test]
fn the_longest_prefix_decides_and_the_well_known_one_is_always_there() {
    let view = View::new(&view(vec![
        prefix("2001:db8::/32"),
        prefix("2001:db8:64::/96"),
        prefix("2001:db8:64::/48"),
    ]));
    for (address, expected, index) in [
        ("2001:db8:64::1", "2001:db8:64::/96", Some(1)),
        ("2001:db8:64:1::1", "2001:db8:64::/48", Some(2)),
        ("2001:db8:65::1", "2001:db8::/32", Some(0)),
        ("64:ff9b::1", "64:ff9b::/96", None),
    ] {
        let found = view.reverse_prefix(v6(address)).unwrap();
        assert_eq!((found.pref64.to_string().as_str(), found.index), (expected, index));
    }
    assert_eq!(view.reverse_prefix(v6("2001:db9::1")), None);
    assert_eq!(view.reverse_prefix(v6("64:ff9b:0:0:0:1::")), None);
}

#[test]
fn a_configured_prefix_above_the_well_known_one_has_its_addresses() {
    let found = View::new(&view(vec![prefix("64:ff9b::/32")])).reverse_prefix(v6("64:ff9b::1"));
    assert_eq!(found.unwrap().index, Some(0));
    let found = View::new(&view(vec![prefix("64:ff9b::/96")])).reverse_prefix(v6("64:ff9b::1"));
    assert_eq!(found, Some(ReversePrefix { pref64: WELL_KNOWN, index: Some(0) }));
}

#[test]
fn a_view_without_dns64_has_no_reverse_prefix_and_its_clients_no_prefixes() {
    let settings = ViewSettings { enabled: false, ..ViewSettings::default() };
    assert_eq!(View::new(&settings).reverse_prefix(v6("64:ff9b::1")), None);
    let class = class_of(&policy(vec![settings], AddressList::any()), "::1".parse().unwrap());
    assert!(class.allowed && class.prefixes.is_empty());
}

// ---- Properties

/// Addresses of few shapes, so that networks and clients meet.
fn address() -> impl Strategy<Value = IpAddr> {
    let octet = || prop_oneof![Just(0u8), Just(10), Just(255)];
    let v4 = (octet(), octet(), octet(), octet())
        .prop_map(|(a, b, c, d)| IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
    let v6 = (octet(), octet(), octet(), octet()).prop_map(|(a, b, c, d)| {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from_be_bytes([
            a, b, 0, 0, 0, 0, 0, 0, c, 0, 0, 0, 0, 0, 0, d,
        ])))
    });
    prop_oneof![v4, v6]
}

fn any_list() -> impl Strategy<Value = AddressList> {
    let verdict = prop_oneof![Just(Verdict::In), Just(Verdict::Out)];
    let entry = (address(), 0u8..=128, verdict).prop_map(|(address, bits, verdict)| {
        let bits = if address.is_ipv4() { bits / 4 } else { bits };
        ListEntry { network: IpNet::new(address, bits).unwrap().trunc(), verdict }
    });
    proptest::collection::vec(entry, 0..6).prop_map(AddressList::new)
}

fn any_view() -> impl Strategy<Value = ViewSettings> {
    let option = || proptest::option::of(any_list());
    let prefixes = proptest::collection::vec((option(), option(), option(), any::<bool>()), 1..4);
    (any::<bool>(), option(), prefixes, any_list(), any_list()).prop_map(
        |(enabled, clients, prefixes, exclude_a, exclude_aaaa)| {
            let prefixes =
                prefixes.into_iter().map(|(clients, mapped, exclude_aaaa, well_known)| {
                    let plain = prefix(if well_known { "64:ff9b::/96" } else { "2001:db8::/96" });
                    PrefixSettings { clients, mapped, exclude_aaaa, ..plain }
                });
            let prefixes = prefixes.collect();
            let default = ViewSettings::default();
            ViewSettings { enabled, clients, prefixes, exclude_a, exclude_aaaa, ..default }
        },
    )
}

/// Whether an optional list has an address: an absent list has all.
fn has(list: Option<&AddressList>, address: IpAddr) -> bool {
    list.is_none_or(|list| list.has(address))
}

proptest! {
    #[test]
    fn a_client_is_classified_as_reading_the_lists_one_by_one_would(
        views in proptest::collection::vec(any_view(), 1..4),
        allow in any_list(),
        client in address(),
    ) {
        let class = class_of(&policy(views.clone(), allow.clone()), client);
        let dropped = list(&["192.0.2.66", "2001:db8:bad::/48"]).has(client);
        prop_assert_eq!((class.allowed, class.dropped), (allow.has(client) && !dropped, dropped));
        let named = (1..views.len()).find(|index| has(views[*index].clients.as_ref(), client));
        let index = named.unwrap_or(0);
        prop_assert_eq!(usize::from(class.view.0), index);
        let view = &views[index];
        for (index, prefix) in view.prefixes.iter().enumerate() {
            let expected = view.enabled && has(prefix.clients.as_ref(), client);
            prop_assert_eq!(class.prefixes.has(index), expected);
        }
    }

    #[test]
    fn an_ipv4_mapped_client_is_the_ipv4_client(
        views in proptest::collection::vec(any_view(), 1..4),
        allow in any_list(),
        client in any::<u32>(),
    ) {
        let policy = policy(views, allow);
        let client = Ipv4Addr::from_bits(client);
        let mapped = IpAddr::V6(client.to_ipv6_mapped());
        prop_assert_eq!(class_of(&policy, mapped), class_of(&policy, IpAddr::V4(client)));
    }

    #[test]
    fn a_view_answers_as_reading_its_lists_one_by_one_would(
        settings in any_view(),
        address in address(),
        prefixes in 0u32..8,
    ) {
        let view = View::new(&settings);
        match address {
            IpAddr::V4(v4) => {
                let special = [192 << 24 | 170, 192 << 24 | 171].contains(&v4.to_bits());
                for (index, prefix) in settings.prefixes.iter().enumerate() {
                    let non_global = settings.non_global_ipv4.has(address) && !special;
                    let expected = has(prefix.mapped.as_ref(), address)
                        && !settings.exclude_a.has(address)
                        && !(prefix.pref64.is_well_known() && non_global);
                    prop_assert_eq!(view.mapped(v4).has(index), expected);
                }
            }
            IpAddr::V6(v6) => {
                let prefixes = PrefixMask(prefixes) & view.all();
                let passes = prefixes.indices().any(|index| {
                    let list = settings.prefixes[index].exclude_aaaa.as_ref();
                    !list.unwrap_or(&settings.exclude_aaaa).has(address)
                });
                let expected = !prefixes.is_empty() && !passes;
                prop_assert_eq!(view.is_absent(v6, prefixes), expected);
            }
        }
    }
}
