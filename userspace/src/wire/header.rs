//! The message header (RFC 1035 4.1.1, RFC 4035 3.1.6 and 3.2).
//!
//! ```text
//!    0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
//!  |                      ID                       |
//!  |QR|  OPCODE   |AA|TC|RD|RA| Z|AD|CD|   RCODE   |
//!  |                    QDCOUNT                    |
//!  |                    ANCOUNT                    |
//!  |                    NSCOUNT                    |
//!  |                    ARCOUNT                    |
//! ```

use std::fmt;

use crate::limits::HEADER_LEN;

mnemonics! {
    /// The kind of operation a message asks for: four bits.
    pub struct Opcode(u8), else "OPCODE";
    /// A standard query (RFC 1035).
    QUERY = 0, "QUERY";
    /// An inverse query, obsolete (RFC 3425).
    IQUERY = 1, "IQUERY";
    /// A server status request (RFC 1035).
    STATUS = 2, "STATUS";
    /// A notice of a changed zone (RFC 1996).
    NOTIFY = 4, "NOTIFY";
    /// A dynamic update (RFC 2136).
    UPDATE = 5, "UPDATE";
    /// Stateful operations (RFC 8490).
    DSO = 6, "DSO";
}

mnemonics! {
    /// The result of an operation: twelve bits, of which the header holds the lower four and the
    /// OPT record the upper eight (RFC 6891 6.1.3).
    pub struct Rcode(u16), else "RCODE";
    /// No error.
    NOERROR = 0, "NOERROR";
    /// The server could not make sense of the query.
    FORMERR = 1, "FORMERR";
    /// The server could not get at an answer.
    SERVFAIL = 2, "SERVFAIL";
    /// The name does not exist.
    NXDOMAIN = 3, "NXDOMAIN";
    /// The server does not do this kind of query.
    NOTIMP = 4, "NOTIMP";
    /// The server will not do this for this client.
    REFUSED = 5, "REFUSED";
    /// A name exists that should not (RFC 2136), or a DNAME made one too long (RFC 6672).
    YXDOMAIN = 6, "YXDOMAIN";
    /// An RRset exists that should not (RFC 2136).
    YXRRSET = 7, "YXRRSET";
    /// An RRset that should exist does not (RFC 2136).
    NXRRSET = 8, "NXRRSET";
    /// The server is not authoritative (RFC 2136), or the client is not authorized (RFC 8945).
    NOTAUTH = 9, "NOTAUTH";
    /// The name is not in the zone (RFC 2136).
    NOTZONE = 10, "NOTZONE";
    /// The type of the stateful operation is not implemented (RFC 8490).
    DSOTYPENI = 11, "DSOTYPENI";
    /// The EDNS version is not spoken here (RFC 6891).
    BADVERS = 16, "BADVERS";
    /// The key is not recognized (RFC 8945).
    BADKEY = 17, "BADKEY";
    /// The signature is outside its time (RFC 8945).
    BADTIME = 18, "BADTIME";
    /// The TKEY mode is not supported (RFC 2930).
    BADMODE = 19, "BADMODE";
    /// The key name is taken (RFC 2930).
    BADNAME = 20, "BADNAME";
    /// The algorithm is not supported (RFC 2930).
    BADALG = 21, "BADALG";
    /// The truncation of a signature is not acceptable (RFC 8945).
    BADTRUNC = 22, "BADTRUNC";
    /// The server cookie is bad or missing (RFC 7873).
    BADCOOKIE = 23, "BADCOOKIE";
}

impl Rcode {
    /// The four bits that the header holds.
    #[must_use]
    pub const fn low_bits(self) -> u8 {
        (self.0 & 0xf) as u8
    }

    /// The eight bits that only an OPT record holds.
    #[must_use]
    pub const fn high_bits(self) -> u8 {
        ((self.0 >> 4) & 0xff) as u8
    }
}

/// The second word of the header: what kind of message this is, and how it went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u16);

impl Flags {
    const QR: u16 = 1 << 15;
    const AA: u16 = 1 << 10;
    const TC: u16 = 1 << 9;
    const RD: u16 = 1 << 8;
    const RA: u16 = 1 << 7;
    const AD: u16 = 1 << 5;
    const CD: u16 = 1 << 4;
    const OPCODE_SHIFT: u16 = 11;
    const OPCODE_MASK: u16 = 0xf << Self::OPCODE_SHIFT;
    const RCODE_MASK: u16 = 0xf;

