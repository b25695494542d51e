//! What the integration tests share.
//!
//! The case test is made of [`cases`] (the format), [`subject`] (the server under test),
//! [`upstream`] (what it forwards to), [`client`] (who asks), [`reply`] and [`judge`] (what came
//! back, and whether it may). The end-to-end tests put real programs ([`program`]) into namespaces
//! ([`netns`], [`server`], [`daemon`]). Tests of the engine alone have [`in_process`], with time
//! and delays, and [`exchange`], without. Who bounds a time takes a [`stopwatch`].

pub mod alloc;
pub mod browser;
pub mod cases;
pub mod client;
pub mod daemon;
pub mod exchange;
pub mod in_process;
pub mod judge;
pub mod known_differences;
pub mod loopback;
pub mod netns;
pub mod play;
pub mod presentation;
pub mod program;
pub mod proxy;
pub mod reply;
pub mod server;
pub mod stopwatch;
pub mod subject;
pub mod table;
pub mod upstream;
