//! Lists of networks as BIND writes them: the first entry that covers an address decides, `!` in
//! front of an entry turns its answer round, and an address that no entry covers is not in the
//! list.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::range::{RangePainter, RangeTable};

/// One entry: a network, or all but a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListEntry {
    /// The addresses the entry decides about.
    pub network: IpNet,
    /// What it decides.
    pub verdict: Verdict,
}

/// What an entry says of the addresses it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// They are in the list.
    In,
    /// They are not: the entry was written with `!`.
    Out,
}

/// A list of networks, first match wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressList {
    /// In the order of evaluation.
    entries: Vec<ListEntry>,
}

impl AddressList {
    /// The list of these entries.
    #[must_use]
    pub const fn new(entries: Vec<ListEntry>) -> Self {
        Self { entries }
    }

    /// The list that has every address: what an absent list means.
    #[must_use]
    pub fn any() -> Self {
        Self::of([IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())])
    }

    /// The list that has these networks.
    #[must_use]
    pub fn of(networks: impl IntoIterator<Item = IpNet>) -> Self {
        let entry = |network| ListEntry { network, verdict: Verdict::In };
        Self { entries: networks.into_iter().map(entry).collect() }
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[ListEntry] {
        &self.entries
    }

    /// Whether the list has the address: the slow way, entry by entry. It says what the flat tables
    /// must say, and is used at load only.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        let entry = self.entries.iter().find(|entry| entry.network.contains(&address));
        entry.is_some_and(|entry| entry.verdict == Verdict::In)
    }

    /// The IPv4 half of the list as a table.
    #[must_use]
    pub fn flatten_v4(&self) -> RangeTable<u32, bool> {
        let mut painter = RangePainter::new(false);
        // The first match wins, so the first entry is painted last.
        for entry in self.entries.iter().rev() {
            if let IpNet::V4(network) = entry.network {
                let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
                painter.paint(first, last, entry.verdict == Verdict::In);
            }
        }
        painter.finish()
    }

    /// The IPv6 half of the list as a table.
    #[must_use]
    pub fn flatten_v6(&self) -> RangeTable<u128, bool> {
        let mut painter = RangePainter::new(false);
        for entry in self.entries.iter().rev() {
            if let IpNet::V6(network) = entry.network {
                let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
                painter.paint(first, last, entry.verdict == Verdict::In);
            }
        }
        painter.finish()
    }
}

impl fmt::Display for ListEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verdict {
            Verdict::In => self.network.fmt(f),
            Verdict::Out => write!(f, "!{}", self.network),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    /// A list as written in a configuration, for tests of the whole module.
    fn list(entries: &[&str]) -> AddressList {
        let entry = |text: &&str| match text.strip_prefix('!') {
            Some(network) => ListEntry { network: network.parse().unwrap(), verdict: Verdict::Out },
            None => ListEntry { network: text.parse().unwrap(), verdict: Verdict::In },
        };
        AddressList::new(entries.iter().map(entry).collect())
    }

    fn v4(text: &str) -> u32 {
        text.parse::<Ipv4Addr>().unwrap().to_bits()
    }

    #[test]
    fn the_first_entry_that_covers_an_address_decides() {
        let list = list(&["10.9.0.0/16", "!10.0.0.0/8", "0.0.0.0/0"]).flatten_v4();
        assert!(list.lookup(v4("10.9.1.1")));
        assert!(!list.lookup(v4("10.8.1.1")));
        assert!(list.lookup(v4("11.0.0.0")));
    }

    #[test]
    fn an_address_that_no_entry_covers_is_not_in_the_list() {
        let list = list(&["!10.0.0.0/8"]).flatten_v4();
        assert!(!list.lookup(v4("10.0.0.1")));
        assert!(!list.lookup(v4("192.0.2.1")));
    }

    #[test]
    fn a_later_entry_cannot_take_back_an_earlier_one() {
        let list = list(&["0.0.0.0/0", "!10.0.0.0/8"]).flatten_v4();
        assert!(list.lookup(v4("10.0.0.1")));
    }

    #[test]
    fn an_ipv6_entry_says_nothing_of_ipv4() {
        let list = list(&["::/0"]);
        assert_eq!(list.flatten_v4().sole_value(), Some(false));
        assert_eq!(list.flatten_v6().sole_value(), Some(true));
    }

    #[test]
    fn any_has_every_address_and_an_empty_list_none() {
        assert_eq!(AddressList::any().flatten_v4().sole_value(), Some(true));
        assert_eq!(AddressList::any().flatten_v6().sole_value(), Some(true));
        assert_eq!(AddressList::default().flatten_v6().sole_value(), Some(false));
    }

    /// Networks that nest: few distinct leading bits, every length.
    fn entry() -> impl Strategy<Value = ListEntry> {
        let octet = || prop_oneof![Just(0u8), Just(10), Just(255)];
        let verdict = prop_oneof![Just(Verdict::In), Just(Verdict::Out)];
        let v4 = (octet(), octet(), octet(), 0u8..=32).prop_map(|(a, b, c, bits)| {
            IpNet::V4(Ipv4Net::new(Ipv4Addr::new(a, b, c, a), bits).unwrap().trunc())
        });
        let v6 = (octet(), octet(), octet(), 0u8..=128).prop_map(|(a, b, c, bits)| {
            let address = u128::from_be_bytes([a, b, c, a, b, c, a, b, c, a, b, c, a, b, c, a]);
            IpNet::V6(Ipv6Net::new(Ipv6Addr::from_bits(address), bits).unwrap().trunc())
        });
        (prop_oneof![v4, v6], verdict).prop_map(|(network, verdict)| ListEntry { network, verdict })
    }

    proptest! {
        #[test]
        fn a_flattened_list_answers_as_the_list(
            entries in proptest::collection::vec(entry(), 0..16),
            probe_v4 in any::<u32>(),
            probe_v6 in any::<u128>(),
        ) {
            let list = AddressList::new(entries);
            let (flat_v4, flat_v6) = (list.flatten_v4(), list.flatten_v6());
            let (mut keys_v4, mut keys_v6) = (vec![probe_v4], vec![probe_v6]);
            for entry in list.entries() {
                match entry.network {
                    IpNet::V4(network) => {
                        let first = network.network().to_bits();
                        let last = network.broadcast().to_bits();
                        keys_v4.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1)]);
                    }
                    IpNet::V6(network) => {
                        let first = network.network().to_bits();
                        let last = network.broadcast().to_bits();
                        keys_v6.extend([first, last, first.wrapping_sub(1), last.wrapping_add(1)]);
                    }
                }
            }
            for key in keys_v4 {
                let address = IpAddr::V4(Ipv4Addr::from_bits(key));
                prop_assert_eq!(flat_v4.lookup(key), list.has(address), "{}", address);
            }
            for key in keys_v6 {
                let address = IpAddr::V6(Ipv6Addr::from_bits(key));
                prop_assert_eq!(flat_v6.lookup(key), list.has(address), "{}", address);
            }
        }
    }
}
