//! What the reader asks of each value, noted while a test wants to know: the schema is made of it.
//! Outside of tests nothing is noted.

use std::cell::RefCell;
use std::ops::RangeInclusive;

/// What the reader asks of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A string.
    String,
    /// `true` or `false`.
    Boolean,
    /// A whole number of a range.
    Integer(RangeInclusive<u32>),
    /// One of these words.
    Words(Vec<String>),
    /// An array.
    Array,
    /// A table with these keys and no others.
    Table(Vec<String>),
    /// To be there.
    Required,
}

thread_local! {
    /// Paths and what was asked of them, while somebody wants to know.
    static NOTES: RefCell<Option<Vec<(String, Shape)>>> = const { RefCell::new(None) };
}

/// Notes what is asked of the value of a path.
pub(super) fn note(path: &str, shape: impl FnOnce() -> Shape) {
    if cfg!(test) {
        NOTES.with_borrow_mut(|notes| {
            if let Some(notes) = notes {
                notes.push((path.to_owned(), shape()));
            }
        });
    }
}

/// What is asked while something is done.
#[cfg(test)]
pub(super) fn noted(work: impl FnOnce()) -> Vec<(String, Shape)> {
    NOTES.set(Some(Vec::new()));
    work();
    NOTES.take().unwrap_or_default()
}
