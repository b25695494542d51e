//! Reads the strings of a configuration: addresses, networks, names and sizes.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv6Net};

use crate::policy::{ListEntry, Verdict};
use crate::wire::error::NameError;
use crate::wire::name::NameBuf;

/// The port of DNS (RFC 1035 4.2).
const DNS_PORT: u16 = 53;

/// Why a string is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What is wrong.
    pub(super) message: String,
    /// How to put it right.
    pub(super) hint: Option<String>,
}

impl Refusal {
    /// A refusal that explains itself.
    fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// A refusal with a way out.
    fn hinted(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

// ---- Addresses

/// `ADDR` (port 53), `ADDR:PORT`, `[ADDR]` or `[ADDR]:PORT`.
pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Refusal> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = match (text.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
        (Ok(address), _) => address,
        (Err(_), Ok(address)) => SocketAddr::new(address, DNS_PORT),
        (Err(_), Err(_)) => {
            return Err(Refusal::hinted(
                format!("\"{text}\" is not an address"),
                "write an address, or an address and a port: \"192.0.2.1:53\", \"[2001:db8::1]:53\"",
            ));
        }
    };
    match address.port() {
        0 => Err(Refusal::hinted("port 0 is no port", "the port of DNS is 53")),
        _ => Ok(address),
    }
}

/// An address that queries can be sent to.
pub(super) fn server_address(text: &str) -> Result<SocketAddr, Refusal> {
    let given = socket_address(text)?;
    // An IPv4-mapped address would open an IPv6 socket for an IPv4 server; any other IPv6 address
    // keeps its scope (fe80::1%2).
    let address = match given.ip().to_canonical() {
        IpAddr::V4(address) => SocketAddr::new(IpAddr::V4(address), given.port()),
        IpAddr::V6(_) => given,
    };
    if address.ip().is_unspecified() || address.ip().is_multicast() {
        return Err(Refusal::plain(format!("{} is not the address of a server", address.ip())));
    }
    Ok(address)
}

// ---- Networks

/// The address family that a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Clients: both.
    Both,
    /// A records.
    Ipv4,
    /// AAAA records.
    Ipv6,
}

/// An entry of a list: a network or an address, with `!` for all but it.
pub(super) fn list_entry(text: &str, family: Family) -> Result<ListEntry, Refusal> {
    let (rest, verdict) = match text.strip_prefix('!') {
        Some(rest) => (rest.trim_start(), Verdict::Out),
        None => (text, Verdict::In),
    };
    let network = network(rest)?;
    match (family, network) {
        (Family::Ipv4, IpNet::V6(_)) => Err(Refusal::plain(format!(
            "{network} is IPv6, but this list is about IPv4 addresses: it would never match"
        ))),
        (Family::Ipv6, IpNet::V4(_)) => Err(Refusal::hinted(
            format!(
                "{network} is IPv4, but this list is about IPv6 addresses: it would never match"
            ),
            "IPv4-mapped addresses are written ::ffff:192.0.2.0/120",
        )),
        (Family::Both, IpNet::V6(v6)) if is_ipv4_mapped(v6) => Err(Refusal::hinted(
            format!("{network} would never match: IPv4-mapped clients count as IPv4"),
            "write the IPv4 network",
        )),
        (Family::Both, _) | (Family::Ipv4, IpNet::V4(_)) | (Family::Ipv6, IpNet::V6(_)) => {
            Ok(ListEntry { network, verdict })
        }
    }
}

/// Whether the whole network lies in ::ffff:0:0/96.
fn is_ipv4_mapped(network: Ipv6Net) -> bool {
    network.prefix_len() >= 96 && network.addr().to_ipv4_mapped().is_some()
}

/// A network, or an address as the network of it alone.
fn network(text: &str) -> Result<IpNet, Refusal> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().map(IpNet::from).map_err(|_| match text {
            "any" | "all" => Refusal::hinted(
                format!("\"{text}\" is not a network"),
                "write \"0.0.0.0/0\" for every IPv4 address and \"::/0\" for every IPv6 address",
            ),
            "none" => Refusal::hinted("\"none\" is not a network", "write an empty list: []"),
            _ => Refusal::hinted(
                format!("\"{text}\" is not a network"),
                "write a network or an address, such as \"10.0.0.0/8\" or \"2001:db8::1\"; \
                 \"!\" in front leaves it out",
            ),
        });
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(Refusal::plain(format!("\"{address}\" is not an address")));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let network = length.parse::<u8>().ok().and_then(|length| IpNet::new(address, length).ok());
    let network = network.ok_or_else(|| {
        Refusal::plain(format!("\"/{length}\" is not a prefix length of 0 to {most}"))
    })?;
    if network.addr() != network.network() {
        return Err(Refusal::hinted(
            format!("{network} has bits set behind the prefix length"),
            format!("the network is {}", network.trunc()),
        ));
    }
    Ok(network)
}

/// The prefix of a NAT64: its length and bits are looked at by `Pref64`.
pub(super) fn prefix(text: &str) -> Result<Ipv6Net, Refusal> {
    if let Ok(prefix) = text.parse::<Ipv6Net>() {
        return Ok(prefix);
    }
    if text.parse::<IpNet>().is_ok() {
        return Err(Refusal::plain(format!("{text} is IPv4; a NAT64 prefix is IPv6")));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        let hint = format!("write \"{text}/96\" if that is meant");
        return Err(Refusal::hinted(format!("{text} has no prefix length"), hint));
    }
    Err(Refusal::hinted(
        format!("\"{text}\" is not an IPv6 prefix"),
        "write it as in \"64:ff9b::/96\"; the length is 32, 40, 48, 56, 64 or 96",
    ))
}

