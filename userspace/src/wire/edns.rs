//! EDNS: the OPT pseudo-record (RFC 6891 6.1) and Extended DNS Errors (RFC 8914).
//!
//! ```text
//!  owner  TYPE   CLASS          TTL                              RDLEN  RDATA
//!  0      41     payload size   ext. RCODE │ version │ DO, flags        (code, length, octets)*
//! ```

use super::error::{ParseError, TruncationError};
use super::header::Rcode;
use super::question::Rtype;
use crate::limits::UDP_PLAIN_LEN_MAX;

/// Octets of an OPT record without options.
pub const OPT_LEN: usize = 11;

/// Options looked at in one OPT record; what follows is ignored, so that a query that is stuffed
/// with options costs no more than a plain one.
pub const OPTIONS_MAX: usize = 16;

/// The DO bit: the client wants DNSSEC records (RFC 3225 3).
const DNSSEC_OK: u16 = 0x8000;

/// Numbers of EDNS options that something here looks at or writes.
pub mod option_code {
    /// The server's identity (RFC 5001).
    pub const NSID: u16 = 3;
    /// The client's subnet (RFC 7871).
    pub const CLIENT_SUBNET: u16 = 8;
    /// Client and server cookie (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// How long a TCP connection may idle (RFC 7828).
    pub const TCP_KEEPALIVE: u16 = 11;
    /// Padding (RFC 7830).
    pub const PADDING: u16 = 12;
    /// An Extended DNS Error (RFC 8914).
    pub const EXTENDED_ERROR: u16 = 15;
}

/// The OPT record of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt<'a> {
    /// The largest UDP payload the client takes: 512 or more (RFC 6891 6.2.3: less counts as 512).
    pub payload_len: u16,
    /// The EDNS version.
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The flags word, with the DO bit.
    pub flags: u16,
    /// The options, checked as far as [`Opt::options`] goes.
    options: &'a [u8],
}

impl<'a> Opt<'a> {
    /// Reads an OPT record from its CLASS, TTL and RDATA.
    ///
    /// # Errors
    /// [`ParseError::OptionLength`] if an option leaves the RDATA. Of a version that we do not
    /// speak the options are not looked at.
    pub fn parse(class: u16, ttl: u32, rdata: &'a [u8]) -> Result<Self, ParseError> {
        let opt = Self::without_options(class, ttl);
        if opt.version == 0 {
            let mut rest = rdata;
            for _ in 0..OPTIONS_MAX {
                if rest.is_empty() {
                    break;
                }
                (_, _, rest) = split_option(rest).ok_or(ParseError::OptionLength)?;
            }
        }
        Ok(Self { options: rdata, ..opt })
    }

    /// What CLASS and TTL of an OPT record say.
    pub(super) const fn without_options(class: u16, ttl: u32) -> Self {
        let [_extended_rcode, version, high, low] = ttl.to_be_bytes();
        let flags = u16::from_be_bytes([high, low]);
        let payload_len =
            if class < UDP_PLAIN_LEN_MAX as u16 { UDP_PLAIN_LEN_MAX as u16 } else { class };
        Self { payload_len, version, dnssec_ok: flags & DNSSEC_OK != 0, flags, options: &[] }
    }

    /// The options as code and octets, at most [`OPTIONS_MAX`] of them.
    pub fn options(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let mut rest = self.options;
        std::iter::from_fn(move || {
            let (code, octets, behind) = split_option(rest)?;
            rest = behind;
            Some((code, octets))
        })
        .take(OPTIONS_MAX)
    }

    /// The octets of the first option of this code.
    #[must_use]
    pub fn option(&self, code: u16) -> Option<&'a [u8]> {
        self.options().find(|(found, _)| *found == code).map(|(_, octets)| octets)
    }
}

/// Splits an option, as code and octets, from what follows.
fn split_option(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (&[a, b, c, d], rest) = bytes.split_first_chunk::<4>()?;
    let (octets, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([c, d])))?;
    Some((u16::from_be_bytes([a, b]), octets, rest))
}

