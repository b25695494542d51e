//! The messages of both sides: a client's query and a server's response, written octet for octet
//! and without compression.

use std::net::{IpAddr, Ipv6Addr};

use domain::base::iana::Rtype;
use domain::base::message::Message;

use crate::presentation::{parse_name, parse_record, parse_type};
use crate::reply::HEADER_SIZE;

/// A client's question and how it is asked: RD set, EDNS with 1232 octets, by UDP, from `::1`.
#[derive(Clone, Debug)]
pub struct Query {
    /// The message ID.
    pub id: u16,
    name: String,
    rtype: Rtype,
    class: u16,
    flags: u16,
    /// UDP payload size and DO.
    edns: Option<(u16, bool)>,
    /// By TCP.
    pub(super) tcp: bool,
    /// The client's address.
    pub(super) client: IpAddr,
    /// The place of the listen address it is sent to, and the address.
    pub(super) to: (u16, IpAddr),
}

/// RD.
const RECURSION_DESIRED: u16 = 0x0100;
/// AD.
const AUTHENTIC_DATA: u16 = 0x0020;
/// CD.
const CHECKING_DISABLED: u16 = 0x0010;

impl Query {
    /// The question `name. TYPE`.
    ///
    /// # Panics
    ///
    /// On anything else.
    #[must_use]
    pub fn of(question: &str) -> Self {
        let (name, rtype) = question.split_once(' ').expect("name and type");
        Self {
            id: 0x6464,
            name: name.to_owned(),
            rtype: parse_type(rtype).expect("a type"),
            class: 1,
            flags: RECURSION_DESIRED,
            edns: Some((1_232, false)),
            tcp: false,
            client: IpAddr::V6(Ipv6Addr::LOCALHOST),
            to: (0, IpAddr::V6(Ipv6Addr::LOCALHOST)),
        }
    }

    /// To a listen address by its place, and to this address of it.
    ///
    /// # Panics
    ///
    /// On what is no address.
    #[must_use]
    pub fn sent_to(self, place: u16, address: &str) -> Self {
        Self { to: (place, address.parse().expect("an address")), ..self }
    }

    /// Without OPT.
    #[must_use]
    pub fn without_edns(self) -> Self {
        Self { edns: None, ..self }
    }

    /// With OPT and this UDP payload size.
    #[must_use]
    pub fn payload_len(self, len: u16) -> Self {
        let dnssec_ok = self.edns.is_some_and(|(_, dnssec_ok)| dnssec_ok);
        Self { edns: Some((len, dnssec_ok)), ..self }
    }

    /// With DO.
    #[must_use]
    pub fn dnssec_ok(self) -> Self {
        let len = self.edns.map_or(1_232, |(len, _)| len);
        Self { edns: Some((len, true)), ..self }
    }

    /// With CD.
    #[must_use]
    pub fn checking_disabled(self) -> Self {
        Self { flags: self.flags | CHECKING_DISABLED, ..self }
    }

    /// With AD.
    #[must_use]
    pub fn authentic_data(self) -> Self {
        Self { flags: self.flags | AUTHENTIC_DATA, ..self }
    }

    /// Without RD.
    #[must_use]
    pub fn without_recursion(self) -> Self {
        Self { flags: self.flags & !RECURSION_DESIRED, ..self }
    }

    /// Of another class than IN.
    #[must_use]
    pub fn class(self, class: u16) -> Self {
        Self { class, ..self }
    }

    /// By TCP.
    #[must_use]
    pub fn by_tcp(self) -> Self {
        Self { tcp: true, ..self }
    }

    /// From another client.
    #[must_use]
    pub fn from_client(self, client: &str) -> Self {
        Self { client: client.parse().expect("an address"), ..self }
    }

    /// With another message ID.
    #[must_use]
    pub fn with_id(self, id: u16) -> Self {
        Self { id, ..self }
    }

    /// The message.
    ///
    /// # Panics
    ///
    /// If the name is none.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let mut octets = self.id.to_be_bytes().to_vec();
        octets.extend(self.flags.to_be_bytes());
        octets.extend([0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())]);
        octets.extend(self.question());
        if let Some((payload_len, dnssec_ok)) = self.edns {
            octets.extend(opt(payload_len, dnssec_ok, &[]));
        }
        octets
    }

    /// The question section.
    ///
    /// # Panics
    ///
    /// If the name is none.
    #[must_use]
    pub fn question(&self) -> Vec<u8> {
        let mut octets = parse_name(&self.name).expect("a name");
        octets.extend(self.rtype.to_int().to_be_bytes());
        octets.extend(self.class.to_be_bytes());
        octets
    }
}

/// An OPT record of version 0.
fn opt(payload_len: u16, dnssec_ok: bool, options: &[u8]) -> Vec<u8> {
    let mut octets = vec![0, 0, 41];
    octets.extend(payload_len.to_be_bytes());
    octets.extend([0, 0, u8::from(dnssec_ok) << 7, 0]);
    octets.extend((options.len() as u16).to_be_bytes());
    octets.extend(options);
    octets
}

