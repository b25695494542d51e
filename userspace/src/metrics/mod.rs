//! What monitoring asks for by HTTP: `/metrics`, `/health` and `/ready`, and a status page for
//! people.
//!
//! ```text
//!  Prometheus ──HTTP──► server ──► Daemon::counted ──► workers, XDP programs
//!                          ├──────► families ──► OpenMetrics text
//!  browser ─────HTTP────►  ├──────► status ────► JSON, the same counts
//!                          └──────► page ──────► files that show it
//! ```
//!
//! Labels have values of closed sets only: words of ours, addresses and names of the
//! configuration. Nothing that a client or a server on the Internet has sent is among them.
#![forbid(unsafe_code)]

mod families;
mod page;
pub mod server;
pub mod status;
mod upstreams;

/// Connections at a time. Those beyond it are closed at once.
pub const CONNECTIONS_MAX: usize = 32;
