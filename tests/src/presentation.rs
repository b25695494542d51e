//! RR text and wire form.
//!
//! The cases are written in presentation format (RFC 1035 section 5, RFC 3597 for `\#`), messages
//! travel in wire form. Text is read by the `domain` crate's zone file scanner: a second opinion
//! beside the code under test.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use domain::base::iana::{Class, Rtype};
use domain::base::name::{Name, ToName};
use domain::base::rdata::ComposeRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};

/// An RR whose names are uncompressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireRecord {
    /// Owner in wire form, letter case as written.
    pub owner: Vec<u8>,
    /// TYPE.
    pub rtype: Rtype,
    /// CLASS.
    pub class: Class,
    /// TTL in seconds.
    pub ttl_secs: u32,
    /// RDATA.
    pub rdata: Vec<u8>,
}

/// Reads one line of RR text, `owner ttl class type rdata`.
///
/// # Errors
///
/// Text that is not one RR.
pub fn parse_record(text: &str) -> Result<WireRecord> {
    let mut zone = Zonefile::new().allow_invalid();
    zone.extend_from_slice(text.as_bytes());
    zone.extend_from_slice(b"\n");
    let entry = zone.next_entry().with_context(|| format!("RR text {text:?}"))?;
    let Some(Entry::Record(record)) = entry else { bail!("no RR in {text:?}") };
    let mut rdata = Vec::new();
    record.data().compose_rdata(&mut rdata).context("RDATA too long")?;
    Ok(WireRecord {
        owner: record.owner().to_vec().as_slice().to_vec(),
        rtype: record.rtype(),
        class: record.class(),
        ttl_secs: record.ttl().as_secs(),
        rdata,
    })
}

/// A name in wire form, letter case kept.
///
/// # Errors
///
/// Text that is no domain name.
pub fn parse_name(text: &str) -> Result<Vec<u8>> {
    let name = Name::<Vec<u8>>::from_str(text).with_context(|| format!("name {text:?}"))?;
    Ok(name.as_slice().to_vec())
}

/// A type by its mnemonic or as `TYPEn`.
///
/// # Errors
///
/// A mnemonic that is not known.
pub fn parse_type(text: &str) -> Result<Rtype> {
    Rtype::from_str(text).map_err(|_| anyhow::anyhow!("type {text:?}"))
}

/// A class by its mnemonic or as `CLASSn`.
///
/// # Errors
///
/// A mnemonic that is not known.
pub fn parse_class(text: &str) -> Result<Class> {
    Class::from_str(text).map_err(|_| anyhow::anyhow!("class {text:?}"))
}

/// RCODEs that the cases name (RFC 1035, 2671).
const RCODES: [(&str, u16); 7] = [
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMP", 4),
    ("REFUSED", 5),
    ("BADVERS", 16),
];

/// An RCODE by its mnemonic.
///
/// # Errors
///
/// A mnemonic that is not known.
pub fn parse_rcode(text: &str) -> Result<u16> {
    RCODES
        .iter()
        .find(|(mnemonic, _)| *mnemonic == text)
        .map(|(_, code)| *code)
        .with_context(|| format!("RCODE {text:?}"))
}

/// The mnemonic of an RCODE.
pub fn rcode_text(code: u16) -> String {
    RCODES
        .iter()
        .find(|(_, known)| *known == code)
        .map_or_else(|| format!("RCODE{code}"), |(mnemonic, _)| (*mnemonic).to_owned())
}

/// What a pattern says about a TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TtlPattern {
    /// `*`
    Any,
    /// `N`
    Exactly(u32),
    /// `<=N`
    AtMost(u32),
}

/// What a pattern says about RDATA.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RdataPattern {
    /// Without wildcard: compared on the wire.
    Wire(Vec<u8>),
    /// With `*`: compared word by word in presentation format.
    Words(Vec<String>),
}

/// An RR that an answer section is expected to hold: `owner ttl class type rdata`, where the TTL
/// may be `*` or `<=N` and a word of the RDATA `*` (one word; at the end: all that follow).
#[derive(Debug, Clone)]
pub struct RecordPattern {
    /// As written in the case.
    pub text: String,
    /// Owner in wire form, letter case as written.
    pub owner: Vec<u8>,
    ttl: TtlPattern,
    class: Class,
    rtype: Rtype,
    rdata: RdataPattern,
}

