//! A reply as the judge sees it.
//!
//! Two independent parsers read it: `hickory-proto` must accept the message and leave no octet
//! over, `domain` gives the records. What the cases say about the wire (question octet for octet,
//! number of SOA records) is taken from the octets themselves.

use anyhow::{Context, Result, bail, ensure};
use domain::base::iana::Rtype;
use domain::base::message::{Message, RecordSection};
use domain::base::name::ToName;
use domain::base::opt::AllOptData;
use domain::base::rdata::ComposeRecordData;
use domain::rdata::ZoneRecordData;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::presentation::WireRecord;

/// Octets of a DNS header.
pub const HEADER_SIZE: usize = 12;

/// An RR of the reply.
#[derive(Debug, Clone)]
pub struct ReplyRecord {
    /// Wire form, names uncompressed.
    pub wire: WireRecord,
    /// RDATA in presentation format.
    pub rdata_text: String,
    /// The whole in presentation format.
    pub text: String,
}

/// OPT of the reply (RFC 6891).
#[derive(Debug, Clone)]
pub struct ReplyOpt {
    /// DNSSEC OK.
    pub dnssec_ok: bool,
    /// EDNS version.
    pub version: u8,
    /// INFO-CODEs of its extended errors (RFC 8914).
    pub extended_errors: Vec<u16>,
}

/// A parsed reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The message.
    pub octets: Vec<u8>,
    /// RCODE, with the upper bits of OPT.
    pub rcode: u16,
    /// Answer section.
    pub answer: Vec<ReplyRecord>,
    /// Authority section.
    pub authority: Vec<ReplyRecord>,
    /// Additional section without OPT.
    pub additional: Vec<ReplyRecord>,
    /// OPT.
    pub opt: Option<ReplyOpt>,
}

impl Reply {
    /// Reads a message; all of it must be understood.
    ///
    /// # Errors
    ///
    /// Anything that one of the two parsers objects to, or octets left over.
    pub fn parse(octets: Vec<u8>) -> Result<Self> {
        let mut decoder = BinDecoder::new(&octets);
        hickory_proto::op::Message::read(&mut decoder)
            .context("hickory-proto rejects the reply")?;
        ensure!(decoder.is_empty(), "{} octets after the last record", decoder.len());

        let message = Message::from_octets(octets.as_slice()).context("short header")?;
        let answer = message.answer().context("question section")?;
        let (answer_records, rest) = read_section(answer).context("answer section")?;
        let authority = next_section(rest)?;
        let (authority_records, rest) = read_section(authority).context("authority section")?;
        let additional = next_section(rest)?;
        let (additional_records, _) = read_section(additional).context("additional section")?;

        let mut rcode = u16::from(message.header().rcode().to_int());
        let opt = match message.opt() {
            None => None,
            Some(opt) => {
                rcode = opt.rcode(message.header()).to_int();
                let mut extended_errors = Vec::new();
                for option in opt.opt().iter::<AllOptData<_, _>>() {
                    if let AllOptData::ExtendedError(error) = option.context("option")? {
                        extended_errors.push(error.code().to_int());
                    }
                }
                Some(ReplyOpt {
                    dnssec_ok: opt.dnssec_ok(),
                    version: opt.version(),
                    extended_errors,
                })
            }
        };
        Ok(Self {
            rcode,
            answer: answer_records,
            authority: authority_records,
            additional: additional_records,
            opt,
            octets,
        })
    }

    /// One of the two octets of header bits: 2 (QR OPCODE AA TC RD) or 3 (RA Z AD CD RCODE).
    fn flag(&self, octet: usize, mask: u8) -> bool {
        self.octets.get(octet).is_some_and(|bits| bits & mask != 0)
    }

    /// QR.
    pub fn is_response(&self) -> bool {
        self.flag(2, 0x80)
    }

    /// OPCODE.
    pub fn opcode(&self) -> u8 {
        self.octets.get(2).map_or(0, |bits| bits >> 3 & 0x0f)
    }

    /// TC.
    pub fn is_truncated(&self) -> bool {
        self.flag(2, 0x02)
    }

    /// RD.
    pub fn recursion_desired(&self) -> bool {
        self.flag(2, 0x01)
    }

    /// RA.
    pub fn recursion_available(&self) -> bool {
        self.flag(3, 0x80)
    }

    /// AD.
    pub fn authentic_data(&self) -> bool {
        self.flag(3, 0x20)
    }
}

/// A section as `domain` iterates over it.
type Section<'a> = RecordSection<'a, &'a [u8]>;

fn next_section(section: Section<'_>) -> Result<Section<'_>> {
    match section.next_section()? {
        Some(next) => Ok(next),
        None => bail!("no further section"),
    }
}

/// The records of a section, OPT left out, and the section itself to go on from.
fn read_section(section: Section<'_>) -> Result<(Vec<ReplyRecord>, Section<'_>)> {
    let mut records = Vec::new();
    for parsed in section {
        let parsed = parsed?;
        if parsed.rtype() == Rtype::OPT {
            continue;
        }
        let record = parsed
            .to_record::<ZoneRecordData<_, _>>()
            .with_context(|| format!("RDATA of {} {}", parsed.owner(), parsed.rtype()))?
            .with_context(|| format!("RDATA of {} {}", parsed.owner(), parsed.rtype()))?;
        let mut rdata = Vec::new();
        record.data().compose_rdata(&mut rdata).context("RDATA too long")?;
        let rdata_text = record.data().to_string();
        let owner = record.owner().to_vec();
        records.push(ReplyRecord {
            text: format!(
                "{}. {} {} {} {rdata_text}",
                owner,
                record.ttl().as_secs(),
                record.class(),
                record.rtype()
            ),
            wire: WireRecord {
                owner: owner.as_slice().to_vec(),
                rtype: record.rtype(),
                class: record.class(),
                ttl_secs: record.ttl().as_secs(),
                rdata,
            },
            rdata_text,
        });
    }
    Ok((records, section))
}
