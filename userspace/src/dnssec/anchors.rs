//! Trust anchors: the keys, or digests of keys, that chains of trust begin with (RFC 4035 4.4).

use std::fmt;
use std::str::FromStr;

use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, DS};
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_proto::serialize::txt::trust_anchor::{Entry, Parser};

/// The anchors of the root zone as IANA publishes them: KSK-2017 and KSK-2024.
const IANA_ROOT: &str = "\
    . IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n\
    . IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16\n";

/// Most anchors in one file.
const ANCHORS_MAX: usize = 256;

/// One anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// A key itself.
    Key(DNSKEY),
    /// The digest of a key.
    Digest(DS),
}

impl Anchor {
    /// Whether this anchor vouches for the key. A revoked key is vouched for by nobody (RFC 5011
    /// 2.1).
    pub(super) fn covers(&self, zone: &Name, key: &DNSKEY) -> bool {
        if !key.zone_key() || key.revoke() {
            return false;
        }
        match self {
            Self::Key(anchor) => {
                anchor.public_key() == key.public_key() && anchor.flags() == key.flags()
            }
            Self::Digest(digest) => {
                key.calculate_key_tag().is_ok_and(|tag| tag == digest.key_tag())
                    && digest.covers(zone, key).unwrap_or(false)
            }
        }
    }
}

/// Trust anchors by zone: never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors {
    /// Zones in the order of the file, each with its anchors.
    pub(super) zones: Vec<(Name, Vec<Anchor>)>,
}

impl TrustAnchors {
    /// The anchors of the root zone that IANA publishes.
    ///
    /// # Panics
    /// Never: a test reads the text.
    #[must_use]
    pub fn iana_root() -> Self {
        IANA_ROOT.parse().expect("a test reads them")
    }
}

/// Reads records of types DS and DNSKEY, one a line; `;` begins a comment. TTL and class may be
/// left out. This is what `dnssec-dsfromkey`, `ldns-key2ds` and Unbound's `root.key` hold.
impl FromStr for TrustAnchors {
    type Err = AnchorError;

    fn from_str(text: &str) -> Result<Self, AnchorError> {
        let mut anchors = Self { zones: Vec::new() };
        let mut count = 0;
        for (line, number) in text.lines().zip(1..) {
            let record = line.split(';').next().unwrap_or_default().trim();
            if record.is_empty() {
                continue;
            }
            let wrong = |what: &str| AnchorError { line: number, what: what.to_owned() };
            let (zone, anchor) = read_record(record).map_err(|what| wrong(&what))?;
            count += 1;
            if count > ANCHORS_MAX {
                return Err(wrong("more trust anchors than anybody needs"));
            }
            match anchors.zones.iter_mut().find(|(known, _)| *known == zone) {
                Some((_, of_zone)) => of_zone.push(anchor),
                None => anchors.zones.push((zone, vec![anchor])),
            }
        }
        if anchors.zones.is_empty() {
            return Err(AnchorError { line: 0, what: "there is no DS or DNSKEY in it".to_owned() });
        }
        Ok(anchors)
    }
}

