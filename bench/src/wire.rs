//! The little of the DNS wire format (RFC 1035 4.1) that a tester needs: reading queries, writing
//! messages front to back.
//!
//! It is its own, and not that of the program under test, so that a mistake in one is seen by the
//! other.
#![forbid(unsafe_code)]

/// Octets of a message's header, and so the place of the question's name.
pub const HEADER_LEN: usize = 12;
/// Octets of the longest name (RFC 1035 2.3.4).
pub const NAME_MAX: usize = 255;
/// Octets of the longest label (RFC 1035 2.3.4).
pub const LABEL_MAX: usize = 63;
/// Octets of an OPT record without options.
pub const OPT_LEN: usize = 11;
/// Octets of a UDP message that every client takes (RFC 1035 2.3.4).
pub const UDP_MIN: usize = 512;

/// Class IN.
pub const CLASS_IN: u16 = 1;

/// Record types.
pub mod rtype {
    /// IPv4 address.
    pub const A: u16 = 1;
    /// Alias.
    pub const CNAME: u16 = 5;
    /// Start of authority.
    pub const SOA: u16 = 6;
    /// Name of an address.
    pub const PTR: u16 = 12;
    /// IPv6 address.
    pub const AAAA: u16 = 28;
    /// EDNS (RFC 6891).
    pub const OPT: u16 = 41;
}

/// Response codes.
pub mod rcode {
    /// No error.
    pub const NOERROR: u8 = 0;
    /// The query could not be read.
    pub const FORMERR: u8 = 1;
    /// No such name.
    pub const NXDOMAIN: u8 = 3;
    /// An opcode that is not served.
    pub const NOTIMP: u8 = 4;
    /// Not for this client or class.
    pub const REFUSED: u8 = 5;
}

/// The header's flag bits, in its second pair of octets.
pub mod flag {
    /// A response.
    pub const QR: u16 = 0x8000;
    /// Authoritative answer.
    pub const AA: u16 = 0x0400;
    /// Truncated.
    pub const TC: u16 = 0x0200;
    /// Recursion desired.
    pub const RD: u16 = 0x0100;
    /// Recursion available.
    pub const RA: u16 = 0x0080;
    /// Checking disabled.
    pub const CD: u16 = 0x0010;
    /// Where the opcode is.
    pub const OPCODE_MASK: u16 = 0x7800;
}

/// The pair of octets at this place, or `None` behind the end.
#[must_use]
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// The four octets at this place, or `None` behind the end.
#[must_use]
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// How many octets the uncompressed name at this place takes, its root label included.
#[must_use]
pub fn name_len(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    loop {
        let label_len = usize::from(*bytes.get(end)?);
        end += 1;
        if label_len == 0 {
            return Some(end - at);
        }
        if label_len > LABEL_MAX || end + label_len - at >= NAME_MAX {
            return None;
        }
        end += label_len;
    }
}

/// The first place behind the possibly compressed name at this place.
#[must_use]
pub fn skip_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let octet = *bytes.get(at)?;
        match octet {
            0 => return Some(at + 1),
            1..=63 => at += 1 + usize::from(octet),
            64..=191 => return None,
            192.. => return Some(at + 2),
        }
    }
}

/// A name as people write it, made into wire form; `None` if it is no name. Escapes are not known.
#[must_use]
pub fn name_from_text(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len() + 2);
    let text = text.strip_suffix('.').unwrap_or(text);
    if !text.is_empty() {
        for label in text.split('.') {
            if label.is_empty() || label.len() > LABEL_MAX {
                return None;
            }
            name.push(label.len() as u8);
            name.extend_from_slice(label.as_bytes());
        }
    }
    name.push(0);
    (name.len() <= NAME_MAX).then_some(name)
}

/// A name in wire form as people read it; octets that are not letters, digits or `-_` become `?`.
#[must_use]
pub fn name_to_text(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for label in labels(name) {
        for octet in label {
            let plain = octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
            text.push(if plain { char::from(*octet) } else { '?' });
        }
        text.push('.');
    }
    if text.is_empty() {
        text.push('.');
    }
    text
}

