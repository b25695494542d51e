//! The data path below the sockets, in network namespaces: `dns64d` on one end of a virtual cable,
//! clients and made-up frames on the other.
//!
//! Whether a query came by `AF_XDP` is never guessed from its reply, which must look the same, but
//! read from what `dns64d` says at its end.

mod acl;
mod answers;
mod batch;
mod books;
mod captures;
mod cases;
mod clients;
mod faults;
mod frames;
mod hot;
mod ladder;
mod message;
mod network;
mod probe;
mod program;
mod queues;
mod refusals;
mod reload;
mod ring;
mod steering;
mod tcp;
mod traps;
mod under_load;
mod wire;
