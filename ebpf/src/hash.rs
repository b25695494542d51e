//! Case folding and hashing of domain names, eight octets at a time.
//!
//! The same value is computed by the XDP program, the socket steering program and user space, so
//! that a name is hashed once and always leads to the same worker and the same cache bucket. Only
//! 64-bit multiplication is used: BPF has no wider one. The seed is drawn at random at every start
//! and never leaves the machine, so that nobody outside can aim names at one worker or bucket.

/// Odd 64-bit constants with well-mixed bits (the fractional part of the golden ratio, and one of
/// the multipliers of the SplitMix64 finalizer).
const MULTIPLY_WORD: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLY_LAST: u64 = 0xbf58_476d_1ce4_e5b9;

/// Lower-cases the ASCII letters of eight octets at once and leaves every other octet alone
/// (RFC 4343: only `A` to `Z` are folded).
///
/// Length octets of labels are at most 63 and so never look like a letter.
#[inline]
#[must_use]
pub const fn fold_word(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let seven = word & !HIGH;
    // The high bit of each octet says: at least 'A'; more than 'Z'.
    let at_least_a = seven + (0x80 - b'A' as u64) * ONES;
    let more_than_z = seven + (0x80 - (b'Z' as u64 + 1)) * ONES;
    let letters = at_least_a & !more_than_z & !word & HIGH;
    word | (letters >> 2)
}

/// Mixes one folded word into the state of a hash.
#[inline]
#[must_use]
pub const fn mix_word(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(MULTIPLY_WORD);
    mixed ^ (mixed >> 32)
}

/// Ends a hash: `length` is the number of octets that went in.
#[inline]
#[must_use]
pub const fn finish(state: u64, length: u64) -> u64 {
    let mixed = (state ^ length).wrapping_mul(MULTIPLY_LAST);
    mixed ^ (mixed >> 29)
}

/// Hashes a name in wire form without regard to letter case. `name` holds the labels with their
/// length octets up to and with the root label, 1 to 255 octets, no compression pointers.
#[inline]
#[must_use]
pub fn name_hash(name: &[u8], seed: u64) -> u64 {
    let mut state = seed;
    let mut words = name.chunks_exact(8);
    for word in &mut words {
        let mut octets = [0; 8];
        octets.copy_from_slice(word);
        state = mix_word(state, fold_word(u64::from_le_bytes(octets)));
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut octets = [0; 8];
        for (to, from) in octets.iter_mut().zip(rest) {
            *to = *from;
        }
        state = mix_word(state, fold_word(u64::from_le_bytes(octets)));
    }
    finish(state, name.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_changes_the_letters_a_to_z_and_nothing_else() {
        for octet in 0..=255_u8 {
            let word = u64::from_le_bytes([octet, 0xff, octet, 0, octet, 0x80, octet, b'Z']);
            let lower = octet.to_ascii_lowercase();
            let expected = [lower, 0xff, lower, 0, lower, 0x80, lower, b'z'];
            assert_eq!(fold_word(word).to_le_bytes(), expected, "octet {octet:#x}");
        }
    }

    #[test]
    fn a_name_hashes_the_same_in_every_letter_case() {
        let lower = name_hash(b"\x03www\x07example\x03org\0", 7);
        assert_eq!(lower, name_hash(b"\x03WwW\x07eXAMple\x03ORG\0", 7));
        assert_ne!(lower, name_hash(b"\x03wwx\x07example\x03org\0", 7));
        assert_ne!(lower, name_hash(b"\x03www\x07example\x03org\0", 8), "the seed matters");
    }

    #[test]
    fn zero_octets_at_the_end_are_not_lost() {
        assert_ne!(name_hash(b"\x01a\0", 1), name_hash(b"\x01a\0\0", 1));
    }
}
