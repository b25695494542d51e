//! Random numbers that a seed repeats.
#![forbid(unsafe_code)]

/// Steele, Lea and Flood's generator (SplitMix64): a step is an addition and two multiplications.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator; different streams of one seed have nothing to do with each other.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed);
        let base = random.next_u64();
        Self(base ^ Self(stream).next_u64())
    }

    /// 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below this one, which is not 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high word of a product maps the range evenly, to within one part in 2^64 / end.
        ((u128::from(self.next_u64()) * u128::from(end)) >> 64) as u64
    }

    /// A number from 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An exponentially distributed number of mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// True with this probability in per cent.
    pub fn percent(&mut self, percent: f64) -> bool {
        self.unit() * 100.0 < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_their_range_and_spread_evenly() {
        let mut random = Random::new(1, 2);
        let mut counts = [0; 10];
        for _ in 0..100_000 {
            counts[random.below(10) as usize] += 1;
            assert!((0.0..1.0).contains(&random.unit()));
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn shares_are_kept_and_none_and_all_are_exact() {
        let mut random = Random::new(3, 0);
        let mut count = |percent| (0..10_000).filter(|_| random.percent(percent)).count();
        assert_eq!([count(0.0), count(100.0)], [0, 10_000]);
        assert!((2_300..2_700).contains(&count(25.0)));
    }
}
