//! The search for the highest rate at which a trial passes: pure, for the trial is an argument.
//!
//! From a first rate it goes up, or down, by a factor until one rate has passed and a higher one
//! has failed, and then halves the distance between them (RFC 8219 section 9, "binary search").
//! On a machine that does other things too, a trial may fail for reasons of its own; a rate has
//! failed only if all its attempts have.
#![forbid(unsafe_code)]

/// Where and how finely to search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// The first rate, in queries a second.
    pub start_qps: u32,
    /// No higher rate is tried.
    pub ceiling_qps: u32,
    /// The factor between rates until one passes and the next fails; above 1.
    pub step: f64,
    /// The search ends when the failed rate is above the passed one by no more than this part of
    /// it; above 0.
    pub precision: f64,
    /// How often a rate that fails is tried again.
    pub retries: u32,
}

/// What a search brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This rate passed, and one a little above it failed.
    Between {
        /// The highest rate that passed.
        passed_qps: u32,
        /// The lowest rate that failed.
        failed_qps: u32,
    },
    /// The ceiling passed: the rate is this or higher.
    Ceiling(u32),
    /// Not even one query a second passed.
    Nothing,
}

impl Found {
    /// The highest rate that passed; 0 if none did.
    #[must_use]
    pub fn rate_qps(self) -> u32 {
        match self {
            Self::Between { passed_qps, .. } => passed_qps,
            Self::Ceiling(rate_qps) => rate_qps,
            Self::Nothing => 0,
        }
    }
}

/// Searches for the highest rate at which `passes` says yes.
///
/// # Errors
/// Those of `passes`.
pub fn highest_rate<E>(
    plan: &Plan,
    mut passes: impl FnMut(u32) -> Result<bool, E>,
) -> Result<Found, E> {
    let mut passes = |rate_qps: u32| -> Result<bool, E> {
        for _ in 0..=plan.retries {
            if passes(rate_qps)? {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let ceiling = plan.ceiling_qps.max(1);
    let start = plan.start_qps.clamp(1, ceiling);
    let (mut passed, mut failed) = if passes(start)? {
        let mut passed = start;
        loop {
            if passed == ceiling {
                return Ok(Found::Ceiling(ceiling));
            }
            let next = stepped_up(passed, plan.step).min(ceiling);
            if !passes(next)? {
                break (passed, next);
            }
            passed = next;
        }
    } else {
        let mut failed = start;
        loop {
            if failed == 1 {
                return Ok(Found::Nothing);
            }
            let next = ((f64::from(failed) / plan.step) as u32).clamp(1, failed - 1);
            if passes(next)? {
                break (next, failed);
            }
            failed = next;
        }
    };
    while failed - passed > 1 && f64::from(failed - passed) > f64::from(passed) * plan.precision {
        let middle = passed + (failed - passed) / 2;
        if passes(middle)? {
            passed = middle;
        } else {
            failed = middle;
        }
    }
    Ok(Found::Between { passed_qps: passed, failed_qps: failed })
}

/// The next rate above this one.
fn stepped_up(rate_qps: u32, step: f64) -> u32 {
    let next = (f64::from(rate_qps) * step).ceil();
    (next as u32).max(rate_qps.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan =
        Plan { start_qps: 1_000, ceiling_qps: 1_000_000, step: 2.0, precision: 0.01, retries: 0 };

    /// Searches with a server that can do so much; the rates tried beside what was found.
    fn search(plan: &Plan, capacity_qps: u32) -> (Found, Vec<u32>) {
        let mut tried = Vec::new();
        let found = highest_rate(plan, |rate_qps| {
            tried.push(rate_qps);
            Ok::<_, ()>(rate_qps <= capacity_qps)
        });
        (found.unwrap(), tried)
    }

    #[test]
    fn the_rate_is_found_from_below_and_from_above_to_the_precision() {
        for capacity in [1, 2, 3, 10, 999, 1_000, 1_001, 12_345, 64_000, 999_999] {
            let (found, tried) = search(&PLAN, capacity);
            let Found::Between { passed_qps, failed_qps } = found else { panic!("{found:?}") };
            assert!(passed_qps <= capacity && capacity < failed_qps, "{capacity}: {found:?}");
            let close = f64::from(failed_qps - passed_qps) <= f64::from(passed_qps) * 0.01;
            assert!(close || failed_qps - passed_qps == 1, "{capacity}: {found:?}");
            assert!(tried.len() < 25, "{tried:?}");
        }
    }

    #[test]
    fn a_server_that_does_all_is_limited_by_the_ceiling_and_one_that_does_nothing_has_no_rate() {
        assert_eq!(search(&PLAN, u32::MAX).0, Found::Ceiling(1_000_000));
        assert_eq!(search(&Plan { ceiling_qps: 500, ..PLAN }, 500).0, Found::Ceiling(500));
        let (found, tried) = search(&PLAN, 0);
        assert_eq!((found, found.rate_qps()), (Found::Nothing, 0));
        assert_eq!(tried.last(), Some(&1));
    }

    #[test]
    fn nothing_above_the_ceiling_is_tried_and_no_step_stands_still() {
        let plan = Plan { start_qps: 1, ceiling_qps: 777, step: 1.01, ..PLAN };
        let (found, tried) = search(&plan, u32::MAX);
        assert_eq!(found, Found::Ceiling(777));
        assert!(tried.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_rate_that_passes_at_the_second_attempt_has_passed() {
        // Every other trial of a good rate fails.
        let search = |retries| {
            let mut attempt = 0_u32;
            highest_rate(&Plan { retries, ..PLAN }, |rate_qps| {
                attempt += 1;
                Ok::<_, ()>(rate_qps <= 50_000 && attempt.is_multiple_of(2))
            })
            .unwrap()
            .rate_qps()
        };
        assert!((49_500..=50_000).contains(&search(1)), "{}", search(1));
        assert!(search(0) < 49_500, "{}", search(0));
    }

    #[test]
    fn with_a_noisy_server_the_found_rate_has_passed_and_lies_where_it_may() {
        // Surely passes up to 40,000, surely fails from 60,000 on, and in between now and then.
        let mut state = 1_u64;
        for _ in 0..200 {
            let mut passed = Vec::new();
            let mut trials = 0;
            let found = highest_rate(&PLAN, |rate_qps| {
                trials += 1;
                state = state * 48_271 % 0x7fff_ffff;
                let noise = 40_000 + state % 20_000;
                let passes = u64::from(rate_qps) <= noise;
                if passes {
                    passed.push(rate_qps);
                }
                Ok::<_, ()>(passes)
            })
            .unwrap();
            let rate_qps = found.rate_qps();
            assert!(passed.contains(&rate_qps), "{rate_qps} never passed");
            assert!((39_000..60_000).contains(&rate_qps), "{rate_qps}");
            assert!(trials <= 15, "{trials}");
        }
    }

    #[test]
    fn a_trial_that_cannot_be_made_ends_the_search() {
        assert_eq!(highest_rate(&PLAN, |_| Err("no network")), Err("no network"));
    }
}
