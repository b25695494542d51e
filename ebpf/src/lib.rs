//! What the kernel side of dns64d and its user space share.
//!
//! Three programs look at the same frames: the XDP program that chooses a core, the `AF_XDP`
//! transport that answers in the received frame, and the tests. They must agree about every octet,
//! so all of them use this library, and none of them parses headers by itself.
//!
//! ```text
//!   frame     bounds-checked reads; where Ethernet, IPv4, IPv6, UDP and DNS fields lie
//!   flow      where a UDP datagram lies; which ones a program takes
//!   checksum  the Internet checksum
//!   headers   writes Ethernet, IP and UDP headers: for replies in place and for new frames
//!   classify  Frame + Tables -> Verdict: pass to the stack, drop, or steer to a core
//!   select    the worker of a query: by name or by flow
//!   hash      folds letter case and hashes names, eight octets at a time
//!   hot       answers that the program gives by itself: table, query, reply
//!   flood     queries that a program sends, and the judgement of their answers
//!   abi       what lies in the BPF maps, and what maps and programs are called
//! ```
//!
//! The order of use: user space fills the maps with the structures of [`abi`], loads and attaches
//! the program; the program wraps each received packet as a [`frame::Frame`] and the maps as
//! [`classify::Tables`], calls [`classify::classify`], counts the [`abi::CounterIndex`] of the
//! verdict and acts on it. Steering is an optimisation only: a frame that nobody is sure about
//! passes to the network stack, which is always right and merely slower.
//!
//! Nothing here allocates, panics, or needs more than `core`: the BPF verifier would refuse it.
#![no_std]
#![forbid(unsafe_code)]

pub mod abi;
pub mod checksum;
pub mod classify;
pub mod flood;
pub mod flow;
pub mod frame;
pub mod hash;
pub mod headers;
pub mod hot;
pub mod select;
