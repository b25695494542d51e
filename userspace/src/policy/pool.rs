//! NAT64 gateways that share the clients of a view: which of them a client has.
//!
//! A client's network (by default IPv6 /64, IPv4 /32) is hashed to one of [`SLOTS`] places, and
//! each place has the gateway with the highest random weight (rendezvous hashing: Thaler and
//! Ravishankar, "Using name-based mappings to increase hit rates", 1998; with the weights of
//! Schindelhauer and Schomaker, 2005). So a client keeps its gateway as long as that serves; if one
//! fails, only its clients move, to the others by their weights, and when it comes back the same
//! clients return. The hash depends on the prefix of a gateway and not on its place in the list or
//! on the start of the program: several servers with the same pool say the same.
//!
//! The places are computed when the set of serving gateways changes; a query costs one hash and one
//! octet read.

use std::net::IpAddr;

use super::mask::PrefixMask;
use crate::limits::PREFIXES_MAX;
use crate::pref64::Pref64;

/// Places that clients are hashed to.
pub const SLOTS: usize = 4_096;

/// A pool, by its place in [`Policy::pools`](super::Policy::pools).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolId(pub u16);

/// A gateway of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The prefix that leads through it.
    pub pref64: Pref64,
    /// Its share of the clients beside those of the others; 1 to 1000.
    pub weight: u32,
}

/// A `[[pool]]`, already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Its name: unique.
    pub name: String,
    /// The gateways in the order of the configuration: 1 to [`PREFIXES_MAX`], each prefix once.
    pub gateways: Vec<Gateway>,
    /// Bits of an IPv4 client's address that decide; 0 to 32.
    pub affinity_ipv4: u8,
    /// Bits of an IPv6 client's address that decide; 0 to 128.
    pub affinity_ipv6: u8,
    /// Synthesized answers live at most so many seconds.
    pub ttl_max_secs: u32,
}

/// Which gateway each client has, as long as the same gateways serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTable {
    mask_ipv4: u32,
    mask_ipv6: u128,
    /// The gateway of each place.
    slots: Box<[u8; SLOTS]>,
}

