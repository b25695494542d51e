//! The Internet checksum (RFC 1071) over parts of a frame.
//!
//! A sum may be made in either order of octets as long as it is written back in the same one
//! (RFC 1071 2 B), and over several words at once (2 C). Eight octets are taken at a time, in the
//! machine's order.
//!
//! Sums are always made anew, never corrected for what has changed: on a virtual interface a local
//! sender leaves a checksum that covers the pseudo header alone, and the correction of an
//! unfinished checksum is a wrong checksum.

use crate::classify::MAX_FRAME_LEN;
use crate::frame::Frame;

/// Octets that are added at a time.
const WORD_LEN: usize = size_of::<u64>();

/// The most words that are added in one go: those of the longest frame.
const WORDS_MAX: usize = MAX_FRAME_LEN.div_ceil(WORD_LEN);

/// A sum under way.
///
/// Halves of 32 bits are added up in 64 bits, which leaves room for 2^32 of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// A sum of nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(0)
    }

    /// A sum from its [state](Self::state).
    #[must_use]
    pub const fn of_state(state: u64) -> Self {
        Self(state)
    }

    /// All there is of the sum, to be carried elsewhere.
    #[must_use]
    pub const fn state(self) -> u64 {
        self.0
    }

    /// Adds another sum.
    #[must_use]
    pub const fn sum(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// Adds a 16-bit number that stands in network order.
    #[must_use]
    pub const fn number(self, number: u16) -> Self {
        Self(self.0 + u16::from_ne_bytes(number.to_be_bytes()) as u64)
    }

    /// Adds an address of IPv6, or one of IPv4 in its mapped form. The first 96 bits of the mapped
    /// form are 0xffff, which is zero in one's complement, so both add what they should.
    #[must_use]
    pub const fn address(self, address: &[u8; 16]) -> Self {
        let address = u128::from_ne_bytes(*address);
        self.word(address as u64).word((address >> 64) as u64)
    }

    /// Adds eight octets in the machine's order.
    #[inline(always)]
    #[must_use]
    pub const fn word(self, word: u64) -> Self {
        Self(self.0 + (word & 0xffff_ffff) + (word >> 32))
    }

    /// Adds four octets in the machine's order.
    #[inline(always)]
    #[must_use]
    pub const fn half(self, half: u32) -> Self {
        Self(self.0 + half as u64)
    }

    /// Adds `len` octets of a frame from an even place on; `None` if they are not all in the frame
    /// or more than [`MAX_FRAME_LEN`].
    #[must_use]
    pub fn octets<F: Frame + ?Sized>(mut self, frame: &F, at: usize, len: usize) -> Option<Self> {
        if len > MAX_FRAME_LEN {
            return None;
        }
        let mut done = 0;
        for _ in 0..WORDS_MAX {
            if done + WORD_LEN > len {
                break;
            }
            self = self.word(u64::from_ne_bytes(frame.octets(at + done)?));
            done += WORD_LEN;
        }
        if len & 4 != 0 {
            self = self.word(u64::from(u32::from_ne_bytes(frame.octets(at + done)?)));
            done += 4;
        }
        if len & 2 != 0 {
            self = self.word(u64::from(u16::from_ne_bytes(frame.octets(at + done)?)));
            done += 2;
        }
        if len & 1 != 0 {
            // The last octet counts as if a zero followed (RFC 768).
            let [last] = frame.octets(at + done)?;
            self = self.word(u64::from(u16::from_ne_bytes([last, 0])));
        }
        Some(self)
    }

    /// The checksum: the complement of the sum, as it lies in the packet.
    #[must_use]
    pub const fn checksum(self) -> [u8; 2] {
        let sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        (!(sum as u16)).to_ne_bytes()
    }

    /// The checksum of UDP: 0xffff stands for 0, which would mean "none" (RFC 768, RFC 8200 8.1).
    #[must_use]
    pub const fn udp_checksum(self) -> [u8; 2] {
        match self.checksum() {
            [0, 0] => [0xff, 0xff],
            checksum => checksum,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 4.1, in the plainest way.
    fn plain(octets: &[u8]) -> [u8; 2] {
        let mut sum = 0_u64;
        for pair in octets.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    }

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        let octets: &[u8] = &[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        let sum = Sum::new().octets(octets, 0, 8).map(Sum::checksum);
        assert_eq!(sum, Some((!0xddf2_u16).to_be_bytes()));
    }

    #[test]
    fn a_mapped_address_adds_what_its_ipv4_address_does() {
        let address = Ipv4Addr::new(192, 0, 2, 33);
        let octets: &[u8] = &address.octets();
        let plain = Sum::new().number(7).octets(octets, 0, 4).map(Sum::checksum);
        let mapped = address.to_ipv6_mapped().octets();
        assert_eq!(Some(Sum::new().number(7).address(&mapped).checksum()), plain);
    }

    #[test]
    fn a_udp_checksum_is_never_zero() {
        assert_eq!(Sum::new().number(0xffff).checksum(), [0, 0]);
        assert_eq!(Sum::new().number(0xffff).udp_checksum(), [0xff, 0xff]);
    }

    #[test]
    fn octets_beyond_the_end_have_no_sum() {
        let octets: &[u8] = &[1; 16];
        assert_eq!(Sum::new().octets(octets, 2, 15), None);
        assert_eq!(Sum::new().octets(octets, 0, MAX_FRAME_LEN + 1), None);
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_plain_way(
            octets in proptest::collection::vec(any::<u8>(), 0..MAX_FRAME_LEN),
        ) {
            let sum = Sum::new().octets(&octets[..], 0, octets.len()).map(Sum::checksum);
            prop_assert_eq!(sum, Some(plain(&octets)));
        }
    }
}
