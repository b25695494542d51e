//! The XDP program that takes queries to the CPUs of their workers.
//!
//! An interface with fewer receive queues than there are workers brings all queries to few CPUs,
//! which then do the network stack's work for all workers. The program leads each query by a CPUMAP
//! to the CPU of the worker that it belongs to, where the stack takes it, and the program of
//! [`super::select`] then chooses that worker's socket.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use aya::maps::xdp::XdpMapError;
use aya::maps::{Array, CpuMap, PerCpuArray};
use dns64_ebpf::abi::{self, SteerConfig};
use dns64_ebpf::select::SpreadCounter;

use super::services::Services;
use super::{Attached, ModeWanted, Object, Program, XdpError};

/// Frames that wait for a CPU at most; the kernel throws away what comes then. As many as a ring of
/// a network card usually has.
const CPU_QUEUE_LEN: u32 = 2_048;

/// What we were about to do.
const WRITE: &str = "write a BPF map";

/// The loaded program.
#[derive(Debug)]
pub struct Spread {
    program: Program,
    services: Services,
}

/// How many frames had which end in the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpreadCounts {
    /// Taken to another CPU.
    pub moved: u64,
    /// On the CPU of their worker already.
    pub here: u64,
    /// No plain query for us, or without a name to choose by.
    pub left: u64,
    /// The CPU is not to be had.
    pub no_cpu: u64,
}

impl Spread {
    /// Loads the program. `cpus` has the CPU of each worker, of which there are as many as `config`
    /// says. It is on no interface and knows no services yet.
    ///
    /// # Errors
    /// Without rights, where the verifier refuses, or if a CPU is none.
    pub fn load(config: &SteerConfig, cpus: &[u32]) -> Result<Self, XdpError> {
        let cpu_count = cpus.iter().max().map_or(1, |last| last + 1);
        let entries =
            [(abi::MAP_CPUS, cpu_count), (abi::MAP_WORKER_CPUS, (cpus.len() as u32).max(1))];
        let mut program = Program::load_with(Object::Spread, abi::PROGRAM_SPREAD, &entries)?;
        let mut map: CpuMap<_> = program.map(abi::MAP_CPUS)?;
        for cpu in BTreeSet::from_iter(cpus) {
            map.set(*cpu, CPU_QUEUE_LEN, None, 0).map_err(|error| match error {
                XdpMapError::MapError(error) => {
                    XdpError::of_map("have frames taken to another CPU", error)
                }
                other @ XdpMapError::ChainedProgramNotSupported => {
                    XdpError::Object { reason: other.to_string() }
                }
            })?;
        }
        let mut map: Array<_, u32> = program.map(abi::MAP_WORKER_CPUS)?;
        for (worker, cpu) in (0..).zip(cpus) {
            map.set(worker, *cpu, 0).map_err(|error| XdpError::of_map(WRITE, error))?;
        }
        let mut map: Array<_, [u8; size_of::<SteerConfig>()]> = program.map(abi::MAP_CONFIG)?;
        map.set(0, config.octets(), 0).map_err(|error| XdpError::of_map(WRITE, error))?;
        Ok(Self { program, services: Services::default() })
    }

    /// The program, with its maps.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// Says where we listen: addresses and ports, none of them a wildcard.
    ///
    /// # Errors
    /// If the map cannot be written.
    pub fn set_services(&mut self, services: &BTreeSet<SocketAddr>) -> Result<(), XdpError> {
        self.services.set(&mut self.program, services)
    }

    /// Attaches the program to an interface.
    ///
    /// # Errors
    /// If there is no such interface, another program is attached, or the driver refuses.
    pub fn attach(&mut self, name: &str, wanted: ModeWanted) -> Result<Attached, XdpError> {
        self.program.attach(name, wanted)
    }

    /// What the program has counted, over all CPUs.
    ///
    /// # Errors
    /// If the map cannot be read.
    pub fn counts(&mut self) -> Result<SpreadCounts, XdpError> {
        let map: PerCpuArray<_, u64> = self.program.map(abi::MAP_COUNTERS)?;
        let at = |counter: SpreadCounter| {
            map.get(&(counter as u32), 0)
                .map(|values| values.iter().sum())
                .map_err(|error| XdpError::of_map("read a BPF map", error))
        };
        Ok(SpreadCounts {
            moved: at(SpreadCounter::Moved)?,
            here: at(SpreadCounter::Here)?,
            left: at(SpreadCounter::Left)?,
            no_cpu: at(SpreadCounter::NoCpu)?,
        })
    }
}
