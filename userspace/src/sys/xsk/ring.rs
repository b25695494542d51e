//! The rings between user space and the kernel: one side produces, the other consumes, and each
//! writes one of two counters.
//!
//! The counters run freely and wrap; an entry's place is its number modulo the length, which is a
//! power of two. An entry is written before the producer's counter says so (release, acquire), and
//! read before the consumer's counter does, so neither side sees half an entry.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::net::xdp::{XdpDesc, XdpRingFlags, XdpRingOffset};

use super::frames::Mapping;

/// What may lie in a ring: plain numbers, of which any bit pattern is valid.
pub(super) trait Entry: Copy {}

/// Fill and completion: addresses in the UMEM.
impl Entry for u64 {}

/// Rx and tx: address, length, options.
impl Entry for XdpDesc {}

/// What both sides of a ring know.
#[derive(Debug)]
struct Ring<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: Option<NonNull<AtomicU32>>,
    entries: NonNull<T>,
    len: u32,
    /// Keeps the above valid.
    _memory: Mapping,
}

// SAFETY: the pointers lead into the mapping, which is owned; counters are atomic, and entries are
// accessed by the protocol of the module's documentation, from one thread at a time.
unsafe impl<T> Send for Ring<T> {}

impl<T: Entry> Ring<T> {
    /// Maps the ring of a socket that lies at `page_offset` and has `len` entries.
    fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &XdpRingOffset,
        len: u32,
    ) -> io::Result<Self> {
        let bytes = offsets.desc as usize + len as usize * size_of::<T>();
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a null address lets the kernel choose a place that nothing else has.
        let start =
            unsafe { mmap(std::ptr::null_mut(), bytes, protection, flags, socket, page_offset)? };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: mapped just now, by nobody else.
        let memory = unsafe { Mapping::from_raw(start, bytes) };
        Ok(Self::over(memory, offsets, len))
    }

    /// A ring in memory that is laid out by `offsets`.
    fn over(memory: Mapping, offsets: &XdpRingOffset, len: u32) -> Self {
        assert!(len.is_power_of_two(), "a ring of {len} entries");
        let end = offsets.desc as usize + len as usize * size_of::<T>();
        let counters = [offsets.producer, offsets.consumer, offsets.flags.unwrap_or(0)];
        let lies_inside = |at: &u64| at.is_multiple_of(4) && *at as usize + 4 <= memory.len();
        assert!(
            end <= memory.len() && counters.iter().all(lies_inside),
            "a ring outside its memory"
        );
        assert!(offsets.desc.is_multiple_of(align_of::<T>() as u64), "entries out of line");
        // SAFETY: the assertions above say that every offset lies in the mapping and is aligned.
        // Mappings begin at pages.
        let at = |offset: u64| unsafe { memory.start().add(offset as usize) };
        Self {
            producer: at(offsets.producer).cast(),
            consumer: at(offsets.consumer).cast(),
            flags: offsets.flags.map(|offset| at(offset).cast()),
            entries: at(offsets.desc).cast(),
            len,
            _memory: memory,
        }
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: points into the mapping, which lives as long as `self`; only atomics go there.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as `producer`.
        unsafe { self.consumer.as_ref() }
    }

    /// The place of an entry.
    fn entry(&self, number: u32) -> NonNull<T> {
        // SAFETY: the mask keeps it within the `len` entries that `over` has checked.
        unsafe { self.entries.add((number & (self.len - 1)) as usize) }
    }

    /// Whether the kernel sleeps and must be called (`XDP_RING_NEED_WAKEUP`).
    fn needs_wakeup(&self) -> bool {
        self.flags.is_some_and(|flags| {
            // SAFETY: as `producer`.
            let flags = unsafe { flags.as_ref() }.load(Ordering::Relaxed);
            flags & XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() != 0
        })
    }
}

/// The side that user space produces for: fill and tx.
#[derive(Debug)]
pub(super) struct Producer<T> {
    ring: Ring<T>,
    /// The next entry to be written.
    next: u32,
    /// How far the consumer was when it was last looked at.
    consumed: u32,
}

impl<T: Entry> Producer<T> {
    /// Maps the ring of a socket, which nobody has used yet.
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &XdpRingOffset,
        len: u32,
    ) -> io::Result<Self> {
        Ring::map(socket, page_offset, offsets, len).map(Self::new)
    }

    fn new(ring: Ring<T>) -> Self {
        let next = ring.producer().load(Ordering::Relaxed);
        let consumed = ring.consumer().load(Ordering::Acquire);
        Self { ring, next, consumed }
    }

    /// How many entries can be written. The kernel's counter is looked at only if there is no room
    /// for `wanted` otherwise: its cache line is the kernel's.
    pub(super) fn room(&mut self, wanted: u32) -> u32 {
        let room = |side: &Self| side.ring.len - side.next.wrapping_sub(side.consumed);
        if room(self) < wanted {
            self.consumed = self.ring.consumer().load(Ordering::Acquire);
        }
        room(self)
    }

    /// How many entries the kernel has not taken yet.
    pub(super) fn waiting(&mut self) -> u32 {
        self.consumed = self.ring.consumer().load(Ordering::Acquire);
        self.next.wrapping_sub(self.consumed)
    }

    /// Writes an entry; it is seen after `publish`.
    ///
    /// # Panics
    /// If there is no room.
    pub(super) fn push(&mut self, entry: T) {
        assert!(self.room(1) > 0, "the ring is full");
        // SAFETY: `entry` lies in the ring. The consumer does not read it before `publish`, and has
        // read what was there before: there is room.
        unsafe { self.ring.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
    }

    /// Shows the entries to the kernel.
    pub(super) fn publish(&mut self) {
        self.ring.producer().store(self.next, Ordering::Release);
    }

    /// Whether the kernel must be called to see them.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.ring.needs_wakeup()
    }
}

