//! Replies, written front to back into the caller's buffer.
//!
//! ```text
//!  header │ question │ answer │ authority │ additional │ OPT
//! ```
//!
//! [`ReplyBuilder`] counts the sections, keeps to a size limit and always has room for what every
//! reply needs: header, question and a bare OPT record. What does not fit is refused whole; the
//! reply is then finished without any record and with TC set, which tells the client all that it
//! can use: ask again over TCP (RFC 2181 9, RFC 7766 5).

use super::edns::{OPT_LEN, ReplyOpt, write_opt};
use super::error::TruncationError;
use super::header::{Flags, Header, Rcode, SectionCounts};
use super::name::Name;
use super::query::QUESTION_LEN_MAX;
use super::question::{Class, Rtype};
use crate::limits::{HEADER_LEN, MESSAGE_LEN_MAX, UDP_PLAIN_LEN_MAX};

const _: () = assert!(HEADER_LEN + QUESTION_LEN_MAX + OPT_LEN <= UDP_PLAIN_LEN_MAX);

/// The sections that hold records, in the order of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Who is responsible, and proofs of non-existence.
    Authority,
    /// What may be of use; the OPT record is put here by [`ReplyBuilder::finish`].
    Additional,
}

/// The owner name of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A compression pointer to a name at this place of the reply: 12 to 16383.
    Pointer(u16),
    /// The name itself.
    Name(Name<'a>),
}

impl Owner<'_> {
    /// The name that was asked for, which follows the header.
    pub const QUESTION: Self = Self::Pointer(HEADER_LEN as u16);

    /// The highest place that a pointer reaches (RFC 1035 4.1.4).
    pub const POINTER_MAX: u16 = 0x3fff;
}

/// A reply that is being written.
#[derive(Debug)]
pub struct ReplyBuilder<'b> {
    /// As long as the reply may become.
    buffer: &'b mut [u8],
    /// Octets written, header included.
    len: usize,
    /// Octets of header and question.
    question_end: usize,
    /// Octets at the end of the buffer that are kept for the OPT record.
    reserved: usize,
    id: u16,
    flags: Flags,
    /// All twelve bits.
    rcode: Rcode,
    counts: SectionCounts,
    /// Where the next record goes.
    section: Section,
}

impl<'b> ReplyBuilder<'b> {
    /// Starts a reply of at most `limit` octets: a limit below 512 counts as 512, because every
    /// client takes that many (RFC 1035 4.2.1), and one above the buffer as the buffer.
    ///
    /// # Panics
    /// If the buffer has less than 512 octets.
    #[must_use]
    pub fn new(buffer: &'b mut [u8], limit: usize, id: u16, flags: Flags) -> Self {
        assert!(buffer.len() >= UDP_PLAIN_LEN_MAX, "a reply buffer has 512 octets or more");
        let limit = limit.max(UDP_PLAIN_LEN_MAX).min(buffer.len()).min(MESSAGE_LEN_MAX);
        let buffer = buffer.get_mut(..limit).unwrap_or_default();
        Self {
            buffer,
            len: HEADER_LEN,
            question_end: HEADER_LEN,
            reserved: 0,
            id,
            flags,
            rcode: flags.rcode(),
            counts: SectionCounts::default(),
            section: Section::Answer,
        }
    }

    /// Keeps room for an OPT record without options. To be called before records are written if
    /// [`finish`](Self::finish) will be given an OPT record.
    pub const fn reserve_opt(&mut self) {
        self.reserved = OPT_LEN;
    }

    /// Sets the RCODE, all twelve bits of it. Those above 15 need an OPT record.
    pub const fn set_rcode(&mut self, rcode: Rcode) {
        self.rcode = rcode;
    }

    /// Sets the flags; their four bits of RCODE are not looked at.
    pub const fn set_flags(&mut self, flags: Flags) {
        self.flags = flags;
    }

    /// Copies the question, octet for octet, behind the header.
    ///
    /// # Panics
    /// If these are more octets than a question has, or records have been written.
    pub fn question(&mut self, octets: &[u8]) {
        assert!(octets.len() <= QUESTION_LEN_MAX, "a question has at most 259 octets");
        assert!(self.len == HEADER_LEN, "the question follows the header");
        // 512 octets are there, and the assertions above leave 271 at most.
        if self.put(octets).is_ok() {
            self.counts.questions = 1;
            self.question_end = self.len;
        }
    }

