//! Sets of the prefixes of one view, as bits.

use std::ops::{BitAnd, BitOr};

use crate::limits::PREFIXES_MAX;

/// A set of the prefixes of one view: bit *i* is the prefix with index *i*.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PrefixMask(pub u32);

const _: () = assert!(PREFIXES_MAX == u32::BITS as usize);

impl PrefixMask {
    /// No prefix.
    pub const EMPTY: Self = Self(0);

    /// The prefixes of these indices, each below [`PREFIXES_MAX`].
    #[must_use]
    pub fn of(indices: impl IntoIterator<Item = usize>) -> Self {
        indices.into_iter().fold(Self::EMPTY, |mask, index| {
            assert!(index < PREFIXES_MAX, "a view has at most PREFIXES_MAX prefixes");
            Self(mask.0 | 1 << index)
        })
    }

    /// Whether there is no prefix in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many prefixes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the prefix with this index is in the set.
    #[must_use]
    pub const fn has(self, index: usize) -> bool {
        index < PREFIXES_MAX && self.0 >> index & 1 == 1
    }

    /// The prefixes that are in this set and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The indices, ascending: the order of the configuration.
    pub fn indices(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let index = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(index)
        })
    }
}

impl BitAnd for PrefixMask {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for PrefixMask {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_come_back_in_order() {
        let mask = PrefixMask::of([31, 0, 7]);
        assert_eq!(mask.indices().collect::<Vec<_>>(), [0, 7, 31]);
        assert_eq!(mask.len(), 3);
        assert!(mask.has(31) && !mask.has(1) && !mask.has(32));
        assert!(PrefixMask::EMPTY.indices().next().is_none());
    }

    #[test]
    fn without_takes_away_only_what_the_other_has() {
        assert_eq!(PrefixMask(0b1110).without(PrefixMask(0b0110)), PrefixMask(0b1000));
    }
}
