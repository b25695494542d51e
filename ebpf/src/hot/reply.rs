//! The reply to a query, composed over a copy of the query.
//!
//! The copy lies in a room of its own, shifted so that the UDP header always begins at the same
//! place, whatever comes before it:
//!
//! ```text
//!             28 or 48                 68    76        88
//!   Ethernet  │ IP header, addresses   │ UDP │ header  │ question, records, OPT
//!             │           36 or 60 ────┤ what the checksum of UDP covers ────►
//! ```
//!
//! The addresses are the last of both kinds of IP header, and the pseudo header has them too, so
//! that one sum from the addresses to the end does for both.

use super::Miss;
use super::entry::{BODY, BODY_LEN_MAX, Found, NAME_LEN_MAX, PLACES, SEQUENCE, TTLS_MAX, Words};
use super::query::Asked;
use crate::checksum::Sum;
use crate::frame::{Dns, FrameMut, Ipv6, PROTOCOL_UDP, Udp};
use crate::headers::HOPS;

/// Octets of the room.
pub const ROOM_LEN: usize = 1_024;

/// Where parts lie in the room.
pub mod place {
    /// The UDP header.
    pub const UDP: usize = 68;
    /// The DNS header.
    pub const DNS: usize = UDP + 8;
    /// The question.
    pub const QUESTION: usize = DNS + 12;
    /// The IPv4 header.
    pub(super) const IPV4: usize = UDP - 20;
    /// The IPv6 header.
    pub(super) const IPV6: usize = UDP - 40;
}

/// Where the places of TTLs are copied to: behind the longest reply.
const PLACES_AT: usize = ROOM_LEN - 64;

/// Octets at the end of a reply that a copy by words may write in vain.
const SPARE_LEN: usize = 16;

const _: () = assert!(
    place::QUESTION + NAME_LEN_MAX + 4 + BODY_LEN_MAX + SPARE_LEN <= PLACES_AT,
    "the longest reply fits"
);

/// Room for one frame of [`ROOM_LEN`] octets.
pub trait Room: FrameMut {
    /// The same number, of which the kernel's verifier knows nothing any more.
    ///
    /// It follows what each comparison says of a number. A loop that ends at one of a hundred
    /// places by what a number is would leave it with a hundred things to know, and what comes
    /// after to be looked at as often. So the ends of loops are numbers that serve nothing else.
    fn forget(&mut self, number: usize) -> usize;

    /// [`sum_words`], where that is best done.
    fn sum_words(&mut self, len: usize) -> Sum {
        sum_words(self, len)
    }

    /// [`age_ttls`], where that is best done.
    fn age_ttls(&mut self, body_at: usize, ttls: usize, age_secs: u32) {
        age_ttls(self, body_at, ttls, age_secs);
    }
}

impl Room for [u8] {
    fn forget(&mut self, number: usize) -> usize {
        number
    }
}

/// A reply that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Where its frame begins in the room.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The RCODE.
    pub rcode: u8,
    /// Whether it has synthesized AAAA.
    pub synthesized: bool,
}

/// Writes the reply over the query in the room. `message_at` is where the message lay in the frame
/// of the query.
///
/// # Errors
/// If it is longer than the client takes, or the entry changed while it was read: then the room
/// holds neither query nor reply.
#[inline(always)]
pub fn compose<W: Words, R: Room + ?Sized>(
    room: &mut R,
    found: &Found<W>,
    asked: &Asked,
    message_at: usize,
    is_ipv4: bool,
) -> Result<Reply, Miss> {
    let opt_len = if asked.has_opt { found.opt_len() } else { 0 };
    let body_len = found.records_len() + opt_len;
    let body_at = place::QUESTION + asked.question_len();
    let message_len = Dns::HEADER_LEN + asked.question_len() + body_len;
    if message_len > usize::from(asked.limit) {
        return Err(Miss::Size);
    }
    // Only an entry that is being written says so.
    if body_len > BODY_LEN_MAX || found.ttls() > TTLS_MAX {
        return Err(Miss::Torn);
    }
    let seen = write_body(room, found, body_at, body_len).ok_or(Miss::Torn)?;
    if found.entry.after(seen).word(SEQUENCE) != found.sequence {
        return Err(Miss::Torn);
    }
    if found.age_secs > 0 {
        room.age_ttls(body_at, found.ttls(), found.age_secs);
    }
    write_headers(room, found, asked, message_at, is_ipv4, message_len).ok_or(Miss::Torn)?;
    let [_, low] = found.flags();
    Ok(Reply {
        start: place::DNS - message_at,
        end: place::DNS + message_len,
        rcode: low & 0xf,
        synthesized: found.is_synthesized(),
    })
}

/// Copies records and OPT behind the question, and the places of TTLs. What it gives back depends
/// on every word that was read of the entry.
#[inline(always)]
fn write_body<W: Words, R: Room + ?Sized>(
    room: &mut R,
    found: &Found<W>,
    body_at: usize,
    body_len: usize,
) -> Option<u64> {
    let mut seen = found.seen;
    let end = room.forget(body_len);
    for index in 0..BODY_LEN_MAX / 8 {
        let at = index * 8;
        if at >= end {
            break;
        }
        let word = found.entry.word(BODY + index);
        seen |= word;
        room.set_octets(body_at + at, word.to_le_bytes())?;
    }
    // What the sum takes in for the last word that is begun.
    room.set_octets(body_at + body_len, [0_u8; 8])?;
    for index in 0..TTLS_MAX / 4 {
        let word = found.entry.word(PLACES + index);
        seen |= word;
        room.set_octets(PLACES_AT + index * 8, word.to_le_bytes())?;
    }
    Some(seen)
}

