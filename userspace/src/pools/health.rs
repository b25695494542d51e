//! Whether a gateway serves, from what its probes say: hysteresis and fail-static. No clock, no
//! socket.

use crate::policy::PrefixMask;

/// What the probes say of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It works, or nothing has been found out yet.
    #[default]
    Up,
    /// It has failed.
    Down,
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// The health of one gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// What the probes say.
    pub state: State,
    /// Whether an operator has taken it out of service.
    pub drained: bool,
    /// Tries that worked.
    pub good: u64,
    /// Tries that failed.
    pub bad: u64,
    /// How often it has failed.
    pub failures: u64,
    /// Why the last try that failed did.
    pub last_error: Option<String>,
    /// Tries in a row that speak against the state.
    streak: u32,
}

impl Health {
    /// Takes the result of a try: the new state, if `rise` tries in a row that worked, or `fall`
    /// that failed, have changed it.
    pub fn observe(&mut self, result: &Result<(), String>, rise: u32, fall: u32) -> Option<State> {
        match result {
            Ok(()) => self.good += 1,
            Err(error) => {
                self.bad += 1;
                self.last_error = Some(error.clone());
            }
        }
        let (seen, needed) = match result {
            Ok(()) => (State::Up, rise),
            Err(_) => (State::Down, fall),
        };
        if seen == self.state {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        if self.streak < needed {
            return None;
        }
        self.streak = 0;
        self.state = seen;
        self.failures += u64::from(seen == State::Down);
        Some(seen)
    }
}

/// The gateways that serve, and whether they do only because all have failed: then every one that
/// is not drained counts as up, because a probe that is wrong about all of them is likelier than
/// that none works, and no answer would help nobody.
#[must_use]
pub fn serving(gateways: &[Health]) -> (PrefixMask, bool) {
    let wanted = |choose: fn(&Health) -> bool| {
        PrefixMask::of((0..gateways.len()).filter(|index| choose(&gateways[*index])))
    };
    let up = wanted(|health| !health.drained && health.state == State::Up);
    if up.is_empty() { (wanted(|health| !health.drained), true) } else { (up, false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad() -> Result<(), String> {
        Err("no".to_owned())
    }

    #[test]
    fn a_state_changes_after_so_many_tries_in_a_row() {
        let mut health = Health::default();
        assert_eq!(health.observe(&bad(), 3, 2), None);
        assert_eq!(health.observe(&Ok(()), 3, 2), None, "the row is broken");
        assert_eq!(health.observe(&bad(), 3, 2), None);
        assert_eq!(health.observe(&bad(), 3, 2), Some(State::Down));
        assert_eq!(health.observe(&bad(), 3, 2), None);
        assert_eq!([0; 2].map(|_| health.observe(&Ok(()), 3, 2)), [None; 2]);
        assert_eq!(health.observe(&bad(), 3, 2), None);
        let back = [0; 3].map(|_| health.observe(&Ok(()), 3, 2));
        assert_eq!(back, [None, None, Some(State::Up)]);
        assert_eq!((health.good, health.bad, health.failures), (6, 5, 1));
    }

    #[test]
    fn when_all_have_failed_all_count_as_up_but_those_that_are_drained() {
        let up = Health::default();
        let down = Health { state: State::Down, ..Health::default() };
        let drained = Health { drained: true, ..Health::default() };
        let of = |gateways: &[&Health]| {
            serving(&gateways.iter().map(|health| (*health).clone()).collect::<Vec<_>>())
        };
        assert_eq!(of(&[&up, &down, &drained]), (PrefixMask(0b001), false));
        assert_eq!(of(&[&down, &down, &drained]), (PrefixMask(0b011), true));
        assert_eq!(of(&[&down, &drained]), (PrefixMask(0b01), true));
    }
}