mnemonics! {
    /// Why an answer is as it is, for people who look for a fault (RFC 8914 4).
    pub struct InfoCode(u16), else "EDE";
    /// Something that has no code of its own.
    OTHER = 0, "Other Error";
    /// The zone is signed with no DNSKEY algorithm we know.
    UNSUPPORTED_DNSKEY_ALGORITHM = 1, "Unsupported DNSKEY Algorithm";
    /// The DS records are of no digest type we know.
    UNSUPPORTED_DS_DIGEST_TYPE = 2, "Unsupported DS Digest Type";
    /// The answer's TTL is over (RFC 8767).
    STALE_ANSWER = 3, "Stale Answer";
    /// The answer was made up for policy's sake.
    FORGED_ANSWER = 4, "Forged Answer";
    /// DNSSEC validation could not be decided.
    DNSSEC_INDETERMINATE = 5, "DNSSEC Indeterminate";
    /// DNSSEC validation failed.
    DNSSEC_BOGUS = 6, "DNSSEC Bogus";
    /// A signature is past its time.
    SIGNATURE_EXPIRED = 7, "Signature Expired";
    /// A signature's time has not come.
    SIGNATURE_NOT_YET_VALID = 8, "Signature Not Yet Valid";
    /// The DS records match no DNSKEY.
    DNSKEY_MISSING = 9, "DNSKEY Missing";
    /// Signatures are missing.
    RRSIGS_MISSING = 10, "RRSIGs Missing";
    /// No DNSKEY of the zone is a zone key.
    NO_ZONE_KEY_BIT_SET = 11, "No Zone Key Bit Set";
    /// Proof of non-existence is missing.
    NSEC_MISSING = 12, "NSEC Missing";
    /// The failure itself was cached.
    CACHED_ERROR = 13, "Cached Error";
    /// The server is not ready yet.
    NOT_READY = 14, "Not Ready";
    /// The operator blocks the name.
    BLOCKED = 15, "Blocked";
    /// Somebody else makes the operator block the name.
    CENSORED = 16, "Censored";
    /// The client asked for the name to be blocked.
    FILTERED = 17, "Filtered";
    /// The client may not ask this server.
    PROHIBITED = 18, "Prohibited";
    /// Only a stale denial could be given (RFC 8767).
    STALE_NXDOMAIN_ANSWER = 19, "Stale NXDOMAIN Answer";
    /// The server is authoritative, but not for this name.
    NOT_AUTHORITATIVE = 20, "Not Authoritative";
    /// The operation is not supported.
    NOT_SUPPORTED = 21, "Not Supported";
    /// No authoritative server could be reached.
    NO_REACHABLE_AUTHORITY = 22, "No Reachable Authority";
    /// The network failed on the way to another server.
    NETWORK_ERROR = 23, "Network Error";
    /// The local data of the zone are broken.
    INVALID_DATA = 24, "Invalid Data";
    /// The signature ends before it begins.
    SIGNATURE_EXPIRED_BEFORE_VALID = 25, "Signature Expired before Valid";
    /// The query came in early data (RFC 9250).
    TOO_EARLY = 26, "Too Early";
    /// NSEC3 with more iterations than is sensible (RFC 9276).
    UNSUPPORTED_NSEC3_ITERATIONS = 27, "Unsupported NSEC3 Iterations Value";
    /// The answer would break a policy.
    UNABLE_TO_CONFORM_TO_POLICY = 28, "Unable to conform to policy";
    /// The answer was made from other records, as DNS64 does.
    SYNTHESIZED = 29, "Synthesized";
    /// The query type cannot be asked.
    INVALID_QUERY_TYPE = 30, "Invalid Query Type";
}

/// One Extended DNS Error of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedError<'a> {
    /// What is to be told.
    pub code: InfoCode,
    /// More about it, for people; often empty, better short.
    pub text: &'a str,
}

