//! What the cache holds under a name and type: a compiled answer, and beside an AAAA answer that
//! led to synthesis the A answer that was used. One look-up then serves the whole synthesis.
//!
//! ```text
//!  octets 0-3    length of the first answer
//!  octets 4-7    no look-up before this second (a failed refresh of a stale answer); 0: none
//!  octets 8-19   stored, expires, stale until: the times of the companion
//!  octet  20     look-ups that failed in a row
//!  octets 24-    the first answer, then the companion
//! ```

use crate::answer::Answer;
use crate::answer::encode::Age;
use crate::cache::Times;

/// Octets in front of the answers.
const HEAD_LEN: usize = 24;

/// A cached entry, read in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The answer to the question.
    pub(super) answer: Answer<'a>,
    /// The answer's octets.
    pub(super) octets: &'a [u8],
    /// The A answer beside an AAAA answer, and its times.
    pub(super) companion: Option<(Answer<'a>, Times)>,
    /// Until this second nobody is asked again.
    pub(super) retry_secs: u32,
    /// Look-ups that failed in a row.
    pub(super) failures: u8,
}

impl<'a> Entry<'a> {
    /// Reads an entry; `None` if the octets are not one.
    pub(super) fn read(value: &'a [u8]) -> Option<Self> {
        let (head, rest) = value.split_first_chunk::<HEAD_LEN>()?;
        let long = |place: usize| {
            u32::from_le_bytes([head[place], head[place + 1], head[place + 2], head[place + 3]])
        };
        let (octets, companion) = rest.split_at_checked(long(0) as usize)?;
        let companion = match companion {
            [] => None,
            octets => Some((
                Answer::read(octets)?,
                Times { stored_secs: long(8), expires_secs: long(12), stale_until_secs: long(16) },
            )),
        };
        let answer = Answer::read(octets)?;
        Some(Self { answer, octets, companion, retry_secs: long(4), failures: head[20] })
    }

    /// Writes an entry.
    pub(super) fn write(
        answer: &[u8],
        companion: Option<(&[u8], Times)>,
        retry_secs: u32,
        failures: u8,
        into: &mut Vec<u8>,
    ) {
        let none = Times { stored_secs: 0, expires_secs: 0, stale_until_secs: 0 };
        let times = companion.map_or(none, |(_, times)| times);
        into.clear();
        // An answer is a message's records and a few octets more: far below 4 GiB.
        into.extend_from_slice(&(answer.len() as u32).to_le_bytes());
        for long in [retry_secs, times.stored_secs, times.expires_secs, times.stale_until_secs] {
            into.extend_from_slice(&long.to_le_bytes());
        }
        into.extend_from_slice(&[failures, 0, 0, 0]);
        into.extend_from_slice(answer);
        if let Some((octets, _)) = companion {
            into.extend_from_slice(octets);
        }
    }
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
        Entry::write(&answer, None, 77, 3, &mut value);
        let entry = Entry::read(&value).unwrap();
        assert_eq!(entry.octets, answer);
        assert_eq!((entry.retry_secs, entry.failures), (77, 3));
        assert!(entry.companion.is_none());

        let times = Times { stored_secs: 1, expires_secs: 2, stale_until_secs: 3 };
        Entry::write(&answer, Some((&answer, times)), 0, 0, &mut value);
        let entry = Entry::read(&value).unwrap();
        assert_eq!(entry.companion.unwrap().1, times);
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
