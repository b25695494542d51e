//! Writes the upstream's messages, octet for octet.

use std::net::Ipv4Addr;

use domain::base::iana::Rtype;

use super::Incoming;
use crate::presentation::WireRecord;

/// EDNS size that the upstream offers.
const EDNS_SIZE: u16 = 1232;

/// The sections that hold records, in wire order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

impl Section {
    pub(super) const ALL: [Self; 3] = [Self::Answer, Self::Authority, Self::Additional];

    /// Offset of the section's count in the header.
    fn count_offset(self) -> usize {
        match self {
            Self::Answer => 6,
            Self::Authority => 8,
            Self::Additional => 10,
        }
    }
}

/// A message that grows.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) octets: Vec<u8>,
    /// Owner names so far and where they are, for compression.
    names: Vec<(Vec<u8>, u16)>,
}

impl Writer {
    /// Header and question. The question is that of the query octet for octet, so 0x20 survives.
    pub(super) fn new(incoming: &Incoming, rcode: u8, authentic_data: bool) -> Self {
        let mut octets = incoming.id.to_vec();
        octets.push(0x80 | u8::from(incoming.recursion_desired));
        let cd = u8::from(incoming.checking_disabled) << 4;
        octets.push(0x80 | u8::from(authentic_data) << 5 | cd | rcode & 0x0f);
        octets.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        octets.extend(&incoming.question);
        Self { octets, names: vec![(incoming.qname.clone(), 12)] }
    }

    /// One more record in a section.
    pub(super) fn count(&mut self, section: Section) {
        let at = section.count_offset();
        if let Some(count) = self.octets.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) {
            *count = u16::from_be_bytes(*count).wrapping_add(1).to_be_bytes();
        }
    }

    /// An RR. Its owner points to the question or to an earlier owner if that is the same name:
    /// without compression the sizes of real answers would not be met.
    pub(super) fn push(
        &mut self,
        section: Section,
        record: &WireRecord,
        override_a: Option<Ipv4Addr>,
    ) {
        let owner = record.owner.to_ascii_lowercase();
        match self.names.iter().find(|(name, _)| *name == owner) {
            Some((_, offset)) => self.octets.extend((0xc000 | offset).to_be_bytes()),
            None => {
                if let Ok(offset) = u16::try_from(self.octets.len())
                    && offset < 0x4000
                    && owner.len() > 1
                {
                    self.names.push((owner, offset));
                }
                self.octets.extend(&record.owner);
            }
        }
        self.octets.extend(record.rtype.to_int().to_be_bytes());
        self.octets.extend(record.class.to_int().to_be_bytes());
        self.octets.extend(record.ttl_secs.to_be_bytes());
        let replaced = override_a.map(|address| address.octets().to_vec());
        let rdata = match (record.rtype, &replaced) {
            (Rtype::A, Some(rdata)) => rdata,
            _ => &record.rdata,
        };
        let length = u16::try_from(rdata.len()).unwrap_or(u16::MAX);
        self.octets.extend(length.to_be_bytes());
        self.octets.extend(rdata);
        self.count(section);
    }

    /// OPT if the query has one, DO as in the query, with one EDE option for each code.
    pub(super) fn push_opt(&mut self, incoming: &Incoming, extended_errors: &[u16]) {
        if incoming.edns.is_none() {
            return;
        }
        self.octets.extend([0, 0, 41]);
        self.octets.extend(EDNS_SIZE.to_be_bytes());
        self.octets.extend([0, 0, u8::from(incoming.dnssec_ok()) << 7, 0]);
        let length = u16::try_from(extended_errors.len() * 6).unwrap_or(0);
        self.octets.extend(length.to_be_bytes());
        for code in extended_errors {
            self.octets.extend([0, 15, 0, 2]);
            self.octets.extend(code.to_be_bytes());
        }
        self.count(Section::Additional);
    }

    /// TC=1.
    pub(super) fn set_truncated(&mut self) {
        if let Some(bits) = self.octets.get_mut(2) {
            *bits |= 0x02;
        }
    }
}