/// The side that user space consumes from: rx and completion.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    ring: Ring<T>,
    /// The next entry to be read.
    next: u32,
    /// How far the producer was when it was last looked at.
    produced: u32,
}

impl<T: Entry> Consumer<T> {
    /// Maps the ring of a socket, which nobody has used yet.
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page_offset: u64,
        offsets: &XdpRingOffset,
        len: u32,
    ) -> io::Result<Self> {
        Ring::map(socket, page_offset, offsets, len).map(Self::new)
    }

    fn new(ring: Ring<T>) -> Self {
        let next = ring.consumer().load(Ordering::Relaxed);
        let produced = ring.producer().load(Ordering::Acquire);
        Self { ring, next, produced }
    }

    /// Reads an entry, if there is one. Its place is the kernel's again after `release`.
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.next == self.produced {
            self.produced = self.ring.producer().load(Ordering::Acquire);
            if self.next == self.produced {
                return None;
            }
        }
        // SAFETY: `entry` lies in the ring, was written before the producer's counter passed it,
        // and is not written again before `release`. Any bits are a valid `Entry`.
        let entry = unsafe { self.ring.entry(self.next).read() };
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// How many entries wait to be read, or to be given back.
    pub(super) fn waiting(&self) -> u32 {
        let given_back = self.ring.consumer().load(Ordering::Relaxed);
        self.ring.producer().load(Ordering::Acquire).wrapping_sub(given_back)
    }

    /// Gives the places of the entries read back to the kernel.
    pub(super) fn release(&mut self) {
        self.ring.consumer().store(self.next, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFSETS: XdpRingOffset =
        XdpRingOffset { producer: 0, consumer: 64, desc: 192, flags: Some(128) };

    /// Both sides of a ring of `len` entries whose counters start at `start`. The second one's
    /// mapping is the first one's, so it must not outlive it, nor unmap it.
    fn sides(len: u32, start: u32) -> (Producer<u64>, std::mem::ManuallyDrop<Consumer<u64>>) {
        let memory = Mapping::anonymous(4_096).unwrap();
        // SAFETY: the same memory once more; ManuallyDrop keeps it from being unmapped twice.
        let same = unsafe { Mapping::from_raw(memory.start(), memory.len()) };
        let ring = Ring::over(memory, &OFFSETS, len);
        ring.producer().store(start, Ordering::Relaxed);
        ring.consumer().store(start, Ordering::Relaxed);
        let other = Ring::over(same, &OFFSETS, len);
        (Producer::new(ring), std::mem::ManuallyDrop::new(Consumer::new(other)))
    }

    #[test]
    fn entries_come_out_in_order_also_where_counters_wrap() {
        let (mut producer, mut consumer) = sides(4, u32::MAX - 1);
        for round in 0..5_u64 {
            for entry in 0..3 {
                producer.push(round * 10 + entry);
            }
            producer.publish();
            for entry in 0..3 {
                assert_eq!(consumer.pop(), Some(round * 10 + entry));
            }
            assert_eq!(consumer.pop(), None);
            consumer.release();
        }
    }

    #[test]
    fn nothing_is_seen_before_it_is_published() {
        let (mut producer, mut consumer) = sides(4, 0);
        producer.push(7);
        assert_eq!(consumer.pop(), None);
        producer.publish();
        assert_eq!(consumer.pop(), Some(7));
    }

    #[test]
    fn a_place_is_free_again_only_after_release() {
        let (mut producer, mut consumer) = sides(2, 0);
        producer.push(1);
        producer.push(2);
        producer.publish();
        assert_eq!((producer.room(1), producer.waiting()), (0, 2));
        assert_eq!(consumer.pop(), Some(1));
        assert_eq!(producer.room(1), 0);
        consumer.release();
        assert_eq!((producer.room(1), producer.waiting()), (1, 1));
    }

    #[test]
    #[should_panic(expected = "the ring is full")]
    fn a_full_ring_is_not_overwritten() {
        let (mut producer, _consumer) = sides(2, 5);
        for entry in 0..3 {
            producer.push(entry);
        }
    }

    #[test]
    fn the_wakeup_flag_is_read_where_the_kernel_writes_it() {
        let (producer, _consumer) = sides(2, 0);
        assert!(!producer.needs_wakeup());
        let flags = producer.ring.flags.unwrap();
        // SAFETY: points into the memory of the ring.
        unsafe { flags.as_ref() }.store(1, Ordering::Relaxed);
        assert!(producer.needs_wakeup());
    }

    #[test]
    #[should_panic(expected = "outside its memory")]
    fn a_ring_must_fit_its_memory() {
        let _ = Ring::<u64>::over(Mapping::anonymous(4_096).unwrap(), &OFFSETS, 512);
    }
}