impl PoolTable {
    /// The table while these gateways serve. If none does, all do: answers that may not work are
    /// better than answers that cannot.
    ///
    /// # Panics
    /// If the pool has no gateway or more than [`PREFIXES_MAX`]: the configuration is checked.
    #[must_use]
    pub fn new(pool: &PoolSettings, serving: PrefixMask) -> Self {
        let count = pool.gateways.len();
        assert!((1..=PREFIXES_MAX).contains(&count), "the configuration counts the gateways");
        let all = PrefixMask::of(0..count);
        let serving = if (serving & all).is_empty() { all } else { serving & all };
        let seeds: Vec<(usize, u64, f64)> = serving
            .indices()
            .map(|index| {
                let gateway = &pool.gateways[index];
                let network = gateway.pref64.network();
                let bits = network.network().to_bits();
                let seed = mix(mix(bits as u64) ^ (bits >> 64) as u64);
                (index, mix(seed ^ u64::from(network.prefix_len())), f64::from(gateway.weight))
            })
            .collect();
        let mut slots = Box::new([0; SLOTS]);
        for (place, slot) in slots.iter_mut().enumerate() {
            let score = |&(index, seed, weight): &(usize, u64, f64)| {
                // Uniform in (0, 1), so that -weight / ln is the score of weighted rendezvous.
                let random = ((mix(seed ^ place as u64) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
                (index, -weight / random.ln())
            };
            let best = seeds.iter().map(score).max_by(|one, other| one.1.total_cmp(&other.1));
            *slot = best.map_or(0, |(index, _)| index as u8);
        }
        Self {
            mask_ipv4: u32::MAX.checked_shl(32 - u32::from(pool.affinity_ipv4)).unwrap_or(0),
            mask_ipv6: u128::MAX.checked_shl(128 - u32::from(pool.affinity_ipv6)).unwrap_or(0),
            slots,
        }
    }

    /// The gateway of a client: always exactly one.
    #[inline]
    #[must_use]
    pub fn gateway(&self, client: IpAddr) -> PrefixMask {
        let bits = match client.to_canonical() {
            // Apart from every IPv6 address: nobody has one in ::ffff:0:0/96.
            IpAddr::V4(address) => 0xffff << 32 | u128::from(address.to_bits() & self.mask_ipv4),
            IpAddr::V6(address) => address.to_bits() & self.mask_ipv6,
        };
        let hash = mix(mix(bits as u64) ^ (bits >> 64) as u64);
        PrefixMask(1 << self.slots[hash as usize % SLOTS])
    }
}

/// Mixes the bits of a word so that each depends on all (the finalizer of SplitMix64, Steele, Lea
/// and Flood, 2014).
#[inline]
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::pref64::UOctet;

    /// A pool of gateways with these weights.
    fn pool(weights: &[u32]) -> PoolSettings {
        let gateway = |(index, weight): (usize, &u32)| {
            let prefix = format!("2001:db8:{:x}::/96", index + 1).parse().unwrap();
            let pref64 = Pref64::new(prefix, Ipv6Addr::UNSPECIFIED, UOctet::Zero).unwrap();
            Gateway { pref64, weight: *weight }
        };
        PoolSettings {
            name: "pool".to_owned(),
            gateways: weights.iter().enumerate().map(gateway).collect(),
            affinity_ipv4: 32,
            affinity_ipv6: 64,
            ttl_max_secs: 60,
        }
    }

    /// The prefix that a client has.
    fn prefix(pool: &PoolSettings, serving: PrefixMask, client: IpAddr) -> Pref64 {
        let mask = PoolTable::new(pool, serving).gateway(client);
        assert_eq!(mask.len(), 1);
        pool.gateways[mask.indices().next().unwrap()].pref64
    }

    fn clients() -> impl Iterator<Item = IpAddr> {
        (0..4_000u128).map(|n| IpAddr::V6(Ipv6Addr::from(0x2001_0db8_u128 << 96 | n << 64)))
    }

    #[test]
    fn gateways_have_clients_by_their_weights() {
        let table = PoolTable::new(&pool(&[1, 2, 5]), PrefixMask(0b111));
        let mut counts = [0u32; 3];
        for client in clients() {
            counts[table.gateway(client).indices().next().unwrap()] += 1;
        }
        for (count, wanted) in counts.into_iter().zip([500, 1_000, 2_500]) {
            assert!(count.abs_diff(wanted) < wanted / 5 + 50, "{counts:?}");
        }
    }

    #[test]
    fn without_any_gateway_that_serves_all_count_as_serving() {
        let pool = pool(&[1, 1, 1]);
        let all = PoolTable::new(&pool, PrefixMask(0b111));
        assert_eq!(PoolTable::new(&pool, PrefixMask::EMPTY), all);
    }

    #[test]
    fn clients_of_one_network_have_one_gateway() {
        let mut pool = pool(&[1, 1, 1, 1]);
        pool.affinity_ipv6 = 56;
        pool.affinity_ipv4 = 24;
        let table = PoolTable::new(&pool, PrefixMask(0b1111));
        for net in 0..64u128 {
            let base = 0x2001_0db8_u128 << 96 | net << 72;
            let first = table.gateway(IpAddr::V6(Ipv6Addr::from(base)));
            let last = base | ((1 << 72) - 1);
            assert_eq!(table.gateway(IpAddr::V6(Ipv6Addr::from(last))), first);
            let v4 = |host| table.gateway(IpAddr::V4(Ipv4Addr::new(10, 0, net as u8, host)));
            assert_eq!(v4(0), v4(255));
            let mapped = Ipv4Addr::new(10, 0, net as u8, 7).to_ipv6_mapped();
            assert_eq!(table.gateway(IpAddr::V6(mapped)), v4(7));
        }
    }

    proptest! {
        #[test]
        fn only_the_clients_of_a_gateway_that_fails_move_and_they_come_back(
            weights in prop::collection::vec(1u32..=1_000, 2..8),
            serving in 1u32..256,
            failed in 0usize..8,
            clients in prop::collection::vec(any::<u128>(), 1..50),
        ) {
            let pool = pool(&weights);
            let all = PrefixMask::of(0..weights.len());
            let serving = PrefixMask(serving) & all;
            let failed = PrefixMask::of([failed % weights.len()]);
            let rest = serving.without(failed);
            prop_assume!(!serving.is_empty() && !rest.is_empty());
            let (before, after) = (PoolTable::new(&pool, serving), PoolTable::new(&pool, rest));
            prop_assert!(PoolTable::new(&pool, serving) == before, "they come back");
            for client in clients {
                let client = IpAddr::V6(Ipv6Addr::from(client));
                let had = before.gateway(client);
                prop_assert_eq!(had.len(), 1);
                prop_assert!((had & serving) == had);
                if (had & failed).is_empty() {
                    prop_assert_eq!(after.gateway(client), had);
                } else {
                    prop_assert!((after.gateway(client) & failed).is_empty());
                }
            }
        }

        #[test]
        fn the_order_of_the_configuration_moves_nobody(
            weights in prop::collection::vec(1u32..=10, 2..6),
            client in any::<u128>(),
        ) {
            let forth = pool(&weights);
            let mut back = forth.clone();
            back.gateways.reverse();
            let all = PrefixMask::of(0..weights.len());
            let client = IpAddr::V6(Ipv6Addr::from(client));
            prop_assert_eq!(prefix(&forth, all, client), prefix(&back, all, client));
        }
    }
}
