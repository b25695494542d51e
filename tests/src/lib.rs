//! What the integration tests share.

pub mod netns;
pub mod server;
//!
//! The case test is made of [`cases`] (the format), [`subject`] (the server under test), [`upstream`] (what it
//! forwards to), [`client`] (who asks), [`reply`] and [`judge`] (what came back, and whether it may).

pub mod cases;
pub mod client;
pub mod judge;
pub mod known_differences;
pub mod loopback;
pub mod play;
pub mod presentation;
pub mod reply;
pub mod subject;
pub mod table;
pub mod upstream;
