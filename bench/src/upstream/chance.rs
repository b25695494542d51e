//! What becomes of an answer: lost, or sent after so long. Drawn from a seed, so that the same
//! questions in the same order meet with the same fate.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::Options;
use super::script::Delivery;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Lost,
    /// It leaves after this time, which is often zero.
    After(Duration),
}

/// Draws the fate of answers.
#[derive(Clone, Debug)]
pub struct Chance {
    /// Where the numbers come from.
    random: SplitMix64,
    /// Per cent of answers lost to names that say none.
    loss_percent: u8,
    /// Microseconds of the shortest delay of answers to names that say none.
    delay_us: u64,
    /// By how many microseconds that delay may be longer.
    jitter_us: u64,
}

impl Chance {
    /// The numbers of this seed, for what the options say of all names.
    #[must_use]
    pub fn new(seed: u64, options: &Options) -> Self {
        Self {
            random: SplitMix64(seed),
            loss_percent: options.loss_percent,
            delay_us: u64::from(options.delay_ms) * 1_000,
            jitter_us: u64::from(options.jitter_ms) * 1_000,
        }
    }

    /// The fate of the next answer over UDP. What a name says goes before what is said of all.
    pub fn draw(&mut self, delivery: &Delivery) -> Fate {
        let loss_percent = delivery.loss_percent.unwrap_or(self.loss_percent);
        if loss_percent > 0 && self.random.below(100) < u64::from(loss_percent) {
            return Fate::Lost;
        }
        Fate::After(self.delay(delivery))
    }

    /// The delay of the next answer, over a carrier that loses none.
    pub fn delay(&mut self, delivery: &Delivery) -> Duration {
        let micros = match delivery.delay_ms {
            Some(delay_ms) => u64::from(delay_ms) * 1_000,
            None if self.jitter_us == 0 => self.delay_us,
            None => self.delay_us + self.random.below(self.jitter_us + 1),
        };
        Duration::from_micros(micros)
    }
}

/// Steele, Lea and Flood's generator: a step is an addition and two multiplications.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    /// A number below this one, which is not 0.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The high word of a product maps the range evenly, to within one part in 2^64 / end.
        ((u128::from(mixed) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names that say nothing, some that say something, in a fixed order.
    fn fates(seed: u64, options: &Options) -> Vec<Fate> {
        let mut chance = Chance::new(seed, options);
        let said = [
            Delivery::default(),
            Delivery { delay_ms: Some(7), ..Delivery::default() },
            Delivery { loss_percent: Some(50), ..Delivery::default() },
        ];
        (0..9_000).map(|number| chance.draw(&said[number % said.len()])).collect()
    }

    #[test]
    fn the_same_seed_and_questions_have_the_same_losses_and_delays() {
        let options =
            Options { delay_ms: 10, jitter_ms: 40, loss_percent: 20, ..Options::default() };
        assert_eq!(fates(1, &options), fates(1, &options));
        assert_ne!(fates(1, &options), fates(2, &options));
    }

    #[test]
    fn delays_fill_their_range_and_losses_have_their_share() {
        let options =
            Options { delay_ms: 10, jitter_ms: 40, loss_percent: 20, ..Options::default() };
        let fates = fates(3, &options);
        let of = |kind: usize| fates.iter().skip(kind).step_by(3);
        let lost = |kind| of(kind).filter(|fate| **fate == Fate::Lost).count();
        assert!((500..700).contains(&lost(0)), "20 % of 3,000: {}", lost(0));
        assert!((1_400..1_600).contains(&lost(2)), "50 % of 3,000: {}", lost(2));
        let delays: Vec<u128> = of(0)
            .filter_map(|fate| match fate {
                Fate::After(delay) => Some(delay.as_micros()),
                Fate::Lost => None,
            })
            .collect();
        let (shortest, longest) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!((10_000..10_500).contains(shortest) && (49_500..=50_000).contains(longest));
        let mean = delays.iter().sum::<u128>() / delays.len() as u128;
        assert!((29_000..31_000).contains(&mean), "{mean}");
    }

    #[test]
    fn what_a_name_says_goes_before_what_is_said_of_all() {
        let options = Options { delay_ms: 10, loss_percent: 100, ..Options::default() };
        let mut chance = Chance::new(0, &options);
        let says = Delivery { delay_ms: Some(0), loss_percent: Some(0), junk: false };
        assert_eq!(chance.draw(&says), Fate::After(Duration::ZERO));
        assert_eq!(chance.draw(&Delivery::default()), Fate::Lost);
        assert_eq!(chance.delay(&Delivery::default()), Duration::from_millis(10));
    }
}
