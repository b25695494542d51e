//! What an entry is found by: name, type, class, and the flags that change an answer.

use dns64_ebpf::hash;

/// The key of an entry, and its hash.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The name in wire form, lower case (RFC 4343), 1 to 255 octets.
    pub name: &'a [u8],
    /// The type asked for.
    pub rtype: u16,
    /// The class asked for.
    pub class: u16,
    /// Whatever else tells answers to one question apart; not interpreted here.
    pub flags: u8,
    /// For whom the answer is, where that matters; 0: for all.
    pub variant: u16,
    /// The hash of all of the above.
    hash: u64,
}

impl<'a> Key<'a> {
    /// A key whose name has not been hashed yet.
    #[must_use]
    pub fn new(name_folded: &'a [u8], rtype: u16, class: u16, flags: u8, seed: u64) -> Self {
        Self::with_hash(name_folded, rtype, class, flags, hash::name_hash(name_folded, seed))
    }

    /// A key whose name has been hashed by [`hash::name_hash`], as the kernel may have done.
    #[must_use]
    pub const fn with_hash(
        name_folded: &'a [u8],
        rtype: u16,
        class: u16,
        flags: u8,
        name_hash: u64,
    ) -> Self {
        let word = rtype as u64 | (class as u64) << 16 | (flags as u64) << 32;
        let hash = hash::mix_word(name_hash, word);
        Self { name: name_folded, rtype, class, flags, variant: 0, hash }
    }

    /// The key of what stands under the same question for some clients only.
    #[inline]
    #[must_use]
    pub const fn with_variant(self, variant: u16) -> Self {
        // Number 0 leaves the key as it is.
        let word = (variant as u64) << 48;
        let hash = if variant == 0 { self.hash } else { hash::mix_word(self.hash, word) };
        Self { variant, hash, ..self }
    }

    /// The hash of the whole key: the same name has another one for each type, class and flags.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Everything but the name in one word, as an entry's header keeps it, so that one comparison
    /// tells whether all of it agrees.
    pub(super) const fn question_word(&self) -> u64 {
        self.rtype as u64
            | (self.class as u64) << 16
            | (self.flags as u64) << 32
            | (self.name.len() as u64) << 40
            | (self.variant as u64) << 48
    }
}

/// Whether `name` is `apex` or stands below it; both in wire form and lower case.
pub(super) fn is_in_subtree(name: &[u8], apex: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > apex.len() {
        let Some((&label_len, after)) = rest.split_first() else { return false };
        let Some(parent) = after.get(usize::from(label_len)..) else { return false };
        rest = parent;
    }
    rest == apex
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x03www\x07example\x00";

    #[test]
    fn every_part_of_a_key_changes_its_hash() {
        let hash = Key::new(NAME, 28, 1, 0, 7).hash();
        assert_eq!(hash, Key::with_hash(NAME, 28, 1, 0, hash::name_hash(NAME, 7)).hash());
        assert_ne!(hash, Key::new(b"\x03wwx\x07example\x00", 28, 1, 0, 7).hash());
        assert_ne!(hash, Key::new(NAME, 1, 1, 0, 7).hash());
        assert_ne!(hash, Key::new(NAME, 28, 3, 0, 7).hash());
        assert_ne!(hash, Key::new(NAME, 28, 1, 1, 7).hash());
        assert_ne!(hash, Key::new(NAME, 28, 1, 0, 8).hash());
        assert_eq!(hash, Key::new(NAME, 28, 1, 0, 7).with_variant(0).hash());
        assert_ne!(hash, Key::new(NAME, 28, 1, 0, 7).with_variant(1).hash());
    }

    #[test]
    fn a_subtree_ends_at_label_boundaries() {
        assert!(is_in_subtree(NAME, b"\x07example\x00"));
        assert!(is_in_subtree(NAME, NAME));
        assert!(is_in_subtree(NAME, b"\x00"), "everything is below the root");
        assert!(!is_in_subtree(b"\x07example\x00", NAME));
        assert!(!is_in_subtree(b"\x0ba\x07example\x00\x00\x00", b"\x07example\x00\x00\x00"));
        assert!(!is_in_subtree(b"\x3fshort", b"\x00"), "a broken name is below nothing");
    }
}
