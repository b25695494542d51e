//! The data-driven cases: what a case file holds and how it is read.
//!
//! A case is one question to one freshly started server whose only upstream follows a script, and
//! what may come back. `tests/cases/README.md` describes the format; every key there is a field
//! here, and a key that is not known is an error, so that a misspelt expectation cannot pass
//! unseen.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique over all files.
    pub id: String,
    /// The name of the file it stands in.
    pub category: String,
    /// Strength of the rule.
    pub level: Level,
    /// The rule, for readers.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Where the fact was found, for readers.
    pub source: Vec<String>,
    /// Features the configuration has no key for; not empty: the case cannot be played.
    pub needs: Vec<String>,
    /// What differs from the default configuration.
    pub config: CaseConfig,
    /// What the upstream answers.
    pub upstream: Vec<ScriptEntry>,
    /// The question; none where only the configuration is checked.
    pub query: Option<Question>,
    /// What may come back.
    pub expect: Expectation,
    /// What four servers did with it when the case was written, for readers.
    #[serde(default)]
    pub peers: BTreeMap<String, String>,
}

impl Case {
    /// `category/id`, the name of the trial.
    pub fn name(&self) -> String {
        format!("{}/{}", self.category, self.id)
    }
}

/// Strength of the rule behind a case (RFC 2119), or a choice where the RFCs leave one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Required.
    Must,
    /// Recommended.
    Should,
    /// Optional.
    May,
    /// The RFCs are silent or contradict each other; `expect` holds this project's choice.
    Choice,
}

/// What differs from the defaults. Also used for the `dns64` part of a view.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaseConfig {
    /// Translation prefixes in order; empty: the key is left out.
    pub prefixes: Vec<PrefixConfig>,
    /// AAAA ranges that count as absent.
    pub exclude: Option<Vec<String>>,
    /// A ranges that are never mapped.
    pub exclude_a: Vec<String>,
    /// Names whose real AAAA are ignored.
    pub ignore_aaaa: Vec<String>,
    /// Synthesize beside real AAAA.
    pub translate_all: Option<bool>,
    /// Names never synthesized for.
    pub exclude_zones: Vec<String>,
    /// Accept a /96 whose bits 64-71 are not zero.
    pub allow_nonzero_u: Option<bool>,
    /// Answer ipv4only.arpa here.
    pub ipv4only: Option<bool>,
    /// IPv4 ranges never mapped under 64:ff9b::/96.
    pub non_global_ipv4_under_wkp: Option<Vec<String>>,
    /// `cname`, `direct` or `off`.
    pub ptr: Option<String>,
    /// `error` or `nodata`.
    pub trigger: Option<String>,
    /// How long to wait for AAAA before A is asked.
    pub hold_ms: Option<u64>,
    /// DNS64 on or off (in views).
    pub enabled: Option<bool>,
    /// Views, first match wins.
    pub views: Vec<ViewConfig>,
    /// Rewriting of answers by address.
    pub policy: Vec<Policy>,
    /// Zones whose answers are not cached.
    pub no_cache_zones: Vec<String>,
    /// Failures are cached (always so here).
    pub failure_cache: bool,
    /// Questions asked before the one that counts: keys of a question, overlaid on it, and
    /// `upstream_a`.
    pub prior: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Seconds between the last prior question and the one that counts.
    pub prior_sleep_s: f64,
    /// `validate`: the upstream validates.
    pub validation: Option<String>,
    /// Needs a client library (RFC 7050).
    pub discover: bool,
    /// Needs client subnet support.
    pub ecs: bool,
    /// Needs answer filtering by type.
    pub filter_types: Vec<String>,
    /// Needs a reverse zone apex of one's own.
    pub ptr_zone: Option<serde_json::Value>,
}

