//! Hints to the kernel about large regions of memory.

use rustix::mm::{Advice, madvise};

/// The usual size of a huge page, and a multiple of every usual page size. What is not aligned to
/// it could not be backed by a huge page anyway.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// Asks the kernel to back this region with huge pages, so that random look-ups in a large table
/// miss the TLB less often. Takes effect for whole huge pages inside of the region.
///
/// This is a hint: a kernel without transparent huge pages answers `EINVAL`, and then nothing is
/// lost but speed. That is why nothing is returned. Contents are not touched.
pub fn advise_huge_pages(region: &mut [u8]) {
    let Some((offset, len)) = whole_pages(region.as_ptr() as usize, region.len(), HUGE_PAGE_BYTES)
    else {
        return;
    };
    let pages = &mut region[offset..offset + len];
    // SAFETY: address and length are those of a slice that is borrowed for the call, and
    // MADV_HUGEPAGE changes how memory is backed, never what it holds.
    // madvise(2), addr: "must be page-aligned"; it is, by `whole_pages`.
    // madvise(2), length: any; MADV_HUGEPAGE: "Enable Transparent Huge Pages (THP) for pages in
    // the range specified by addr and length".
    let _only_a_hint =
        unsafe { madvise(pages.as_mut_ptr().cast(), pages.len(), Advice::LinuxHugepage) };
}

/// Where the whole pages of a region begin, counted from its start, and how many octets they
/// are; `None` where it holds no whole page.
fn whole_pages(address: usize, len: usize, page_bytes: usize) -> Option<(usize, usize)> {
    let offset = address.checked_next_multiple_of(page_bytes)?.checked_sub(address)?;
    let inside = len.checked_sub(offset)?;
    let whole = inside - inside % page_bytes;
    (whole > 0).then_some((offset, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_pages_count() {
        assert_eq!(whole_pages(0x1000, 0x3000, 0x1000), Some((0, 0x3000)));
        assert_eq!(whole_pages(0x1001, 0x3000, 0x1000), Some((0xfff, 0x2000)));
        assert_eq!(whole_pages(0x1001, 0x1000, 0x1000), None);
        assert_eq!(whole_pages(0x1001, 0x10, 0x1000), None);
        assert_eq!(whole_pages(usize::MAX - 1, 1, 0x1000), None);
    }

    #[test]
    fn contents_survive_the_hint() {
        let mut region = vec![0x5a_u8; 5 << 20];
        advise_huge_pages(&mut region);
        advise_huge_pages(&mut region[..7]);
        advise_huge_pages(&mut []);
        assert!(region.iter().all(|&octet| octet == 0x5a));
    }
}
