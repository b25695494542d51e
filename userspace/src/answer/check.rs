//! Whether octets that have been outside of this program are a compiled answer that every reader in
//! it can take. What has never been outside was compiled here, and is not looked at again.

use crate::limits::HEADER_LEN;
use crate::wire::name::decompress;
use crate::wire::question::Rtype;

use super::{A_RECORD_LEN, AAAA_RECORD_LEN, Answer};

/// The two bits of a compression pointer (RFC 1035 4.1.4).
const POINTER: u16 = 0xc000;

/// Octets between the name of a question and the image: type and class.
const QUESTION_FIXED_LEN: usize = 4;

/// Whether these octets are an answer, but no failure, to a question of this type for `name`, in
/// wire form: every part has the length and the records that the fixed part says, every place of a
/// TTL is one, and every name that is written anew elsewhere ends and leads nowhere but backwards.
///
/// What the records say is not judged.
#[must_use]
pub fn is_sound(octets: &[u8], name: &[u8], rtype: Rtype) -> bool {
    Answer::read(octets).is_some_and(|answer| {
        answer.compiled_len() == octets.len()
            && usize::from(answer.head().name_len) == name.len()
            && Check::new(&answer, name).all(&answer, rtype).is_some()
    })
}

/// The image of an answer where it lies in a message.
struct Check {
    message: Vec<u8>,
    /// Where the image begins.
    base: usize,
}

impl Check {
    fn new(answer: &Answer<'_>, name: &[u8]) -> Self {
        let base = HEADER_LEN + name.len() + QUESTION_FIXED_LEN;
        let mut message = Vec::with_capacity(base + answer.image.len());
        message.resize(HEADER_LEN, 0);
        message.extend_from_slice(name);
        message.resize(base, 0);
        message.extend_from_slice(answer.image);
        Self { message, base }
    }

    /// Looks at everything; `None` if something is wrong.
    fn all(&self, answer: &Answer<'_>, rtype: Rtype) -> Option<()> {
        let head = answer.head();
        let record_len = match rtype {
            Rtype::A => Some(A_RECORD_LEN),
            Rtype::AAAA => Some(AAAA_RECORD_LEN),
            _ => None,
        };
        let mut ttl_slots = answer.ttl_slots();
        let mut place = self.base;
        for (len, count, record_len) in [
            (head.chain_len, head.chain_count, None),
            (head.rrset_len, head.rrset_count, record_len),
            (head.tail_len, head.tail_count, None),
        ] {
            let end = place + usize::from(len);
            for _ in 0..count {
                let start = place;
                place = self.record(place, &mut ttl_slots)?;
                holds(record_len.is_none_or(|len| place - start == len))?;
            }
            holds(place == end)?;
        }
        let soa_end = place + usize::from(head.soa_len);
        let mut is_after_soa = head.soa_len == 0;
        for _ in 0..head.authority_count {
            place = self.record(place, &mut ttl_slots)?;
            is_after_soa |= place == soa_end;
        }
        holds(place == self.message.len() && is_after_soa && ttl_slots.next().is_none())?;
        let mut earlier = None;
        for slot in answer.pointer_slots() {
            holds(earlier.is_none_or(|earlier| earlier < slot))?;
            earlier = Some(slot);
            let pointer = self.short(self.base + slot)?;
            self.pointer(pointer, self.base + slot)?;
        }
        self.pointer(head.owner, self.base + usize::from(head.chain_len))
    }

    /// The place behind the record at this one, whose TTL stands at the next of these places.
    fn record(&self, place: usize, ttl_slots: &mut impl Iterator<Item = usize>) -> Option<usize> {
        let (_, fixed) = decompress(&self.message, place).ok()?;
        holds(ttl_slots.next()? == fixed + 4 - self.base)?;
        let rdata_len = usize::from(self.short(fixed + 8)?);
        let end = fixed + 10 + rdata_len;
        (end <= self.message.len()).then_some(end)
    }

    /// Looks at a compression pointer that stands before `end`: it must lead to a name before that,
    /// and not between the question's name and the image.
    fn pointer(&self, pointer: u16, end: usize) -> Option<()> {
        holds(pointer & POINTER == POINTER)?;
        let target = usize::from(pointer & !POINTER);
        let in_name = (HEADER_LEN..self.base - QUESTION_FIXED_LEN).contains(&target);
        holds(in_name || (self.base..end).contains(&target))?;
        decompress(self.message.get(..end)?, target).is_ok().then_some(())
    }

    /// The two octets at a place.
    fn short(&self, place: usize) -> Option<u16> {
        let octets = self.message.get(place..)?.first_chunk::<2>()?;
        Some(u16::from_be_bytes(*octets))
    }
}

/// Nothing, if it does not hold.
const fn holds(condition: bool) -> Option<()> {
    if condition { Some(()) } else { None }
}