/// Reads one record.
fn read_record(text: &str) -> Result<(Name, Anchor), String> {
    let mut words = text.split_whitespace();
    let owner = words.next().unwrap_or_default();
    let mut zone = Name::from_ascii(owner).map_err(|error| format!("{owner}: {error}"))?;
    zone.set_fqdn(true);
    let mut words = words.skip_while(|word| {
        word.eq_ignore_ascii_case("IN") || word.bytes().all(|octet| octet.is_ascii_digit())
    });
    let rtype = words.next().unwrap_or_default().to_ascii_uppercase();
    let rdata: Vec<&str> = words.collect();
    match rtype.as_str() {
        "DS" => match RData::try_from_str(RecordType::DS, &rdata.join(" ")) {
            Ok(RData::DNSSEC(DNSSECRData::DS(digest))) => {
                if !digest.digest_type().is_supported() || !digest.algorithm().is_supported() {
                    return Err("its algorithm or digest type is not known here".to_owned());
                }
                Ok((zone, Anchor::Digest(digest)))
            }
            Ok(_) => Err("this is no DS record".to_owned()),
            Err(error) => Err(format!("this is no DS record: {error}")),
        },
        "DNSKEY" => {
            let line = format!("{zone} IN DNSKEY {}", rdata.join(" "));
            let entries = Parser::new(line)
                .parse()
                .map_err(|error| format!("this is no DNSKEY record: {error}"))?;
            let Some(Entry::DNSKEY(record)) = entries.into_iter().next() else {
                return Err("this is no DNSKEY record".to_owned());
            };
            let key = record.data().clone();
            if !key.zone_key() || key.revoke() {
                return Err("this is not a zone's key, or a revoked one".to_owned());
            }
            Ok((zone, Anchor::Key(key)))
        }
        other => Err(format!("{other:?} is neither DS nor DNSKEY")),
    }
}

/// The zones, for people.
impl fmt::Display for TrustAnchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (zone, anchors)) in self.zones.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let plural = if anchors.len() == 1 { "" } else { "s" };
            write!(f, "{comma}{} trust anchor{plural} of {zone}", anchors.len())?;
        }
        Ok(())
    }
}

/// Why a text is no list of trust anchors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnchorError {
    /// The line, from 1 on; 0 where it is the whole.
    line: u32,
    what: String,
}

impl fmt::Display for AnchorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for AnchorError {}

#[cfg(test)]
mod tests {
    use hickory_proto::dnssec::TrustAnchors as HickoryAnchors;

    use super::*;

    #[test]
    fn the_digests_of_the_root_are_those_of_the_keys_that_hickory_has() {
        let keys = HickoryAnchors::default();
        let ours = TrustAnchors::iana_root();
        let (root, anchors) = &ours.zones[0];
        assert!(root.is_root() && ours.zones.len() == 1);
        assert_eq!(anchors.len(), keys.len());
        for (place, anchor) in anchors.iter().enumerate() {
            let key = DNSKEY::with_flags(257, keys.get(place).unwrap().clone());
            assert!(anchor.covers(root, &key), "anchor {place}");
            let revoked = DNSKEY::with_flags(257 | 128, keys.get(place).unwrap().clone());
            assert!(!anchor.covers(root, &revoked), "revoked anchor {place}");
        }
    }

    #[test]
    fn records_are_read_with_and_without_ttl_class_and_comment() {
        let digest = "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D084 58E880409BBC683457104237C7F8EC8D";
        for text in [
            format!(". IN DS {digest}"),
            format!(". 172800 IN DS {digest} ; a comment"),
            format!("; first\n\n.\tDS\t{digest}\n"),
        ] {
            let anchors: TrustAnchors = text.parse().unwrap();
            assert_eq!(anchors.to_string(), "1 trust anchor of .", "{text}");
        }
        let key = "corp.example. 3600 IN DNSKEY 257 3 13 \
            mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxIL\
            fDLUT0rAK9iUzy1L53eKGQ==";
        let anchors: TrustAnchors = format!(". DS {digest}\n{key}").parse().unwrap();
        assert_eq!(anchors.zones.len(), 2);
    }

    #[test]
    fn what_is_no_anchor_is_refused_with_its_line() {
        for (text, said) in [
            ("", "there is no DS or DNSKEY in it"),
            ("; nothing", "there is no DS or DNSKEY in it"),
            ("\n. IN A 192.0.2.1", "line 2: \"A\" is neither DS nor DNSKEY"),
            (". IN DS 20326 8 2 XYZ", "line 1: this is no DS record"),
            (". IN DNSKEY 257 3", "line 1: this is no DNSKEY record"),
        ] {
            let error = text.parse::<TrustAnchors>().unwrap_err().to_string();
            assert!(error.starts_with(said), "{text:?}: {error}");
        }
    }
}
