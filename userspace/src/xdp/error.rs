//! What can keep an XDP program from an interface, and what to do about it.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::PathBuf;

use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::{EbpfError, sys::SyscallError};
use rustix::io::Errno;

use super::XdpMode;

/// Why there is no XDP program on an interface.
#[derive(Debug)]
pub enum XdpError {
    /// There is no interface of that name.
    NoInterface {
        /// The name.
        interface: String,
    },
    /// The object named by the environment cannot be read.
    ObjectFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The object is none, or lacks a program or map.
    Object {
        /// What is wrong with it.
        reason: String,
    },
    /// We may not.
    NotPermitted {
        /// What we may not do.
        action: &'static str,
    },
    /// The verifier refused a program.
    Refused {
        /// The program.
        program: String,
        /// The verifier's last lines.
        log: String,
    },
    /// Another program is attached.
    Occupied {
        /// The interface.
        interface: String,
    },
    /// The driver lacks XDP, or lacks it in the present state of the interface.
    Driver {
        /// The interface.
        interface: String,
        /// What it was asked for.
        mode: XdpMode,
        /// What it said.
        source: io::Error,
    },
    /// Another system call failed.
    System {
        /// What was to be done.
        action: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl fmt::Display for XdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface { interface } => {
                write!(f, "there is no interface {interface}; ip link lists those there are")
            }
            Self::ObjectFile { path, source } => write!(
                f,
                "cannot read the BPF object {}: {source}; unset {} for the embedded one",
                path.display(),
                super::OBJECT_DIRECTORY
            ),
            Self::Object { reason } => {
                write!(f, "the BPF object is not what it should be: {reason}; run ebpf/build")
            }
            Self::NotPermitted { action } => write!(
                f,
                "not permitted to {action}; run as root, or give the program CAP_BPF, \
                 CAP_PERFMON, CAP_NET_ADMIN and CAP_NET_RAW. Before Linux 5.11 the limit of \
                 locked memory counts too (ulimit -l, LimitMEMLOCK=)"
            ),
            Self::Refused { program, log } => {
                write!(f, "this kernel's verifier refuses the program {program}: {log}")?;
                // What it forbids to those who may not look into the kernel.
                if log.contains(" prohibited") {
                    write!(f, "; give the program CAP_PERFMON, too: less is forbidden then")?;
                }
                Ok(())
            }
            Self::Occupied { interface } => write!(
                f,
                "another XDP program is attached to {interface}; bpftool net shows which one, and \
                 ip link set dev {interface} xdp off (or xdpgeneric off) removes one that was left \
                 behind"
            ),
            Self::Driver { interface, mode: XdpMode::Native, source } => write!(
                f,
                "the driver of {interface} takes no XDP program as the interface is set up: \
                 {source}; generic mode works with every driver. Some drivers want an MTU of at \
                 most 3498, large receive offload off, or fewer queues"
            ),
            Self::Driver { interface, mode: XdpMode::Generic, source } => {
                write!(f, "{interface} takes no XDP program in generic mode: {source}")
            }
            Self::System { action, source } => {
                write!(f, "cannot {action}: {source}{}", remedy(source))
            }
        }
    }
}

/// The text says what the kernel said already, so there is no source to be printed beside it.
impl std::error::Error for XdpError {}

impl XdpError {
    /// What a system call said, when we were about to do something.
    pub(super) fn of_call(action: &'static str, source: io::Error) -> Self {
        match Errno::from_io_error(&source) {
            Some(Errno::PERM | Errno::ACCESS) => Self::NotPermitted { action },
            _ => Self::System { action, source },
        }
    }

    fn of_syscall(action: &'static str, SyscallError { io_error, .. }: SyscallError) -> Self {
        Self::of_call(action, io_error)
    }

    /// Why an object was not loaded.
    pub(super) fn of_load(error: EbpfError) -> Self {
        if let EbpfError::MapError(error) = error {
            return Self::of_map("make BPF maps", error);
        }
        Self::Object { reason: chain(&error) }
    }

    /// Why a map was not made or written.
    pub(super) fn of_map(action: &'static str, error: MapError) -> Self {
        if let MapError::SyscallError(error) = error {
            return Self::of_syscall(action, error);
        }
        if let MapError::CreateError { io_error, .. } = error {
            return Self::of_call(action, io_error);
        }
        Self::Object { reason: chain(&error) }
    }

    /// Why a program was not loaded.
    pub(super) fn of_program(program: &str, error: ProgramError) -> Self {
        if let ProgramError::SyscallError(error) = error {
            return Self::of_syscall("load BPF programs", error);
        }
        let ProgramError::LoadError { io_error, verifier_log } = error else {
            return Self::Object { reason: chain(&error) };
        };
        let log = verifier_log.to_string();
        if log.trim().is_empty() || Errno::from_io_error(&io_error) == Some(Errno::PERM) {
            return Self::of_call("load BPF programs", io_error);
        }
        let mut lines: Vec<&str> = log.lines().rev().take(4).collect();
        lines.reverse();
        Self::Refused { program: program.to_owned(), log: lines.join(" | ") }
    }

    /// Why a program was not attached.
    pub(super) fn of_attach(interface: &str, mode: XdpMode, source: io::Error) -> Self {
        let interface = interface.to_owned();
        match Errno::from_io_error(&source) {
            Some(Errno::PERM | Errno::ACCESS) => {
                Self::NotPermitted { action: "attach XDP programs" }
            }
            Some(Errno::BUSY | Errno::EXIST) => Self::Occupied { interface },
            Some(Errno::NODEV) => Self::NoInterface { interface },
            _ => Self::Driver { interface, mode, source },
        }
    }
}

/// What can be done about what a system call said, where that is known.
fn remedy(source: &io::Error) -> &'static str {
    match Errno::from_io_error(source) {
        Some(Errno::NOMEM) => {
            "; free some memory, or raise the limit of the control group (MemoryMax=)"
        }
        Some(Errno::NOSYS) => "; this kernel has no BPF: it needs CONFIG_BPF_SYSCALL",
        Some(Errno::INVAL | Errno::TOOBIG) => "; this kernel may be too old",
        _ => "",
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_the_kernel_gets_its_remedy() {
        let attach =
            |errno: Errno| XdpError::of_attach("eth7", XdpMode::Native, errno.into()).to_string();
        assert!(attach(Errno::PERM).contains("CAP_BPF"));
        assert!(attach(Errno::BUSY).contains("another XDP program is attached to eth7"));
        assert!(attach(Errno::EXIST).contains("xdp off"));
        assert!(attach(Errno::OPNOTSUPP).contains("generic mode works"));
        assert!(attach(Errno::NODEV).contains("no interface eth7"));
        let refused =
            |log: &str| XdpError::Refused { program: "steer".into(), log: log.into() }.to_string();
        assert!(refused("R1 pointer -= pointer prohibited").contains("CAP_PERFMON"));
        assert!(!refused("BPF program is too large").contains("CAP_PERFMON"));
        let load = |errno: Errno| XdpError::of_call("load BPF programs", errno.into()).to_string();
        assert!(load(Errno::NOMEM).contains("MemoryMax"));
        assert!(load(Errno::NOSYS).contains("CONFIG_BPF_SYSCALL"));
        assert!(load(Errno::INVAL).contains("too old"));
    }
}
