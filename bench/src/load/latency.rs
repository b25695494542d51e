//! Latencies in buckets: each power of two in 32 equal parts, so a percentile is right to 3 %.
#![forbid(unsafe_code)]

/// Parts of a power of two, as a power of two.
const PART_BITS: u32 = 5;
/// Buckets for all of `u32`: below 64 each value has its own.
const BUCKETS: usize = (33 - PART_BITS as usize) << PART_BITS;

/// How many latencies of which size there were, in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Counts by bucket.
    buckets: Box<[u64]>,
    /// How many.
    pub count: u64,
    /// The sum of all.
    sum: f64,
    /// The sum of all squares.
    squares: f64,
    /// The shortest; `u32::MAX` before the first.
    pub min_us: u32,
    /// The longest.
    pub max_us: u32,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS].into_boxed_slice(),
            count: 0,
            sum: 0.0,
            squares: 0.0,
            min_us: u32::MAX,
            max_us: 0,
        }
    }
}

impl Latencies {
    /// Counts one.
    pub fn add(&mut self, micros: u32) {
        self.buckets[bucket_of(micros)] += 1;
        self.count += 1;
        self.sum += f64::from(micros);
        self.squares += f64::from(micros) * f64::from(micros);
        self.min_us = self.min_us.min(micros);
        self.max_us = self.max_us.max(micros);
    }

    /// The mean; 0 if there are none.
    #[must_use]
    pub fn mean_us(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The standard deviation; 0 if there are none.
    #[must_use]
    pub fn deviation_us(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.mean_us();
        (self.squares / self.count as f64 - mean * mean).max(0.0).sqrt()
    }

    /// The latency that this share (0 to 1) of all do not exceed; 0 if there are none.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> u32 {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut below = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            below += count;
            if below >= rank {
                return top_of(bucket).min(self.max_us);
            }
        }
        0
    }
}

impl Latencies {
    /// The buckets that are not empty: the longest latency of each, and how many it has.
    pub fn buckets(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let buckets = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        buckets.map(|(bucket, count)| (top_of(bucket), *count))
    }
}

/// The bucket of a latency.
fn bucket_of(micros: u32) -> usize {
    let exponent = (micros | 1).ilog2().max(PART_BITS) - PART_BITS;
    ((exponent as usize) << PART_BITS) + (micros >> exponent) as usize
}

/// The longest latency of a bucket.
fn top_of(bucket: usize) -> u32 {
    let exponent = (bucket >> PART_BITS).saturating_sub(1);
    let part = (bucket - (exponent << PART_BITS)) as u64;
    u32::try_from(((part + 1) << exponent) - 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_no_wider_than_a_thirty_second() {
        let mut last = 0;
        for micros in (0..100_000).chain([u32::MAX - 1, u32::MAX]) {
            let bucket = bucket_of(micros);
            assert!(bucket >= last && bucket < BUCKETS);
            last = bucket;
            let top = top_of(bucket);
            assert!(top >= micros && top - micros <= micros / 32, "{micros} {top}");
        }
    }

    #[test]
    fn quantiles_and_moments_of_a_row() {
        let mut latencies = Latencies::default();
        for micros in 1..=60 {
            latencies.add(micros);
        }
        assert_eq!((latencies.min_us, latencies.max_us), (1, 60));
        assert_eq!(latencies.quantile_us(0.5), 30);
        assert_eq!(latencies.quantile_us(1.0), 60);
        assert!((latencies.mean_us() - 30.5).abs() < 1e-9);
        assert!((latencies.deviation_us() - 17.318).abs() < 1e-3);
        assert_eq!(Latencies::default().quantile_us(0.5), 0);
    }
}
