//! What the cache holds under a name and type: a compiled answer, and beside an AAAA answer that
//! led to synthesis the A answer that was used. One look-up then serves the whole synthesis. In
//! front of them, once somebody has asked again, a [ready reply](super::ready).
//!
//! ```text
//!  octets 0-3    length of the first answer
//!  octets 4-7    no look-up before this second (a failed refresh of a stale answer); 0: none
//!  octets 8-19   stored, expires, stale until: the times of the companion
//!  octet  20     look-ups that failed in a row
//!  octets 22-23  length of the ready reply
//!  octets 24-    the ready reply, the first answer, the companion
//! ```

use crate::answer::Answer;
use crate::answer::encode::Age;
use crate::cache::Times;

use super::ready::Ready;

/// Octets in front of the answers.
const HEAD_LEN: usize = 24;

/// Where the length of the ready reply stands.
const READY_LEN: usize = 22;

/// A cached entry, read in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The answer to the question.
    pub(super) answer: Answer<'a>,
    /// What it was written from, but for the ready reply.
    pub(super) parts: Parts<'a>,
    /// The A answer beside an AAAA answer, and its times.
    pub(super) companion: Option<(Answer<'a>, Times)>,
    /// The ready reply.
    pub(super) ready: Option<Ready<'a>>,
}

/// What an entry is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    /// The octets of the answer to the question.
    pub(super) answer: &'a [u8],
    /// The octets of the A answer beside an AAAA answer, and its times.
    pub(super) companion: Option<(&'a [u8], Times)>,
    /// Until this second nobody is asked again.
    pub(super) retry_secs: u32,
    /// Look-ups that failed in a row.
    pub(super) failures: u8,
}

impl<'a> Parts<'a> {
    /// A new answer by itself.
    pub(super) const fn new(answer: &'a [u8]) -> Self {
        Self { answer, companion: None, retry_secs: 0, failures: 0 }
    }

    /// Writes the entry without a ready reply.
    pub(super) fn write(&self, into: &mut Vec<u8>) {
        self.write_with(into, &[]);
    }

    /// Writes the entry with the octets of a ready reply, as long as a message at the most.
    pub(super) fn write_with(&self, into: &mut Vec<u8>, ready: &[u8]) {
        let Self { answer, companion, retry_secs, failures } = *self;
        let (companion, times) = companion.unzip();
        let times = times.unwrap_or(Times { stored_secs: 0, expires_secs: 0, stale_until_secs: 0 });
        into.clear();
        // An answer is a message's records and a few octets more: far below 4 GiB.
        into.extend_from_slice(&(answer.len() as u32).to_le_bytes());
        for long in [retry_secs, times.stored_secs, times.expires_secs, times.stale_until_secs] {
            into.extend_from_slice(&long.to_le_bytes());
        }
        into.extend_from_slice(&[failures, 0]);
        into.extend_from_slice(&(ready.len() as u16).to_le_bytes());
        into.extend_from_slice(ready);
        into.extend_from_slice(answer);
        into.extend_from_slice(companion.unwrap_or_default());
    }
}

impl<'a> Entry<'a> {
    /// Reads an entry; `None` if the octets are not one.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let (head, rest) = value.split_first_chunk::<HEAD_LEN>()?;
        let long = |place: usize| {
            u32::from_le_bytes([head[place], head[place + 1], head[place + 2], head[place + 3]])
        };
        let (ready, rest) = rest.split_at_checked(ready_len(head))?;
        let (octets, companion_octets) = rest.split_at_checked(long(0) as usize)?;
        let times =
            || Times { stored_secs: long(8), expires_secs: long(12), stale_until_secs: long(16) };
        let companion = match companion_octets {
            [] => None,
            octets => Some((Answer::read(octets)?, times())),
        };
        let answer = Answer::read(octets)?;
        let parts = Parts {
            answer: octets,
            companion: companion.map(|(_, times)| (companion_octets, times)),
            retry_secs: long(4),
            failures: head[20],
        };
        Some(Self { answer, parts, companion, ready: Ready::read(ready) })
    }

    /// Only the ready reply of an entry.
    #[inline]
    pub(super) fn read_ready(value: &'a [u8]) -> Option<Ready<'a>> {
        let (head, rest) = value.split_first_chunk::<HEAD_LEN>()?;
        Ready::read(rest.get(..ready_len(head))?)
    }
}

/// Octets of the ready reply.
#[inline]
fn ready_len(head: &[u8; HEAD_LEN]) -> usize {
    usize::from(u16::from_le_bytes([head[READY_LEN], head[READY_LEN + 1]]))
}

/// How old an answer with these times is now; `None` if it is past its end and `stale` is not
/// allowed, or past any use.
pub(super) fn age(times: Times, now_secs: u32, stale: bool) -> Option<Age> {
    if now_secs < times.expires_secs {
        Some(Age::Secs(now_secs.saturating_sub(times.stored_secs)))
    } else if stale && now_secs < times.stale_until_secs {
        Some(Age::Stale)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{AnswerFlags, compile_failure};
    use crate::wire::header::Rcode;

    #[test]
    fn an_entry_reads_back_with_and_without_companion() {
        let mut answer = Vec::new();
        compile_failure(Rcode::SERVFAIL, None, AnswerFlags::default(), 5, &mut answer);
        let mut value = Vec::new();
        let parts = Parts { retry_secs: 77, failures: 3, ..Parts::new(&answer) };
        parts.write(&mut value);
        let entry = Entry::read(&value).unwrap();
        assert_eq!(entry.parts.answer, answer);
        assert_eq!((entry.parts.retry_secs, entry.parts.failures), (77, 3));
        assert!(entry.companion.is_none() && entry.ready.is_none());

        let times = Times { stored_secs: 1, expires_secs: 2, stale_until_secs: 3 };
        let parts = Parts { companion: Some((&answer, times)), ..Parts::new(&answer) };
        parts.write_with(&mut value, &[0; 40]);
        let entry = Entry::read(&value).unwrap();
        assert_eq!(entry.companion.unwrap().1, times);
        assert_eq!(entry.parts.answer, answer);
        assert!(entry.ready.is_some() && Entry::read_ready(&value).is_some());
    }

    #[test]
    fn an_answer_is_fresh_then_stale_then_gone() {
        let times = Times { stored_secs: 10, expires_secs: 20, stale_until_secs: 30 };
        assert_eq!(age(times, 19, false), Some(Age::Secs(9)));
        assert_eq!(age(times, 20, false), None);
        assert_eq!(age(times, 20, true), Some(Age::Stale));
        assert_eq!(age(times, 30, true), None);
    }
}