impl ExtendedError<'_> {
    /// An error without text.
    #[must_use]
    pub const fn plain(code: InfoCode) -> Self {
        Self { code, text: "" }
    }
}

/// What the OPT record of a reply says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyOpt<'a> {
    /// The largest UDP payload that we take.
    pub payload_len: u16,
    /// The DO bit, as it was in the query (RFC 3225 3).
    pub dnssec_ok: bool,
    /// Extended DNS Errors.
    pub errors: &'a [ExtendedError<'a>],
}

/// How much of the Extended DNS Errors is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// Codes and texts.
    Full,
    /// Codes.
    Codes,
    /// Nothing.
    None,
}

/// Writes an OPT record to the front of the buffer and returns its length. Extended DNS Errors are
/// an extra that must not cost the client its answer (RFC 8914 3): where there is no room for
/// them, first their texts and then they themselves are left out.
///
/// # Errors
/// If not even a bare OPT record of [`OPT_LEN`] octets fits.
pub fn write_opt(
    into: &mut [u8],
    rcode: Rcode,
    opt: &ReplyOpt<'_>,
) -> Result<usize, TruncationError> {
    let (detail, rdata_len) = [Detail::Full, Detail::Codes, Detail::None]
        .into_iter()
        .map(|detail| (detail, errors_len(opt.errors, detail)))
        .find(|(_, rdata_len)| OPT_LEN + rdata_len <= into.len() && *rdata_len <= 0xffff)
        .ok_or(TruncationError)?;
    let [type_high, type_low] = Rtype::OPT.0.to_be_bytes();
    let [payload_high, payload_low] = opt.payload_len.to_be_bytes();
    let [flags_high, flags_low] = (if opt.dnssec_ok { DNSSEC_OK } else { 0 }).to_be_bytes();
    // At most 0xffff, as just found.
    let [rdata_high, rdata_low] = (rdata_len as u16).to_be_bytes();
    let (fixed, rdata) = into.split_first_chunk_mut::<OPT_LEN>().ok_or(TruncationError)?;
    *fixed = [
        0,
        type_high,
        type_low,
        payload_high,
        payload_low,
        rcode.high_bits(),
        0,
        flags_high,
        flags_low,
        rdata_high,
        rdata_low,
    ];
    if detail != Detail::None {
        write_errors(rdata, opt.errors, detail)?;
    }
    Ok(OPT_LEN + rdata_len)
}

/// Octets of the text that is written.
const fn text_of<'a>(error: &ExtendedError<'a>, detail: Detail) -> &'a [u8] {
    match detail {
        Detail::Full => error.text.as_bytes(),
        Detail::Codes | Detail::None => &[],
    }
}

