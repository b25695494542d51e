//! Domain names in wire form (RFC 1035 3.1): labels with their length octets, up to the root.
//!
//! ```text
//!   3 w w w 7 e x a m p l e 3 o r g 0        www.example.org.
//! ```
//!
//! [`Name`] is such a name inside somebody else's octets, checked once and never compressed;
//! [`NameBuf`] is one that owns its 255 octets. Comparison and hash of both are exact: two names
//! that differ in letter case only are the same *domain* (RFC 4343), but a reply gives the case
//! back as it came, so who means the domain says [`Name::eq_ignore_case`] or folds first.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use dns64_ebpf::hash::fold_word;

use super::error::{NameError, ParseError};
use crate::limits::{HEADER_LEN, NAME_LEN_MAX};

/// Octets of the longest label (RFC 1035 2.3.4).
pub const LABEL_LEN_MAX: usize = 63;

/// Compression pointers followed in one name: a name has at most 127 labels, and a pointer that
/// leads to no label is of no use.
const POINTERS_MAX: usize = 127;

/// An absolute, uncompressed domain name in borrowed octets: 1 to 255 of them, root included.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<'a> {
    /// The wire form, checked by [`Name::split`].
    wire: &'a [u8],
}

impl<'a> Name<'a> {
    /// The root of the name space.
    pub const ROOT: Name<'static> = Name { wire: &[0] };

    /// Takes the name at the front of these octets and returns what follows it.
    ///
    /// # Errors
    /// If the octets end too early, the name is too long, or there is a compression pointer.
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), ParseError> {
        let mut end = 0;
        loop {
            let Some(&len) = bytes.get(end) else { return Err(ParseError::ShortName) };
            if usize::from(len) > LABEL_LEN_MAX {
                return Err(label_type_error(len));
            }
            end += 1 + usize::from(len);
            if len == 0 {
                break;
            }
            // One octet must be left for the root.
            if end >= NAME_LEN_MAX {
                return Err(ParseError::NameTooLong);
            }
        }
        match bytes.split_at_checked(end) {
            Some((wire, rest)) => Ok((Self { wire }, rest)),
            None => Err(ParseError::ShortName),
        }
    }

    /// A name that fills these octets exactly.
    ///
    /// # Errors
    /// As [`Name::split`], and if octets are left over.
    pub fn from_wire(bytes: &'a [u8]) -> Result<Self, ParseError> {
        match Self::split(bytes)? {
            (name, []) => Ok(name),
            _ => Err(ParseError::TrailingOctets),
        }
    }

    /// The labels with their length octets, root included.
    #[must_use]
    pub const fn as_wire(self) -> &'a [u8] {
        self.wire
    }

    /// The labels from left to right, without the root.
    #[must_use]
    pub const fn labels(self) -> Labels<'a> {
        Labels { rest: self.wire }
    }

    /// The number of labels, without the root: 0 to 127.
    #[must_use]
    pub fn label_count(self) -> usize {
        self.labels().count()
    }

    /// Whether this is the root.
    #[must_use]
    pub const fn is_root(self) -> bool {
        self.wire.len() <= 1
    }

    /// The name without its leftmost label; `None` for the root.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        let (&len, rest) = self.wire.split_first()?;
        let wire = rest.get(usize::from(len)..)?;
        if wire.is_empty() { None } else { Some(Self { wire }) }
    }

    /// Whether both are the same domain (RFC 4343 3).
    #[must_use]
    pub const fn eq_ignore_case(self, other: Name<'_>) -> bool {
        // Length octets are at most 63 and so never look like a letter.
        self.wire.eq_ignore_ascii_case(other.wire)
    }

    /// Whether this is the other domain or one below it.
    #[must_use]
    pub fn is_subdomain_of(self, other: Name<'_>) -> bool {
        let mut candidate = self;
        while candidate.wire.len() > other.wire.len() {
            let Some(parent) = candidate.parent() else { return false };
            candidate = parent;
        }
        candidate.eq_ignore_case(other)
    }
}

/// What the first octet of a label says if it is not a length.
#[cold]
const fn label_type_error(octet: u8) -> ParseError {
    if octet >= 0xc0 { ParseError::PointerInQuestion } else { ParseError::LabelType }
}