/// What a server says.
#[derive(Clone, Debug, Default)]
pub struct Response {
    silent: bool,
    rcode: u8,
    sections: [Vec<String>; 3],
    authentic_data: bool,
    truncated_by_udp: bool,
    extended_error: Option<u16>,
    without_edns: bool,
    garbage: bool,
    pub(super) delay_ms: Option<u64>,
}

impl Response {
    /// NOERROR with these records in the answer section.
    #[must_use]
    pub fn answer(records: &[&str]) -> Self {
        Self { sections: [owned(records), Vec::new(), Vec::new()], ..Self::default() }
    }

    /// NOERROR and no records but this one in the authority section.
    #[must_use]
    pub fn no_data(soa: &str) -> Self {
        Self::default().authority(&[soa])
    }

    /// NXDOMAIN with this SOA.
    #[must_use]
    pub fn no_such_name(soa: &str) -> Self {
        Self::error(3).authority(&[soa])
    }

    /// An RCODE and nothing else.
    #[must_use]
    pub fn error(rcode: u8) -> Self {
        Self { rcode, ..Self::default() }
    }

    /// No response.
    #[must_use]
    pub fn silence() -> Self {
        Self { silent: true, ..Self::default() }
    }

    /// Octets behind the question that are no records.
    #[must_use]
    pub fn garbage() -> Self {
        Self { garbage: true, ..Self::default() }
    }

    /// With these records in the authority section.
    #[must_use]
    pub fn authority(mut self, records: &[&str]) -> Self {
        self.sections[1] = owned(records);
        self
    }

    /// With these records in the additional section.
    #[must_use]
    pub fn additional(mut self, records: &[&str]) -> Self {
        self.sections[2] = owned(records);
        self
    }

    /// With another RCODE.
    #[must_use]
    pub fn rcode(self, rcode: u8) -> Self {
        Self { rcode, ..self }
    }

    /// With AD.
    #[must_use]
    pub fn authentic(self) -> Self {
        Self { authentic_data: true, ..self }
    }

    /// TC and no records where it goes by UDP.
    #[must_use]
    pub fn truncated_by_udp(self) -> Self {
        Self { truncated_by_udp: true, ..self }
    }

    /// With an Extended Error (RFC 8914).
    #[must_use]
    pub fn extended_error(self, code: u16) -> Self {
        Self { extended_error: Some(code), ..self }
    }

    /// Without OPT, though the query had one.
    #[must_use]
    pub fn without_edns(self) -> Self {
        Self { without_edns: true, ..self }
    }

    /// After this long.
    #[must_use]
    pub fn after_ms(self, delay_ms: u64) -> Self {
        Self { delay_ms: Some(delay_ms), ..self }
    }

    /// The message that says this to a query; `None` = silence.
    ///
    /// # Panics
    ///
    /// On records that are none.
    #[must_use]
    pub fn octets(&self, query: &[u8], by_tcp: bool) -> Option<Vec<u8>> {
        if self.silent {
            return None;
        }
        let truncated = self.truncated_by_udp && !by_tcp;
        let question_end = question_end(query);
        let edns = query.len() > question_end && !self.without_edns;
        let mut octets = query[..question_end].to_vec();
        octets[2] = 0x80 | octets[2] & 0x01 | u8::from(truncated) << 1;
        octets[3] = 0x80 | u8::from(self.authentic_data) << 5 | octets[3] & 0x10 | self.rcode;
        octets[6..12].fill(0);
        for (section, records) in self.sections.iter().enumerate().filter(|_| !truncated) {
            for text in records {
                let record = parse_record(text).expect("a record");
                octets.extend(&record.owner);
                octets.extend(record.rtype.to_int().to_be_bytes());
                octets.extend(record.class.to_int().to_be_bytes());
                octets.extend(record.ttl_secs.to_be_bytes());
                octets.extend((record.rdata.len() as u16).to_be_bytes());
                octets.extend(&record.rdata);
                octets[7 + 2 * section] += 1;
            }
        }
        if self.garbage {
            octets[7] += 1;
            octets.extend([0xff; 3]);
        } else if edns {
            let mut options = Vec::new();
            if let Some(code) = self.extended_error {
                options.extend([0, 15, 0, 2]);
                options.extend(code.to_be_bytes());
            }
            octets.extend(opt(1_232, false, &options));
            octets[11] += 1;
        }
        Some(octets)
    }
}

fn owned(records: &[&str]) -> Vec<String> {
    records.iter().map(|&record| record.to_owned()).collect()
}

/// The ID of a message.
pub(super) fn header_id(octets: &[u8]) -> u16 {
    octets.first_chunk::<2>().map_or(0, |id| u16::from_be_bytes(*id))
}

/// Where the question of a message with one question ends.
fn question_end(octets: &[u8]) -> usize {
    let mut at = HEADER_SIZE;
    while octets[at] != 0 {
        at += 1 + usize::from(octets[at]);
    }
    at + 5
}

/// The question of a message as `name. TYPE` in lower case.
pub(super) fn parse_question(octets: &[u8]) -> Option<String> {
    let question = Message::from_octets(octets).ok()?.sole_question().ok()?;
    let name = question.qname().to_string().to_ascii_lowercase();
    let dot = if name.ends_with('.') { "" } else { "." };
    Some(format!("{name}{dot} {}", question.qtype()))
}