impl RecordPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Text that is no pattern.
    pub fn parse(text: &str) -> Result<Self> {
        let mut words = text.split_whitespace();
        let mut next = |what: &str| words.next().with_context(|| format!("{text:?}: no {what}"));
        let (owner, ttl, class, rtype) =
            (next("owner")?, next("TTL")?, next("class")?, next("type")?);
        let rdata_words: Vec<String> = words.map(str::to_ascii_lowercase).collect();
        ensure!(!rdata_words.is_empty(), "{text:?}: no RDATA");
        let rdata = if rdata_words.iter().any(|word| word == "*") {
            RdataPattern::Words(rdata_words)
        } else {
            let at = text.find(&format!(" {rtype} ")).with_context(|| format!("{text:?}"))?;
            let rdata_text = text.get(at..).unwrap_or_default();
            let record = parse_record(&format!("{owner} 0 {class}{rdata_text}"))?;
            RdataPattern::Wire(record.rdata)
        };
        Ok(Self {
            text: text.to_owned(),
            owner: parse_name(owner)?,
            ttl: match (ttl, ttl.strip_prefix("<=")) {
                ("*", _) => TtlPattern::Any,
                (_, Some(bound)) => TtlPattern::AtMost(bound.parse()?),
                (exact, None) => TtlPattern::Exactly(exact.parse()?),
            },
            class: parse_class(class)?,
            rtype: parse_type(rtype)?,
            rdata,
        })
    }

    /// True if an RR is what the pattern describes. `rdata_text` is its RDATA in presentation
    /// format.
    pub fn matches(&self, record: &WireRecord, rdata_text: &str) -> bool {
        let ttl_fits = match self.ttl {
            TtlPattern::Any => true,
            TtlPattern::Exactly(ttl_secs) => record.ttl_secs == ttl_secs,
            TtlPattern::AtMost(ttl_secs) => record.ttl_secs <= ttl_secs,
        };
        let rdata_fits = match &self.rdata {
            // Addresses are numbers: octets in the range of letters are not letters.
            RdataPattern::Wire(rdata) if matches!(self.rtype, Rtype::A | Rtype::AAAA) => {
                *rdata == record.rdata
            }
            RdataPattern::Wire(rdata) => rdata.eq_ignore_ascii_case(&record.rdata),
            RdataPattern::Words(words) => words_match(words, rdata_text),
        };
        self.owner.eq_ignore_ascii_case(&record.owner)
            && ttl_fits
            && self.class == record.class
            && self.rtype == record.rtype
            && rdata_fits
    }
}

/// Compares words without letter case and without a name's final dot; `*` is one word, at the end
/// all that follow.
fn words_match(pattern: &[String], rdata_text: &str) -> bool {
    let mut actual = rdata_text.split_whitespace().map(str::to_ascii_lowercase);
    let last = pattern.len() - 1;
    for (index, word) in pattern.iter().enumerate() {
        let Some(found) = actual.next() else { return false };
        if word == "*" {
            if index == last {
                return true;
            }
        } else if word.trim_end_matches('.') != found.trim_end_matches('.') {
            return false;
        }
    }
    actual.next().is_none()
}

/// The address in the RDATA of an A or AAAA.
pub fn address(record: &WireRecord) -> Option<IpAddr> {
    match (record.rtype, record.rdata.len()) {
        (Rtype::A, 4) => <[u8; 4]>::try_from(record.rdata.as_slice()).ok().map(IpAddr::from),
        (Rtype::AAAA, 16) => <[u8; 16]>::try_from(record.rdata.as_slice()).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generic_rdata_keeps_its_wrong_length() {
        let record = parse_record("odd.example. 300 IN AAAA \\# 4 c0000221").unwrap();
        assert_eq!(record.rtype, Rtype::AAAA);
        assert_eq!(record.rdata, [0xc0, 0, 2, 0x21]);
    }

    #[test]
    fn service_binding_text_becomes_rfc_9460_wire_form() {
        let record =
            parse_record("s.example. 60 IN HTTPS 1 . alpn=\"h2\" ipv4hint=\"192.0.2.33\"").unwrap();
        assert_eq!(
            record.rdata,
            b"\x00\x01\x00\x00\x01\x00\x03\x02h2\x00\x04\x00\x04\xc0\x00\x02\x21"
        );
    }

    #[test]
    fn a_star_is_one_word_and_at_the_end_all_that_follow() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(words_match(&words("aaaa *"), "AAAA 8 2 300"));
        assert!(words_match(&words("* b. *"), "a B c"));
        assert!(!words_match(&words("* b"), "a b c"));
        assert!(!words_match(&words("a *"), "a"));
    }

    #[test]
    fn letter_case_counts_in_addresses_only() {
        let pattern = RecordPattern::parse("H.example. <=5 IN AAAA 64:ff9b::4142:4344").unwrap();
        let mut record = parse_record("h.EXAMPLE. 5 IN AAAA 64:ff9b::4142:4344").unwrap();
        assert!(pattern.matches(&record, ""));
        record.rdata[12] = b'a';
        assert!(!pattern.matches(&record, ""));
    }
}
