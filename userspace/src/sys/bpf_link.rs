//! Attaching XDP programs so that they go when we go.
//!
//! A program that is attached by netlink stays on the interface after its process was killed, and
//! then takes packets to sockets that are no more. A `bpf_link` belongs to a file descriptor: the
//! kernel detaches when the last one is closed, however the process ends.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// `BPF_LINK_CREATE` of linux/bpf.h (kernel 5.7; for XDP 5.9).
const BPF_LINK_CREATE: libc::c_int = 28;

/// `BPF_XDP` of `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;

/// `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE` of linux/if_link.h.
const SKB_MODE: u32 = 1 << 1;
const DRIVER_MODE: u32 = 1 << 2;

/// The part of `union bpf_attr` that `BPF_LINK_CREATE` reads for XDP. What lies behind it counts as
/// zero (bpf(2): the kernel takes shorter attributes).
#[repr(C)]
struct LinkCreate {
    program: RawFd,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Where on its way a packet meets the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, before there is an skb.
    Native,
    /// In the network stack, for every driver.
    Generic,
}

/// An attached program. It is detached when this is dropped, or the process ends.
#[derive(Debug)]
pub struct XdpLink {
    link: OwnedFd,
}

/// `BPF_OBJ_GET_INFO_BY_FD` of linux/bpf.h.
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

/// The part of `union bpf_attr` that `BPF_OBJ_GET_INFO_BY_FD` reads.
#[repr(C)]
struct ObjectInfo {
    file: RawFd,
    info_len: u32,
    info: u64,
}

/// The beginning of `struct bpf_link_info` for a link of XDP. The kernel fills as much as we ask.
#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    link_type: u32,
    id: u32,
    program: u32,
    reserved: u32,
    interface: u32,
    padding: u32,
}

impl XdpLink {
    /// The interface that the program is on: 0 when somebody has detached it, or the interface is
    /// gone.
    ///
    /// # Errors
    /// Those of bpf(2).
    pub fn interface(&self) -> io::Result<u32> {
        let mut info = LinkInfo::default();
        let attributes = ObjectInfo {
            file: self.link.as_raw_fd(),
            info_len: size_of::<LinkInfo>() as u32,
            info: (&raw mut info).expose_provenance() as u64,
        };
        // SAFETY: bpf(2) reads the attributes, which are a local variable, and writes at most
        // `info_len` octets at `info`, another one of that size that nobody else has.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_OBJ_GET_INFO_BY_FD,
                &raw const attributes,
                size_of::<ObjectInfo>() as libc::c_uint,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(info.interface) }
    }
}

/// Attaches a loaded XDP program to an interface by its index.
///
/// # Errors
/// `EBUSY` or `EEXIST` where another program is attached, `EOPNOTSUPP` where the driver has no
/// XDP, `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN`, and what a driver says.
pub fn attach_xdp(program: impl AsFd, interface: u32, mode: XdpMode) -> io::Result<XdpLink> {
    let attributes = LinkCreate {
        program: program.as_fd().as_raw_fd(),
        interface,
        attach_type: BPF_XDP,
        flags: match mode {
            XdpMode::Native => DRIVER_MODE,
            XdpMode::Generic => SKB_MODE,
        },
    };
    // SAFETY: bpf(2) reads `size` octets at `attr`, those of a local variable. The command makes a
    // new file descriptor and touches no memory of ours.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_LINK_CREATE,
            &raw const attributes,
            size_of::<LinkCreate>() as libc::c_uint,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: "the return value is a new file descriptor": it is open and nobody else's.
    let link = unsafe { OwnedFd::from_raw_fd(result as RawFd) };
    Ok(XdpLink { link })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_program_is_not_attached() {
        let file = std::fs::File::open("/dev/null").unwrap();
        // EINVAL as root, EPERM without rights.
        assert!(attach_xdp(file, 1, XdpMode::Generic).is_err());
    }
}