impl fmt::Display for Name<'_> {
    /// The text of a master file (RFC 1035 5.1, RFC 4343 2.1): absolute, with `\.`, `\\`, and
    /// `\DDD` for what is not printable ASCII, so that no octet can break a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if self.is_root() {
            return f.write_char('.');
        }
        for label in self.labels() {
            for octet in label {
                match octet {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*octet))?,
                    0x21..=0x7e => f.write_char(char::from(*octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_char('.')?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The labels of a name, from left to right, without the root.
#[derive(Clone, Debug)]
pub struct Labels<'a> {
    /// What is still to come, a name itself.
    rest: &'a [u8],
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.rest.split_first()?;
        if len == 0 {
            return None;
        }
        let (label, rest) = rest.split_at_checked(usize::from(len))?;
        self.rest = rest;
        Some(label)
    }
}

/// Writes the name in lower case (RFC 4343: `A` to `Z` only) and returns its length. The octets
/// behind it are zero up to the next multiple of eight, so that a hash can take whole words.
pub fn fold(name: Name<'_>, into: &mut [u8; 256]) -> usize {
    let mut words = into.chunks_exact_mut(8);
    for octets in name.wire.chunks(8) {
        let Some(to) = words.next() else { break };
        let mut word = [0; 8];
        match octets.first_chunk::<8>() {
            Some(whole) => word = *whole,
            None => word.iter_mut().zip(octets).for_each(|(to, from)| *to = *from),
        }
        to.copy_from_slice(&fold_word(u64::from_le_bytes(word)).to_le_bytes());
    }
    name.wire.len()
}

/// Reads the name at a place of a whole message, which may be compressed (RFC 1035 4.1.4), and
/// returns it with the place behind it.
///
/// There can be no loop: a pointer must lead to before the labels it ends, and what is read after
/// it must lie there as a whole, so every step leaves less of the message to look at.
///
/// # Errors
/// If the name is cut short, too long, or a pointer leads forward or into the header.
pub fn decompress(message: &[u8], offset: usize) -> Result<(NameBuf, usize), ParseError> {
    let mut name = NameBuf::ROOT;
    let mut view = message;
    let mut start = offset;
    let mut next = None;
    for _ in 0..=POINTERS_MAX {
        // The labels up to the root or to a pointer.
        let mut at = start;
        let pointer = loop {
            let Some((&len, rest)) = view.get(at..).and_then(<[u8]>::split_first) else {
                return Err(ParseError::ShortName);
            };
            match len {
                0 => return Ok((name, next.unwrap_or(at + 1))),
                1..=63 => {
                    let label = rest.get(..usize::from(len)).ok_or(ParseError::ShortName)?;
                    name.push_label(label).map_err(|_| ParseError::NameTooLong)?;
                    at += 1 + usize::from(len);
                }
                64..=191 => return Err(ParseError::LabelType),
                192..=255 => {
                    let low = *rest.first().ok_or(ParseError::ShortName)?;
                    break usize::from(u16::from_be_bytes([len & 0x3f, low]));
                }
            }
        };
        if pointer >= start {
            return Err(ParseError::ForwardPointer);
        }
        if pointer < HEADER_LEN {
            return Err(ParseError::PointerIntoHeader);
        }
        if next.is_none() {
            next = Some(at + 2);
        }
        view = view.get(..start).ok_or(ParseError::ShortName)?;
        start = pointer;
    }
    Err(ParseError::PointerChain)
}

/// A domain name that owns its octets, inline.
#[derive(Clone)]
pub struct NameBuf {
    /// The wire form, then zeros: the root behind the last label is always there.
    octets: [u8; NAME_LEN_MAX],
    /// Octets of the wire form, root included: 1 to 255.
    len: u8,
}

impl NameBuf {
    /// The root of the name space.
    pub const ROOT: Self = Self { octets: [0; NAME_LEN_MAX], len: 1 };

    /// A name that fills these octets exactly.
    ///
    /// # Errors
    /// If they are no name or more than a name.
    pub fn from_wire(bytes: &[u8]) -> Result<Self, ParseError> {
        Name::from_wire(bytes).map(Self::from)
    }

    /// The name as a view.
    #[must_use]
    pub fn as_name(&self) -> Name<'_> {
        Name { wire: self.as_wire() }
    }

    /// The labels with their length octets, root included.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        self.octets.get(..usize::from(self.len)).unwrap_or(&[0])
    }

    /// Puts a label between those there are and the root.
    ///
    /// # Errors
    /// If the label is empty or too long, or the name becomes too long; it is then as before.
    pub fn push_label(&mut self, label: &[u8]) -> Result<(), NameError> {
        let label_len = match label.len() {
            0 => return Err(NameError::EmptyLabel),
            // At most 63, which fits.
            len @ 1..=LABEL_LEN_MAX => len as u8,
            _ => return Err(NameError::LabelTooLong),
        };
        let len = self.len.checked_add(1 + label_len).ok_or(NameError::NameTooLong)?;
        let place = usize::from(self.len) - 1..usize::from(len) - 1;
        let Some([length_octet, octets @ ..]) = self.octets.get_mut(place) else {
            return Err(NameError::NameTooLong);
        };
        *length_octet = label_len;
        octets.copy_from_slice(label);
        self.len = len;
        Ok(())
    }

    /// The name in lower case (RFC 4343: `A` to `Z` only).
    #[must_use]
    pub fn folded(&self) -> Self {
        let mut folded = self.clone();
        // Length octets are at most 63 and so never look like a letter.
        folded.octets.make_ascii_lowercase();
        folded
    }
}

