//! Words that several peers write in the same way: addresses, networks, names, sizes, spans.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::model::{Entry, List, Sourced};
use crate::wire::name::NameBuf;

/// The port of DNS.
pub(super) const PORT: u16 = 53;

/// `true`, `yes`, `on`, `1` or their opposites.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// An address; an IPv6 one may have a scope (`fe80::1%2`), which must be a number.
pub(super) fn address(text: &str) -> Option<(IpAddr, u32)> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some((address, 0));
    }
    let (address, scope) = bare.split_once('%')?;
    let address: IpAddr = address.parse().ok()?;
    address.is_ipv6().then_some(())?;
    Some((address, scope.parse().ok()?))
}

/// An address and a port.
pub(super) fn socket(address: (IpAddr, u32), port: u16) -> Option<SocketAddr> {
    if port == 0 {
        return None;
    }
    Some(match address {
        (IpAddr::V6(address), scope) => SocketAddrV6::new(address, port, 0, scope).into(),
        (address, _) => SocketAddr::new(address, port),
    })
}

/// `ADDR` or `ADDR@PORT`, as Unbound and Knot Resolver write it. What follows `#` is the name in
/// the certificate.
pub(super) fn at_port(text: &str, port: u16) -> Option<SocketAddr> {
    let text = text.split_once('#').map_or(text, |(text, _)| text);
    match text.split_once('@') {
        Some((host, port)) => socket(address(host)?, port.parse().ok()?),
        None => socket(address(text)?, port),
    }
}

/// `ADDR`, `ADDR:PORT`, `[ADDR]:PORT`: as the Recursor and CoreDNS write it.
pub(super) fn colon_port(text: &str, port: u16) -> Option<SocketAddr> {
    if let Some(address) = address(text) {
        return socket(address, port);
    }
    let (host, port) = text.rsplit_once(':')?;
    socket(address(host)?, port.parse().ok()?)
}

/// A network, bits behind the length cut off; an address is the network of it alone. Addresses that
/// are IPv4 in IPv6 become IPv4, as clients do.
pub(super) fn client_network(text: &str) -> Option<IpNet> {
    let network = network(text)?;
    if let IpNet::V6(v6) = network
        && v6.prefix_len() >= 96
        && let Some(address) = v6.network().to_ipv4_mapped()
    {
        return Some(Ipv4Net::new(address, v6.prefix_len() - 96).ok()?.into());
    }
    Some(network)
}

/// A network, bits behind the length cut off; an address is the network of it alone. IPv4 may be
/// short, as in `10/8`.
pub(super) fn network(text: &str) -> Option<IpNet> {
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address = match host.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => short_ipv4(host, length?)?.into(),
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    IpNet::new(address, length.unwrap_or(most)).ok().map(|network| network.trunc())
}

/// The first octets of an IPv4 address, the rest zero.
fn short_ipv4(text: &str, length: u8) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut count = 0;
    for part in text.split('.') {
        *octets.get_mut(count)? = part.parse().ok()?;
        count += 1;
    }
    (usize::from(length) <= count * 8).then(|| octets.into())
}

/// An IPv6 prefix; an address alone gets this length.
pub(super) fn prefix(text: &str, length: u8) -> Option<Ipv6Net> {
    match network(text)? {
        IpNet::V6(prefix) if !text.contains('/') => {
            Ipv6Net::new(prefix.addr(), length).ok().map(|prefix| prefix.trunc())
        }
        IpNet::V6(prefix) => Some(prefix),
        IpNet::V4(_) => None,
    }
}

/// A domain name as our configuration takes it: with the dot at its end.
pub(super) fn name(text: &str) -> Option<String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let name: NameBuf = text.parse().ok()?;
    Some(name.as_name().to_string())
}

/// A number of octets with a unit of Unbound, BIND or Knot Resolver: k, m, g in powers of
/// 1024, with
/// or without a `b` behind them.
pub(super) fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A span in seconds: a number, or numbers with units as in `1d12h` or `PT30M`.
pub(super) fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let lower = text.trim().to_ascii_lowercase();
    let (mut rest, iso) = match lower.strip_prefix('p') {
        Some(rest) => (rest, true),
        None => (lower.as_str(), false),
    };
    let (mut total, mut in_time) = (0u64, false);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('t').filter(|_| iso && !in_time) {
            rest = time;
            in_time = true;
            continue;
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        // Parts of a second do not count.
        if let Some(after) = rest.strip_prefix("ms").or_else(|| rest.strip_prefix("us")) {
            rest = after;
            continue;
        }
        let unit = rest.chars().next()?;
        let factor = match unit {
            's' => 1,
            'm' if iso && !in_time => 2_592_000,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            'y' if iso => 31_536_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = rest.get(1..)?;
    }
    Some(total)
}

/// Every address.
pub(super) fn everybody() -> [IpNet; 2] {
    [IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())]
}

/// The list of a peer where the longest network decides, in our order, where the first one does.
/// Of two equal networks the one that `first_wins` says is kept.
pub(super) fn longest_first(mut list: List, first_wins: bool) -> List {
    if !first_wins {
        list.reverse();
    }
    let mut kept: List = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for entry in list {
        if seen.insert(entry.value.network) {
            kept.push(entry);
        }
    }
    kept.sort_by_key(|entry| std::cmp::Reverse(entry.value.network.prefix_len()));
    kept
}

/// Entries that one word at one place stands for.
pub(super) fn entries(networks: impl IntoIterator<Item = IpNet>, out: bool, origin: &str) -> List {
    let entry = |network| Sourced { value: Entry { network, out }, origin: origin.to_owned() };
    networks.into_iter().map(entry).collect()
}
