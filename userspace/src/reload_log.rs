//! What has become of the reloads since the start: how many there were, and the last ones. What a
//! mistake is stands in the log alone; here are words of a closed set, and names of keys.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::reload::{Outcome, ReloadError};

/// How many reloads are remembered.
pub const REMEMBERED: usize = 16;

/// What has become of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// The configuration is in force.
    Applied,
    /// It says what the one in force says.
    Unchanged,
    /// It is not in force: the one before it is.
    Refused,
}

impl ReloadResult {
    /// Every result, in the order of the counts.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Unchanged, Self::Refused];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// The reloads since the start.
#[derive(Debug, Default)]
pub struct ReloadLog(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By result.
    counts: [u64; ReloadResult::ALL.len()],
    /// The newest first.
    last: VecDeque<Entry>,
}

/// One reload.
#[derive(Clone, Debug)]
struct Entry {
    /// Which, from 1 on.
    number: u64,
    unix_secs: u64,
    result: ReloadResult,
    /// The number of the configuration in force after it.
    generation: u32,
    /// How many keys say something else; `None` where nobody knows.
    changes: Option<usize>,
    /// Why it was refused, in a word.
    reason: Option<&'static str>,
    /// The keys that stood in the way.
    keys: Vec<&'static str>,
}

impl ReloadLog {
    /// Remembers a reload, after which the configuration of this number is in force.
    pub fn add(&self, generation: u32, outcome: &Result<Outcome, ReloadError>) {
        let unix_secs = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (result, changes) = match outcome {
            Ok(outcome) if outcome.changes.is_empty() => (ReloadResult::Unchanged, Some(0)),
            Ok(outcome) => (ReloadResult::Applied, Some(outcome.changes.len())),
            Err(_) => (ReloadResult::Refused, None),
        };
        let reason = outcome.as_ref().err().map(ReloadError::word);
        let keys = match outcome {
            Err(ReloadError::NeedsRestart(keys)) => keys.clone(),
            Ok(_) | Err(_) => Vec::new(),
        };
        let mut inner = self.inner();
        inner.counts[result as usize] += 1;
        let number = inner.counts.iter().sum();
        inner.last.truncate(REMEMBERED - 1);
        inner.last.push_front(Entry {
            number,
            unix_secs,
            result,
            generation,
            changes,
            reason,
            keys,
        });
    }

    /// How many reloads had this result.
    #[must_use]
    pub fn count(&self, result: ReloadResult) -> u64 {
        self.inner().counts[result as usize]
    }

    /// The counts by result, and the last reloads, the newest first.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let inner = self.inner();
        let mut json: Value = ReloadResult::ALL
            .into_iter()
            .map(|result| (result.name().to_owned(), inner.counts[result as usize].into()))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let last = inner.last.iter().map(|entry| {
            json!({
                "number": entry.number,
                "unix_seconds": entry.unix_secs,
                "result": entry.result.name(),
                "generation": entry.generation,
                "changes": entry.changes,
                "reason": entry.reason,
                "keys": entry.keys,
            })
        });
        json["last"] = last.collect();
        json
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Change;

    fn outcome(changes: usize) -> Outcome {
        let change = Change { key: "workers".to_owned(), before: None, after: None };
        Outcome {
            changes: vec![change; changes],
            needs_restart: Vec::new(),
            keeps_cache: true,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_last_reloads_are_remembered_and_all_are_counted() {
        let log = ReloadLog::default();
        for generation in 1..=20 {
            log.add(generation, &Ok(outcome(2)));
        }
        log.add(20, &Ok(outcome(0)));
        log.add(20, &Err(ReloadError::NeedsRestart(vec!["listen"])));
        assert_eq!(log.count(ReloadResult::Applied), 20);
        assert_eq!(log.count(ReloadResult::Unchanged), 1);
        let json = log.to_json();
        assert_eq!(json["refused"], 1);
        let last = json["last"].as_array().unwrap();
        assert_eq!(last.len(), REMEMBERED);
        assert_eq!((&last[0]["number"], &last[0]["result"]), (&json!(22), &json!("refused")));
        assert_eq!((&last[0]["reason"], &last[0]["keys"]), (&json!("restart"), &json!(["listen"])));
        assert_eq!((&last[1]["changes"], &last[2]["changes"]), (&json!(0), &json!(2)));
    }

    #[test]
    fn what_a_mistake_says_is_not_repeated() {
        let log = ReloadLog::default();
        log.add(0, &Err(ReloadError::Kernel("a secret".to_owned())));
        let text = log.to_json().to_string();
        assert!(text.contains("kernel") && !text.contains("secret"), "{text}");
    }
}
