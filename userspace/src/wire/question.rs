//! The question, and the numbers in it (RFC 1035 4.1.2).

use super::name::Name;

mnemonics! {
    /// The type of a record or of a question.
    pub struct Rtype(u16), else "TYPE";
    /// An IPv4 address.
    A = 1, "A";
    /// A name server of a zone.
    NS = 2, "NS";
    /// The canonical name of an alias.
    CNAME = 5, "CNAME";
    /// The start of a zone of authority.
    SOA = 6, "SOA";
    /// A name that an address, mostly, points to.
    PTR = 12, "PTR";
    /// Host information; the answer to ANY (RFC 8482).
    HINFO = 13, "HINFO";
    /// A mail exchange.
    MX = 15, "MX";
    /// Text.
    TXT = 16, "TXT";
    /// A signature of a message: SIG(0) (RFC 2931).
    SIG = 24, "SIG";
    /// A key (RFC 2930).
    KEY = 25, "KEY";
    /// An IPv6 address (RFC 3596).
    AAAA = 28, "AAAA";
    /// The location of a service (RFC 2782).
    SRV = 33, "SRV";
    /// A naming authority pointer (RFC 3403).
    NAPTR = 35, "NAPTR";
    /// A certificate (RFC 4398).
    CERT = 37, "CERT";
    /// An alias for a whole subtree (RFC 6672).
    DNAME = 39, "DNAME";
    /// The pseudo-record of EDNS (RFC 6891).
    OPT = 41, "OPT";
    /// The digest of a child zone's key (RFC 4034).
    DS = 43, "DS";
    /// The fingerprint of an SSH key (RFC 4255).
    SSHFP = 44, "SSHFP";
    /// A signature of an RRset (RFC 4034).
    RRSIG = 46, "RRSIG";
    /// Denial of existence (RFC 4034).
    NSEC = 47, "NSEC";
    /// A key of a zone (RFC 4034).
    DNSKEY = 48, "DNSKEY";
    /// Denial of existence by hashed names (RFC 5155).
    NSEC3 = 50, "NSEC3";
    /// How a zone's NSEC3 records are made (RFC 5155).
    NSEC3PARAM = 51, "NSEC3PARAM";
    /// A TLS certificate association (RFC 6698).
    TLSA = 52, "TLSA";
    /// A child zone's copy of its DS (RFC 7344).
    CDS = 59, "CDS";
    /// A child zone's copy of its DNSKEY (RFC 7344).
    CDNSKEY = 60, "CDNSKEY";
    /// A service binding (RFC 9460).
    SVCB = 64, "SVCB";
    /// A service binding for HTTP (RFC 9460).
    HTTPS = 65, "HTTPS";
    /// A key exchange (RFC 2930).
    TKEY = 249, "TKEY";
    /// A transaction signature (RFC 8945).
    TSIG = 250, "TSIG";
    /// An incremental zone transfer (RFC 1995).
    IXFR = 251, "IXFR";
    /// A zone transfer (RFC 5936).
    AXFR = 252, "AXFR";
    /// Mailbox records, obsolete.
    MAILB = 253, "MAILB";
    /// MD and MF, obsolete.
    MAILA = 254, "MAILA";
    /// Every type (RFC 8482).
    ANY = 255, "ANY";
    /// A URI (RFC 7553).
    URI = 256, "URI";
    /// Which certification authorities may certify (RFC 8659).
    CAA = 257, "CAA";
}

impl Rtype {
    /// Whether no record can have this type because it only has a meaning in a question or for one
    /// message: OPT, and the range of QTYPEs and meta-TYPEs (RFC 6895 3.1).
    #[must_use]
    pub const fn is_meta(self) -> bool {
        self.0 == Self::OPT.0 || (self.0 >= 128 && self.0 <= 255)
    }
}

mnemonics! {
    /// The class of a record or of a question.
    pub struct Class(u16), else "CLASS";
    /// The Internet.
    IN = 1, "IN";
    /// Chaosnet; today for questions about the server itself (RFC 4892).
    CH = 3, "CH";
    /// Hesiod.
    HS = 4, "HS";
    /// No class (RFC 2136).
    NONE = 254, "NONE";
    /// Every class.
    ANY = 255, "ANY";
}

/// What a query asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question<'a> {
    /// QNAME, in the letter case of the client.
    pub name: Name<'a>,
    /// QTYPE.
    pub rtype: Rtype,
    /// QCLASS.
    pub class: Class,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_classes_are_read_as_rfc_3597_writes_them() {
        assert_eq!("aaaa".parse(), Ok(Rtype::AAAA));
        assert_eq!("TYPE28".parse(), Ok(Rtype::AAAA));
        assert_eq!("Type65280".parse(), Ok(Rtype(65280)));
        assert_eq!(Rtype(65280).to_string(), "TYPE65280");
        assert_eq!("CLASS32".parse(), Ok(Class(32)));
        assert_eq!(Class(32).to_string(), "CLASS32");
        for bad in ["", "TYPE", "TYPE65536", "TYPE+1", "TYPE-1", "AAAAA", "ÄTYPE1", "TYPÄ1"] {
            assert!(bad.parse::<Rtype>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_mnemonic_is_read_back() {
        for rtype in Rtype::REGISTERED {
            assert_eq!(rtype.to_string().parse(), Ok(*rtype));
        }
        for class in Class::REGISTERED {
            assert_eq!(class.to_string().parse(), Ok(*class));
        }
    }

    #[test]
    fn the_types_only_questions_and_messages_have_are_meta() {
        for rtype in [Rtype::OPT, Rtype::TKEY, Rtype::TSIG, Rtype::AXFR, Rtype::ANY, Rtype(128)] {
            assert!(rtype.is_meta(), "{rtype}");
        }
        for rtype in [Rtype::A, Rtype::HTTPS, Rtype::URI, Rtype(127), Rtype(65280)] {
            assert!(!rtype.is_meta(), "{rtype}");
        }
    }
}
