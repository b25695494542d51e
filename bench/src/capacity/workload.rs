//! What is asked for in a trial: a share of names that the server has in its cache, and a share of
//! names that have an AAAA record of their own.
//!
//! Names that are not to be cached are different in all trials of all runs, by a label of their
//! zone, and each is asked for once.
#![forbid(unsafe_code)]

use std::fmt::Write;

/// A place in the grid of RFC 8219 section 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Per cent of the questions whose answer is in the server's cache.
    pub cached_percent: u8,
    /// Per cent of the questions for names that have an AAAA record.
    pub aaaa_percent: u8,
}

impl Shares {
    /// Every pair of these shares. Where all is cached it does not matter which names have an AAAA
    /// record, so there is one pair.
    #[must_use]
    pub fn grid(cached_percents: &[u8], aaaa_percents: &[u8]) -> Vec<Self> {
        let pairs = cached_percents.iter().flat_map(|cached_percent| {
            aaaa_percents.iter().map(|aaaa_percent| Self {
                cached_percent: *cached_percent,
                aaaa_percent: if *cached_percent == 100 { 0 } else { *aaaa_percent },
            })
        });
        let mut grid = Vec::new();
        for shares in pairs {
            if !grid.contains(&shares) {
                grid.push(shares);
            }
        }
        grid
    }

    /// Questions that the server asks its upstream, for each of ours: two for a name without AAAA
    /// record, one for a name with one, none for a cached one.
    #[must_use]
    pub fn upstream_questions(self) -> f64 {
        let asked = 1.0 - f64::from(self.cached_percent) / 100.0;
        asked * (2.0 - f64::from(self.aaaa_percent) / 100.0)
    }
}

/// The first address of names: ordinary global ones, which even the Well-Known Prefix may stand for
/// (RFC 6052 3.1).
const FIRST_ADDRESS: u32 = u32::from_be_bytes([11, 0, 0, 0]);

/// How many names of a zone have an address like that.
pub const NAMES_MAX: u32 = u32::from_be_bytes([100, 64, 0, 0]) - FIRST_ADDRESS;

/// Writes one question, in the form of a query file. The TTLs are such that a cached name stays
/// cached through a whole search; those of other names are the same, so that all are of a length.
fn write_question(lines: &mut String, number: u32, has_aaaa: bool, zone: &str) {
    let number = number % NAMES_MAX;
    // Writing to a string cannot fail.
    let _written = if has_aaaa {
        writeln!(lines, "q-20010db8{number:024x}--ttl86400.{zone} AAAA")
    } else {
        let [w, x, y, z] = (FIRST_ADDRESS + number).to_be_bytes();
        writeln!(lines, "a-{w}-{x}-{y}-{z}--ttl86400--neg86400.{zone} AAAA")
    };
}

/// Says yes so many times in a hundred, as evenly as can be.
#[derive(Clone, Copy, Debug)]
struct Share {
    /// How many times in a hundred.
    percent: u8,
    /// Per cent that have not yet made a yes.
    rest: u8,
}

impl Share {
    /// The next answer.
    fn next(&mut self) -> bool {
        self.rest += self.percent;
        let yes = self.rest >= 100;
        if yes {
            self.rest -= 100;
        }
        yes
    }
}

/// Gives the questions of trials.
#[derive(Clone, Debug)]
pub struct Questions {
    /// Under what all zones are.
    zone: String,
    /// Different for each run.
    salt: u32,
    /// How many zones of uncached names were given.
    zones: u32,
    /// Names to be cached.
    cached_names: u32,
}

impl Questions {
    /// Questions under a zone. Runs with different salts ask for different names.
    #[must_use]
    pub fn new(zone: &str, salt: u32, cached_names: u32) -> Self {
        let zone = zone.trim_end_matches('.').to_owned();
        Self { zone, salt, zones: 0, cached_names: cached_names.clamp(1, NAMES_MAX) }
    }

    /// One for each name that is to be cached.
    #[must_use]
    pub fn to_be_cached(&self, shares: Shares) -> String {
        let zone = self.cached_zone(shares);
        let mut has_aaaa = Share { percent: shares.aaaa_percent, rest: 0 };
        let mut lines = String::new();
        for number in 0..self.cached_names {
            write_question(&mut lines, number, has_aaaa.next(), &zone);
        }
        lines
    }