/// One translation prefix with BIND's options.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixConfig {
    /// The prefix as written; it may be wrong on purpose.
    pub prefix: String,
    /// Bits after the IPv4 address.
    #[serde(default)]
    pub suffix: Option<String>,
    /// Who is given AAAA under it.
    #[serde(default)]
    pub clients: Option<Vec<String>>,
    /// Which IPv4 addresses are mapped under it.
    #[serde(default)]
    pub mapped: Option<Vec<String>>,
    /// AAAA that count as absent.
    #[serde(default)]
    pub exclude: Option<Vec<String>>,
    /// Only for recursive questions.
    #[serde(default)]
    pub recursive_only: Option<bool>,
    /// Synthesize for DO=1 though the data is signed.
    #[serde(default)]
    pub break_dnssec: Option<bool>,
}

impl PrefixConfig {
    /// True if nothing but the prefix is given.
    pub fn is_plain(&self) -> bool {
        self.suffix.is_none()
            && self.clients.is_none()
            && self.mapped.is_none()
            && self.exclude.is_none()
            && self.recursive_only.is_none()
            && self.break_dnssec.is_none()
    }
}

/// A view: its clients see `[dns64]` with these keys replaced.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewConfig {
    /// Its name.
    pub name: String,
    /// Who is in it.
    pub clients: Vec<String>,
    /// The keys it replaces.
    pub dns64: CaseConfig,
}

/// A rule on answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Addresses in answers that the rule is about.
    pub answer_ip: Option<String>,
    /// What happens to them.
    pub action: Option<String>,
    /// Names that the rule is about.
    pub qname: Option<String>,
    /// The A put in place.
    pub rewrite_a: Option<String>,
    /// The AAAA put in place.
    pub aaaa: Option<String>,
}

/// What the upstream says to one name and type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptEntry {
    /// Compared without letter case.
    pub qname: String,
    /// Type by mnemonic.
    pub qtype: String,
    /// RCODE by mnemonic, `TIMEOUT` or `MALFORMED`.
    pub rcode: String,
    /// Answer section, RR text.
    pub answer: Vec<String>,
    /// Authority section, RR text.
    pub authority: Vec<String>,
    /// Additional section, RR text.
    pub additional: Vec<String>,
    /// TC=1 and nothing more over UDP.
    #[serde(default)]
    pub truncate_udp: bool,
    /// AD=1.
    #[serde(default)]
    pub ad: bool,
    /// Extended DNS errors, if the query has OPT.
    #[serde(default)]
    pub ede: Vec<u16>,
    /// What a validator finds.
    #[serde(default)]
    pub validation: Option<String>,
    /// Client subnet the answer belongs to.
    #[serde(default)]
    pub ecs: Option<String>,
    /// Milliseconds before the answer is sent.
    #[serde(default)]
    pub delay_ms: u64,
}

/// The question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Sent in this letter case.
    pub qname: String,
    /// Type by mnemonic.
    pub qtype: String,
    /// Class by mnemonic.
    #[serde(default = "class_in")]
    pub qclass: String,
    /// DNSSEC OK; only with OPT.
    #[serde(rename = "do", default)]
    pub dnssec_ok: bool,
    /// Checking disabled.
    #[serde(default)]
    pub cd: bool,
    /// Authentic data wanted.
    #[serde(default)]
    pub ad: bool,
    /// Recursion desired.
    #[serde(default = "yes")]
    pub rd: bool,
    /// UDP payload size in OPT; none: no OPT.
    #[serde(default = "default_edns_size")]
    pub edns_size: Option<u16>,
    /// EDNS version in OPT.
    #[serde(default)]
    pub edns_version: u8,
    /// OPCODE.
    #[serde(default)]
    pub opcode: u8,
    /// UDP or TCP.
    #[serde(default)]
    pub transport: Transport,
    /// Source address.
    #[serde(default = "default_client")]
    pub client: IpAddr,
}

/// The source address of questions that name none.
pub const DEFAULT_CLIENT: IpAddr =
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 1));

fn class_in() -> String {
    "IN".to_owned()
}

