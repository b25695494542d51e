//! The UMEM: the memory that packets lie in, and who may touch which part of it.

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::sys::memory::advise_huge_pages;

/// Octets of a frame. A power of two, at least 2,048 and at most a page (af_xdp.rst, "UMEM").
pub const FRAME_LEN: usize = 2_048;

/// What the kernel keeps free in front of a received packet: `XDP_PACKET_HEADROOM` (linux/bpf.h).
pub const HEADROOM: usize = 256;

/// The usual size of a huge page.
const HUGE_PAGE_BYTES: usize = 2 << 20;

const _: () = assert!(FRAME_LEN.is_power_of_two() && HUGE_PAGE_BYTES.is_multiple_of(FRAME_LEN));
const _: () = assert!(FRAME_LEN - HEADROOM == dns64_ebpf::classify::MAX_FRAME_LEN);

/// Memory that was mapped, and is unmapped when dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is owned by whoever owns this; nothing about it belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Takes over a mapping.
    ///
    /// # Safety
    /// `len` octets at `start` were mapped by mmap(2), and nobody else unmaps them.
    pub(super) unsafe fn from_raw(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len }
    }

    /// Maps `len` zeroed octets, on huge pages if the machine has some to spare.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        if len.is_multiple_of(HUGE_PAGE_BYTES)
            && let Ok(mapping) = Self::anonymous_with(len, MapFlags::HUGETLB)
        {
            return Ok(mapping);
        }
        let mut mapping = Self::anonymous_with(len, MapFlags::empty())?;
        advise_huge_pages(mapping.octets_mut());
        // Touched now, not when the first packets come.
        mapping.octets_mut().fill(0);
        Ok(mapping)
    }

    fn anonymous_with(len: usize, flags: MapFlags) -> io::Result<Self> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: mmap(2) with a null address and MAP_PRIVATE makes new memory of `len` octets at a
        // place that nothing else has.
        let start = unsafe {
            mmap_anonymous(std::ptr::null_mut(), len, protection, MapFlags::PRIVATE | flags)?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: mapped just now, by nobody else.
        Ok(unsafe { Self::from_raw(start, len) })
    }

    /// The first octet.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Octets.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All octets, while nobody but us has any of them.
    fn octets_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` octets are mapped at `start`; used only before the kernel is told of them.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by whoever made this, with this length, and not unmapped since. It fails
        // for addresses that are no page boundary only, which mmap(2) does not return.
        let _mapped = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// A frame that user space holds, with a packet in it: the right to read and write it.
///
/// It belongs to the [`super::Xsk`] it came from, and goes back to it, by `send` or `release`. One
/// that is dropped is lost to the socket until that is closed.
#[derive(Debug)]
#[must_use = "a frame that is dropped is lost to its socket"]
pub struct XskFrame {
    /// The UMEM.
    umem: u32,
    /// Which frame.
    index: u32,
    /// Where the packet begins in the frame.
    start: u16,
    /// Octets of the packet.
    len: u16,
}

impl XskFrame {
    /// Octets of the packet.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no packet in it yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The longest packet that there is room for.
    #[must_use]
    pub const fn room(&self) -> usize {
        FRAME_LEN - self.start as usize
    }

    /// Says how long the packet is now.
    ///
    /// # Panics
    /// If there is no room for it.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.room(), "{len} octets in a frame with room for {}", self.room());
        self.len = len as u16;
    }
}

/// Where a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Held,
    Fill,
    Tx,
}

/// How many frames are where. Their sum never changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Ours, with nothing in them.
    pub free: usize,
    /// Ours, and a caller has the token.
    pub held: usize,
    /// The kernel's, waiting for packets.
    pub fill: usize,
    /// The kernel's, being sent.
    pub tx: usize,
}

impl Census {
    /// All frames.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.free + self.held + self.fill + self.tx
    }
}

/// The frames of one socket.
#[derive(Debug)]
pub(super) struct Frames {
    /// Tells tokens of different sockets apart.
    umem: u32,
    memory: Mapping,
    /// Where each frame is: what tokens and the kernel's messages are checked against.
    places: Box<[Place]>,
    /// The frames at `Place::Free`; the one used last is taken first, as it is still in the cache.
    free: Vec<u32>,
}

impl Frames {
    /// Maps memory for `count` frames.
    pub(super) fn new(count: u32) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let memory = Mapping::anonymous(count as usize * FRAME_LEN)?;
        Ok(Self {
            umem: NEXT.fetch_add(1, Ordering::Relaxed),
            memory,
            places: vec![Place::Free; count as usize].into(),
            free: (0..count).rev().collect(),
        })
    }

    /// The memory, for the kernel.
    pub(super) fn memory(&self) -> &Mapping {
        &self.memory
    }

    /// Moves a frame from one place to another. What is not where it must be would be in two
    /// hands: going on would be unsound.
    fn pass(&mut self, index: u32, from: Place, to: Place) {
        let place = &mut self.places[index as usize];
        assert_eq!(*place, from, "frame {index} cannot go to {to:?}");
        *place = to;
    }

    /// The frame that an address in the UMEM belongs to, and how far into it the address is.
    fn locate(address: u64) -> (u32, usize) {
        ((address / FRAME_LEN as u64) as u32, (address % FRAME_LEN as u64) as usize)
    }

    fn address(index: u32, start: usize) -> u64 {
        u64::from(index) * FRAME_LEN as u64 + start as u64
    }

    /// Takes a free frame for the kernel to put a packet in; its address.
    pub(super) fn fill(&mut self) -> Option<u64> {
        let index = self.free.pop()?;
        self.pass(index, Place::Free, Place::Fill);
        Some(Self::address(index, 0))
    }

    /// A packet came: its frame is the caller's now.
    pub(super) fn received(&mut self, address: u64, len: u32) -> XskFrame {
        let (index, start) = Self::locate(address);
        self.pass(index, Place::Fill, Place::Held);
        let mut frame = XskFrame { umem: self.umem, index, start: start as u16, len: 0 };
        frame.set_len(len as usize);
        frame
    }

    /// Takes a free frame for the caller to put a packet in.
    pub(super) fn allocate(&mut self) -> Option<XskFrame> {
        let index = self.free.pop()?;
        self.pass(index, Place::Free, Place::Held);
        Some(XskFrame { umem: self.umem, index, start: HEADROOM as u16, len: 0 })
    }

    /// The caller sends a frame: it is the kernel's until it is sent. Its address.
    pub(super) fn transmit(&mut self, frame: XskFrame) -> u64 {
        assert_eq!(frame.umem, self.umem, "a frame of another socket");
        self.pass(frame.index, Place::Held, Place::Tx);
        Self::address(frame.index, frame.start.into())
    }

    /// The kernel has sent a frame.
    pub(super) fn sent(&mut self, address: u64) {
        let (index, _) = Self::locate(address);
        self.pass(index, Place::Tx, Place::Free);
        self.free.push(index);
    }

    /// The caller gives a frame back.
    pub(super) fn release(&mut self, frame: XskFrame) {
        assert_eq!(frame.umem, self.umem, "a frame of another socket");
        self.pass(frame.index, Place::Held, Place::Free);
        self.free.push(frame.index);
    }

    /// Where the packet of a frame lies.
    fn pointer(&self, frame: &XskFrame) -> *mut u8 {
        assert_eq!(frame.umem, self.umem, "a frame of another socket");
        let offset = frame.index as usize * FRAME_LEN + usize::from(frame.start);
        debug_assert!(offset + frame.room() <= self.memory.len());
        // SAFETY: `index` is one of the frames, since `places` has it, and `start` lies within a
        // frame, so the offset is within the mapping.
        unsafe { self.memory.start().as_ptr().add(offset) }
    }

    /// The packet in a frame.
    pub(super) fn packet(&self, frame: &XskFrame) -> &[u8] {
        // SAFETY: the token says that the frame is held, so the kernel does not touch it, and there
        // is no second token. `&self` keeps `packet_mut` and `room_mut` away while it is read.
        // `len` is at most the room behind `start`.
        unsafe { std::slice::from_raw_parts(self.pointer(frame), frame.len()) }
    }

    /// The packet in a frame and the room behind it.
    pub(super) fn room_mut(&mut self, frame: &mut XskFrame) -> &mut [u8] {
        // SAFETY: as in `packet`, and `&mut self` keeps all other readers away.
        unsafe { std::slice::from_raw_parts_mut(self.pointer(frame), frame.room()) }
    }

    /// Counts who has how many.
    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        for place in &self.places {
            match place {
                Place::Free => census.free += 1,
                Place::Held => census.held += 1,
                Place::Fill => census.fill += 1,
                Place::Tx => census.tx += 1,
            }
        }
        census
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn panics(action: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(action)).is_err()
    }

    #[test]
    fn a_frame_goes_round_and_none_is_lost() {
        let mut frames = Frames::new(8).unwrap();
        assert_eq!(frames.census(), Census { free: 8, ..Census::default() });
        let address = frames.fill().unwrap();
        assert_eq!(frames.census().fill, 1);
        let mut frame = frames.received(address + HEADROOM as u64, 60);
        assert_eq!((frame.len(), frame.room()), (60, FRAME_LEN - HEADROOM));
        assert_eq!(frames.packet(&frame), [0; 60]);
        frames.room_mut(&mut frame)[..3].copy_from_slice(b"dns");
        frame.set_len(3);
        assert_eq!(frames.packet(&frame), b"dns");
        let address = frames.transmit(frame);
        assert_eq!(frames.census(), Census { free: 7, tx: 1, ..Census::default() });
        frames.sent(address);
        let frame = frames.allocate().unwrap();
        assert_eq!(frames.census(), Census { free: 7, held: 1, ..Census::default() });
        assert_eq!(frames.census().total(), 8);
        frames.release(frame);
        assert_eq!(frames.census(), Census { free: 8, ..Census::default() });
    }

    #[test]
    fn frames_run_out_and_come_back() {
        let mut frames = Frames::new(2).unwrap();
        let first = frames.allocate().unwrap();
        assert!(frames.fill().is_some());
        assert!(frames.allocate().is_none());
        assert!(frames.fill().is_none());
        frames.release(first);
        let again = frames.allocate().unwrap();
        frames.release(again);
    }

    #[test]
    fn a_frame_that_the_kernel_does_not_have_cannot_come_from_it() {
        let mut frames = Frames::new(4).unwrap();
        assert!(panics(|| drop(frames.received(0, 60))), "was never filled");
        let address = frames.fill().unwrap();
        let frame = frames.received(address, 60);
        assert!(panics(|| drop(frames.received(address, 60))), "came twice");
        assert!(panics(|| frames.sent(address)), "was never sent");
        assert!(panics(|| frames.sent(5 * FRAME_LEN as u64)), "is none of ours");
        frames.release(frame);
    }

    #[test]
    fn a_frame_of_another_socket_is_refused() {
        let (mut one, mut other) = (Frames::new(2).unwrap(), Frames::new(2).unwrap());
        let mut frame = one.allocate().unwrap();
        assert!(panics(|| {
            let _ = other.packet(&frame);
        }));
        assert!(panics(|| {
            let _ = other.room_mut(&mut frame);
        }));
        assert!(panics(|| other.release(frame)));
    }

    #[test]
    fn a_packet_is_never_longer_than_its_room() {
        let mut frames = Frames::new(1).unwrap();
        let mut frame = frames.allocate().unwrap();
        let room = frame.room();
        frame.set_len(room);
        assert!(panics(|| frame.set_len(room + 1)));
        frames.release(frame);
    }
}
