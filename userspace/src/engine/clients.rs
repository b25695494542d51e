//! What single clients may take: queries under way, and queries a second. Both tables have a fixed
//! size and constant cost; addresses that share a place share a fate, which bounds what an attacker
//! with many addresses can do to our memory, not to theirs.

use std::net::IpAddr;

use crate::policy::Limits;
use crate::time::Moment;

/// Places in each row of the count of queries under way, and buckets of the rate limit.
const PLACES: usize = 1 << 13;

/// Tokens are counted in thousandths, so that slow rates fill evenly.
const TOKEN: u64 = 1_000;

/// What the rate limit says of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rate {
    /// Answer it.
    Within,
    /// Answer with TC: a client whose address is misused can come back by TCP.
    Slip,
    /// Drop it.
    Over,
}

/// A token bucket of one client network.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Which network it is.
    tag: u32,
    /// Queries refused since the last slip.
    refused: u32,
    /// Tokens left, in thousandths of a query.
    tokens: u64,
    /// When they were counted.
    filled: Moment,
}

/// The load of each client.
#[derive(Debug)]
pub(super) struct ClientLoad {
    seed: u64,
    inflight_max: u32,
    /// Queries under way, in two rows with independent places: the lesser of the two is at least
    /// the truth and seldom more.
    inflight: [Vec<u32>; 2],
    rate: u64,
    burst: u64,
    slip: u32,
    buckets: Vec<Bucket>,
}

impl ClientLoad {
    /// Nobody has asked yet.
    pub(super) fn new(seed: u64, limits: &Limits) -> Self {
        let row = |wanted: bool| vec![0; if wanted { PLACES } else { 0 }];
        let counts = limits.inflight_per_client > 0;
        let burst = if limits.rate_burst > 0 { limits.rate_burst } else { limits.rate * 2 };
        Self {
            seed,
            inflight_max: limits.inflight_per_client,
            inflight: [row(counts), row(counts)],
            rate: u64::from(limits.rate),
            burst: u64::from(burst) * TOKEN,
            slip: limits.rate_slip,
            buckets: vec![Bucket::default(); if limits.rate > 0 { PLACES } else { 0 }],
        }
    }

    /// Gives what clients have used of their rates to the engine that takes their queries from now
    /// on, whose limits are the same. Queries under way stay counted here.
    pub(super) fn hand_over(&mut self, to: &mut Self) {
        std::mem::swap(&mut self.buckets, &mut to.buckets);
    }

    /// Counts a query that has to wait; false if the client has too many already.
    pub(super) fn enter(&mut self, client: IpAddr) -> bool {
        let [first, second] = self.places(client);
        let (Some(one), Some(two)) =
            (self.inflight[0].get(first).copied(), self.inflight[1].get(second).copied())
        else {
            return true;
        };
        if one.min(two) >= self.inflight_max {
            return false;
        }
        self.inflight[0][first] += 1;
        self.inflight[1][second] += 1;
        true
    }

    /// A query that had to wait is answered.
    pub(super) fn leave(&mut self, client: IpAddr) {
        let places = self.places(client);
        for (row, place) in self.inflight.iter_mut().zip(places) {
            if let Some(count) = row.get_mut(place) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// Counts a query against the rate of its network: an IPv4 address, or an IPv6 /56, which is
    /// what one customer has.
    pub(super) fn rate(&mut self, client: IpAddr, now: Moment) -> Rate {
        if self.buckets.is_empty() {
            return Rate::Within;
        }
        let network = match client {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 72) as u64 | 1 << 63,
        };
        let hash = dns64_ebpf::hash::mix_word(self.seed, network);
        let tag = (hash >> 32) as u32 | 1;
        let (rate, burst, slip) = (self.rate, self.burst, self.slip);
        let bucket = &mut self.buckets[hash as usize % PLACES];
        if bucket.tag != tag {
            *bucket = Bucket { tag, refused: 0, tokens: burst, filled: now };
        }
        let passed_us = now.as_micros().saturating_sub(bucket.filled.as_micros());
        // A thousandth of a query is TOKEN / 1000: rate queries a second are rate thousandths a ms.
        let filled = (passed_us / 1_000).saturating_mul(rate);
        if filled > 0 {
            bucket.tokens = bucket.tokens.saturating_add(filled).min(burst);
            bucket.filled = now;
        }
        if bucket.tokens >= TOKEN {
            bucket.tokens -= TOKEN;
            return Rate::Within;
        }
        bucket.refused = bucket.refused.wrapping_add(1);
        if slip > 0 && bucket.refused.is_multiple_of(slip) { Rate::Slip } else { Rate::Over }
    }

    fn places(&self, client: IpAddr) -> [usize; 2] {
        let words = match client {
            IpAddr::V4(address) => [u64::from(address.to_bits()), 4],
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                [(bits >> 64) as u64, bits as u64]
            }
        };
        let hash =
            words.iter().fold(self.seed, |hash, word| dns64_ebpf::hash::mix_word(hash, *word));
        let hash = dns64_ebpf::hash::finish(hash, 0);
        [hash as usize % PLACES, (hash >> 32) as usize % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, n])
    }

    #[test]
    fn a_client_has_at_most_its_share_under_way() {
        let limits = Limits { inflight_per_client: 2, ..Limits::default() };
        let mut load = ClientLoad::new(1, &limits);
        assert!(load.enter(client(1)) && load.enter(client(1)));
        assert!(!load.enter(client(1)));
        assert!(load.enter(client(2)), "others are not its concern");
        load.leave(client(1));
        assert!(load.enter(client(1)));
    }

    #[test]
    fn a_network_over_its_rate_is_slipped_then_fills_again() {
        let limits = Limits { rate: 10, rate_burst: 3, rate_slip: 2, ..Limits::default() };
        let mut load = ClientLoad::new(1, &limits);
        let now = Moment::from_millis(1_000);
        let verdicts: Vec<Rate> = (0..5).map(|_| load.rate(client(1), now)).collect();
        let within = Rate::Within;
        assert_eq!(verdicts, [within, within, within, Rate::Over, Rate::Slip]);
        assert_eq!(load.rate(client(2), now), within);
        assert_eq!(load.rate(client(1), Moment::from_millis(1_100)), within, "one in 100 ms");
        assert_eq!(load.rate(client(1), Moment::from_millis(1_100)), Rate::Over);
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let limits = Limits { inflight_per_client: 0, rate: 0, ..Limits::default() };
        let mut load = ClientLoad::new(1, &limits);
        for _ in 0..10_000 {
            assert!(load.enter(client(1)));
            assert_eq!(load.rate(client(1), Moment::START), Rate::Within);
        }
    }
}
