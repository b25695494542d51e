//! Upstream servers of the fuzzed engines: responses made from the queries themselves.

use dns64::datagram::{SourcePort, UpstreamId};
use dns64::engine::TryHandle;

/// An SOA record, owner and names the root, TTL 30, MINIMUM 20.
const SOA: &[u8] =
    b"\0\0\x06\0\x01\0\0\0\x1e\0\x16\0\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x14";

/// A query to an upstream server that has no response yet.
pub(super) struct OpenQuery {
    /// The server.
    pub(super) server: UpstreamId,
    /// The port it left from, by UDP.
    pub(super) port: Option<SourcePort>,
    /// The try it is, by UDP.
    pub(super) handle: Option<TryHandle>,
    /// The look-up it belongs to, by TCP.
    pub(super) token: Option<u64>,
    /// The message.
    pub(super) octets: Vec<u8>,
}

impl OpenQuery {
    /// A response of one of 32 kinds; `detail` chooses among addresses and TTLs.
    pub(super) fn response(&self, kind: u8, detail: u8) -> Vec<u8> {
        let question_end = self.question_end();
        let rtype = self.octets[question_end - 3];
        let ttl = [0, 0, 1, 30, 100, 255][usize::from(detail) % 6];
        let own = match rtype {
            1 => [&b"\xc0\x0c\0\x01\0\x01\0\0\0"[..], &[ttl], b"\0\x04\xc0\0\x02", &[detail]]
                .concat(),
            28 => [
                &b"\xc0\x0c\0\x1c\0\x01\0\0\0"[..],
                &[ttl],
                // Every second one is IPv4-mapped and counts as absent.
                if detail & 1 == 0 { b"\0\x10\x20\x01\x0d\xb8" } else { b"\0\x10\0\0\0\0" },
                b"\0\0\0\0\0\0\xff\xff\xc0\0\x02",
                &[detail],
            ]
            .concat(),
            _ => [&b"\xc0\x0c\0"[..], &[rtype], b"\0\x01\0\0\0", &[ttl], b"\0\x03\x01x\0"].concat(),
        };
        let twice = [&own[..], &own].concat();
        let cname =
            [&b"\xc0\x0c\0\x05\0\x01\0\0\0"[..], &[ttl], b"\0\x03\x01", &[detail | 1], b"\0"]
                .concat();
        let target = (0xc000 | (question_end + 12) as u16).to_be_bytes();
        let behind_cname = [&cname[..], &target, &own[2..]].concat();
        // RCODE, answers, authorities, records.
        let (rcode, answers, authorities, records) = match kind & 0x1f {
            0..=7 => (0, 1, 0, own),
            8..=15 => (0, 0, 1, SOA.to_vec()),
            16 => (0, 2, 0, twice),
            17 | 18 => (0, 2, 0, behind_cname),
            19 => (0, 1, 1, [&cname, SOA].concat()),
            20 => (3, 1, 1, [&cname, SOA].concat()),
            21 | 22 => (3, 0, 1, SOA.to_vec()),
            23 => (0, 0, 0, Vec::new()),
            24 | 25 => (2, 0, 0, Vec::new()),
            26 => (5, 0, 0, Vec::new()),
            27 => (1, 0, 0, Vec::new()),
            28 => (6, 0, 0, Vec::new()),
            // A lie about the number of records.
            29 => (0, 9, 9, own),
            30 => (3, 1, 0, own),
            // Truncated.
            _ => (0x10, 0, 0, Vec::new()),
        };
        let truncated = if rcode == 0x10 { 2 } else { 0 };
        let mut response = self.octets[..2].to_vec();
        response.extend_from_slice(&[0x81 | truncated, 0x80 | rcode & 0xf]);
        // An Extended Error "DNSSEC Bogus" comes with every fourth failure.
        let bogus = rcode == 2 && detail & 3 == 0;
        response.extend_from_slice(&[0, 1, 0, answers, 0, authorities, 0, u8::from(bogus)]);
        response.extend_from_slice(&self.octets[12..question_end]);
        response.extend_from_slice(&records);
        if bogus {
            response.extend_from_slice(b"\0\0\x29\x04\xd0\0\0\0\0\0\x06\0\x0f\0\x02\0\x06");
        }
        response
    }

    /// Changes one octet of a response.
    pub(super) fn forge_octet(&self, response: &mut [u8], place: u8, to: u8) {
        if let Some(octet) = response.get_mut(usize::from(place)) {
            *octet ^= to;
        }
    }

    /// Where the question ends.
    fn question_end(&self) -> usize {
        let mut at = 12;
        while self.octets[at] != 0 {
            at += 1 + usize::from(self.octets[at]);
        }
        at + 5
    }
}
