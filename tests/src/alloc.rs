//! An allocator that counts, for tests that prove that nothing is allocated.
//!
//! A test program that wants it says `#[global_allocator]` and asks [`counts`] before and after.
#![allow(unsafe_code, reason = "a global allocator is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations and deallocations of this thread. Other threads of the test program go on.
    static COUNTS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counted.
#[derive(Clone, Copy, Debug)]
pub struct CountingAllocator;

/// Allocations and deallocations of this thread so far. A reallocation is one of each.
#[must_use]
pub fn counts() -> (u64, u64) {
    COUNTS.get()
}

/// Adds to the counts; nothing happens while the thread is taken down.
fn count(allocations: u64, deallocations: u64) {
    let _ = COUNTS.try_with(|counts| {
        let (before, after) = counts.get();
        counts.set((before + allocations, after + deallocations));
    });
}

// SAFETY: every call goes to the system's allocator unchanged, which keeps the trait's contract;
// counting allocates nothing, since the counts have no destructor and a constant first value.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, 0);
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(1, 0);
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count(1, 1);
        // SAFETY: the pointer came from System by one of these functions; the rest is passed on.
        unsafe { System.realloc(pointer, layout, len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, 1);
        // SAFETY: the pointer came from System by one of these functions.
        unsafe { System.dealloc(pointer, layout) }
    }
}
