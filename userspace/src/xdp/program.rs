//! A loaded program with its maps, and what holds it to an interface.
#![forbid(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use aya::maps::{Array, Map, MapData, XskMap};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader, Pod};
use dns64_ebpf::abi;
use dns64_ebpf::flow::FlowFilter;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Object, XdpError, XdpMode, interface};
use crate::sys::bpf_link::{XdpLink, attach_xdp};
use crate::sys::shared_map::SharedMap;

/// Where a program may be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeWanted {
    /// In the driver, or else in the network stack.
    Any,
    /// There and nowhere else.
    Only(XdpMode),
}

/// A program in the kernel, with the maps of its object.
#[derive(Debug)]
pub struct Program {
    pub(super) ebpf: Ebpf,
    pub(super) name: &'static str,
}

/// A program on an interface. It is detached when this is dropped.
#[derive(Debug)]
pub struct Attached {
    link: XdpLink,
    mode: XdpMode,
    native_refusal: Option<XdpError>,
}

impl Program {
    /// Makes the maps of an object and loads one of its programs.
    ///
    /// # Errors
    /// Without rights, where the verifier refuses, or with an object that is none.
    pub fn load(object: Object, name: &'static str) -> Result<Self, XdpError> {
        Self::load_with(object, name, &[])
    }

    /// As [`Program::load`], with so many entries in these maps.
    ///
    /// # Errors
    /// As [`Program::load`].
    pub fn load_with(
        object: Object,
        name: &'static str,
        entries: &[(&'static str, u32)],
    ) -> Result<Self, XdpError> {
        let mut ebpf = maps_of(object, entries)?;
        xdp(&mut ebpf, name)?.load().map_err(|error| XdpError::of_program(name, error))?;
        Ok(Self { ebpf, name })
    }

    /// Loads one more program of the object, on the same maps.
    ///
    /// # Errors
    /// As [`Program::load`].
    pub fn also_load(&mut self, name: &'static str) -> Result<(), XdpError> {
        xdp(&mut self.ebpf, name)?.load().map_err(|error| XdpError::of_program(name, error))
    }

    /// The first words of an array map of the kind `BPF_F_MMAPABLE`, as memory.
    ///
    /// # Errors
    /// If the object has no such map, it is of another kind, or it has fewer words.
    pub fn memory(&self, map: &str, words: usize) -> Result<SharedMap, XdpError> {
        let missing = || XdpError::Object { reason: format!("there is no map {map}") };
        let Map::Array(data) = self.ebpf.map(map).ok_or_else(missing)? else {
            return Err(missing());
        };
        SharedMap::new(data.fd(), words)
            .map_err(|error| XdpError::of_call("map a BPF map into memory", error))
    }

    /// Says which datagrams the program takes.
    ///
    /// # Errors
    /// If the object has no such map.
    pub fn set_filter(&mut self, filter: &FlowFilter) -> Result<(), XdpError> {
        let mut map: Array<_, [u8; size_of::<FlowFilter>()]> = self.map(abi::MAP_FILTER)?;
        set_only(&mut map, filter.octets())
    }

    /// Puts the `AF_XDP` socket of a queue where the program finds it. It is found for as long as
    /// it is open.
    ///
    /// # Errors
    /// If the object has no such map, the queue's number is too high for it, or the file descriptor
    /// is no bound socket.
    pub fn insert_socket(&mut self, queue: u32, socket: impl AsFd) -> Result<(), XdpError> {
        let mut map: XskMap<_> = self.map(abi::MAP_XSKS)?;
        map.set(queue, socket.as_fd().as_raw_fd(), 0)
            .map_err(|error| XdpError::of_map("put an AF_XDP socket into a BPF map", error))
    }

    /// How many instructions the verifier walked through, where the kernel says so (5.16).
    #[must_use]
    pub fn verified_instructions(&self) -> Option<u32> {
        let program: &Xdp = self.ebpf.program(self.name)?.try_into().ok()?;
        program.info().ok()?.verified_instruction_count()
    }

    /// The loaded program, to be run on made-up packets (`BPF_PROG_TEST_RUN`).
    ///
    /// # Errors
    /// If it is not loaded.
    pub fn fd(&self) -> Result<BorrowedFd<'_>, XdpError> {
        let missing = || XdpError::Object { reason: format!("no program {} is loaded", self.name) };
        let program = self.ebpf.program(self.name).ok_or_else(missing)?;
        let program: &Xdp =
            program.try_into().map_err(|error| XdpError::of_program(self.name, error))?;
        let fd = program.fd().map_err(|error| XdpError::of_program(self.name, error))?;
        Ok(fd.as_fd())
    }

    /// A map of the object in the shape that it must have.
    pub(super) fn map<'m, M>(&'m mut self, name: &str) -> Result<M, XdpError>
    where
        M: TryFrom<&'m mut aya::maps::Map, Error = aya::maps::MapError>,
    {
        map_of(&mut self.ebpf, name)
    }

