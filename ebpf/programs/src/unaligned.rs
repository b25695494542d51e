//! Access to octets at any address by as few instructions as there can be.
//!
//! Headers of packets lie at odd places. The kernel's verifier allows that where the processor
//! does, but the compiler, which knows nothing of the verifier, would take every number apart into
//! octets; and told that it need not, it does the same on the stack, where the verifier does not
//! allow it. So these instructions are written out.

use core::arch::asm;
use core::mem::transmute_copy;

/// Two values side by side.
#[repr(C, packed)]
struct Pair<A, B>(A, B);

macro_rules! access {
    ($load:ident, $store:ident, $type:ty, $of_load:literal, $of_store:literal) => {
        #[inline(always)]
        unsafe fn $load(at: usize) -> $type {
            let word: u64;
            // SAFETY: what the caller promises: these octets can be read.
            unsafe {
                asm!($of_load, out(reg) word, in(reg) at, options(pure, readonly, nostack));
            }
            word as $type
        }

        #[inline(always)]
        unsafe fn $store(at: usize, value: $type) {
            let word = u64::from(value);
            // SAFETY: what the caller promises: these octets can be written.
            unsafe {
                asm!($of_store, in(reg) at, in(reg) word, options(nostack));
            }
        }
    };
}

access!(load_8, store_8, u64, "{0} = *(u64 *)({1} + 0)", "*(u64 *)({0} + 0) = {1}");
access!(load_4, store_4, u32, "{0} = *(u32 *)({1} + 0)", "*(u32 *)({0} + 0) = {1}");
access!(load_2, store_2, u16, "{0} = *(u16 *)({1} + 0)", "*(u16 *)({0} + 0) = {1}");

/// Reads `N` octets.
///
/// # Safety
/// All of them can be read, and the verifier sees it.
#[inline(always)]
pub unsafe fn load<const N: usize>(at: usize) -> [u8; N] {
    // SAFETY: what the caller promises; each arm reads `N` octets, as many as it gives back.
    unsafe {
        match N {
            16 => transmute_copy(&Pair(load_8(at), load_8(at + 8))),
            12 => transmute_copy(&Pair(load_8(at), load_4(at + 8))),
            8 => transmute_copy(&load_8(at)),
            6 => transmute_copy(&Pair(load_4(at), load_2(at + 4))),
            4 => transmute_copy(&load_4(at)),
            2 => transmute_copy(&load_2(at)),
            _ => (at as *const [u8; N]).read_unaligned(),
        }
    }
}

/// Writes `N` octets.
///
/// # Safety
/// All of them can be written by nobody else, and the verifier sees it.
#[inline(always)]
pub unsafe fn store<const N: usize>(at: usize, octets: [u8; N]) {
    // SAFETY: what the caller promises; each arm writes `N` octets, as many as it is given.
    unsafe {
        match N {
            16 => {
                let Pair(first, second) = transmute_copy::<_, Pair<u64, u64>>(&octets);
                store_8(at, first);
                store_8(at + 8, second);
            }
            8 => store_8(at, transmute_copy(&octets)),
            6 => {
                let Pair(first, second) = transmute_copy::<_, Pair<u32, u16>>(&octets);
                store_4(at, first);
                store_2(at + 4, second);
            }
            4 => store_4(at, transmute_copy(&octets)),
            2 => store_2(at, transmute_copy(&octets)),
            _ => (at as *mut [u8; N]).write_unaligned(octets),
        }
    }
}
