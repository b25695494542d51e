//! The records of a response, read without allocation, and names in it.
#![forbid(unsafe_code)]

use crate::wire::{NAME_MAX, skip_name, u16_at, u32_at};

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// The answer.
    Answer,
    /// The authority.
    Authority,
    /// All that is left.
    Additional,
}

/// A record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it stands.
    pub section: Section,
    /// Where its owner's name starts.
    pub owner_at: usize,
    /// Its type.
    pub rtype: u16,
    /// Its class.
    pub class: u16,
    /// Its TTL, in seconds.
    pub ttl_secs: u32,
    /// Where its data starts.
    pub data_at: usize,
    /// Its data.
    pub data: &'a [u8],
}

/// The records of all sections; an item `None` if one is cut, and then no more.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// The whole message.
    message: &'a [u8],
    /// Where the next one starts.
    at: usize,
    /// How many are left in each section.
    left: [u16; 3],
}

impl<'a> Records<'a> {
    /// The records behind a question that ends here; `None` if there is no whole header.
    #[must_use]
    pub fn behind(message: &'a [u8], question_end: usize) -> Option<Self> {
        let left = [u16_at(message, 6)?, u16_at(message, 8)?, u16_at(message, 10)?];
        Some(Self { message, at: question_end, left })
    }

    /// The next record, which is of this section.
    fn read(&mut self, section: Section) -> Option<Record<'a>> {
        let owner_at = self.at;
        let fixed = skip_name(self.message, owner_at)?;
        let data_at = fixed + 10;
        let end = data_at + usize::from(u16_at(self.message, fixed + 8)?);
        let data = self.message.get(data_at..end)?;
        self.at = end;
        Some(Record {
            section,
            owner_at,
            rtype: u16_at(self.message, fixed)?,
            class: u16_at(self.message, fixed + 2)?,
            ttl_secs: u32_at(self.message, fixed + 4)?,
            data_at,
            data,
        })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Option<Record<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        let place = self.left.iter().position(|left| *left > 0)?;
        self.left[place] -= 1;
        let record = self.read(sections[place]);
        if record.is_none() {
            self.left = [0; 3];
        }
        Some(record)
    }
}

/// The labels of the possibly compressed name at this place, the empty one of the root last; an
/// item `None` if the name cannot be read, and then no more.
pub fn labels_at(message: &[u8], at: usize) -> impl Iterator<Item = Option<&[u8]>> {
    // A name has at most 127 labels and the root, with a pointer before each at worst.
    let mut steps = 256;
    let mut octets_left = NAME_MAX;
    let mut next = Some(at);
    std::iter::from_fn(move || {
        let mut at = next?;
        loop {
            steps -= 1;
            let octet = message.get(at).copied().filter(|_| steps > 0);
            let label = match octet {
                Some(0xc0..) => match u16_at(message, at) {
                    Some(pointer) => {
                        at = usize::from(pointer & 0x3fff);
                        continue;
                    }
                    None => None,
                },
                Some(len @ ..=63) => {
                    octets_left.checked_sub(1 + usize::from(len)).and_then(|left| {
                        octets_left = left;
                        message.get(at + 1..at + 1 + usize::from(len))
                    })
                }
                Some(_) | None => None,
            };
            next = label.filter(|label| !label.is_empty()).map(|label| at + 1 + label.len());
            return Some(label);
        }
    })
}

/// Whether the possibly compressed name at this place is this one (wire form), whatever its
/// letters' case; `None` if it cannot be read.
#[must_use]
pub fn name_is(message: &[u8], at: usize, expected: &[u8]) -> Option<bool> {
    let mut rest = expected;
    for label in labels_at(message, at) {
        let label = label?;
        let Some((octets, behind)) = rest.split_at_checked(1 + label.len()) else {
            return Some(false);
        };
        if usize::from(octets[0]) != label.len() || !octets[1..].eq_ignore_ascii_case(label) {
            return Some(false);
        }
        rest = behind;
    }
    Some(rest.is_empty())
}

/// Whether two possibly compressed names of a message are the same; `None` if one cannot be read.
#[must_use]
pub fn same_name(message: &[u8], one: usize, two: usize) -> Option<bool> {
    if one == two {
        return Some(true);
    }
    let mut others = labels_at(message, two);
    for label in labels_at(message, one) {
        let (label, other) = (label?, others.next()??);
        if !label.eq_ignore_ascii_case(other) {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_followed_through_compression_and_compared_without_case() {
        let message = b"\x01b\x01c\x00\x01A\xc0\x00\x01a\x01B\xc0\x02";
        assert_eq!(name_is(message, 5, b"\x01a\x01b\x01c\x00"), Some(true));
        assert_eq!(name_is(message, 5, b"\x01a\x01b\x00"), Some(false));
        assert_eq!(name_is(message, 5, b"\x01a\x01b\x01c\x01d\x00"), Some(false));
        assert_eq!(same_name(message, 5, 9), Some(true));
        assert_eq!(same_name(message, 0, 9), Some(false));
    }

    #[test]
    fn a_pointer_loop_and_a_cut_name_cannot_be_read() {
        assert_eq!(name_is(b"\xc0\x00", 0, b"\x01a\x00"), None);
        assert_eq!(name_is(b"\x01a", 0, b"\x01a\x00"), None);
        assert_eq!(name_is(b"\x05a", 0, b"\x01a\x00"), None);
        assert_eq!(name_is(b"\x80a", 0, b"\x01a\x00"), None);
    }

    #[test]
    fn records_are_counted_by_section_and_end_at_the_first_that_is_cut() {
        let mut message = vec![0; 12];
        message[7] = 1;
        message[11] = 2;
        message.extend(b"\x00\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04");
        message.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
        message.extend(b"\x00\x00\x29\x04");
        let records: Vec<_> = Records::behind(&message, 12).unwrap().collect();
        let [Some(one), Some(two), None] = records[..] else { panic!("{records:?}") };
        assert_eq!(
            (one.section, one.ttl_secs, one.data),
            (Section::Answer, 5, &b"\x01\x02\x03\x04"[..])
        );
        assert_eq!((two.section, two.rtype), (Section::Additional, 41));
    }
}
