//! The fewest entries of a table by longest prefix that say the same.
//!
//! A trie in the kernel is walked one entry after the other: with a network for every part of the
//! address space that has a class of its own, a client of a /64 is found behind 64 others. Where
//! the rest of the world is one entry of no bits, it is found behind that one. The way to the
//! fewest is that of Draves, King, Venkatachary and Zill (Constructing Optimal IP Routing Tables,
//! INFOCOM 1999): from the leaves up, which classes a part could have without more entries than
//! with any other; from the root down, one of them.
#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The most classes that are told apart here: as many as a set of them has bits.
const CLASSES_MAX: usize = u64::BITS as usize;

/// A network: its address with the highest bit first, and its class by number.
type Part = (u128, u8);

/// The fewest entries whose longest match is, for every address, the class that its network has
/// here. The networks are in the order of their addresses, IPv4 first, and leave out nothing of a
/// family. With more than 64 classes they come back as they are.
pub(crate) fn compact<C: Copy + PartialEq>(networks: &[(IpNet, C)]) -> Vec<(IpNet, C)> {
    let mut classes = Vec::new();
    let mut parts: [Vec<Part>; 2] = [Vec::new(), Vec::new()];
    for (network, class) in networks {
        let number = classes.iter().position(|known| known == class).unwrap_or_else(|| {
            classes.push(*class);
            classes.len() - 1
        });
        if number >= CLASSES_MAX {
            return networks.to_vec();
        }
        match network {
            IpNet::V4(v4) => {
                parts[0].push((u128::from(v4.network().to_bits()) << 96, number as u8))
            }
            IpNet::V6(v6) => parts[1].push((v6.network().to_bits(), number as u8)),
        }
    }
    let [v4, v6] = parts.map(|parts| entries(&parts));
    let v4 = v4.into_iter().filter_map(|(address, bits, class)| {
        let network = Ipv4Net::new(Ipv4Addr::from_bits((address >> 96) as u32), bits).ok()?;
        Some((network.into(), classes[usize::from(class)]))
    });
    let v6 = v6.into_iter().filter_map(|(address, bits, class)| {
        let network = Ipv6Net::new(Ipv6Addr::from_bits(address), bits).ok()?;
        Some((network.into(), classes[usize::from(class)]))
    });
    v4.chain(v6).collect()
}

/// The entries of one family: address, bits, class.
fn entries(parts: &[Part]) -> Vec<(u128, u8, u8)> {
    let mut chooser = Chooser { sets: Vec::new(), next: 0, chosen: Vec::new() };
    if !parts.is_empty() {
        chooser.gather(parts, 0);
        chooser.choose(parts, 0, None);
    }
    chooser.chosen
}

/// The two passes over the tree of all networks.
struct Chooser {
    /// For each node, in the order in which they are come to: the classes that it could have.
    sets: Vec<u64>,
    /// The next node of the second pass.
    next: usize,
    /// What has been chosen.
    chosen: Vec<(u128, u8, u8)>,
}

impl Chooser {
    /// Which classes the network of so many bits that consists of these parts could have.
    fn gather(&mut self, parts: &[Part], bits: u8) -> u64 {
        let place = self.sets.len();
        self.sets.push(0);
        let set = match halves(parts, bits) {
            None => 1 << parts[0].1,
            Some((left, right)) => {
                let (left, right) = (self.gather(left, bits + 1), self.gather(right, bits + 1));
                if left & right != 0 { left & right } else { left | right }
            }
        };
        self.sets[place] = set;
        set
    }

    /// Gives the network a class: that of the network around it, if it can be.
    fn choose(&mut self, parts: &[Part], bits: u8, around: Option<u8>) {
        let set = self.sets[self.next];
        self.next += 1;
        let class = around.filter(|class| set & 1 << class != 0).unwrap_or_else(|| {
            let class = set.trailing_zeros() as u8;
            self.chosen.push((parts[0].0, bits, class));
            class
        });
        if let Some((left, right)) = halves(parts, bits) {
            self.choose(left, bits + 1, Some(class));
            self.choose(right, bits + 1, Some(class));
        }
    }
}

