//! Memory that user space and BPF programs share: a map of the kind `BPF_F_MMAPABLE`.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The words of an array map, mapped into this process. Programs read and write them at any time,
/// so they are atomic.
#[derive(Debug)]
pub struct SharedMap {
    words: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the mapping belongs to this value, is unmapped once, when it is dropped, and everything
// in it is atomic.
unsafe impl Send for SharedMap {}
// SAFETY: as above: what is shared are atomics.
unsafe impl Sync for SharedMap {}

impl SharedMap {
    /// Maps the first `words` words of an array map whose values are whole words long.
    ///
    /// # Errors
    /// `EPERM` for a map that is not `BPF_F_MMAPABLE`, `EINVAL` for one that is shorter, `ENOMEM`.
    pub fn new(map: impl AsFd, words: usize) -> io::Result<Self> {
        if words == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so nothing of ours is mapped over. The mapping
        // holds the map: it stays valid when the file descriptor is closed.
        let address =
            unsafe { mmap(std::ptr::null_mut(), words * 8, access, MapFlags::SHARED, map, 0)? };
        let words_at = NonNull::new(address.cast::<AtomicU64>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { words: words_at, len: words })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `len` words are mapped at that address, page-aligned, for as long as this value
        // lives. Everyone who has them uses atomic operations; programs read and write them word by
        // word.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }
}

impl Drop for SharedMap {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and nobody can have a reference into it any
        // more: those that `words` gave away borrow this value.
        let _gone_anyway = unsafe { munmap(self.words.as_ptr().cast(), self.len * 8) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn two_mappings_of_one_map_are_the_same_memory() {
        let file = memfd_create("map", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 4_096).unwrap();
        let (one, other) = (SharedMap::new(&file, 512).unwrap(), SharedMap::new(&file, 2).unwrap());
        one.words()[1].store(77, Ordering::Release);
        drop(one);
        assert_eq!(other.words()[1].load(Ordering::Acquire), 77);
        assert_eq!(other.words().len(), 2);
    }

    #[test]
    fn what_cannot_be_mapped_is_an_error() {
        assert!(SharedMap::new(std::fs::File::open("/dev/null").unwrap(), 0).is_err());
        assert!(SharedMap::new(std::fs::File::open("/proc/self/stat").unwrap(), 8).is_err());
    }
}