/// Octets that the options take.
fn errors_len(errors: &[ExtendedError<'_>], detail: Detail) -> usize {
    match detail {
        Detail::Full | Detail::Codes => {
            errors.iter().map(|error| 6 + text_of(error, detail).len()).sum()
        }
        Detail::None => 0,
    }
}

/// Writes the options (RFC 8914 2).
fn write_errors(
    mut into: &mut [u8],
    errors: &[ExtendedError<'_>],
    detail: Detail,
) -> Result<(), TruncationError> {
    for error in errors {
        let text = text_of(error, detail);
        let [code_high, code_low] = option_code::EXTENDED_ERROR.to_be_bytes();
        let len = u16::try_from(2 + text.len()).map_err(|_| TruncationError)?;
        let [len_high, len_low] = len.to_be_bytes();
        let [info_high, info_low] = error.code.0.to_be_bytes();
        let (fixed, rest) = into.split_first_chunk_mut::<6>().ok_or(TruncationError)?;
        *fixed = [code_high, code_low, len_high, len_low, info_high, info_low];
        let (place, rest) = rest.split_at_mut_checked(text.len()).ok_or(TruncationError)?;
        place.copy_from_slice(text);
        into = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opt_record_is_read() {
        let opt = Opt::parse(1232, 0x0000_8000, b"\0\x0a\0\x02ab\0\x0c\0\0").unwrap();
        assert_eq!((opt.payload_len, opt.version, opt.dnssec_ok), (1232, 0, true));
        assert_eq!(opt.options().collect::<Vec<_>>(), [(10, &b"ab"[..]), (12, b"")]);
        assert_eq!(opt.option(option_code::COOKIE), Some(&b"ab"[..]));
        assert_eq!(opt.option(option_code::NSID), None);
    }

    #[test]
    fn a_payload_size_below_512_counts_as_512() {
        for (class, payload_len) in [(0, 512), (511, 512), (512, 512), (513, 513), (65535, 65535)] {
            assert_eq!(Opt::parse(class, 0, b"").unwrap().payload_len, payload_len);
        }
    }

    #[test]
    fn options_that_leave_the_record_are_refused() {
        for rdata in [&b"\0"[..], b"\0\x0a\0", b"\0\x0a\0\x01", b"\0\x0a\0\0\0\x0a\xff\xffx"] {
            assert_eq!(Opt::parse(512, 0, rdata), Err(ParseError::OptionLength), "{rdata:x?}");
        }
    }

    #[test]
    fn options_behind_the_sixteenth_are_not_looked_at() {
        let rdata = [&b"\0\x03\0\0".repeat(OPTIONS_MAX)[..], b"\0\x0a\xff\xff"].concat();
        let opt = Opt::parse(512, 0, &rdata).unwrap();
        assert_eq!(opt.options().count(), OPTIONS_MAX);
        let rdata = b"\0\x03\0\0".repeat(OPTIONS_MAX + 4);
        assert_eq!(Opt::parse(512, 0, &rdata).unwrap().options().count(), OPTIONS_MAX);
    }

    #[test]
    fn options_of_another_version_are_not_looked_at() {
        assert_eq!(Opt::parse(512, 0x0001_0000, b"\xff").map(|opt| opt.version), Ok(1));
    }

    #[test]
    fn an_opt_record_is_written_with_its_errors() {
        let errors = [
            ExtendedError::plain(InfoCode::SYNTHESIZED),
            ExtendedError { code: InfoCode::BLOCKED, text: "no" },
        ];
        let opt = ReplyOpt { payload_len: 1232, dnssec_ok: true, errors: &errors };
        let mut buffer = [0xaa; 64];
        let len = write_opt(&mut buffer, Rcode::BADVERS, &opt).unwrap();
        assert_eq!(
            &buffer[..len],
            b"\0\0\x29\x04\xd0\x01\0\x80\0\0\x0e\0\x0f\0\x02\0\x1d\0\x0f\0\x04\0\x0fno"
        );
    }

    #[test]
    fn errors_that_do_not_fit_are_left_out_text_first() {
        let errors = [ExtendedError { code: InfoCode::BLOCKED, text: "no" }];
        let opt = ReplyOpt { payload_len: 512, dnssec_ok: false, errors: &errors };
        let written = |room: usize| {
            let mut buffer = [0; 32];
            write_opt(&mut buffer[..room], Rcode::NOERROR, &opt)
                .map(|len| buffer[OPT_LEN..len].to_vec())
        };
        assert_eq!(written(19), Ok(b"\0\x0f\0\x04\0\x0fno".to_vec()));
        assert_eq!(written(18), Ok(b"\0\x0f\0\x02\0\x0f".to_vec()));
        assert_eq!(written(16), Ok(vec![]));
        assert_eq!(written(11), Ok(vec![]));
        assert_eq!(written(10), Err(TruncationError));
    }

    #[test]
    fn info_codes_have_the_names_of_the_registry() {
        assert_eq!(InfoCode(29).to_string(), "Synthesized");
        assert_eq!(InfoCode(15).to_string(), "Blocked");
        assert_eq!(InfoCode(49152).to_string(), "EDE49152");
        assert_eq!(InfoCode::REGISTERED.len(), 31);
    }
}