    /// Goes on with this section.
    pub fn begin(&mut self, section: Section) {
        debug_assert!(section >= self.section, "sections are written in order");
        self.section = section;
    }

    /// Writes a record into the current section.
    ///
    /// # Errors
    /// If it does not fit; the reply is then as before.
    pub fn record(
        &mut self,
        owner: Owner<'_>,
        rtype: Rtype,
        class: Class,
        ttl_secs: u32,
        rdata: &[u8],
    ) -> Result<(), TruncationError> {
        let rdata_len = u16::try_from(rdata.len()).map_err(|_| TruncationError)?;
        let count = self.count_mut();
        let next_count = count.checked_add(1).ok_or(TruncationError)?;
        let pointer;
        let owner = match owner {
            Owner::Pointer(place) => {
                debug_assert!(place >= HEADER_LEN as u16 && place <= Owner::POINTER_MAX);
                pointer = (place | !Owner::POINTER_MAX).to_be_bytes();
                &pointer[..]
            }
            Owner::Name(name) => name.as_wire(),
        };
        let total = owner.len() + 10 + rdata.len();
        let room = self.room(total)?;
        let (owner_place, rest) = room.split_at_mut_checked(owner.len()).ok_or(TruncationError)?;
        owner_place.copy_from_slice(owner);
        let (fixed, rdata_place) = rest.split_first_chunk_mut::<10>().ok_or(TruncationError)?;
        let [a, b] = rtype.0.to_be_bytes();
        let [c, d] = class.0.to_be_bytes();
        let [e, f, g, h] = ttl_secs.to_be_bytes();
        let [i, j] = rdata_len.to_be_bytes();
        *fixed = [a, b, c, d, e, f, g, h, i, j];
        rdata_place.copy_from_slice(rdata);
        self.len += total;
        *self.count_mut() = next_count;
        Ok(())
    }

    /// Writes records that are already in wire form, for this very place of the reply.
    ///
    /// # Errors
    /// If they do not fit; the reply is then as before.
    pub fn append(&mut self, image: &[u8], counts: SectionCounts) -> Result<(), TruncationError> {
        debug_assert!(counts.questions == 0, "the question has its own method");
        let (first, last) = sections_of(counts);
        debug_assert!(first.is_none_or(|first| first >= self.section), "sections are in order");
        let add = |a: u16, b: u16| a.checked_add(b).ok_or(TruncationError);
        let sum = SectionCounts {
            questions: self.counts.questions,
            answers: add(self.counts.answers, counts.answers)?,
            authorities: add(self.counts.authorities, counts.authorities)?,
            additionals: add(self.counts.additionals, counts.additionals)?,
        };
        self.put(image)?;
        self.counts = sum;
        self.section = last.map_or(self.section, |last| last.max(self.section));
        Ok(())
    }

    /// Gives up the records: the reply becomes header, question and, if [`finish`](Self::finish)
    /// is given one, OPT record, with TC set.
    pub fn truncate(&mut self) {
        self.len = self.question_end;
        self.counts =
            SectionCounts { questions: self.counts.questions, ..SectionCounts::default() };
        self.flags = self.flags.with_tc(true);
        self.section = Section::Answer;
    }

    /// Writes OPT record and header, and returns the length of the reply. If there is no room left
    /// for the OPT record, the reply is truncated.
    #[must_use]
    pub fn finish(mut self, opt: Option<&ReplyOpt<'_>>) -> usize {
        debug_assert!(self.rcode.high_bits() == 0 || opt.is_some(), "this RCODE needs an OPT");
        if let Some(opt) = opt {
            let place = self.buffer.get_mut(self.len..).unwrap_or_default();
            let mut written = write_opt(place, self.rcode, opt);
            if written.is_err() {
                self.truncate();
                let place = self.buffer.get_mut(self.len..).unwrap_or_default();
                written = write_opt(place, self.rcode, opt);
            }
            if let Ok(opt_len) = written {
                self.len += opt_len;
                self.counts.additionals = self.counts.additionals.saturating_add(1);
            }
        }
        let flags = self.flags.with_rcode(self.rcode);
        let header = Header { id: self.id, flags, counts: self.counts };
        if let Some(place) = self.buffer.first_chunk_mut::<HEADER_LEN>() {
            *place = header.to_wire();
        }
        self.len
    }

