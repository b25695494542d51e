//! Cases that a peer is known to answer otherwise, with the reason for each.
//!
//! With a peer as subject the test passes if and only if the cases that fail are those listed: a
//! peer that changes, in whatever direction, is noticed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::subject::SubjectKind;

/// The list of one peer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownDifferences {
    /// What the peer's version must contain; other versions differ elsewhere.
    pub version: String,
    /// Trial names and reasons.
    pub cases: BTreeMap<String, String>,
}

/// Reads the list of a subject. `dns64d` has none: it passes every case.
///
/// # Errors
///
/// A file that cannot be read, or no list for a peer.
pub fn load(file: &Path, subject: SubjectKind) -> Result<Option<KnownDifferences>> {
    if subject == SubjectKind::Dns64d {
        return Ok(None);
    }
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut lists: BTreeMap<String, KnownDifferences> =
        toml::from_str(&text).with_context(|| file.display().to_string())?;
    let list = lists.remove(&subject.to_string());
    Ok(Some(list.with_context(|| format!("{}: no list for {subject}", file.display()))?))
}
