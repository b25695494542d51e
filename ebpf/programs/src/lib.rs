//! What the BPF programs share: a received packet as a [`Frame`] of the host library, and what a
//! program without a standard library has to bring.
//!
//! Each program of `bin` becomes an object in `ebpf/object` with the programs and maps of one user.
//! All decisions are those of `dns64_ebpf`, which is tested on the host; a program reads maps, asks
//! the library and turns its verdict into an action.
#![no_std]
// For the two instructions in `Packet::at`.
#![feature(asm_experimental_arch)]

pub mod hot;
pub mod unaligned;
pub mod way_back;

use core::arch::asm;

use aya_ebpf::programs::XdpContext;
use dns64_ebpf::classify::MAX_FRAME_LEN;
use dns64_ebpf::frame::{Frame, FrameMut};

/// A received packet.
#[derive(Debug)]
pub struct Packet {
    /// Address of the first octet.
    start: usize,
    /// Address behind the last octet.
    end: usize,
}

impl Packet {
    /// The packet that a program was called for, up to its first change of headroom or length.
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        Self { start: context.data(), end: context.data_end() }
    }

    /// The address of `N` octets at `offset`, if all of them lie in the packet.
    ///
    /// The verifier must find the bound of `offset` on the very register that is added to the
    /// packet pointer, and the comparison with the end on the very pointer that is read through.
    /// Left to itself the compiler moves both around, so these two instructions are written out.
    #[inline(always)]
    fn at<const N: usize>(&self, offset: usize) -> Option<usize> {
        if offset > MAX_FRAME_LEN {
            return None;
        }
        let mut at = self.start;
        // SAFETY: arithmetic on two registers. The mask changes nothing: `offset` is less.
        unsafe {
            asm!(
                "{offset} &= {mask}",
                "{at} += {offset}",
                offset = inout(reg) offset => _,
                at = inout(reg) at,
                mask = const OFFSET_MASK,
                options(pure, nomem, nostack),
            );
        }
        (at + N <= self.end).then_some(at)
    }
}

/// All ones, and at least [`MAX_FRAME_LEN`].
const OFFSET_MASK: usize = MAX_FRAME_LEN.next_power_of_two() - 1;

impl Frame for Packet {
    #[inline(always)]
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let at = self.at::<N>(offset)?;
        // SAFETY: `at` compared these N octets with the end of the packet, and the verifier refuses
        // the program if it did not.
        Some(unsafe { unaligned::load(at) })
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.end - self.start
    }
}

impl FrameMut for Packet {
    #[inline(always)]
    fn set_octets<const N: usize>(&mut self, offset: usize, octets: [u8; N]) -> Option<()> {
        let at = self.at::<N>(offset)?;
        // SAFETY: as in `octets`; nobody else has the packet while the program runs.
        unsafe { unaligned::store(at, octets) };
        Some(())
    }
}

/// Adds to a word that other cores may add to at the same time.
///
/// # Safety
/// The word can be read and written, and is only ever accessed as a whole.
#[inline(always)]
pub unsafe fn add(word: *mut u64, value: u64) {
    // SAFETY: what the caller promises.
    unsafe {
        asm!("lock *(u64 *)({0} + 0) += {1}", in(reg) word, in(reg) value, options(nostack));
    }
}

/// The receive queue that a packet came by.
#[inline(always)]
pub fn queue(context: &XdpContext) -> u32 {
    // SAFETY: the kernel calls the program with a valid context, which outlives the call.
    unsafe { (*context.ctx).rx_queue_index }
}

/// Never called: the programs have nothing that panics, and the verifier would refuse a loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
