//! The capabilities of a thread (capabilities(7)).

use std::fmt;
use std::io;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// Capabilities that the program has a use for, with their names.
const NAMED: [(CapabilitySet, &str); 9] = [
    (CapabilitySet::CHOWN, "CAP_CHOWN"),
    (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
    (CapabilitySet::NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"),
    (CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"),
    (CapabilitySet::NET_RAW, "CAP_NET_RAW"),
    (CapabilitySet::IPC_LOCK, "CAP_IPC_LOCK"),
    (CapabilitySet::PERFMON, "CAP_PERFMON"),
    (CapabilitySet::BPF, "CAP_BPF"),
];

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(CapabilitySet);

impl Capabilities {
    /// None.
    pub const NONE: Self = Self(CapabilitySet::empty());
    /// To give a file to a group that one is not in.
    pub const CHOWN: Self = Self(CapabilitySet::CHOWN);
    /// What makes root of a root without capabilities, as far as files are concerned.
    pub const FILES: Self = Self(CapabilitySet::DAC_OVERRIDE.union(CapabilitySet::DAC_READ_SEARCH));
    /// To listen on ports below 1024.
    pub const LOW_PORTS: Self = Self(CapabilitySet::NET_BIND_SERVICE);
    /// To send ICMP.
    pub const RAW: Self = Self(CapabilitySet::NET_RAW);
    /// To load and attach BPF programs, and to open `AF_XDP` sockets.
    pub const XDP: Self = Self(
        CapabilitySet::NET_ADMIN
            .union(CapabilitySet::NET_RAW)
            .union(CapabilitySet::IPC_LOCK)
            .union(CapabilitySet::PERFMON)
            .union(CapabilitySet::BPF),
    );

    /// These and others.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0.union(others.0))
    }

    /// These, where `condition` holds.
    #[must_use]
    pub const fn when(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }

    /// Those of this thread that it can use.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn of_thread() -> io::Result<Self> {
        Ok(Self(capabilities(None)?.effective))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = NAMED.iter().filter(|(capability, _)| self.0.contains(*capability));
        match names.next() {
            None => f.write_str("none"),
            Some((_, first)) => {
                f.write_str(first)?;
                names.try_for_each(|(_, name)| write!(f, " {name}"))
            }
        }
    }
}

/// Takes all capabilities from this thread, and from those it will start, but these, as far as it
/// has them. What is left.
///
/// # Errors
/// If the kernel refuses: then it has those it had.
pub fn keep(wanted: Capabilities) -> io::Result<Capabilities> {
    let left = capabilities(None)?.permitted & wanted.0;
    let sets =
        CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() };
    clear_ambient_capability_set()?;
    set_capabilities(None, sets)?;
    Ok(Capabilities(left))
}

/// Has this thread keep these capabilities and no others. Where the kernel refuses, it has as many
/// as before, which is no reason not to work.
pub fn keep_at_most(wanted: Capabilities) {
    let _as_before = keep(wanted);
}

/// Starts a thread that keeps these capabilities and no others; when this returns, it has given the
/// rest up.
///
/// # Errors
/// If the system has no thread for it.
pub fn spawn_with<T: Send + 'static>(
    wanted: Capabilities,
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let (given_up, all_given_up) = channel::<()>();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
        keep_at_most(wanted);
        drop(given_up);
        body()
    })?;
    // Nothing is sent: the other end goes.
    let _gone = all_given_up.recv();
    Ok(thread)
}

/// Sees to it that no program that this thread starts can have others than these. Needs
/// `CAP_SETPCAP`; without it nothing happens, and a program that is started gains none either once
/// `no_new_privs` is set.
pub fn bound(wanted: Capabilities) {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // Numbers past the last one that the kernel knows are refused, and the rest with them.
        if !wanted.0.contains(capability)
            && remove_capability_from_bounding_set(capability).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_names_its_members() {
        assert_eq!(Capabilities::NONE.to_string(), "none");
        let some = Capabilities::LOW_PORTS.and(Capabilities::RAW);
        assert_eq!(some.to_string(), "CAP_NET_BIND_SERVICE CAP_NET_RAW");
        assert_eq!(Capabilities::XDP.when(false), Capabilities::NONE);
    }

    #[test]
    fn a_thread_that_keeps_none_has_none_and_others_are_as_they_were() {
        let before = Capabilities::of_thread().unwrap();
        let inside = spawn_with(Capabilities::NONE, "none", || Capabilities::of_thread().unwrap());
        assert_eq!(inside.unwrap().join().unwrap(), Capabilities::NONE);
        assert_eq!(Capabilities::of_thread().unwrap(), before);
    }
}
