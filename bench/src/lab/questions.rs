//! What the workloads ask, as query files: names that say their own answer, the same ones for every
//! server of a turn.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::net::Ipv4Addr;

use dns64::pref64::{Pref64, WELL_KNOWN};

use crate::load::random::Random;
use crate::names::ReverseName;
use crate::results::Workload;

/// The first address: from here to 100.64.0.0 all are ordinary global ones, which even the
/// Well-Known Prefix may stand for (RFC 6052 3.1).
const FIRST_ADDRESS: u32 = u32::from_be_bytes([11, 0, 0, 0]);
/// Of the addresses, the first ones belong to the names that are drawn by popularity.
const FIRST_COLD: u32 = 1 << 26;
/// How many numbers there are for names that are asked once.
const COLD_NAMES: u32 = u32::from_be_bytes([100, 64, 0, 0]) - FIRST_ADDRESS - FIRST_COLD;
/// The NAT64 prefix of all servers.
const PREFIX: Pref64 = WELL_KNOWN;

/// Zipf's exponent: what is seen of names in real traffic is near 1.
const ZIPF_EXPONENT: f64 = 1.0;

/// Of 100 questions of the mix: AAAA of names with an A record only, AAAA of names with an AAAA
/// record, A, PTR. The rest asks for names that do not exist.
const MIX: [u64; 4] = [60, 20, 10, 5];

/// A file of questions that a run asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Questions {
    /// The file.
    pub text: String,
    /// How many there are.
    pub count: u32,
}

/// Makes questions. Different numbers have different names, so a name is cold if its number was
/// never used before.
#[derive(Debug)]
pub struct Questioner {
    /// The next number that was never used.
    next_cold: u32,
    /// How popular names are: the summed weights of the names up to each rank.
    popularity: Vec<f64>,
    /// What draws from them.
    seed: u64,
}

impl Questioner {
    /// Makes questions with so many names to draw from.
    #[must_use]
    pub fn new(drawn_names: u32, seed: u64) -> Self {
        let mut sum = 0.0;
        let weight = |rank: u32| f64::from(rank).powf(-ZIPF_EXPONENT);
        let popularity = (1..=drawn_names.clamp(1, FIRST_COLD))
            .map(|rank| {
                sum += weight(rank);
                sum
            })
            .collect();
        Self { next_cold: 0, popularity, seed }
    }

    /// Questions for names that were never asked for: AAAA, or PTR of addresses under the prefix.
    pub fn new_names(&mut self, workload: Workload, count: u32) -> Questions {
        let mut questions = Questions::default();
        for _ in 0..count {
            let number = FIRST_COLD + self.next_cold;
            // After a thousand million names the first have long been forgotten.
            self.next_cold = (self.next_cold + 1) % COLD_NAMES;
            let address = Ipv4Addr::from(FIRST_ADDRESS + number);
            questions
                .push(if workload == Workload::Ptr { Kind::Ptr } else { Kind::Mapped }, address);
        }
        questions
    }

    /// Questions drawn by popularity. The same turn draws the same questions.
    #[must_use]
    pub fn drawn(&self, workload: Workload, turn: u64, count: u32) -> Questions {
        let mut random = Random::new(self.seed, turn);
        let mut questions = Questions::default();
        let total = self.popularity.last().copied().unwrap_or(1.0);
        for _ in 0..count {
            let weight = random.unit() * total;
            let rank = self.popularity.partition_point(|sum| *sum <= weight);
            let address = Ipv4Addr::from(FIRST_ADDRESS + rank as u32);
            let kind =
                if workload == Workload::Mixed { Kind::drawn(&mut random) } else { Kind::Mapped };
            questions.push(kind, address);
        }
        questions
    }
}

/// What a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// AAAA of a name with an A record only.
    Mapped,
    /// AAAA of a name with an AAAA record.
    Native,
    /// A.
    A,
    /// PTR of an address under the prefix.
    Ptr,
    /// AAAA of a name that does not exist.
    Absent,
}

impl Kind {
    /// One of the mix.
    fn drawn(random: &mut Random) -> Self {
        let mut left = random.below(100);
        for (kind, share) in [Self::Mapped, Self::Native, Self::A, Self::Ptr].into_iter().zip(MIX) {
            if left < share {
                return kind;
            }
            left -= share;
        }
        Self::Absent
    }
}

impl Questions {
    /// Appends a question. Negative answers, which say that there is no AAAA record, live as long
    /// as the A records do: longer than the names are used.
    fn push(&mut self, kind: Kind, address: Ipv4Addr) {
        let [w, x, y, z] = address.octets();
        let bits = address.to_bits();
        let text = &mut self.text;
        let written = match kind {
            Kind::Mapped => writeln!(text, "a-{w}-{x}-{y}-{z}--neg900.v4.test AAAA"),
            Kind::Native => writeln!(text, "q-20010db8{bits:024x}.v4.test AAAA"),
            Kind::A => writeln!(text, "a-{w}-{x}-{y}-{z}--neg900.v4.test A"),
            Kind::Ptr => writeln!(text, "{} PTR", ReverseName(PREFIX.embed(address))),
            Kind::Absent => writeln!(text, "a-{w}-{x}-{y}-{z}--neg900--nx.v4.test AAAA"),
        };
        // A string takes everything.
        debug_assert!(written.is_ok());
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn new_names_are_new_and_no_drawn_ones() {
        let mut questioner = Questioner::new(1_000, 1);
        let mut seen = HashSet::new();
        let drawn = questioner.drawn(Workload::Zipf, 0, 10_000);
        seen.extend(drawn.text.lines().map(str::to_owned));
        let drawn = seen.len();
        for workload in [Workload::Cold, Workload::Hit, Workload::Ptr] {
            let questions = questioner.new_names(workload, 100);
            assert_eq!(questions.count, 100);
            seen.extend(questions.text.lines().map(str::to_owned));
        }
        assert_eq!(seen.len(), drawn + 300);
    }

    #[test]
    fn popular_names_are_drawn_more_often_and_turns_repeat() {
        let questioner = Questioner::new(1_000, 1);
        let drawn = questioner.drawn(Workload::Zipf, 3, 100_000);
        assert_eq!(drawn, questioner.drawn(Workload::Zipf, 3, 100_000));
        assert_ne!(drawn, questioner.drawn(Workload::Zipf, 4, 100_000));
        let mut counts = HashMap::new();
        for line in drawn.text.lines() {
            *counts.entry(line).or_insert(0) += 1;
        }
        // The sum of 1/n up to 1,000 is 7.485: the first name gets 13.4 %, the second half of it.
        let share = |line: &str| f64::from(counts[line]) / 1_000.0;
        assert!((12.9..13.9).contains(&share("a-11-0-0-0--neg900.v4.test AAAA")));
        assert!((6.3..7.1).contains(&share("a-11-0-0-1--neg900.v4.test AAAA")));
    }

    #[test]
    fn the_mix_has_its_parts() {
        let drawn = Questioner::new(1_000, 1).drawn(Workload::Mixed, 0, 10_000);
        let share = |part: &str| drawn.text.lines().filter(|line| line.contains(part)).count();
        assert!((1_900..2_100).contains(&share("q-")));
        assert!((430..570).contains(&share(" PTR")));
        assert!((430..570).contains(&share("--nx.")));
        let only_a = drawn.text.lines().filter(|line| line.ends_with(" A")).count();
        assert!((900..1_100).contains(&only_a));
    }
}
