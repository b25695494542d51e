//! The data path below the sockets, in network namespaces: `dns64d` on one end of a virtual cable,
//! clients and made-up frames on the other.
//!
//! Whether a query came by `AF_XDP` is never guessed from its reply, which must look the same, but
//! read from what `dns64d` says at its end.

mod answers;
mod faults;
mod frames;
mod hot;
mod ladder;
mod message;
mod network;
mod program;
mod queues;
mod wire;
