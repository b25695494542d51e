//! The queries of a run, encoded before it starts.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, BufRead};

use crate::wire::{Edns, name_from_text, write_query};

use super::rrtype;

/// Octets of the longest query.
pub const QUERY_MAX: usize = dns64::limits::UDP_RECEIVE_LEN;

/// Encoded queries, one behind the other.
#[derive(Debug, Default)]
pub struct Queries {
    /// Their octets.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Queries {
    /// Reads a query file: `name type` a line; empty lines and those that start with `;` or `#` are
    /// comments.
    ///
    /// # Errors
    /// [`QueriesError`] if a line is not of this form, there is none, or reading fails.
    pub fn read(file: impl BufRead, edns: Option<Edns>) -> Result<Self, QueriesError> {
        let mut queries = Self::default();
        let mut query = [0; QUERY_MAX];
        for (number, line) in (1..).zip(file.lines()) {
            let line = line.map_err(QueriesError::Reading)?;
            let line = line.trim();
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            let (name, qtype) = parse_line(line).ok_or(QueriesError::Line(number))?;
            let len = write_query(&mut query, 0, &name, qtype, edns);
            queries.bytes.extend_from_slice(&query[..len]);
            queries.ends.push(queries.bytes.len());
        }
        if queries.ends.is_empty() {
            return Err(QueriesError::Empty);
        }
        Ok(queries)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none, which [`Queries::read`] does not give.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A query, by its place; its ID is 0.
    #[must_use]
    pub fn query(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[place]]
    }
}

/// A line's name in wire form, and its type.
fn parse_line(line: &str) -> Option<(Vec<u8>, u16)> {
    let mut words = line.split_ascii_whitespace();
    let name = name_from_text(words.next()?)?;
    let qtype = rrtype::number_of(words.next()?)?;
    words.next().is_none().then_some((name, qtype))
}

// ---- Errors

/// Why there are no queries.
#[derive(Debug)]
pub enum QueriesError {
    /// This line is not a name and a type.
    Line(usize),
    /// There is no query in the file.
    Empty,
    /// The file could not be read.
    Reading(io::Error),
}

impl fmt::Display for QueriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}: not a name and a type"),
            Self::Empty => f.write_str("no query in it"),
            Self::Reading(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for QueriesError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_queries() {
        let file = "; comment\n\na.test AAAA\nb.test.\ttype65\n";
        let queries = Queries::read(file.as_bytes(), None).unwrap();
        assert_eq!(queries.len(), 2);
        assert!(queries.query(0).ends_with(b"\x01a\x04test\x00\x00\x1c\x00\x01"));
        assert!(queries.query(1).ends_with(b"\x01b\x04test\x00\x00\x41\x00\x01"));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        for bad in ["a.test", "a.test AAAA x", "a..test A", "a.test QQ"] {
            let file = format!("a.test A\n{bad}\n");
            let error = Queries::read(file.as_bytes(), None).unwrap_err();
            assert!(matches!(error, QueriesError::Line(2)), "{bad}: {error}");
        }
        assert!(matches!(Queries::read(&b"#\n"[..], None), Err(QueriesError::Empty)));
    }
}
