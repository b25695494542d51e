//! What monitoring asks for by HTTP: `/metrics`, `/health` and `/ready`.
//!
//! ```text
//!  Prometheus ──HTTP──► server ──► Daemon::counted ──► workers, XDP programs
//!                          └──────► families ──► OpenMetrics text
//! ```
//!
//! Labels have values of closed sets only: words of ours, addresses and names of the
//! configuration. Nothing that a client or a server on the Internet has sent is among them.
#![forbid(unsafe_code)]

mod families;
pub mod server;

/// Connections at a time. Those beyond it are closed at once.
pub const CONNECTIONS_MAX: usize = 32;
