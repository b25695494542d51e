//! Style as a test: what the compiler does not check and a reader relies on.
//!
//! Each rule is a function from a file to its faults. One test applies it to every file of the
//! repository, another shows that it finds what it is for.
//!
//! | rule | module |
//! |---|---|
//! | the layers of `userspace/src` use only what lies below them; a crate is named only where it belongs | [`layers`] |
//! | `unsafe` stands only at its addresses; nothing is left to be done, no test is left out | [`code`] |
//! | lines and files have a bounded length, and the repository speaks of itself alone | [`text`] |
//! | the top of the repository is tidy, test directories have a module doc, metrics are explained | [`repository`] |
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod code;
mod files;
mod layers;
mod repository;
mod text;