    /// The flags a recursive server's reply starts from: QR and RA set, OPCODE, RD and CD as the
    /// client sent them, all else clear (RFC 1035 4.1.1, RFC 4035 3.2.2).
    #[must_use]
    pub const fn reply_to(query: Self) -> Self {
        Self((query.0 & (Self::OPCODE_MASK | Self::RD | Self::CD)) | Self::QR | Self::RA)
    }

    /// Whether the message is a response.
    #[must_use]
    pub const fn qr(self) -> bool {
        self.has(Self::QR)
    }

    /// The kind of operation.
    #[must_use]
    pub const fn opcode(self) -> Opcode {
        Opcode(((self.0 & Self::OPCODE_MASK) >> Self::OPCODE_SHIFT) as u8)
    }

    /// Authoritative answer.
    #[must_use]
    pub const fn aa(self) -> bool {
        self.has(Self::AA)
    }

    /// Truncated: the whole reply did not fit.
    #[must_use]
    pub const fn tc(self) -> bool {
        self.has(Self::TC)
    }

    /// Recursion desired.
    #[must_use]
    pub const fn rd(self) -> bool {
        self.has(Self::RD)
    }

    /// Recursion available.
    #[must_use]
    pub const fn ra(self) -> bool {
        self.has(Self::RA)
    }

    /// Authentic data (RFC 4035 3.2.3; in queries RFC 6840 5.7).
    #[must_use]
    pub const fn ad(self) -> bool {
        self.has(Self::AD)
    }

    /// Checking disabled (RFC 4035 3.2.2).
    #[must_use]
    pub const fn cd(self) -> bool {
        self.has(Self::CD)
    }

    /// The lower four bits of the RCODE.
    #[must_use]
    pub const fn rcode(self) -> Rcode {
        Rcode(self.0 & Self::RCODE_MASK)
    }

    /// The same flags with QR set or clear.
    #[must_use]
    pub const fn with_qr(self, on: bool) -> Self {
        self.with(Self::QR, on)
    }

    /// The same flags with another kind of operation; the lower four bits count.
    #[must_use]
    pub const fn with_opcode(self, opcode: Opcode) -> Self {
        let bits = ((opcode.0 as u16) << Self::OPCODE_SHIFT) & Self::OPCODE_MASK;
        Self((self.0 & !Self::OPCODE_MASK) | bits)
    }

    /// The same flags with AA set or clear.
    #[must_use]
    pub const fn with_aa(self, on: bool) -> Self {
        self.with(Self::AA, on)
    }

    /// The same flags with TC set or clear.
    #[must_use]
    pub const fn with_tc(self, on: bool) -> Self {
        self.with(Self::TC, on)
    }

    /// The same flags with RD set or clear.
    #[must_use]
    pub const fn with_rd(self, on: bool) -> Self {
        self.with(Self::RD, on)
    }

    /// The same flags with RA set or clear.
    #[must_use]
    pub const fn with_ra(self, on: bool) -> Self {
        self.with(Self::RA, on)
    }

    /// The same flags with AD set or clear.
    #[must_use]
    pub const fn with_ad(self, on: bool) -> Self {
        self.with(Self::AD, on)
    }

    /// The same flags with CD set or clear.
    #[must_use]
    pub const fn with_cd(self, on: bool) -> Self {
        self.with(Self::CD, on)
    }

    /// The same flags with the lower four bits of this RCODE.
    #[must_use]
    pub const fn with_rcode(self, rcode: Rcode) -> Self {
        Self((self.0 & !Self::RCODE_MASK) | rcode.low_bits() as u16)
    }

    /// Whether a bit is set.
    const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    /// Sets or clears a bit.
    const fn with(self, bit: u16, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.opcode())?;
        for (name, on) in [
            ("qr", self.qr()),
            ("aa", self.aa()),
            ("tc", self.tc()),
            ("rd", self.rd()),
            ("ra", self.ra()),
            ("ad", self.ad()),
            ("cd", self.cd()),
        ] {
            if on {
                write!(f, " {name}")?;
            }
        }
        write!(f, " {}", self.rcode())
    }
}

/// How many questions and records the header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct SectionCounts {
    /// QDCOUNT.
    pub questions: u16,
    /// ANCOUNT.
    pub answers: u16,
    /// NSCOUNT.
    pub authorities: u16,
    /// ARCOUNT, with the OPT record.
    pub additionals: u16,
}