fn yes() -> bool {
    true
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the type of the field")]
fn default_edns_size() -> Option<u16> {
    Some(1232)
}

fn default_client() -> IpAddr {
    DEFAULT_CLIENT
}

/// How a message travels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// One datagram.
    #[default]
    Udp,
    /// Two octets of length before the message.
    Tcp,
}

/// What may come back.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expectation {
    /// `accept` or `reject`, for cases that only check a configuration.
    pub config: Option<String>,
    /// Prefixes a client library finds; not for servers.
    pub discovered: Vec<String>,
    /// The RCODE.
    pub rcode: Option<String>,
    /// Other tolerable ones.
    pub allowed_rcodes: Vec<String>,
    /// Header bits.
    pub flags: Flags,
    /// RR patterns of the answer section.
    pub answer: Vec<String>,
    /// Other tolerable answer sections, or remarks.
    pub allowed_alternatives: Vec<Alternative>,
    /// The answer section is not compared.
    pub answer_any: bool,
    /// More than the patterns may be there.
    pub answer_subset: bool,
    /// Types the answer section must not hold.
    pub answer_must_not: Vec<String>,
    /// Types the authority section must not hold.
    pub authority_must_not: Vec<String>,
    /// Types the additional section must not hold.
    pub additional_must_not: Vec<String>,
    /// AAAA addresses that must not be there.
    pub answer_must_not_rdata: Vec<IpAddr>,
    /// Types that no RRSIG in the answer section may cover.
    pub answer_must_not_rrsig: Vec<String>,
    /// RRs that may be in the additional section; nothing to check.
    pub additional_may: Vec<String>,
    /// Bound of every TTL in the answer section.
    pub ttl_max: Option<u32>,
    /// TTL of the AAAA, up to two seconds less.
    pub ttl_expect: Option<u32>,
    /// All TTLs of the answer section are equal.
    pub same_ttl: bool,
    /// The RRs come in the order of the patterns.
    pub ordered: bool,
    /// How many SOA RRs the authority section holds.
    pub authority_soa: Option<usize>,
    /// OPT is there.
    pub opt: bool,
    /// OPT is not there.
    pub no_opt: bool,
    /// DO is that of the query.
    pub do_echo: bool,
    /// The only extended errors that may be there.
    pub ede_may: Option<Vec<u16>>,
    /// Octets of the message.
    pub max_size: Option<usize>,
    /// Seconds from query to reply.
    pub deadline_s: Option<f64>,
    /// Names that were not asked upstream.
    pub no_upstream: Vec<String>,
    /// `name type` that was asked upstream.
    pub must_query_upstream: Vec<String>,
    /// At most so many A queries for the question's name.
    pub max_upstream: Option<usize>,
    /// For readers.
    pub notes: String,
}

/// Header bits of the reply.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flags {
    /// Authentic data.
    pub ad: Bit,
    /// Truncated.
    pub tc: Bit,
}

/// A header bit: known, or of no interest.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Bit {
    /// This value.
    Is(bool),
    /// A remark (`any`).
    Any(String),
}

impl Default for Bit {
    fn default() -> Self {
        Self::Any("any".to_owned())
    }
}

/// Another tolerable answer section, or a remark about one.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Alternative {
    /// RR patterns.
    Answer(Vec<String>),
    /// For readers.
    Remark(String),
}

/// All cases of a directory, in the order of file names and of the files.
///
/// # Errors
///
/// A file that cannot be read or parsed, a category that is not its file's name, an id that is
/// there twice.
pub fn load(directory: &Path) -> Result<Vec<Case>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path)?;
        let of_file: Vec<Case> =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        for case in of_file {
            ensure!(
                case.category == stem || stem == "own",
                "{}: case {} says category {}",
                path.display(),
                case.id,
                case.category
            );
            ensure!(
                cases.iter().all(|other| other.id != case.id),
                "{}: case {} is there twice",
                path.display(),
                case.id
            );
            cases.push(case);
        }
    }
    Ok(cases)
}