    /// [`truncate`](Self::truncate) and [`finish`](Self::finish).
    #[must_use]
    pub fn finish_truncated(mut self, opt: Option<&ReplyOpt<'_>>) -> usize {
        self.truncate();
        self.finish(opt)
    }

    /// Octets written so far: the place of the next record.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a reply always has a header")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Octets that records may still take.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.buffer.len().saturating_sub(self.reserved).saturating_sub(self.len)
    }

    /// What has been counted so far.
    #[must_use]
    pub const fn counts(&self) -> SectionCounts {
        self.counts
    }

    /// The next octets of the buffer, if there are so many.
    fn room(&mut self, len: usize) -> Result<&mut [u8], TruncationError> {
        if len > self.remaining() {
            return Err(TruncationError);
        }
        self.buffer.get_mut(self.len..self.len + len).ok_or(TruncationError)
    }

    /// Copies octets to the end of the reply.
    fn put(&mut self, octets: &[u8]) -> Result<(), TruncationError> {
        self.room(octets.len())?.copy_from_slice(octets);
        self.len += octets.len();
        Ok(())
    }

    /// The count of the current section.
    const fn count_mut(&mut self) -> &mut u16 {
        match self.section {
            Section::Answer => &mut self.counts.answers,
            Section::Authority => &mut self.counts.authorities,
            Section::Additional => &mut self.counts.additionals,
        }
    }
}

/// The first and the last section that has records.
fn sections_of(counts: SectionCounts) -> (Option<Section>, Option<Section>) {
    let present = [
        (counts.answers, Section::Answer),
        (counts.authorities, Section::Authority),
        (counts.additionals, Section::Additional),
    ];
    let has_records = |(count, section): &(u16, Section)| (*count > 0).then_some(*section);
    (present.iter().find_map(has_records), present.iter().rev().find_map(has_records))
}

