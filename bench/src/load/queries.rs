//! The queries of a run, encoded before it starts.
#![forbid(unsafe_code)]

use super::in_flight::PLACES_MAX;

/// Octets of the longest query.
pub const QUERY_MAX: usize = dns64::limits::UDP_RECEIVE_LEN;

/// Encoded queries, one behind the other. Their IDs mean nothing.
#[derive(Clone, Debug, Default)]
pub struct Queries {
    /// Their octets.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Queries {
    /// Appends a query of 2 to [`QUERY_MAX`] octets; `false` if it is of another length, or there
    /// are [`PLACES_MAX`] already.
    #[must_use]
    pub fn push(&mut self, query: &[u8]) -> bool {
        let fits = (2..=QUERY_MAX).contains(&query.len()) && self.ends.len() < PLACES_MAX;
        if fits {
            self.bytes.extend_from_slice(query);
            self.ends.push(self.bytes.len());
        }
        fits
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A query, by its place.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn query(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[place]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_come_back_as_they_were_given() {
        let mut queries = Queries::default();
        assert!(queries.push(b"one") && queries.push(b"three"));
        assert!(!queries.push(b"x") && !queries.push(&[0; QUERY_MAX + 1]));
        assert_eq!(
            (queries.len(), queries.query(0), queries.query(1)),
            (2, &b"one"[..], &b"three"[..])
        );
    }
}
