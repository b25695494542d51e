//! The lab in which servers are compared: network namespaces joined by veth pairs, pinned CPUs, and
//! what runs in them.
//!
//! ```text
//!   generator, CPU 0                          servers, CPU 1
//!   ┌──────────────────────────┐             ┌──────────────────────┐
//!   │ load      lab0g  NAPI ───┼──veth pair──┼─── lab0s NAPI dns64d │ a namespace for each
//!   │ upstream  lab1g  NAPI ───┼──veth pair──┼─── lab1s NAPI unbound│
//!   │           ...            │             │    ...               │
//!   └──────────────────────────┘             └──────────────────────┘
//! ```
//!
//! Every server has a namespace and a pair of its own, so all of them run at once, with warm
//! caches, and take turns of a second: drift of the machine hits them alike. Each end's receive
//! work is done by a NAPI thread pinned to its side's CPU; otherwise a packet's receive work would
//! be charged to whoever sent it.
//!
//! | module | does |
//! |---|---|
//! | [`state`] | remembers what was changed on the machine, so that it is always put back |
//! | [`network`] | namespaces, veth pairs, NAPI threads, system settings |
//! | [`catalog`] | the servers: programs, configurations, versions |
//! | [`process`] | a running server: CPU time, memory, end |
//! | [`machine`] | what a reader needs to know about the machine, and who else uses it |
//! | [`questions`] | what the workloads ask |
//! | [`drive`] | runs the load generator in the lab |
//! | [`check`] | are answers right, before anything is measured? |
//! | [`trial`] | one measurement |
//! | [`generators`] | load generators side by side |
//! | [`compare`] | the order of all measurements |
//! | [`summary`] | medians and ratios |
//! | [`page`] | `RESULTS.md` |
#![forbid(unsafe_code)]

use std::fmt;

pub mod catalog;
pub mod check;
pub mod compare;
pub mod drive;
pub mod generators;
pub mod machine;
pub mod network;
pub mod page;
pub mod process;
pub mod questions;
pub mod state;
pub mod summary;
pub mod trial;

/// The lab cannot be built here: rights, programs or another run are in the way. Says what to do.
#[derive(Debug)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}