    /// The questions of a trial, and the zone of those that are not cached.
    pub fn of_trial(&mut self, shares: Shares, count: u32) -> String {
        self.zones += 1;
        let zone = format!("n{:08x}-{}.{}", self.salt, self.zones, self.zone);
        let cached_zone = self.cached_zone(shares);
        let mut is_cached = Share { percent: shares.cached_percent, rest: 0 };
        let mut has_aaaa = Share { percent: shares.aaaa_percent, rest: 0 };
        // In step with those of `to_be_cached`, by starting anew with each round.
        let mut cached_has_aaaa = has_aaaa;
        let (mut cached, mut uncached) = (0, 0);
        let mut lines = String::with_capacity(count as usize * 64);
        for _ in 0..count {
            if is_cached.next() {
                let has_aaaa = cached_has_aaaa.next();
                write_question(&mut lines, cached, has_aaaa, &cached_zone);
                cached += 1;
                if cached == self.cached_names {
                    cached = 0;
                    cached_has_aaaa.rest = 0;
                }
            } else {
                write_question(&mut lines, uncached, has_aaaa.next(), &zone);
                uncached += 1;
            }
        }
        lines
    }

    /// The zone of cached names, one for each share of AAAA records.
    fn cached_zone(&self, shares: Shares) -> String {
        format!("c{:08x}-{}.{}", self.salt, shares.aaaa_percent, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::script::Script;
    use crate::wire::name_from_text;
    use std::collections::HashSet;

    fn shares(cached_percent: u8, aaaa_percent: u8) -> Shares {
        Shares { cached_percent, aaaa_percent }
    }

    #[test]
    fn a_trial_has_its_shares_and_no_name_of_another_trial() {
        let mut questions = Questions::new("v4.test.", 7, 50);
        let to_be_cached = questions.to_be_cached(shares(40, 20));
        let cached: HashSet<&str> = to_be_cached.lines().collect();
        assert_eq!(cached.len(), 50);
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let lines = questions.of_trial(shares(40, 20), 1_000);
            let (known, new): (Vec<&str>, Vec<&str>) =
                lines.lines().partition(|line| cached.contains(line));
            assert_eq!((known.len(), new.len()), (400, 600));
            let native = |lines: &[&str]| lines.iter().filter(|line| line.starts_with('q')).count();
            assert_eq!((native(&known), native(&new)), (80, 120));
            assert_eq!(known.iter().collect::<HashSet<_>>().len(), 50, "all cached names are used");
            assert!(new.iter().all(|line| seen.insert((*line).to_owned())), "a name comes twice");
        }
        let mut other_run = Questions::new("v4.test", 8, 50);
        let lines = other_run.of_trial(shares(40, 20), 1_000);
        assert!(lines.lines().all(|line| !seen.contains(line) && !cached.contains(line)));
    }

    #[test]
    fn every_name_says_its_own_answer() {
        let mut questions = Questions::new("v4.test", u32::MAX, 10);
        for line in questions.of_trial(shares(20, 60), 100).lines() {
            let (name, qtype) = line.split_once(' ').unwrap();
            let script = Script::of(&name_from_text(name).unwrap());
            let Script::Host(host) = script else { panic!("{name}") };
            assert_eq!(qtype, "AAAA");
            assert_eq!(host.a().len() + host.aaaa().len(), 1);
        }
    }

    #[test]
    fn the_grid_has_one_place_where_all_is_cached() {
        let percents = [0, 20, 40, 60, 80, 100];
        let grid = Shares::grid(&percents, &percents);
        assert_eq!(grid.len(), 31);
        assert_eq!(grid.iter().filter(|shares| shares.cached_percent == 100).count(), 1);
        assert_eq!(Shares::grid(&[0, 0], &[0]), [shares(0, 0)]);
    }

    #[test]
    fn the_upstream_is_asked_twice_once_or_never() {
        assert_eq!(shares(0, 0).upstream_questions(), 2.0);
        assert_eq!(shares(0, 100).upstream_questions(), 1.0);
        assert_eq!(shares(100, 0).upstream_questions(), 0.0);
        assert!((shares(40, 20).upstream_questions() - 1.08).abs() < 1e-9);
    }
}