/// Writes a reply without records and returns its length: ID, OPCODE, RD and CD as in the query,
/// QR and RA set, the question repeated if there is one. `None` if the query has no header.
///
/// # Panics
/// If the buffer has less than 512 octets.
pub fn error_reply(
    query: &[u8],
    question: Option<&[u8]>,
    rcode: Rcode,
    opt: Option<&ReplyOpt<'_>>,
    buffer: &mut [u8],
) -> Option<usize> {
    let header = Header::parse(query)?;
    let flags = Flags::reply_to(header.flags);
    let mut reply = ReplyBuilder::new(buffer, UDP_PLAIN_LEN_MAX, header.id, flags);
    if let Some(question) = question {
        reply.question(question);
    }
    reply.set_rcode(rcode);
    Some(reply.finish(opt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::edns::{ExtendedError, InfoCode};
    use crate::wire::name::NameBuf;

    const QUESTION: &[u8] = b"\x01a\0\0\x1c\0\x01";
    const OPT: ReplyOpt<'static> = ReplyOpt { payload_len: 1232, dnssec_ok: false, errors: &[] };

    fn builder(buffer: &mut [u8], limit: usize) -> ReplyBuilder<'_> {
        let mut reply = ReplyBuilder::new(buffer, limit, 0x1234, Flags(0x8180));
        reply.question(QUESTION);
        reply
    }

    #[test]
    fn a_reply_is_written_section_by_section() {
        let mut buffer = [0xaa; 600];
        let mut reply = builder(&mut buffer, 600);
        reply.reserve_opt();
        reply.record(Owner::QUESTION, Rtype::A, Class::IN, 300, &[192, 0, 2, 1]).unwrap();
        reply.begin(Section::Authority);
        let org: NameBuf = "org".parse().unwrap();
        reply.record(Owner::Name(org.as_name()), Rtype::TXT, Class::IN, 1, b"\x01x").unwrap();
        reply
            .append(
                b"\0\0\x10\0\x01\0\0\0\x02\0\0",
                SectionCounts { additionals: 1, ..SectionCounts::default() },
            )
            .unwrap();
        let len = reply.finish(Some(&OPT));
        assert_eq!(
            &buffer[..len],
            b"\x12\x34\x81\x80\0\x01\0\x01\0\x01\0\x02\
              \x01a\0\0\x1c\0\x01\
              \xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x01\
              \x03org\0\0\x10\0\x01\0\0\0\x01\0\x02\x01x\
              \0\0\x10\0\x01\0\0\0\x02\0\0\
              \0\0\x29\x04\xd0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn a_record_of_the_last_octet_fits_and_one_more_does_not() {
        let mut buffer = [0; 1024];
        // 512 = 12 header + 7 question + 12 record + RDATA
        let mut reply = builder(&mut buffer, 100);
        assert_eq!(
            reply.record(Owner::QUESTION, Rtype::TXT, Class::IN, 0, &[0; 482]),
            Err(TruncationError)
        );
        assert_eq!(reply.len(), 19, "nothing was written");
        assert_eq!(reply.record(Owner::QUESTION, Rtype::TXT, Class::IN, 0, &[0; 481]), Ok(()));
        assert_eq!(reply.remaining(), 0);
        assert_eq!(reply.finish(None), 512);
    }

    #[test]
    fn the_room_for_the_opt_record_is_kept() {
        let mut buffer = [0; 512];
        let mut reply = builder(&mut buffer, 512);
        reply.reserve_opt();
        let record = |reply: &mut ReplyBuilder<'_>, len: usize| {
            reply.record(Owner::QUESTION, Rtype::TXT, Class::IN, 0, &vec![0; len])
        };
        assert_eq!(record(&mut reply, 471), Err(TruncationError));
        assert_eq!(record(&mut reply, 470), Ok(()));
        let errors = [ExtendedError::plain(InfoCode::SYNTHESIZED)];
        assert_eq!(reply.finish(Some(&ReplyOpt { errors: &errors, ..OPT })), 512);
        assert_eq!(&buffer[..12], b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\x01");
    }

    #[test]
    fn a_truncated_reply_has_the_question_and_the_opt_record_only() {
        let mut buffer = [0; 512];
        let mut reply = builder(&mut buffer, 512);
        reply.record(Owner::QUESTION, Rtype::A, Class::IN, 0, &[192, 0, 2, 1]).unwrap();
        let len = reply.finish_truncated(Some(&OPT));
        assert_eq!(
            &buffer[..len],
            b"\x12\x34\x83\x80\0\x01\0\0\0\0\0\x01\x01a\0\0\x1c\0\x01\
              \0\0\x29\x04\xd0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn an_opt_record_nobody_kept_room_for_truncates_the_reply() {
        let mut buffer = [0; 512];
        let mut reply = builder(&mut buffer, 512);
        reply.record(Owner::QUESTION, Rtype::TXT, Class::IN, 0, &[0; 481]).unwrap();
        assert_eq!(reply.finish(Some(&OPT)), 30);
        assert_eq!(&buffer[2..4], b"\x83\x80");
    }

    #[test]
    fn an_image_that_does_not_fit_leaves_the_reply_as_it_was() {
        let mut buffer = [0; 512];
        let mut reply = builder(&mut buffer, 512);
        let counts = SectionCounts { answers: 1, ..SectionCounts::default() };
        assert_eq!(reply.append(&[0; 494], counts), Err(TruncationError));
        assert_eq!(reply.counts().answers, 0);
        assert_eq!(reply.append(&[0; 493], counts), Ok(()));
    }

    #[test]
    fn a_reply_is_never_longer_than_tcp_can_carry() {
        let mut buffer = vec![0; 70_000];
        let reply = builder(&mut buffer, 70_000);
        assert_eq!(reply.remaining(), MESSAGE_LEN_MAX - 19);
    }

    #[test]
    fn an_error_reply_repeats_what_it_can() {
        let query = b"\x12\x34\x79\x30\0\x01\0\0\0\0\0\0\x01a\0\0\x1c\0\x01";
        let mut buffer = [0; 512];
        let len = error_reply(query, None, Rcode::NOTIMP, None, &mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"\x12\x34\xf9\x94\0\0\0\0\0\0\0\0");
        let len =
            error_reply(query, Some(QUESTION), Rcode::REFUSED, Some(&OPT), &mut buffer).unwrap();
        assert_eq!(&buffer[..12], b"\x12\x34\xf9\x95\0\x01\0\0\0\0\0\x01");
        assert_eq!(&buffer[12..19], QUESTION);
        assert_eq!(len, 30);
        assert_eq!(error_reply(&query[..11], None, Rcode::FORMERR, None, &mut buffer), None);
    }
}
