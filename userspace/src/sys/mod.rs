//! The only door to the operating system's unsafe side.
//!
//! Everything here is a safe function or type over memory that it owns or borrows for the length
//! of the call. The rest of the program holds no `unsafe` at all, so whoever audits memory safety
//! reads this directory. Where rustix or socket2 already has a safe call, it is used.

pub mod bpf_link;
pub mod capabilities;
pub mod clock;
pub mod control_message;
pub mod listen_fds;
pub mod memory;
pub mod mmsg;
pub mod open_files;
pub mod queue_room;
pub mod shared_map;
pub mod socket_address;
pub mod sockopt;
pub mod waker;
pub mod xsk;
