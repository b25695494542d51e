//! `AF_XDP` sockets: frames straight from and to a queue of a network interface, past the network
//! stack (the kernel's Documentation/networking/af_xdp.rst).
//!
//! An [`Xsk`] owns its UMEM, a region of frames that it shares with the kernel, and four rings:
//!
//! ```text
//!                    fill: "put packets here"
//!        user space ---------------------------> kernel
//!             ^                                     |
//!             |      rx: "a packet came"            |      every frame is at one of four places:
//!             +-------------------------------------+
//!             |                                     ^      free   ours, nothing in it
//!             |      tx: "send this"                |      held   ours, a caller has its token
//!             +-------------------------------------+      fill   the kernel's, waits for a packet
//!             ^                                     |      tx     the kernel's, is being sent
//!             |      completion: "it is sent"       |
//!             +-------------------------------------+
//! ```
//!
//! A caller holds frames as [`XskFrame`]s, tokens that cannot be copied: whoever has it may read
//! and rewrite the frame and send it or give it back. The kernel holds the others. So a received
//! query is answered in the frame that it came in, and nothing is copied.
//!
//! Which packets come is not decided here: an XDP program redirects them to the socket
//! (`crate::xdp`). Sending needs no program.

mod frames;
mod ring;
mod socket;

pub use frames::{Census, FRAME_LEN, HEADROOM, XskFrame};
pub use socket::{Bind, OpenError, Settings, Statistics, Xsk};
