//! From a query and a script to the octets of the answer: pure, without allocation.
//!
//! Answers are AA and RA at once, for whoever asks: a recursive server takes the upstream for an
//! authoritative server, a forwarder for a recursive one. DNSSEC OK is echoed as RFC 4035 3 asks
//! and changes nothing: no zone here is signed.
#![forbid(unsafe_code)]

use std::net::Ipv4Addr;

use crate::wire::{CLASS_IN, Edns, HEADER_LEN, Query, UDP_MIN, Writer, flag, labels, rcode, rtype};

use super::script::{Chain, Host, Script};

/// Octets that every answer fits into: a header, a question of 259, 32 CNAME records of at most 78,
/// 6 address records of at most 28, a SOA record of 64 and an OPT record of 11 are 3,010.
pub const ANSWER_MAX: usize = 4096;

/// The UDP payload size the upstream says it takes, DNS Flag Day 2020's.
const PAYLOAD_SIZE: u16 = 1232;

/// TTL of PTR records.
const PTR_TTL_SECS: u32 = 300;

/// What carries an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// UDP: limited to what the client takes.
    Udp,
    /// TCP: whole.
    Tcp,
}

/// Writes the answer that the script gives to the query; returns its length.
pub fn write_answer(
    query: &Query<'_>,
    script: &Script,
    carrier: Carrier,
    out: &mut [u8; ANSWER_MAX],
) -> usize {
    let mut message = Message::start(query, out);
    if query.qclass != CLASS_IN {
        return message.finish(rcode::REFUSED, query);
    }
    let zone_at = script.zone_at(query.name);
    let code = match script {
        Script::Absent => {
            message.soa(zone_at, Host::default().negative_ttl_secs);
            rcode::NXDOMAIN
        }
        Script::ReverseParent => {
            message.soa(zone_at, Host::default().negative_ttl_secs);
            rcode::NOERROR
        }
        Script::Reverse(address) => {
            if query.qtype == rtype::PTR {
                message.ptr(*address);
            } else {
                message.soa(zone_at, Host::default().negative_ttl_secs);
            }
            rcode::NOERROR
        }
        Script::Host(host) => {
            if host.truncate && carrier == Carrier::Udp {
                return message.finish_truncated(query);
            }
            message.host(host, query, zone_at)
        }
    };
    if carrier == Carrier::Udp && message.writer.len() + message.opt_len(query) > udp_limit(query) {
        return message.finish_truncated(query);
    }
    message.finish(code, query)
}

/// Writes an answer that no one can read: ID and question are right, its record is cut.
pub fn write_junk(query: &Query<'_>, out: &mut [u8; ANSWER_MAX]) -> usize {
    let mut message = Message::start(query, out);
    message.record(HEADER_LEN, query.qtype, 300);
    message.writer.u16(16);
    message.writer.u16(0xdead);
    message.finish(rcode::NOERROR, &Query { edns: None, ..*query })
}

/// Writes a header that says no more than this RCODE, to a message of at least a header.
pub fn write_refusal(query: &[u8], code: u8, out: &mut [u8; ANSWER_MAX]) -> usize {
    let Some(header) = query.first_chunk::<HEADER_LEN>() else { return 0 };
    out[..HEADER_LEN].copy_from_slice(header);
    out[2] = header[2] & 0x79 | 0x80;
    out[3] = code & 0x0f;
    out[4..HEADER_LEN].fill(0);
    HEADER_LEN
}

/// The longest answer over UDP that the client takes (RFC 6891 6.2.3).
fn udp_limit(query: &Query<'_>) -> usize {
    query.edns.map_or(UDP_MIN, |edns| UDP_MIN.max(usize::from(edns.payload_size)))
}

/// An answer that is being written.
struct Message<'b> {
    /// Its octets.
    writer: Writer<'b>,
    /// How many records in the answer section.
    answers: u16,
    /// How many records in the authority section: 0 or 1.
    authorities: u16,
}