/// The labels of an uncompressed name in wire form, first to last, without the root.
pub fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (label_len, tail) = rest.split_first()?;
        if *label_len == 0 {
            return None;
        }
        let (label, tail) = tail.split_at_checked(usize::from(*label_len))?;
        rest = tail;
        Some(label)
    })
}

// ---- Queries

/// What a query's OPT record says (RFC 6891 6.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The longest UDP message the client takes.
    pub payload_size: u16,
    /// DNSSEC OK (RFC 3225).
    pub dnssec_ok: bool,
}

/// A query that can be answered.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The whole message.
    pub bytes: &'a [u8],
    /// The name asked for, in wire form and in the letters of the query.
    pub name: &'a [u8],
    /// The type asked for.
    pub qtype: u16,
    /// The class asked for.
    pub qclass: u16,
    /// The OPT record, if there is one.
    pub edns: Option<Edns>,
}

impl<'a> Query<'a> {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Refusal`] says what to do with anything else.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let flags = u16_at(bytes, 2).ok_or(Refusal::Silence)?;
        if bytes.len() < HEADER_LEN || flags & flag::QR != 0 {
            return Err(Refusal::Silence);
        }
        if flags & flag::OPCODE_MASK != 0 {
            return Err(Refusal::Rcode(rcode::NOTIMP));
        }
        Self::parse_sections(bytes).ok_or(Refusal::Rcode(rcode::FORMERR))
    }

    /// The question and the OPT record, the header being known to be there.
    fn parse_sections(bytes: &'a [u8]) -> Option<Self> {
        if u16_at(bytes, 4)? != 1 {
            return None;
        }
        let name_len = name_len(bytes, HEADER_LEN)?;
        let after_name = HEADER_LEN + name_len;
        let qtype = u16_at(bytes, after_name)?;
        let qclass = u16_at(bytes, after_name + 2)?;
        let name = bytes.get(HEADER_LEN..after_name)?;
        let no_records = u16_at(bytes, 6)? == 0 && u16_at(bytes, 8)? == 0;
        let edns = if no_records && u16_at(bytes, 10)? > 0 {
            Self::parse_opt(bytes, after_name + 4)
        } else {
            None
        };
        Some(Self { bytes, name, qtype, qclass, edns })
    }

    /// The OPT record, if it is the record at this place: resolvers send it first or alone.
    fn parse_opt(bytes: &[u8], at: usize) -> Option<Edns> {
        if *bytes.get(at)? != 0 || u16_at(bytes, at + 1)? != rtype::OPT {
            return None;
        }
        Some(Edns {
            payload_size: u16_at(bytes, at + 3)?,
            dnssec_ok: u16_at(bytes, at + 7)? & 0x8000 != 0,
        })
    }

    /// The message's ID.
    #[must_use]
    pub fn id(&self) -> u16 {
        u16_at(self.bytes, 0).unwrap_or(0)
    }

    /// The flags of the header.
    #[must_use]
    pub fn flags(&self) -> u16 {
        u16_at(self.bytes, 2).unwrap_or(0)
    }

    /// The question: name, type and class.
    #[must_use]
    pub fn question(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..HEADER_LEN + self.name.len() + 4]
    }
}

/// Writes a query with RD set into `out` and returns its length; `edns` adds an OPT record.
///
/// # Panics
/// If the query does not fit: `HEADER_LEN + name + 4 + OPT_LEN` octets.
pub fn write_query(out: &mut [u8], id: u16, name: &[u8], qtype: u16, edns: Option<Edns>) -> usize {
    let mut writer = Writer::new(out);
    for half in [id, flag::RD, 1, 0, 0, u16::from(edns.is_some())] {
        writer.u16(half);
    }
    writer.bytes(name);
    writer.u16(qtype);
    writer.u16(CLASS_IN);
    if let Some(edns) = edns {
        writer.opt(edns);
    }
    writer.len()
}

/// Writes a message front to back into a buffer that is known to be long enough.
#[derive(Debug)]
pub struct Writer<'b> {
    /// Where the message goes.
    out: &'b mut [u8],
    /// How much of it is written.
    len: usize,
}

impl<'b> Writer<'b> {
    /// Starts a message.
    pub fn new(out: &'b mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// How many octets are written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends octets.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends one octet.
    pub fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    /// Appends two octets.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends four octets.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Appends a compression pointer to this place (RFC 1035 4.1.4).
    pub fn pointer(&mut self, at: usize) {
        debug_assert!(at < 0x4000);
        self.u16(0xc000 | at as u16);
    }

    /// Overwrites two octets written before.
    pub fn patch_u16(&mut self, at: usize, value: u16) {
        self.out[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    /// Appends an OPT record of version 0 without options.
    pub fn opt(&mut self, edns: Edns) {
        self.u8(0);
        self.u16(rtype::OPT);
        self.u16(edns.payload_size);
        self.u32(if edns.dnssec_ok { 0x8000 } else { 0 });
        self.u16(0);
    }

    /// Forgets what was written behind this place.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

// ---- Errors

/// What to do with a message that is no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Say nothing: a response, or not even a header.
    Silence,
    /// Answer with this RCODE and the header alone.
    Rcode(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDNS: Edns = Edns { payload_size: 1232, dnssec_ok: true };

    #[test]
    fn a_written_query_is_read_back() {
        let name = name_from_text("wWw.Test.").unwrap();
        let mut out = [0; 64];
        let len = write_query(&mut out, 0xbeef, &name, rtype::AAAA, Some(EDNS));
        assert_eq!(
            &out[..len],
            b"\xbe\xef\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03wWw\x04Test\x00\x00\x1c\x00\x01\
              \x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"
        );
        let query = Query::parse(&out[..len]).unwrap();
        assert_eq!((query.id(), query.qtype, query.qclass), (0xbeef, rtype::AAAA, CLASS_IN));
        assert_eq!(query.name, b"\x03wWw\x04Test\x00");
        assert_eq!(query.edns, Some(EDNS));
        assert_eq!(query.question().len(), 14);
    }

    #[test]
    fn every_cut_of_a_query_is_refused_or_lacks_only_its_opt() {
        let name = name_from_text("www.test").unwrap();
        let mut out = [0; 64];
        let len = write_query(&mut out, 1, &name, rtype::A, Some(EDNS));
        for cut in 0..len {
            match Query::parse(&out[..cut]) {
                Ok(query) => assert!(cut >= 26 && (query.edns.is_none() || cut >= len - 2)),
                Err(Refusal::Silence) => assert!(cut < HEADER_LEN),
                Err(Refusal::Rcode(code)) => assert_eq!(code, rcode::FORMERR),
            }
        }
    }

    #[test]
    fn responses_are_met_with_silence_and_other_opcodes_with_notimp() {
        let mut out = [0; 64];
        let len = write_query(&mut out, 1, b"\0", rtype::A, None);
        out[2] = 0x81;
        assert_eq!(Query::parse(&out[..len]).unwrap_err(), Refusal::Silence);
        out[2] = 0x21;
        assert_eq!(Query::parse(&out[..len]).unwrap_err(), Refusal::Rcode(rcode::NOTIMP));
    }

    #[test]
    fn a_name_with_a_pointer_or_of_256_octets_is_no_question_name() {
        assert_eq!(name_len(b"\x01a\xc0\x00", 0), None);
        let mut long = [1_u8; 257];
        long[256] = 0;
        assert_eq!(name_len(&long, 0), None, "256 octets and the root");
        assert_eq!(name_len(&long, 2), Some(255), "the longest");
    }

    #[test]
    fn text_and_wire_form_of_names_agree() {
        assert_eq!(name_from_text(".").unwrap(), b"\0");
        assert_eq!(name_from_text("a..b"), None);
        assert_eq!(name_to_text(b"\x02ab\x01c\x00"), "ab.c.");
        assert_eq!(name_to_text(b"\0"), ".");
        assert_eq!(skip_name(b"\x01a\xc0\x0czz", 0), Some(4));
    }
}
