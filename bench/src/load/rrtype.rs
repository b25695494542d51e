//! The names of record types: all that IANA's registry has and dnsperf reads, and `TYPE65280`
//! (RFC 3597 5).
#![forbid(unsafe_code)]

/// Types by name.
const TYPES: [(&str, u16); 93] = [
    ("A", 1),
    ("NS", 2),
    ("MD", 3),
    ("MF", 4),
    ("CNAME", 5),
    ("SOA", 6),
    ("MB", 7),
    ("MG", 8),
    ("MR", 9),
    ("NULL", 10),
    ("WKS", 11),
    ("PTR", 12),
    ("HINFO", 13),
    ("MINFO", 14),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("X25", 19),
    ("ISDN", 20),
    ("RT", 21),
    ("NSAP", 22),
    ("NSAP-PTR", 23),
    ("SIG", 24),
    ("KEY", 25),
    ("PX", 26),
    ("GPOS", 27),
    ("AAAA", 28),
    ("LOC", 29),
    ("NXT", 30),
    ("EID", 31),
    ("NIMLOC", 32),
    ("SRV", 33),
    ("ATMA", 34),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("A6", 38),
    ("DNAME", 39),
    ("SINK", 40),
    ("OPT", 41),
    ("APL", 42),
    ("DS", 43),
    ("SSHFP", 44),
    ("IPSECKEY", 45),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("DHCID", 49),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("HIP", 55),
    ("NINFO", 56),
    ("RKEY", 57),
    ("TALINK", 58),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("CSYNC", 62),
    ("ZONEMD", 63),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("DSYNC", 66),
    ("HHIT", 67),
    ("BRID", 68),
    ("SPF", 99),
    ("UINFO", 100),
    ("UID", 101),
    ("GID", 102),
    ("UNSPEC", 103),
    ("NID", 104),
    ("L32", 105),
    ("L64", 106),
    ("LP", 107),
    ("EUI48", 108),
    ("EUI64", 109),
    ("TKEY", 249),
    ("TSIG", 250),
    ("IXFR", 251),
    ("AXFR", 252),
    ("MAILB", 253),
    ("MAILA", 254),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
    ("AVC", 258),
    ("DOA", 259),
    ("AMTRELAY", 260),
    ("RESINFO", 261),
    ("TA", 32768),
    ("DLV", 32769),
];

/// The number of a type; the letters' case does not matter.
#[must_use]
pub fn number_of(name: &str) -> Option<u16> {
    if let Some((_, number)) = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Some(*number);
    }
    if name == "*" {
        return Some(255);
    }
    let (word, number) = name.split_at_checked(4)?;
    let digits = number.bytes().all(|octet| octet.is_ascii_digit());
    (word.eq_ignore_ascii_case("TYPE") && digits).then(|| number.parse().ok())?
}

/// The name of a type.
#[must_use]
pub fn name_of(number: u16) -> String {
    match TYPES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => format!("TYPE{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways_and_each_stands_once() {
        for (place, (name, number)) in TYPES.iter().enumerate() {
            assert_eq!(number_of(&name.to_lowercase()), Some(*number));
            assert_eq!(name_of(*number), *name);
            assert!(TYPES[..place].iter().all(|(_, before)| before < number), "{name}");
        }
        assert_eq!((number_of("type65535"), name_of(65_535)), (Some(65_535), "TYPE65535".into()));
    }

    #[test]
    fn other_words_are_no_types() {
        for word in ["", "AAAAA", "TYPE", "TYPE65536", "TYPE+1", "TYPE-1", "TYP"] {
            assert_eq!(number_of(word), None, "{word}");
        }
    }
}