impl<'b> Message<'b> {
    /// Writes a header to be filled in, and the question as it was asked, letter for letter.
    fn start(query: &Query<'_>, out: &'b mut [u8; ANSWER_MAX]) -> Self {
        let mut writer = Writer::new(out);
        writer.u16(query.id());
        writer.bytes(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        writer.bytes(query.question());
        Self { writer, answers: 0, authorities: 0 }
    }

    /// The records of a host; returns the RCODE.
    fn host(&mut self, host: &Host, query: &Query<'_>, zone_at: usize) -> u8 {
        let code = host.rcode_for(query.qtype);
        if !matches!(code, rcode::NOERROR | rcode::NXDOMAIN) {
            return code;
        }
        let owner_at = self.chain(host.chain, query, zone_at, host.ttl_secs);
        if query.qtype == rtype::CNAME && host.chain.length > 0 {
            return code;
        }
        let before = self.answers;
        if code == rcode::NOERROR {
            self.addresses(host, query.qtype, owner_at);
        }
        if self.answers == before {
            self.soa(zone_at, host.negative_ttl_secs);
        }
        code
    }

    /// The CNAME records before the answer; returns where the last target is written. To a question
    /// for CNAME only the first is given.
    fn chain(&mut self, chain: Chain, query: &Query<'_>, zone_at: usize, ttl_secs: u32) -> usize {
        let label = labels(query.name).next().unwrap_or_default();
        let digits_at = usize::from(chain.digits_at);
        let after_digits = digits_at + usize::from(chain.digits_len);
        let mut owner_at = HEADER_LEN;
        for number in (0..chain.length).rev() {
            self.record(owner_at, rtype::CNAME, ttl_secs);
            let length_at = self.writer.len();
            self.writer.u16(0);
            owner_at = self.writer.len();
            let tens = if number >= 10 { 1 } else { 0 };
            let label_len = label.len() - usize::from(chain.digits_len) + 1 + tens;
            self.writer.u8(label_len as u8);
            self.writer.bytes(&label[..digits_at]);
            if number >= 10 {
                self.writer.u8(b'0' + number / 10);
            }
            self.writer.u8(b'0' + number % 10);
            self.writer.bytes(&label[after_digits..]);
            self.writer.pointer(zone_at);
            self.writer.patch_u16(length_at, (self.writer.len() - length_at - 2) as u16);
            if query.qtype == rtype::CNAME {
                break;
            }
        }
        owner_at
    }

    /// The address records of this type.
    fn addresses(&mut self, host: &Host, qtype: u16, owner_at: usize) {
        if qtype == rtype::A {
            for address in host.a() {
                self.record(owner_at, rtype::A, host.ttl_secs);
                self.writer.u16(4);
                self.writer.bytes(&address.octets());
            }
        } else if qtype == rtype::AAAA {
            for address in host.aaaa() {
                self.record(owner_at, rtype::AAAA, host.ttl_secs);
                self.writer.u16(16);
                self.writer.bytes(&address.octets());
            }
        }
    }

    /// The PTR record of an IPv4 address: `a-W-X-Y-Z.v4.test`.
    fn ptr(&mut self, address: Ipv4Addr) {
        self.record(HEADER_LEN, rtype::PTR, PTR_TTL_SECS);
        let length_at = self.writer.len();
        self.writer.u16(0);
        let label_at = self.writer.len();
        self.writer.bytes(b"\0a");
        for octet in address.octets() {
            self.writer.u8(b'-');
            self.decimal(octet);
        }
        // The label's length fits: 2 + 4 * 4 octets at most.
        let label_len = (self.writer.len() - label_at - 1) as u16;
        self.writer.patch_u16(label_at, label_len << 8 | u16::from(b'a'));
        self.writer.bytes(b"\x02v4\x04test\x00");
        self.writer.patch_u16(length_at, (self.writer.len() - length_at - 2) as u16);
    }

    /// A number in its shortest form.
    fn decimal(&mut self, number: u8) {
        if number >= 100 {
            self.writer.u8(b'0' + number / 100);
        }
        if number >= 10 {
            self.writer.u8(b'0' + number / 10 % 10);
        }
        self.writer.u8(b'0' + number % 10);
    }

    /// The start of an answer record, up to its TTL.
    fn record(&mut self, owner_at: usize, rtype: u16, ttl_secs: u32) {
        self.answers += 1;
        self.record_head(owner_at, rtype, ttl_secs);
    }

    /// The start of a record of any section, up to its TTL.
    fn record_head(&mut self, owner_at: usize, rtype: u16, ttl_secs: u32) {
        self.writer.pointer(owner_at);
        self.writer.u16(rtype);
        self.writer.u16(CLASS_IN);
        self.writer.u32(ttl_secs);
    }

    /// The SOA record of a negative answer. Its TTL and its MINIMUM are the same, so that either
    /// reading of RFC 2308 5 gives this TTL.
    fn soa(&mut self, zone_at: usize, negative_ttl_secs: u32) {
        self.authorities += 1;
        self.record_head(zone_at, rtype::SOA, negative_ttl_secs);
        let length_at = self.writer.len();
        self.writer.u16(0);
        self.writer.bytes(b"\x02ns");
        self.writer.pointer(zone_at);
        self.writer.bytes(b"\x0ahostmaster");
        self.writer.pointer(zone_at);
        for value in [1, 3_600, 600, 86_400, negative_ttl_secs] {
            self.writer.u32(value);
        }
        self.writer.patch_u16(length_at, (self.writer.len() - length_at - 2) as u16);
    }

    /// Octets that the OPT record will take.
    fn opt_len(&self, query: &Query<'_>) -> usize {
        if query.edns.is_some() { crate::wire::OPT_LEN } else { 0 }
    }

    /// Writes the OPT record and the header; returns the length of the message.
    fn finish(self, code: u8, query: &Query<'_>) -> usize {
        self.finish_with_flags(u16::from(code), query)
    }

    /// Drops all records and says that there would be more (RFC 2181 9).
    fn finish_truncated(mut self, query: &Query<'_>) -> usize {
        self.writer.truncate(HEADER_LEN + query.question().len());
        self.answers = 0;
        self.authorities = 0;
        self.finish_with_flags(flag::TC, query)
    }

    /// The OPT record, the counts, and the flags.
    fn finish_with_flags(mut self, flags: u16, query: &Query<'_>) -> usize {
        if let Some(edns) = query.edns {
            self.writer.opt(Edns { payload_size: PAYLOAD_SIZE, ..edns });
        }
        let echoed = query.flags() & (flag::RD | flag::CD);
        self.writer.patch_u16(2, flag::QR | flag::AA | flag::RA | echoed | flags);
        self.writer.patch_u16(6, self.answers);
        self.writer.patch_u16(8, self.authorities);
        self.writer.patch_u16(10, u16::from(query.edns.is_some()));
        self.writer.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{name_from_text, write_query};

    fn answer_to(name: &str, qtype: u16, edns: Option<Edns>, carrier: Carrier) -> Vec<u8> {
        let name = name_from_text(name).unwrap();
        let mut query = [0; 512];
        let len = write_query(&mut query, 0x1234, &name, qtype, edns);
        let query = Query::parse(&query[..len]).unwrap();
        let mut out = [0; ANSWER_MAX];
        let len = write_answer(&query, &Script::of(&name), carrier, &mut out);
        out[..len].to_vec()
    }

    #[test]
    fn an_a_record_points_to_the_question_and_keeps_its_letters() {
        assert_eq!(
            answer_to("A-11-22-33-44--ttl60.v4.Test", rtype::A, None, Carrier::Udp),
            b"\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00\
              \x14A-11-22-33-44--ttl60\x02v4\x04Test\x00\x00\x01\x00\x01\
              \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0b\x16\x21\x2c"
        );
    }

    #[test]
    fn no_data_carries_the_soa_of_the_parent_and_the_opt_record_comes_back() {
        let edns = Edns { payload_size: 4096, dnssec_ok: true };
        assert_eq!(
            answer_to("a-1-2-3-4--neg7.t", rtype::AAAA, Some(edns), Carrier::Udp),
            b"\x12\x34\x85\x80\x00\x01\x00\x00\x00\x01\x00\x01\
              \x0fa-1-2-3-4--neg7\x01t\x00\x00\x1c\x00\x01\
              \xc0\x1c\x00\x06\x00\x01\x00\x00\x00\x07\x00\x26\x02ns\xc0\x1c\x0ahostmaster\xc0\x1c\
              \x00\x00\x00\x01\x00\x00\x0e\x10\x00\x00\x02\x58\x00\x01\x51\x80\x00\x00\x00\x07\
              \x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00"
        );
    }

    #[test]
    fn a_truncated_answer_is_whole_over_tcp() {
        let udp = answer_to("a-1-2-3-4--tc.t", rtype::A, None, Carrier::Udp);
        assert_eq!(udp[2..8], *b"\x87\x80\x00\x01\x00\x00");
        assert_eq!(udp.len(), 12 + 17 + 4);
        let tcp = answer_to("a-1-2-3-4--tc.t", rtype::A, None, Carrier::Tcp);
        assert_eq!(tcp[2..8], *b"\x85\x80\x00\x01\x00\x01");
    }

    #[test]
    fn an_answer_longer_than_the_client_takes_is_truncated() {
        let name = "a-1-2-3-4--c32--ttl1.v4.test";
        assert_eq!(answer_to(name, rtype::A, None, Carrier::Udp)[2] & 2, 2);
        let edns = Edns { payload_size: 4096, dnssec_ok: false };
        let whole = answer_to(name, rtype::A, Some(edns), Carrier::Udp);
        assert_eq!(whole[2..8], *b"\x85\x80\x00\x01\x00\x21");
    }

    #[test]
    fn the_longest_answer_fits() {
        let label = "a-1-1-1-1--a-1-1-1-1--a-1-1-1-1--a-1-1-1-1--a-1-1-1-11--c32--tc";
        assert_eq!(label.len(), 63);
        let name = format!("{label}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(61));
        assert!(answer_to(&name, rtype::A, None, Carrier::Tcp).len() < 3_010);
    }

    #[test]
    fn a_chain_counts_down_and_ends_in_the_addresses() {
        assert_eq!(
            answer_to("c10--a-1-2-3-4.t", rtype::CNAME, None, Carrier::Udp),
            b"\x12\x34\x85\x80\x00\x01\x00\x01\x00\x00\x00\x00\
              \x0ec10--a-1-2-3-4\x01t\x00\x00\x05\x00\x01\
              \xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x10\x0dc9--a-1-2-3-4\xc0\x1b"
        );
        let whole = answer_to("c1--a-1-2-3-4.t", rtype::A, None, Carrier::Udp);
        assert!(
            whole.ends_with(
                b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x10\x0dc0--a-1-2-3-4\xc0\x1a\
                  \xc0\x2d\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\x01\x02\x03\x04"
            ),
            "{whole:02x?}"
        );
    }

    #[test]
    fn failures_carry_no_records_and_nxdomain_a_soa() {
        let failed = answer_to("a-1-2-3-4--rc2.t", rtype::A, None, Carrier::Udp);
        assert_eq!(failed[2..12], *b"\x85\x82\x00\x01\x00\x00\x00\x00\x00\x00");
        let absent = answer_to("a-1-2-3-4--nx.t", rtype::A, None, Carrier::Udp);
        assert_eq!(absent[2..12], *b"\x85\x83\x00\x01\x00\x00\x00\x01\x00\x00");
        let absent = answer_to("www.t", rtype::A, None, Carrier::Udp);
        assert_eq!(absent[2..12], *b"\x85\x83\x00\x01\x00\x00\x00\x01\x00\x00");
        let aaaa_fails = answer_to("a-1-2-3-4--rcaaaa2.t", rtype::A, None, Carrier::Udp);
        assert_eq!(aaaa_fails[3], 0x80);
    }

    #[test]
    fn a_reverse_name_has_a_ptr_record() {
        let answer = answer_to("44.0.33.211.in-addr.arpa", rtype::PTR, None, Carrier::Udp);
        assert!(answer.ends_with(
            b"\xc0\x0c\x00\x0c\x00\x01\x00\x00\x01\x2c\x00\x17\x0da-211-33-0-44\x02v4\x04test\x00"
        ));
    }

    #[test]
    fn junk_has_the_id_and_question_of_the_query_and_ends_inside_its_record() {
        let name = name_from_text("junk.t").unwrap();
        let mut query = [0; 64];
        let len = write_query(&mut query, 0x1234, &name, rtype::A, None);
        let mut out = [0; ANSWER_MAX];
        let junk_len = write_junk(&Query::parse(&query[..len]).unwrap(), &mut out);
        assert_eq!(out[..2], query[..2]);
        assert_eq!(out[12..len], query[12..len]);
        assert_eq!(out[4..8], *b"\x00\x01\x00\x01");
        assert!(out[..junk_len].ends_with(b"\x00\x10\xde\xad"));
    }

    #[test]
    fn other_classes_are_refused() {
        let mut query = [0; 64];
        let len = write_query(&mut query, 1, b"\x01t\x00", rtype::A, None);
        query[len - 1] = 3;
        let query = Query::parse(&query[..len]).unwrap();
        let mut out = [0; ANSWER_MAX];
        write_answer(&query, &Script::Absent, Carrier::Udp, &mut out);
        assert_eq!(out[3] & 15, rcode::REFUSED);
    }
}
