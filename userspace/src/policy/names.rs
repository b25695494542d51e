//! Sets of names, where a name stands for itself and everything below it.
//!
//! A look-up walks the asked name from its whole to the root and searches each of these ancestors,
//! so the longest configured name wins. Nothing is allocated: names are kept in wire form and in
//! lower case, ordered by length first, and an ancestor of a length that no configured name has is
//! passed over at the cost of one comparison.

use std::cmp::Ordering;

/// A map from names to values that is asked for the longest name at or above a given one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameMap<V> {
    /// Names in uncompressed wire form and lower case, ordered by [`compare`]; each once.
    entries: Box<[(Box<[u8]>, V)]>,
}

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        Self { entries: Box::default() }
    }
}

impl<V: Copy> NameMap<V> {
    /// A map from names in wire form (any letter case). Of two equal names the first counts.
    #[must_use]
    pub fn new<N: AsRef<[u8]>>(entries: impl IntoIterator<Item = (N, V)>) -> Self {
        let lower = |(name, value): (N, V)| (Box::from(name.as_ref().to_ascii_lowercase()), value);
        let mut entries: Vec<(Box<[u8]>, V)> = entries.into_iter().map(lower).collect();
        entries.sort_by(|(one, _), (other, _)| compare(one, other));
        entries.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Self { entries: entries.into() }
    }

    /// The value of the longest name that is this name or above it.
    #[must_use]
    pub fn longest(&self, name: &[u8]) -> Option<V> {
        self.longest_where(name, |_| true)
    }

    /// The value of the longest name that is this name or above it and whose value will do.
    #[must_use]
    pub fn longest_where(&self, name: &[u8], will_do: impl Fn(V) -> bool) -> Option<V> {
        self.longest_entry(name, will_do).map(|(_, value)| value)
    }

    /// The longest name that is this name or above it and whose value will do, and the value.
    #[must_use]
    pub fn longest_entry<'n>(
        &self,
        name: &'n [u8],
        will_do: impl Fn(V) -> bool,
    ) -> Option<(&'n [u8], V)> {
        let ([(shortest, _), ..], [.., (longest, _)]) = (&*self.entries, &*self.entries) else {
            return None;
        };
        let lengths = shortest.len()..=longest.len();
        let mut rest = name;
        loop {
            if lengths.contains(&rest.len())
                && let Ok(index) = self.entries.binary_search_by(|(name, _)| compare(name, rest))
                && will_do(self.entries[index].1)
            {
                return Some((rest, self.entries[index].1));
            }
            // A label is its length octet and as many octets; zero is the root, behind which
            // nothing comes (RFC 1035 3.1).
            let label_len = usize::from(*rest.first().filter(|length| **length > 0)?);
            rest = rest.get(1 + label_len..)?;
        }
    }

    /// How many names.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no names.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The order of the names: by length, then by octets. `stored` is in lower case.
///
/// Length octets are at most 63 and so below every letter: lowering the case of the whole wire form
/// changes letters of labels and nothing else.
fn compare(stored: &[u8], asked: &[u8]) -> Ordering {
    stored
        .len()
        .cmp(&asked.len())
        .then_with(|| stored.iter().copied().cmp(asked.iter().map(u8::to_ascii_lowercase)))
}

/// A set of names and everything below them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet(NameMap<()>);

impl NameSet {
    /// A set of names in wire form (any letter case).
    #[must_use]
    pub fn new<N: AsRef<[u8]>>(names: impl IntoIterator<Item = N>) -> Self {
        Self(NameMap::new(names.into_iter().map(|name| (name, ()))))
    }

    /// Whether the set has the name in wire form, or a name above it.
    #[must_use]
    pub fn covers(&self, name: &[u8]) -> bool {
        self.0.longest(name).is_some()
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The wire form of a name without escapes.
    fn wire(name: &str) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        wire
    }

    #[test]
    fn a_name_covers_itself_and_what_is_below_it_in_any_letter_case() {
        let set = NameSet::new([wire("Example.")]);
        assert!(set.covers(&wire("example.")));
        assert!(set.covers(&wire("wWw.eXample.")));
        assert!(!set.covers(&wire("notexample.")));
        assert!(!set.covers(&wire("example.com.")));
        assert!(!set.covers(&wire(".")));
    }

    #[test]
    fn the_longest_name_wins() {
        let map = NameMap::new([(wire("."), 0), (wire("b.a."), 2), (wire("a."), 1)]);
        assert_eq!(map.longest(&wire("c.b.a.")), Some(2));
        assert_eq!(map.longest(&wire("b.a.")), Some(2));
        assert_eq!(map.longest(&wire("c.a.")), Some(1));
        assert_eq!(map.longest(&wire("x.")), Some(0));
        assert_eq!(map.longest(&wire(".")), Some(0));
    }

    #[test]
    fn a_label_with_the_octets_of_a_shorter_name_is_not_that_name() {
        // One label of five octets whose last two look like the label "a".
        let set = NameSet::new([wire("a.")]);
        assert!(!set.covers(b"\x05xyz\x01a\x00"));
    }

    #[test]
    fn an_empty_set_covers_nothing() {
        assert!(!NameSet::default().covers(&wire("example.")));
        assert!(NameSet::default().is_empty());
    }

    proptest! {
        #[test]
        fn octets_that_are_no_name_are_looked_up_without_panic(octets: Vec<u8>) {
            let set = NameSet::new([wire("example."), wire("a.b.")]);
            let _ = set.covers(&octets);
        }

        #[test]
        fn a_look_up_answers_as_a_comparison_of_labels_from_the_right(
            names in proptest::collection::vec("([ab]{1,2}\\.){0,3}", 0..8),
            asked in "([abAB]{1,2}\\.){0,4}",
        ) {
            let labels = |name: &str| -> Vec<String> {
                let lower = name.to_ascii_lowercase();
                let labels = lower.split('.').rev().filter(|label| !label.is_empty());
                labels.map(str::to_owned).collect()
            };
            let naive = names.iter().map(|name| labels(name))
                .filter(|name| labels(&asked).starts_with(name)).map(|name| name.len()).max();
            let map = NameMap::new(names.iter().map(|name| (wire(name), labels(name).len())));
            prop_assert_eq!(map.longest(&wire(&asked)), naive);
        }
    }
}
