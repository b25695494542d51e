//! Response policy zones: names that are answered by the operator's rules, whatever the world says
//! of them. Law, courts and abuse desks ask for it, and so do walled gardens.
//!
//! A zone is a list of *triggers*, each with an *action* (draft-vixie-dnsop-dns-rpz, QNAME triggers
//! and their encoding of actions). Zones are asked in order, and the first that has a trigger for a
//! name decides; within a zone the name itself comes before the wildcards above it, and the nearest
//! wildcard before those further up.
//!
//! | module | is |
//! |---|---|
//! | `scan` | from the text of a master file to a zone, with the line of every mistake |
//! | `zone` | a zone as tables: two look-ups by hash, some 45 octets a name |

mod scan;
mod zone;

use std::sync::Arc;

pub use self::scan::{Fault, Scanned, Unsupported, scan};
pub use self::zone::{Action, LocalRecord, Override, Redirect, RpzZone};
use super::clients::ViewId;

/// Most zones: their sets are bits of one word.
pub const ZONES_MAX: usize = 64;

/// A zone, and the views whose clients it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpzSettings {
    /// The zone; its place in the list is its rank.
    pub zone: Arc<RpzZone>,
    /// The names of the views; `None`: all.
    pub views: Option<Vec<String>>,
}

/// What a zone says of a name.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'p> {
    /// The zone.
    pub zone: &'p RpzZone,
    /// Its place in the configuration.
    pub rank: usize,
    /// What is done.
    pub action: Action,
}

/// The zones of a configuration, in order.
#[derive(Clone, Debug, Default)]
pub struct Rpz {
    /// The zones.
    zones: Vec<Arc<RpzZone>>,
    /// For each view the zones that its clients have, as bits.
    by_view: Vec<u64>,
}

impl Rpz {
    /// The zones for views with these names.
    ///
    /// # Panics
    /// If there are more than [`ZONES_MAX`] zones: the configuration counts them.
    #[must_use]
    pub fn new<'v>(settings: &[RpzSettings], views: impl Iterator<Item = &'v str>) -> Self {
        assert!(settings.len() <= ZONES_MAX, "the configuration counts the zones");
        let zones_of = |view: &str| {
            settings.iter().enumerate().fold(0, |bits, (rank, zone)| {
                let has = zone.views.as_ref().is_none_or(|views| views.iter().any(|v| v == view));
                bits | u64::from(has) << rank
            })
        };
        Self {
            by_view: if settings.is_empty() { Vec::new() } else { views.map(zones_of).collect() },
            zones: settings.iter().map(|zone| Arc::clone(&zone.zone)).collect(),
        }
    }

    /// Whether clients of this view have a zone.
    #[inline]
    #[must_use]
    pub fn is_for(&self, view: ViewId) -> bool {
        self.by_view.get(usize::from(view.0)).is_some_and(|zones| *zones != 0)
    }

    /// The zones, in order.
    #[must_use]
    pub fn zones(&self) -> &[Arc<RpzZone>] {
        &self.zones
    }

    /// The names of the zones, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zones.iter().map(|zone| zone.name.as_str())
    }

    /// What the first zone with a trigger for this name says; the name is in uncompressed wire form
    /// and any letter case.
    #[must_use]
    pub fn decide(&self, view: ViewId, name: &[u8]) -> Option<Decision<'_>> {
        let zones = *self.by_view.get(usize::from(view.0))?;
        let mine = self.zones.iter().enumerate().filter(|(rank, _)| zones >> rank & 1 == 1);
        mine.into_iter().find_map(|(rank, zone)| {
            let action = zone.action(name)?;
            Some(Decision { zone, rank, action })
        })
    }
}

#[cfg(test)]
mod tests;