/// The twelve octets in front of every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Header {
    /// The transaction ID.
    pub id: u16,
    /// The second word.
    pub flags: Flags,
    /// The four counts.
    pub counts: SectionCounts,
}

impl Header {
    /// Reads the header; `None` if the message is shorter than that.
    #[must_use]
    pub fn parse(message: &[u8]) -> Option<Self> {
        let (&[a, b, c, d, e, f, g, h, i, j, k, l], _) =
            message.split_first_chunk::<HEADER_LEN>()?;
        Some(Self {
            id: u16::from_be_bytes([a, b]),
            flags: Flags(u16::from_be_bytes([c, d])),
            counts: SectionCounts {
                questions: u16::from_be_bytes([e, f]),
                answers: u16::from_be_bytes([g, h]),
                authorities: u16::from_be_bytes([i, j]),
                additionals: u16::from_be_bytes([k, l]),
            },
        })
    }

    /// The header in wire form.
    #[must_use]
    pub const fn to_wire(self) -> [u8; HEADER_LEN] {
        let [a, b] = self.id.to_be_bytes();
        let [c, d] = self.flags.0.to_be_bytes();
        let [e, f] = self.counts.questions.to_be_bytes();
        let [g, h] = self.counts.answers.to_be_bytes();
        let [i, j] = self.counts.authorities.to_be_bytes();
        let [k, l] = self.counts.additionals.to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_and_written_unchanged() {
        let wire = *b"\x12\x34\x81\xa3\0\x01\0\x02\0\x03\0\x04";
        let header = Header::parse(&wire).unwrap();
        assert_eq!(header.id, 0x1234);
        assert_eq!(format!("{:?}", header.flags), "QUERY qr rd ra ad NXDOMAIN");
        assert_eq!(
            header.counts,
            SectionCounts { questions: 1, answers: 2, authorities: 3, additionals: 4 }
        );
        assert_eq!(header.to_wire(), wire);
        assert_eq!(Header::parse(&wire[..11]), None);
    }

    #[test]
    fn every_setter_changes_its_bits_and_no_others() {
        for (set, bits) in [
            (Flags::default().with_qr(true), 0x8000),
            (Flags::default().with_opcode(Opcode(15)), 0x7800),
            (Flags::default().with_aa(true), 0x0400),
            (Flags::default().with_tc(true), 0x0200),
            (Flags::default().with_rd(true), 0x0100),
            (Flags::default().with_ra(true), 0x0080),
            (Flags::default().with_ad(true), 0x0020),
            (Flags::default().with_cd(true), 0x0010),
            (Flags::default().with_rcode(Rcode(15)), 0x000f),
        ] {
            assert_eq!(set.0, bits);
        }
        let all = Flags(0xffff);
        assert_eq!(all.with_tc(false).0, 0xfdff);
        assert_eq!(all.with_opcode(Opcode::QUERY).0, 0x87ff);
        assert_eq!(all.with_rcode(Rcode::NOERROR).0, 0xfff0);
    }

    #[test]
    fn a_reply_keeps_operation_rd_and_cd_only() {
        assert_eq!(Flags::reply_to(Flags(0xffff)).0, 0xf990);
        assert_eq!(Flags::reply_to(Flags(0)).0, 0x8080);
    }

    #[test]
    fn an_extended_rcode_is_split_between_header_and_opt() {
        assert_eq!(Rcode::BADVERS.low_bits(), 0);
        assert_eq!(Rcode::BADVERS.high_bits(), 1);
        assert_eq!(Rcode::BADCOOKIE.low_bits(), 7);
        assert_eq!(Rcode(0xfff).high_bits(), 0xff);
    }

    #[test]
    fn numbers_without_a_mnemonic_are_shown_and_read() {
        assert_eq!(Rcode::NXDOMAIN.to_string(), "NXDOMAIN");
        assert_eq!(Rcode(3841).to_string(), "RCODE3841");
        assert_eq!("rcode3841".parse(), Ok(Rcode(3841)));
        assert_eq!("refused".parse(), Ok(Rcode::REFUSED));
        assert_eq!(Opcode(9).to_string(), "OPCODE9");
        assert!("OPCODE".parse::<Opcode>().is_err());
        assert!("OPCODE256".parse::<Opcode>().is_err());
    }
}
