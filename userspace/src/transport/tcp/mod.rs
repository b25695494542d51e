//! DNS over TCP (RFC 7766), on the housekeeping thread.
//!
//! ```text
//!   client ──► server::serve ──► Inbox of a worker ──► engine
//!   client ◄── server::serve ◄── TaskInbox<TcpReply> ◄─┘
//!
//!   engine ──► TaskInbox<UpstreamTcpQuery> ──► upstream::run ──► upstream server
//!   engine ◄── Inbox of the worker ◄────────── upstream::run ◄──┘
//! ```
//!
//! The workers never see a TCP socket, only messages. TCP is the way of the few: truncated
//! answers and suspicious clients. One thread carries it, and nothing it does can slow UDP down.

mod connections;
mod frame;
pub mod server;
pub mod upstream;
