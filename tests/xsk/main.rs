//! XDP programs and `AF_XDP` sockets in a real kernel, on virtual Ethernet in namespaces.
//!
//! Ordinary UDP sockets are at the other end: the kernel's stack verifies the checksums of all that
//! our programs and sockets send, and drops what is wrong. Needs root; without it the tests say so
//! and pass, where `CI=true` they fail. `DNS64_EBPF_OBJECT` names a directory with objects to be
//! tested instead of the embedded ones.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod lab;

mod commands;
mod load;
mod object;
mod sockets;