/// The parts of the two halves of a network of so many bits; `None` if it is a part itself.
fn halves(parts: &[Part], bits: u8) -> Option<(&[Part], &[Part])> {
    if parts.len() < 2 {
        return None;
    }
    let middle = parts[0].0 | 1 << (127 - u32::from(bits));
    Some(parts.split_at(parts.partition_point(|(address, _)| *address < middle)))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    /// The class of an address, by the longest prefix.
    fn class_of(entries: &[(IpNet, u8)], address: IpAddr) -> Option<u8> {
        let matching = entries.iter().filter(|(network, _)| network.contains(&address));
        matching.max_by_key(|(network, _)| network.prefix_len()).map(|(_, class)| *class)
    }

    /// Both families whole, with these networks of a class of their own; of two that overlap the
    /// first counts.
    fn whole(own: &[(&str, u8)]) -> Vec<(IpNet, u8)> {
        let own: Vec<(IpNet, u8)> =
            own.iter().map(|(network, class)| (network.parse().unwrap(), *class)).collect();
        let mut all = Vec::new();
        let mut open: Vec<IpNet> = vec!["::/0".parse().unwrap(), "0.0.0.0/0".parse().unwrap()];
        while let Some(network) = open.pop() {
            let within = own.iter().find(|(other, _)| other.contains(&network));
            let divides = own.iter().any(|(other, _)| network.contains(other));
            match within {
                Some((_, class)) => all.push((network, *class)),
                None if divides => {
                    let bits = network.prefix_len() + 1;
                    let mut halves: Vec<IpNet> = network.subnets(bits).unwrap().collect();
                    halves.reverse();
                    open.extend(halves);
                }
                None => all.push((network, 0)),
            }
        }
        all
    }

    #[test]
    fn one_network_and_the_rest_of_the_world_are_two_entries() {
        let networks = whole(&[("2001:db8:1::/64", 1)]);
        assert!(networks.len() > 60);
        let entries = compact(&networks);
        assert_eq!(entries.len(), 3, "{entries:?}");
        assert_eq!(class_of(&entries, "2001:db8:1::7".parse().unwrap()), Some(1));
        assert_eq!(class_of(&entries, "2001:db8:2::7".parse().unwrap()), Some(0));
        assert_eq!(class_of(&entries, "192.0.2.1".parse().unwrap()), Some(0));
    }

    #[test]
    fn every_address_keeps_its_class() {
        let networks = whole(&[
            ("10.1.2.0/24", 3),
            ("10.1.0.0/16", 2),
            ("10.0.0.0/8", 1),
            ("192.0.2.128/25", 0),
            ("192.0.2.0/24", 1),
            ("198.51.100.7/32", 2),
            ("2001:db8:1:2::/64", 3),
            ("2001:db8:1::/48", 0),
            ("2001:db8::/32", 2),
            ("::1/128", 1),
            ("ff00::/8", 3),
        ]);
        let entries = compact(&networks);
        assert!(entries.len() <= 16, "{entries:?}");
        for (network, class) in &networks {
            for address in [network.network(), network.broadcast()] {
                assert_eq!(class_of(&entries, address), Some(*class), "{address}");
            }
        }
    }

    #[test]
    fn more_classes_than_a_set_has_bits_stay_as_they_are() {
        let networks: Vec<(IpNet, u8)> = Ipv4Net::new(Ipv4Addr::UNSPECIFIED, 0)
            .unwrap()
            .subnets(7)
            .unwrap()
            .zip(0..)
            .map(|(network, class)| (network.into(), class))
            .collect();
        assert_eq!(compact(&networks), networks);
        assert_eq!(compact::<u8>(&[]), []);
    }
}