    /// Attaches the program to an interface.
    ///
    /// # Errors
    /// If there is no such interface, another program is attached, or the driver refuses.
    pub fn attach(&mut self, name: &str, wanted: ModeWanted) -> Result<Attached, XdpError> {
        let index = interface::index_of(name)?;
        let program = xdp(&mut self.ebpf, self.name)?;
        let fd = program.fd().map_err(|error| XdpError::of_program(self.name, error))?;
        let attach = |mode| {
            let link = attach_xdp(fd.as_fd(), index, mode);
            link.map_err(|error| XdpError::of_attach(name, mode, error))
        };
        let (mode, fallback) = match wanted {
            ModeWanted::Any => (XdpMode::Native, Some(XdpMode::Generic)),
            ModeWanted::Only(mode) => (mode, None),
        };
        match (attach(mode), fallback) {
            (Ok(link), _) => Ok(Attached { link, mode, native_refusal: None }),
            // Only a driver's refusal is one that generic mode helps against.
            (Err(refusal @ XdpError::Driver { .. }), Some(fallback)) => Ok(Attached {
                link: attach(fallback)?,
                mode: fallback,
                native_refusal: Some(refusal),
            }),
            (Err(error), _) => Err(error),
        }
    }
}

impl Attached {
    /// Whether the program is still on the interface with this index: somebody may have detached
    /// it, or the interface has gone.
    #[must_use]
    pub fn is_on(&self, interface: u32) -> bool {
        self.link.interface().is_ok_and(|index| index == interface)
    }

    /// Where packets meet the program.
    #[must_use]
    pub const fn mode(&self) -> XdpMode {
        self.mode
    }

    /// Why it is not in the driver, where that was tried first.
    #[must_use]
    pub const fn native_refusal(&self) -> Option<&XdpError> {
        self.native_refusal.as_ref()
    }
}

/// Makes the maps of an object, with so many entries in some of them.
pub(super) fn maps_of(object: Object, entries: &[(&'static str, u32)]) -> Result<Ebpf, XdpError> {
    // Before Linux 5.11 maps count as locked memory. Without the right to raise the limit the maps
    // will fail, and that error says more.
    let unlimited = Rlimit { current: None, maximum: None };
    let _limit_stays = setrlimit(Resource::Memlock, unlimited);
    let bytes = object.bytes()?;
    let mut loader = EbpfLoader::new();
    for (map, count) in entries {
        loader.map_max_entries(map, *count);
    }
    loader.load(&bytes).map_err(XdpError::of_load)
}

/// A map of an object in the shape that it must have.
pub(super) fn map_of<'m, M>(ebpf: &'m mut Ebpf, name: &str) -> Result<M, XdpError>
where
    M: TryFrom<&'m mut aya::maps::Map, Error = aya::maps::MapError>,
{
    let missing = || XdpError::Object { reason: format!("there is no map {name}") };
    let map = ebpf.map_mut(name).ok_or_else(missing)?;
    M::try_from(map).map_err(|error| XdpError::of_map("use a BPF map", error))
}

/// An XDP program of an object.
pub(super) fn xdp<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut Xdp, XdpError> {
    let missing = || XdpError::Object { reason: format!("there is no XDP program {name}") };
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or_else(missing)
}

/// Writes the one entry of an array.
fn set_only<V: Pod>(map: &mut Array<&mut MapData, V>, value: V) -> Result<(), XdpError> {
    map.set(0, value, 0).map_err(|error| XdpError::of_map("write a BPF map", error))
}
