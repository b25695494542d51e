//! Messages by hand: queries as any client could send them, replies as any server could.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::hostile::Heard;

/// Octets of a header.
pub(crate) const HEADER_LEN: usize = 12;

/// Types of records.
pub(crate) mod rtype {
    pub(crate) const A: u16 = 1;
    pub(crate) const NS: u16 = 2;
    pub(crate) const CNAME: u16 = 5;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const TXT: u16 = 16;
    pub(crate) const AAAA: u16 = 28;
}

/// RCODEs.
pub(crate) mod rcode {
    pub(crate) const NOERROR: u16 = 0;
    pub(crate) const FORMERR: u16 = 1;
    pub(crate) const SERVFAIL: u16 = 2;
    pub(crate) const NXDOMAIN: u16 = 3;
    pub(crate) const NOTIMP: u16 = 4;
    pub(crate) const REFUSED: u16 = 5;
    pub(crate) const BADVERS: u16 = 16;
}

/// An empty OPT record that announces 1232 octets.
pub(crate) const OPT: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];

/// A name in wire form.
pub(crate) fn wire_name(name: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(u8::try_from(label.len()).expect("labels of tests are short"));
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets
}

/// A header with these flags and counts.
pub(crate) fn header(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let words = [id, flags, counts[0], counts[1], counts[2], counts[3]];
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// A question of class IN.
pub(crate) fn question(name: &str, rtype: u16) -> Vec<u8> {
    let mut octets = wire_name(name);
    octets.extend(rtype.to_be_bytes());
    octets.extend([0, 1]);
    octets
}

/// A query with RD and EDNS.
pub(crate) fn query(id: u16, name: &str, rtype: u16) -> Vec<u8> {
    let mut octets = header(id, 0x0100, [1, 0, 0, 1]);
    octets.extend(question(name, rtype));
    octets.extend(OPT);
    octets
}

/// The ID of a message.
pub(crate) fn id_of(message: &[u8]) -> Option<u16> {
    message.first_chunk().map(|octets| u16::from_be_bytes(*octets))
}

/// Where a test's prefix puts an IPv4 address.
pub(crate) fn mapped(address: Ipv4Addr) -> Ipv6Addr {
    let [a, b, c, d] = address.octets();
    Ipv6Addr::from([0x20, 0x01, 0x0d, 0xb8, 0, 0x64, 0, 0, 0, 0, 0, 0, a, b, c, d])
}

/// A reply under construction. Sections are to be filled in their order.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    octets: Vec<u8>,
    with_opt: bool,
}

impl Reply {
    /// The empty NOERROR reply to a query.
    pub(crate) fn to(query: &Heard) -> Self {
        let id = id_of(&query.octets).expect("a query has a header");
        let mut octets = header(id, 0x8180, [1, 0, 0, 0]);
        octets.extend(query.question());
        Self { octets, with_opt: query.has_opt() }
    }

    /// What an honest server says of a name that has this one A record, and no AAAA.
    pub(crate) fn honest(query: &Heard, address: Ipv4Addr) -> Vec<u8> {
        Self::to(query).with_address(query, address, 300).done()
    }

    /// The A record if that is asked for, a denial otherwise.
    pub(crate) fn with_address(self, query: &Heard, address: Ipv4Addr, ttl_secs: u32) -> Self {
        if query.qtype == rtype::A {
            self.answer(&query.name, rtype::A, ttl_secs, &address.octets())
        } else {
            self.denial(60, 60)
        }
    }

    /// With this RCODE (less than 16).
    pub(crate) fn rcode(mut self, rcode: u16) -> Self {
        self.octets[3] = self.octets[3] & 0xf0 | rcode.to_be_bytes()[1];
        self
    }

    /// With TC.
    pub(crate) fn truncated(mut self) -> Self {
        self.octets[2] |= 0x02;
        self
    }

    /// Without the OPT record that the query's calls for.
    pub(crate) fn without_opt(mut self) -> Self {
        self.with_opt = false;
        self
    }

    /// With a record in the answer section.
    pub(crate) fn answer(self, owner: &str, rtype: u16, ttl_secs: u32, rdata: &[u8]) -> Self {
        self.record(6, owner, rtype, ttl_secs, rdata)
    }

    /// With a record in the authority section.
    pub(crate) fn authority(self, owner: &str, rtype: u16, ttl_secs: u32, rdata: &[u8]) -> Self {
        self.record(8, owner, rtype, ttl_secs, rdata)
    }

    /// With a record in the additional section.
    pub(crate) fn additional(self, owner: &str, rtype: u16, ttl_secs: u32, rdata: &[u8]) -> Self {
        self.record(10, owner, rtype, ttl_secs, rdata)
    }

    /// With an SOA record that denies.
    pub(crate) fn denial(self, ttl_secs: u32, minimum_secs: u32) -> Self {
        let mut rdata = wire_name("ns.test");
        rdata.extend(wire_name("host.test"));
        for number in [1, 3_600, 600, 86_400, minimum_secs] {
            rdata.extend(u32::to_be_bytes(number));
        }
        self.authority("test", rtype::SOA, ttl_secs, &rdata)
    }

    fn record(mut self, count_at: usize, owner: &str, rtype: u16, ttl: u32, rdata: &[u8]) -> Self {
        self.octets.extend(wire_name(owner));
        self.octets.extend(rtype.to_be_bytes());
        self.octets.extend([0, 1]);
        self.octets.extend(ttl.to_be_bytes());
        self.octets.extend(u16::try_from(rdata.len()).expect("RDATA of tests fits").to_be_bytes());
        self.octets.extend(rdata);
        self.count_one(count_at);
        self
    }

    fn count_one(&mut self, at: usize) {
        let count = u16::from_be_bytes([self.octets[at], self.octets[at + 1]]) + 1;
        self.octets[at..at + 2].copy_from_slice(&count.to_be_bytes());
    }

    /// The message.
    pub(crate) fn done(mut self) -> Vec<u8> {
        if self.with_opt {
            self.octets.extend(OPT);
            self.count_one(10);
        }
        self.octets
    }
}
