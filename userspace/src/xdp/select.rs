//! Which worker's socket gets a datagram: the kernel asks a program for each.
//!
//! The sockets of all workers for one listen address are a group of `SO_REUSEPORT`. The kernel lets
//! a program choose among the sockets of one group and no others, so each group has the program and
//! its maps for itself. A program needs no link: it goes with the sockets of its group.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};

use aya::Ebpf;
use aya::maps::{Array, PerCpuArray, ReusePortSockArray};
use aya::programs::sk_reuseport::SkReuseportError;
use aya::programs::{ProgramError, SkReuseport};
use dns64_ebpf::abi::{self, SteerBy, SteerConfig, SteerMode};
use dns64_ebpf::select::SelectCounter;
use socket2::{Domain, Socket, Type};

use super::program::{map_of, maps_of};
use super::{Object, XdpError};

/// What we were about to do.
const ATTACH: &str = "attach a BPF program to sockets";

/// The program at every listen address.
#[derive(Debug)]
pub struct Selection {
    groups: Vec<Group>,
}

/// The program at one listen address.
#[derive(Debug)]
struct Group {
    ebpf: Ebpf,
}

/// How many datagrams had which end in the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectCounts {
    /// The worker's socket was chosen.
    pub chosen: u64,
    /// Left to the kernel's own choice: nothing to choose by.
    pub left: u64,
    /// Left to the kernel's own choice: no such socket. Workers that have ended have none.
    pub no_socket: u64,
}

impl Selection {
    /// Has a program choose the sockets from now on. `groups` has the sockets of each listen
    /// address in the order of the workers, of which there are as many as `config` says.
    ///
    /// # Errors
    /// Without rights, or where the verifier refuses. The kernel chooses everywhere then.
    pub fn attach(config: &SteerConfig, groups: &[Vec<BorrowedFd<'_>>]) -> Result<Self, XdpError> {
        let selection = Self {
            groups: groups
                .iter()
                .map(|sockets| Group::load(config, sockets))
                .collect::<Result<_, _>>()?,
        };
        for (at, (group, sockets)) in selection.groups.iter().zip(groups).enumerate() {
            if let Err(error) = group.attach(sockets) {
                for sockets in &groups[..at] {
                    // All or none: what is attached goes again.
                    let _not_attached = sockets.first().map(SkReuseport::detach);
                }
                return Err(error);
            }
        }
        Ok(selection)
    }

    /// Tries whether the kernel takes the program, on sockets of the loopback interface that nobody
    /// else has.
    ///
    /// # Errors
    /// As [`Selection::attach`].
    pub fn try_out() -> Result<(), XdpError> {
        let sockets = shared_sockets().map_err(|error| XdpError::of_call(ATTACH, error))?;
        let config = SteerConfig::new(SteerMode::Worker, SteerBy::Name, 2, 0, 0);
        Self::attach(&config, &[sockets.iter().map(AsFd::as_fd).collect()]).map(drop)
    }

    /// How many instructions the verifier walked through, where the kernel says so (5.16).
    #[must_use]
    pub fn verified_instructions(&self) -> Option<u32> {
        let program: &SkReuseport =
            self.groups.first()?.ebpf.program(abi::PROGRAM_SELECT)?.try_into().ok()?;
        program.info().ok()?.verified_instruction_count()
    }

    /// What the programs have counted, over all listen addresses and CPUs.
    ///
    /// # Errors
    /// If a map cannot be read.
    pub fn counts(&mut self) -> Result<SelectCounts, XdpError> {
        let mut sums = [0; SelectCounter::COUNT as usize];
        for group in &mut self.groups {
            let map: PerCpuArray<_, u64> = map_of(&mut group.ebpf, abi::MAP_COUNTERS)?;
            for (index, sum) in (0..).zip(&mut sums) {
                let values = map
                    .get(&index, 0)
                    .map_err(|error| XdpError::of_map("read a BPF map", error))?;
                *sum += values.iter().sum::<u64>();
            }
        }
        let at = |counter: SelectCounter| sums[counter as usize];
        Ok(SelectCounts {
            chosen: at(SelectCounter::Chosen),
            left: at(SelectCounter::Left),
            no_socket: at(SelectCounter::NoSocket),
        })
    }
}

impl Group {
    /// Loads the program and fills its maps.
    fn load(config: &SteerConfig, sockets: &[BorrowedFd<'_>]) -> Result<Self, XdpError> {
        let entries = [(abi::MAP_SOCKETS, (sockets.len() as u32).max(1))];
        let mut ebpf = maps_of(Object::Select, &entries)?;
        program(&mut ebpf)?
            .load()
            .map_err(|error| XdpError::of_program(abi::PROGRAM_SELECT, error))?;
        let mut map: ReusePortSockArray<_> = map_of(&mut ebpf, abi::MAP_SOCKETS)?;
        for (worker, socket) in (0..).zip(sockets) {
            map.set(worker, socket, 0)
                .map_err(|error| XdpError::of_map("put a socket into a BPF map", error))?;
        }
        let mut map: Array<_, [u8; size_of::<SteerConfig>()]> = map_of(&mut ebpf, abi::MAP_CONFIG)?;
        map.set(0, config.octets(), 0)
            .map_err(|error| XdpError::of_map("write a BPF map", error))?;
        Ok(Self { ebpf })
    }

    /// Attaches the program to the group of these sockets.
    fn attach(&self, sockets: &[BorrowedFd<'_>]) -> Result<(), XdpError> {
        let Some(socket) = sockets.first() else { return Ok(()) };
        let missing = || XdpError::Object { reason: "there is no program for sockets".to_owned() };
        let program = self.ebpf.program(abi::PROGRAM_SELECT).ok_or_else(missing)?;
        let program: &SkReuseport =
            program.try_into().map_err(|error| XdpError::of_program(abi::PROGRAM_SELECT, error))?;
        program.attach(socket).map_err(|error| {
            if let ProgramError::SkReuseportError(SkReuseportError::SetsockoptError {
                io_error,
                ..
            }) = error
            {
                XdpError::of_call(ATTACH, io_error)
            } else {
                XdpError::of_program(abi::PROGRAM_SELECT, error)
            }
        })
    }
}

/// The program of an object.
fn program(ebpf: &mut Ebpf) -> Result<&mut SkReuseport, XdpError> {
    let missing = || XdpError::Object { reason: "there is no program for sockets".to_owned() };
    ebpf.program_mut(abi::PROGRAM_SELECT)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(missing)
}

/// Two sockets that share a port.
fn shared_sockets() -> std::io::Result<[UdpSocket; 2]> {
    let open = |address: std::net::SocketAddr| {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), None)?;
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        Ok::<_, std::io::Error>(UdpSocket::from(socket))
    };
    let first = open((std::net::Ipv4Addr::LOCALHOST, 0).into())?;
    let second = open(first.local_addr()?)?;
    Ok([first, second])
}

// ---- What is said of it

/// Whether queries are steered as the configuration wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steered {
    /// What the configuration wants.
    pub wanted: SteerBy,
    /// Why it is not to be had, and what can be done; `None` if it is.
    pub refusal: Option<String>,
}

