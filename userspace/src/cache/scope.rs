//! Which entries are meant by an operator who flushes.

use super::key::is_in_subtree;

/// Entries by their names, which are in wire form and lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those of a name.
    Name(Vec<u8>),
    /// Those of a name and of these types.
    Types(Vec<u8>, Vec<u16>),
    /// Those of a name and of the names below it.
    Subtree(Vec<u8>),
}

impl Scope {
    /// Whether the entry of this name and type is meant.
    #[must_use]
    pub fn has(&self, name: &[u8], rtype: u16) -> bool {
        match self {
            Self::All => true,
            Self::Name(meant) => name == meant,
            Self::Types(meant, types) => name == meant && types.contains(&rtype),
            Self::Subtree(apex) => is_in_subtree(name, apex),
        }
    }
}