/// Makes the first `ttls` TTLs older whose places were copied to [`PLACES_AT`].
#[inline(always)]
pub fn age_ttls<R: Room + ?Sized>(room: &mut R, body_at: usize, ttls: usize, age_secs: u32) {
    let ttls = room.forget(ttls);
    for index in 0..TTLS_MAX {
        if index >= ttls {
            break;
        }
        let Some(ttl_place) = room.octets(PLACES_AT + index * 2) else { break };
        let at = body_at + usize::from(u16::from_le_bytes(ttl_place));
        let Some(ttl) = room.octets(at) else { break };
        // Not below zero, and without a branch.
        let aged = i64::from(u32::from_be_bytes(ttl)) - i64::from(age_secs);
        let aged = (aged & !(aged >> 63)) as u32;
        if room.set_octets(at, aged.to_be_bytes()).is_none() {
            break;
        }
    }
}

/// Makes the headers of the query those of the reply.
#[inline(always)]
fn write_headers<W: Words, R: Room + ?Sized>(
    room: &mut R,
    found: &Found<W>,
    asked: &Asked,
    message_at: usize,
    is_ipv4: bool,
    message_len: usize,
) -> Option<()> {
    // ID and QDCOUNT stay as they came.
    room.set_octets(place::DNS + 2, found.flags())?;
    room.set_octets(place::DNS + 6, found.counts())?;
    room.set_octets(place::DNS + 10, [0, u8::from(asked.has_opt)])?;

    let ethernet = place::DNS - message_at;
    let to: [u8; 6] = room.octets(ethernet)?;
    let from: [u8; 6] = room.octets(ethernet + 6)?;
    room.set_octets(ethernet, from)?;
    room.set_octets(ethernet + 6, to)?;

    let source_port: [u8; 2] = room.octets(place::UDP)?;
    let destination_port: [u8; 2] = room.octets(place::UDP + 2)?;
    let udp_len = Udp::HEADER_LEN + message_len;
    room.set_octets(place::UDP, destination_port)?;
    room.set_octets(place::UDP + 2, source_port)?;
    room.set_octets(place::UDP + 4, (udp_len as u16).to_be_bytes())?;
    room.set_octets(place::UDP + 6, [0; 2])?;

    let mut sum = Sum::new().number(u16::from(PROTOCOL_UDP)).number(udp_len as u16);
    if is_ipv4 {
        const LEN: usize = place::UDP - place::IPV4;
        let source: [u8; 4] = room.octets(place::UDP - 8)?;
        let destination: [u8; 4] = room.octets(place::UDP - 4)?;
        room.set_octets(place::UDP - 8, destination)?;
        room.set_octets(place::UDP - 4, source)?;
        // As in `headers::finish`: identification and flags stay as they came.
        room.set_octets(place::IPV4, [0x45, 0])?;
        room.set_octets(place::IPV4 + 2, ((LEN + udp_len) as u16).to_be_bytes())?;
        room.set_octets(place::IPV4 + 8, [HOPS, PROTOCOL_UDP, 0, 0])?;
        let header = Sum::new()
            .word(u64::from_ne_bytes(room.octets(place::IPV4)?))
            .word(u64::from_ne_bytes(room.octets(place::IPV4 + 8)?))
            .half(u32::from_ne_bytes(room.octets(place::IPV4 + 16)?));
        room.set_octets(place::IPV4 + 10, header.checksum())?;
        sum = sum.half(u32::from_ne_bytes(room.octets(place::UDP - 8)?));
    } else {
        let address = |room: &R, at| Some((room.octets::<8>(at)?, room.octets::<8>(at + 8)?));
        let (source, destination) = (place::UDP - 32, place::UDP - 16);
        let (from, to) = (address(room, source)?, address(room, destination)?);
        room.set_octets(source, to.0)?;
        room.set_octets(source + 8, to.1)?;
        room.set_octets(destination, from.0)?;
        room.set_octets(destination + 8, from.1)?;
        room.set_octets(place::IPV6, [0x60, 0, 0, 0])?;
        room.set_octets(place::IPV6 + 4, (udp_len as u16).to_be_bytes())?;
        room.set_octets(place::IPV6 + 6, [PROTOCOL_UDP, HOPS])?;
        sum = sum
            .word(u64::from_ne_bytes(to.0))
            .word(u64::from_ne_bytes(to.1))
            .word(u64::from_ne_bytes(from.0))
            .half(u32::from_ne_bytes(room.octets(place::UDP - 8)?));
    }
    // The last half of the addresses and all behind it, up to the zeros at the end.
    let sum = sum.sum(room.sum_words(4 + udp_len));
    room.set_octets(place::UDP + 6, sum.udp_checksum())
}

/// The sum of `len` octets of the room from the last four in front of the UDP header on. If they
/// are no whole words, zeros must follow.
#[inline(always)]
pub fn sum_words<R: Room + ?Sized>(room: &mut R, len: usize) -> Sum {
    let mut sum = Sum::new();
    let end = room.forget(len);
    for index in 0..SUMMED_WORDS_MAX {
        let at = index * 8;
        if at >= end {
            break;
        }
        let Some(octets) = room.octets(place::UDP - 4 + at) else { break };
        sum = sum.word(u64::from_ne_bytes(octets));
    }
    sum
}

/// The most words that the sum takes in.
const SUMMED_WORDS_MAX: usize =
    (4 + Udp::HEADER_LEN + Dns::HEADER_LEN + NAME_LEN_MAX + 4 + BODY_LEN_MAX).div_ceil(8);

const _: () = assert!(place::UDP - Ipv6::HEADER_LEN == place::IPV6);
const _: () = assert!(place::UDP - 4 + SUMMED_WORDS_MAX * 8 <= ROOM_LEN);
