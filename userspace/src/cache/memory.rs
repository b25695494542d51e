//! Memory that is there: allocated once, aligned to cache lines, every page written.

use std::hint::black_box;

/// Octets of a cache line.
pub(super) const LINE_LEN: usize = 64;

/// Octets of the smallest page of any machine we run on.
const PAGE_LEN: usize = 4096;

/// A fixed piece of memory whose usable part begins at a cache line.
pub(super) struct Memory {
    /// The allocation; a boxed slice cannot grow.
    octets: Box<[u8]>,
    /// Where the first whole cache line begins.
    start: usize,
}

impl Memory {
    /// Allocates `octets_len` zero octets, shows them to `prepare` while no page of them is in use
    /// yet (the caller may ask for huge pages), then writes to every page: a shortage of memory
    /// shows now, and the first queries do not pay for page faults.
    pub(super) fn new(octets_len: usize, prepare: &mut impl FnMut(&mut [u8])) -> Self {
        let mut octets = vec![0_u8; octets_len].into_boxed_slice();
        prepare(&mut octets);
        for page in octets.chunks_mut(PAGE_LEN) {
            // The allocation need not begin at a page: a chunk may touch two of them.
            if let [first, .., last] = page {
                *first = black_box(0);
                *last = black_box(0);
            }
        }
        let start = octets.as_ptr().align_offset(LINE_LEN).min(octets.len());
        Self { octets, start }
    }

    /// How many units of `N` octets there are room for, whatever the allocator does.
    pub(super) const fn units_within<const N: usize>(octets_len: usize) -> usize {
        octets_len.saturating_sub(LINE_LEN - 1) / N
    }

    /// The octets as units of `N`.
    pub(super) fn units<const N: usize>(&self) -> &[[u8; N]] {
        self.octets[self.start..].as_chunks().0
    }

    /// The octets as units of `N`, to write.
    pub(super) fn units_mut<const N: usize>(&mut self) -> &mut [[u8; N]] {
        self.octets[self.start..].as_chunks_mut().0
    }

    /// Octets allocated.
    pub(super) const fn octets_len(&self) -> usize {
        self.octets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shown_once_and_begins_at_a_cache_line() {
        for octets_len in [0, 1, 63, 64, 127, 4096, 100_001] {
            let mut shown = Vec::new();
            let memory = Memory::new(octets_len, &mut |octets| shown.push(octets.len()));
            assert_eq!(shown, [octets_len]);
            assert_eq!(memory.octets_len(), octets_len);
            let lines = memory.units::<LINE_LEN>();
            assert!(lines.len() >= Memory::units_within::<LINE_LEN>(octets_len));
            assert!(lines.is_empty() || lines.as_ptr().addr().is_multiple_of(LINE_LEN));
        }
    }
}
