//! XDP programs: out of the embedded object into the kernel, and onto an interface.
//!
//! A [`Program`] is loaded, told by its maps what to do, and attached; it is gone from the
//! interface when it is dropped, or the process ends in whatever way. Native mode is tried first,
//! then generic mode, which every driver has. [`XdpError`] says in words what is to be done where
//! none of it works.
#![forbid(unsafe_code)]

mod clients;
mod compact;
mod delivery;
mod error;
pub mod hot;
pub mod interface;
pub mod ladder;
pub mod netlink;
mod object;
mod program;
pub mod rtnetlink;
mod run;
pub mod select;
mod services;
pub mod spread;
pub mod spreading;
pub mod steering;
pub mod watch;

pub use crate::sys::bpf_link::XdpMode;
pub use crate::sys::queue_room::QueueRoom;
pub(crate) use compact::compact;
pub use error::XdpError;
pub use object::{OBJECT_DIRECTORY, Object};
pub use program::{Attached, ModeWanted, Program};
pub use run::{LiveFrames, Run};