impl Steered {
    /// What became of the wish.
    #[must_use]
    pub fn of<T>(wanted: SteerBy, result: &Result<T, XdpError>) -> Self {
        Self { wanted, refusal: result.as_ref().err().map(refusal) }
    }

    /// Tries what the configuration wants.
    #[must_use]
    pub fn try_out(wanted: SteerBy) -> Self {
        match wanted {
            SteerBy::Flow => Self { wanted, refusal: None },
            SteerBy::Name => Self::of(wanted, &Selection::try_out()),
        }
    }

    /// What decides which worker's socket gets a query.
    #[must_use]
    pub const fn by(&self) -> SteerBy {
        if self.refusal.is_some() { SteerBy::Flow } else { self.wanted }
    }

    /// That in the word of the configuration.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.by() {
            SteerBy::Flow => "flow",
            SteerBy::Name => "name",
        }
    }
}

impl fmt::Display for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.refusal, self.wanted) {
            (Some(refusal), SteerBy::Name) => write!(
                f,
                "no steering by name: {refusal}; queries are steered by flow, as the kernel does \
                 by itself, and workers ask the one that keeps a name"
            ),
            (Some(refusal), SteerBy::Flow) => write!(
                f,
                "queries are steered by flow, as the kernel does by itself, and stay on the CPUs \
                 of their queues: {refusal}"
            ),
            (None, SteerBy::Name) => {
                write!(f, "queries are steered by name, to the socket of the worker that keeps it")
            }
            (None, SteerBy::Flow) => write!(f, "queries are steered by flow"),
        }
    }
}

/// An error in words. This program needs fewer rights than those for XDP.
fn refusal(error: &XdpError) -> String {
    if let XdpError::NotPermitted { action } = error {
        return format!(
            "not permitted to {action}; run as root, or give the program CAP_BPF and CAP_PERFMON \
             (before Linux 5.8 CAP_SYS_ADMIN; before 5.11 the limit of locked memory counts too: \
             ulimit -l, LimitMEMLOCK=)"
        );
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn without_rights_flows_stay_and_the_line_has_the_remedy() {
        let refused = XdpError::of_call("load BPF programs", Errno::PERM.into());
        let steered = Steered::of::<()>(SteerBy::Name, &Err(refused));
        assert_eq!((steered.by(), steered.word()), (SteerBy::Flow, "flow"));
        let text = steered.to_string();
        assert!(text.starts_with("no steering by name: not permitted to load BPF programs"));
        assert!(text.contains("CAP_BPF") && text.contains("by flow"), "{text}");
        assert!(!text.contains("CAP_NET_RAW"), "no more rights than are needed: {text}");
        assert_eq!(Steered::of(SteerBy::Name, &Ok(())).word(), "name");
    }
}