impl From<Name<'_>> for NameBuf {
    fn from(name: Name<'_>) -> Self {
        let mut buf = Self::ROOT;
        for (to, from) in buf.octets.iter_mut().zip(name.wire) {
            *to = *from;
        }
        // A `Name` has at most 255 octets.
        buf.len = name.wire.len() as u8;
        buf
    }
}

impl FromStr for NameBuf {
    type Err = NameError;

    /// Reads the text of a master file (RFC 1035 5.1). A name without the dot at its end is taken
    /// as absolute all the same.
    fn from_str(text: &str) -> Result<Self, NameError> {
        match text {
            "" => return Err(NameError::Empty),
            "." => return Ok(Self::ROOT),
            _ => {}
        }
        let mut name = Self::ROOT;
        let mut label = [0; LABEL_LEN_MAX];
        let mut label_len = 0;
        let mut bytes = text.as_bytes();
        while let Some((&first, rest)) = bytes.split_first() {
            bytes = rest;
            let octet = match first {
                b'.' => {
                    name.push_label(label.get(..label_len).unwrap_or_default())?;
                    label_len = 0;
                    continue;
                }
                b'\\' => {
                    let (octet, rest) = unescape(rest)?;
                    bytes = rest;
                    octet
                }
                0x80.. => return Err(NameError::NotAscii),
                plain => plain,
            };
            *label.get_mut(label_len).ok_or(NameError::LabelTooLong)? = octet;
            label_len += 1;
        }
        if label_len > 0 {
            name.push_label(label.get(..label_len).unwrap_or_default())?;
        }
        Ok(name)
    }
}

/// Reads what follows a backslash: three digits, or any character but a digit.
fn unescape(bytes: &[u8]) -> Result<(u8, &[u8]), NameError> {
    match bytes {
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
            let digit = |octet: &u8| u16::from(octet - b'0');
            let value = digit(a) * 100 + digit(b) * 10 + digit(c);
            Ok((u8::try_from(value).map_err(|_| NameError::Escape)?, rest))
        }
        [b'0'..=b'9', ..] | [] => Err(NameError::Escape),
        [0x80..=0xff, ..] => Err(NameError::NotAscii),
        [plain, rest @ ..] => Ok((*plain, rest)),
    }
}

impl PartialEq for NameBuf {
    fn eq(&self, other: &Self) -> bool {
        self.as_wire() == other.as_wire()
    }
}

impl Eq for NameBuf {}

impl PartialOrd for NameBuf {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NameBuf {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_wire().cmp(other.as_wire())
    }
}

impl Hash for NameBuf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_wire().hash(state);
    }
}

impl fmt::Display for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_name(), f)
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;
