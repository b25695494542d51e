//! The files that a report is made of: told apart by their keys, and read whole or refused.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::capacity::outcome::{self, Outcome};
use crate::results::{self, Comparison};

/// The version of the JSON of `load` that is read here.
const LOAD_SCHEMA_VERSION: u32 = crate::load::json::SCHEMA_VERSION;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Input {
    /// What people call it: its path as it was given.
    pub name: String,
    /// What is in it, as it was written.
    pub value: Value,
    /// The same, understood.
    pub document: Document,
}

/// What a file is.
#[derive(Clone, Debug)]
pub enum Document {
    /// `compare.json`.
    Comparison(Box<Comparison>),
    /// Of `capacity --json`.
    Capacity(Box<Outcome>),
    /// Of `load --json`.
    Load(Box<LoadRun>),
}

/// What `load --json` writes, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadRun {
    /// Who was asked.
    pub server: String,
    /// `open` or `closed`.
    #[serde(rename = "loop")]
    pub kind: String,
    /// What was asked.
    pub workload: String,
    /// Queries a second that were to be sent; 0 in a closed loop.
    pub rate_qps: f64,
    /// Queries that were sent.
    pub sent: u64,
    /// Answers in time.
    pub completed: u64,
    /// Queries answered after the time-out.
    pub late: u64,
    /// Queries never answered.
    pub lost: u64,
    /// Right answers.
    pub verified: u64,
    /// Answers that are not what the name says.
    pub wrong: u64,
    /// Failures and truncated answers.
    pub failed: u64,
    /// Answers by RCODE.
    pub rcodes: BTreeMap<String, u64>,
    /// Seconds from the first query to the last answer or loss.
    pub run_time_s: f64,
    /// Answers a second.
    pub queries_per_second: f64,
    /// Latencies.
    pub latency_us: LoadLatency,
    /// How late the generator itself was, in an open loop.
    pub lateness_us: Option<Lateness>,
    /// The histogram of latencies, by their upper end in microseconds.
    pub latency_histogram_us: Vec<(f64, u64)>,
}

/// Latencies of a run, in microseconds.
#[derive(Clone, Debug, Deserialize)]
pub struct LoadLatency {
    /// Their mean.
    pub mean: f64,
    /// The shortest.
    pub min: f64,
    /// What half of them do not exceed.
    pub p50: f64,
    /// What 90 % of them do not exceed.
    pub p90: f64,
    /// What 99 % of them do not exceed.
    pub p99: f64,
    /// What 99.9 % of them do not exceed.
    pub p999: f64,
    /// What 99.99 % of them do not exceed.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
}

/// The generator's own lateness, in microseconds.
#[derive(Clone, Debug, Deserialize)]
pub struct Lateness {
    /// What 99 % of the queries did not exceed.
    pub p99: f64,
}

impl Input {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`InputError`] if it is not a result of ours.
    pub fn parse(name: &str, text: &str) -> Result<Self, InputError> {
        let why = |reason| InputError { name: name.to_owned(), reason };
        let value: Value =
            serde_json::from_str(text).map_err(|error| why(Reason::Json(error.to_string())))?;
        let document = Document::of(&value).map_err(why)?;
        Ok(Self { name: name.to_owned(), value, document })
    }
}

impl Document {
    /// Tells what a document is, and reads it.
    fn of(value: &Value) -> Result<Self, Reason> {
        let has = |key: &str| value.get(key).is_some();
        if has("cells") || has("self_test") {
            check_version(value, outcome::SCHEMA_VERSION)?;
            read(value).map(|outcome| Self::Capacity(Box::new(outcome)))
        } else if has("trials") || has("servers") || has("ratios") {
            check_version(value, results::SCHEMA_VERSION)?;
            read(value).map(|results| Self::Comparison(Box::new(results)))
        } else if has("latency_us") || has("queries_per_second") {
            check_version(value, LOAD_SCHEMA_VERSION)?;
            read(value).map(|run| Self::Load(Box::new(run)))
        } else {
            Err(Reason::Foreign)
        }
    }
}

/// Refuses what a later version has written.
fn check_version(value: &Value, known: u32) -> Result<(), Reason> {
    match value.get("schema_version").map(Value::as_u64) {
        None => Err(Reason::Key("missing field `schema_version`".to_owned())),
        Some(Some(version)) if version == u64::from(known) => Ok(()),
        Some(_) => Err(Reason::Version { found: value["schema_version"].to_string(), known }),
    }
}

/// Reads a document into its form, or says which key is missing or wrong, and where.
fn read<T: DeserializeOwned>(value: &Value) -> Result<T, Reason> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        Reason::Key(if path == "." { inner.to_string() } else { format!("{path}: {inner}") })
    })
}

// ---- Errors

/// Why a file cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The file.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not JSON.
    Json(String),
    /// It has no key by which results are known.
    Foreign,
    /// A key is missing, or its value is of another kind.
    Key(String),
    /// It was written by another version.
    Version {
        /// The version of the file.
        found: String,
        /// The version that is read here.
        known: u32,
    },
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name)?;
        match &self.reason {
            Reason::Json(error) => write!(f, "not JSON: {error}"),
            Reason::Foreign => f.write_str(
                "not a result: it has neither `trials` (compare), `cells` (capacity --json) nor \
                 `latency_us` (load --json)",
            ),
            Reason::Key(error) => f.write_str(error),
            Reason::Version { found, known } => {
                write!(f, "schema_version is {found}; this program reads {known}")
            }
        }
    }
}

impl std::error::Error for InputError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Input::parse("x.json", text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_none_of_ours_is_refused_by_the_key_that_is_missing() {
        assert!(refused("{").starts_with("x.json: not JSON: EOF"));
        assert!(refused("{}").contains("`trials`"));
        assert!(refused("[1]").contains("`latency_us`"));
        assert_eq!(refused(r#"{"cells":[]}"#), "x.json: missing field `schema_version`");
        assert_eq!(
            refused(r#"{"cells":[],"schema_version":99}"#),
            "x.json: schema_version is 99; this program reads 1"
        );
        assert_eq!(
            refused(r#"{"schema_version":1,"trials":[]}"#),
            "x.json: missing field `machine`"
        );
        assert!(
            refused(r#"{"schema_version":1,"server":"a","self_test":{"rate_qps":"x"}}"#)
                .starts_with("x.json: self_test.rate_qps: invalid type")
        );
    }
}