/// The suffix of a NAT64 prefix: an IPv6 address. Where it may have bits depends on the prefix, but
/// nowhere in bits 64 to 71 (RFC 6052 2.2).
pub(super) fn suffix(text: &str) -> Result<Ipv6Addr, Refusal> {
    let suffix: Ipv6Addr = text.parse().map_err(|_| {
        Refusal::hinted(format!("\"{text}\" is not an IPv6 address"), "write it as in \"::1\"")
    })?;
    match suffix.octets()[8] {
        0 => Ok(suffix),
        _ => Err(Refusal::plain("bits 64 to 71 of the suffix are not zero (RFC 6052 2.2)")),
    }
}

// ---- Names

/// A name in wire form. A final dot may be left out: every name is absolute.
pub(super) fn name(text: &str) -> Result<Vec<u8>, Refusal> {
    let refusal = |why: &dyn fmt::Display| {
        Refusal::hinted(
            format!("\"{text}\" is not a domain name: {why}"),
            "write it as in \"corp.example.\"; \".\" is the root",
        )
    };
    // A master file could have these in a name only behind a backslash, where they are refused too:
    // here they are slips of the pen.
    if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(refusal(&"it has white space"));
    }
    let name: NameBuf = text.parse().map_err(|error: NameError| refusal(&error))?;
    Ok(name.as_wire().to_vec())
}

// ---- Sizes

/// Octets: a number and a unit, in powers of 1024 (KiB) or 1000 (kB).
pub(super) fn size(text: &str) -> Result<u64, Refusal> {
    const UNITS: [(&str, u64); 8] = [
        ("B", 1),
        ("kB", 1_000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
    ];
    let refusal = || {
        Refusal::hinted(
            format!("\"{text}\" is not a size"),
            "write a number and one of B, kB, KiB, MB, MiB, GB, GiB, TiB, as in \"256MiB\"",
        )
    };
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = *UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(refusal)?;
    let number = number.parse::<u64>().map_err(|_| refusal())?;
    number.checked_mul(factor).ok_or_else(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_has_port_53() {
        let read = |text| socket_address(text).map(|address| address.to_string());
        assert_eq!(read("192.0.2.1").as_deref(), Ok("192.0.2.1:53"));
        assert_eq!(read("192.0.2.1:5353").as_deref(), Ok("192.0.2.1:5353"));
        assert_eq!(read("2001:db8::1").as_deref(), Ok("[2001:db8::1]:53"));
        assert_eq!(read("[2001:db8::1]").as_deref(), Ok("[2001:db8::1]:53"));
        assert_eq!(read("[2001:db8::1]:5353").as_deref(), Ok("[2001:db8::1]:5353"));
        for wrong in ["", "localhost", "192.0.2.1:0", "192.0.2.1:65536", "[192.0.2.1", "::1]:53"] {
            assert!(socket_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_server_keeps_its_scope_and_loses_its_ipv4_mapping() {
        let read = |text| server_address(text).map(|address| address.to_string());
        assert_eq!(read("[fe80::1%2]:53").as_deref(), Ok("[fe80::1%2]:53"));
        assert_eq!(read("::ffff:192.0.2.1").as_deref(), Ok("192.0.2.1:53"));
        for wrong in ["0.0.0.0", "::", "224.0.0.251", "ff02::fb"] {
            assert!(server_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_entry_is_a_network_or_an_address_of_the_family_of_its_list() {
        let read = |text, family| list_entry(text, family).map(|entry| entry.to_string());
        assert_eq!(read("10.0.0.0/8", Family::Ipv4).as_deref(), Ok("10.0.0.0/8"));
        assert_eq!(read("!10.0.0.1", Family::Both).as_deref(), Ok("!10.0.0.1/32"));
        assert_eq!(read("! 2001:db8::1", Family::Ipv6).as_deref(), Ok("!2001:db8::1/128"));
        assert_eq!(read("::ffff:0:0/96", Family::Ipv6).as_deref(), Ok("::ffff:0.0.0.0/96"));
        for (wrong, family) in [
            ("2001:db8::/32", Family::Ipv4),
            ("10.0.0.0/8", Family::Ipv6),
            ("::ffff:10.0.0.0/104", Family::Both),
            ("10.0.0.1/8", Family::Both),
            ("10.0.0.0/33", Family::Both),
            ("10.0.0.0/", Family::Both),
            ("!!10.0.0.0/8", Family::Both),
            ("any", Family::Both),
            ("bogusacl", Family::Both),
            ("", Family::Both),
        ] {
            assert!(list_entry(wrong, family).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_with_host_bits_is_refused_with_the_network_meant() {
        let refusal = list_entry("10.1.2.3/8", Family::Ipv4).unwrap_err();
        assert_eq!(refusal.hint.as_deref(), Some("the network is 10.0.0.0/8"));
    }

    #[test]
    fn a_name_is_absolute_with_or_without_its_final_dot() {
        assert_eq!(name("Corp.example.").as_deref(), Ok(&b"\x04Corp\x07example\x00"[..]));
        assert_eq!(name("Corp.example").as_deref(), Ok(&b"\x04Corp\x07example\x00"[..]));
        assert_eq!(name(".").as_deref(), Ok(&b"\x00"[..]));
        let long = format!("{}.", "a".repeat(64));
        let longer = "abcdefg.".repeat(32);
        for wrong in ["", "..", "a..b", ".a", "a b", " a", "b\u{fc}cher.example", &long, &longer] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!(size("256MiB"), Ok(268_435_456));
        assert_eq!(size("64 MB"), Ok(64_000_000));
        assert_eq!(size("1048576B"), Ok(1_048_576));
        for wrong in ["", "256", "MiB", "-1MiB", "1.5GiB", "99999999999GiB", "1mib"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
