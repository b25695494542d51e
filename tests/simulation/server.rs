//! Simulated upstream servers: they answer from the zone, each with its own bad habits.

use super::random::Random;
use super::zone::{self, Fate, Links, Meaning, rcode, rtype};

/// What a server does that it should not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Habits {
    /// Sends the question back in lower case.
    pub(crate) lower_case: bool,
    /// Answers queries with OPT by FORMERR.
    pub(crate) no_edns: bool,
    /// Answers everything by REFUSED.
    pub(crate) refuses: bool,
    /// In so many of a thousand answers by UDP: octets that make no sense first.
    pub(crate) junk: u64,
    /// In so many of a thousand answers by UDP: counts that are wrong.
    pub(crate) miscounts: u64,
}

/// A query as a server reads it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: [u8; 2],
    pub(crate) flags: u16,
    /// The question's octets as they came.
    pub(crate) question: Vec<u8>,
    /// Name in lower case.
    pub(crate) name: Vec<u8>,
    pub(crate) rtype: u16,
    /// Octets that fit, and DO, of the OPT record.
    pub(crate) edns: Option<(usize, bool)>,
}

impl Asked {
    /// Reads a query; it must be right, since the engine has made it.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        assert_eq!(bytes[4..11], [0, 1, 0, 0, 0, 0, 0], "counts of a query");
        let mut end = 12;
        while bytes[end] != 0 {
            end += 1 + usize::from(bytes[end]);
        }
        end += 1;
        let rtype = u16::from_be_bytes([bytes[end], bytes[end + 1]]);
        assert_eq!(bytes[end + 2..end + 4], [0, 1], "class IN");
        let opt = &bytes[end + 4..];
        let edns = match bytes[11] {
            0 => None,
            _ => {
                assert_eq!(opt[..3], [0, 0, 41], "OPT and nothing else");
                assert_eq!(opt.len(), 11);
                Some((usize::from(u16::from_be_bytes([opt[3], opt[4]])), opt[7] & 0x80 != 0))
            }
        };
        Self {
            id: [bytes[0], bytes[1]],
            flags: u16::from_be_bytes([bytes[2], bytes[3]]),
            question: bytes[12..end + 4].to_vec(),
            name: bytes[12..end].to_ascii_lowercase(),
            rtype,
            edns,
        }
    }
}

/// A response under construction. Names are written whole, but for the asked one.
struct Writer {
    octets: Vec<u8>,
    counts: [u16; 3],
    name: Vec<u8>,
}

impl Writer {
    fn new(asked: &Asked, rcode: u8, authentic: bool, lower_case: bool) -> Self {
        let mut octets = Vec::with_capacity(512);
        octets.extend_from_slice(&asked.id);
        let flags =
            0x8080 | asked.flags & 0x0110 | u16::from(rcode) | if authentic { 0x20 } else { 0 };
        octets.extend_from_slice(&flags.to_be_bytes());
        octets.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
        let start = octets.len();
        octets.extend_from_slice(&asked.question);
        if lower_case {
            octets[start..start + asked.name.len()].make_ascii_lowercase();
        }
        Self { octets, counts: [0; 3], name: asked.name.clone() }
    }

    fn record(&mut self, section: usize, owner: &[u8], rtype: u16, ttl: u32, rdata: &[u8]) {
        if owner == self.name {
            self.octets.extend_from_slice(&[0xc0, 12]);
        } else {
            self.octets.extend_from_slice(owner);
        }
        self.octets.extend_from_slice(&rtype.to_be_bytes());
        self.octets.extend_from_slice(&[0, 1]);
        self.octets.extend_from_slice(&ttl.to_be_bytes());
        self.octets.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
        self.octets.extend_from_slice(rdata);
        self.counts[section] += 1;
    }

    fn soa(&mut self, zone: &[u8], (ttl, minimum): (u32, u32)) {
        let mut rdata = b"\x02ns\x04test\0\x04root\x04test\0".to_vec();
        for field in [1, 2, 3, 4, minimum] {
            rdata.extend_from_slice(&field.to_be_bytes());
        }
        self.record(1, zone, rtype::SOA, ttl, &rdata);
    }

    fn rrsig(&mut self, section: usize, owner: &[u8], covered: u16, ttl: u32) {
        let mut rdata = covered.to_be_bytes().to_vec();
        rdata.extend_from_slice(&[8, 2]);
        rdata.extend_from_slice(&ttl.to_be_bytes());
        rdata.extend_from_slice(&[0; 10]);
        rdata.extend_from_slice(b"\x03sim\x04test\0signature");
        self.record(section, owner, rtype::RRSIG, ttl, &rdata);
    }

    fn finish(mut self, edns: bool, options: &[u8]) -> Vec<u8> {
        if edns {
            self.octets.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0]);
            self.octets.extend_from_slice(&(options.len() as u16).to_be_bytes());
            self.octets.extend_from_slice(options);
            self.counts[2] += 1;
        }
        for (section, count) in self.counts.iter().enumerate() {
            self.octets[6 + section * 2..8 + section * 2].copy_from_slice(&count.to_be_bytes());
        }
        self.octets
    }
}

/// The response to a query, and how long the server thinks about it.
pub(crate) fn respond(
    asked: &Asked,
    seed: u64,
    meaning_of: &dyn Fn(u64) -> Meaning,
    habits: &Habits,
    by_udp: bool,
) -> (Vec<u8>, u64) {
    let edns = asked.edns.is_some();
    if habits.no_edns && edns {
        return (Writer::new(asked, 1, false, habits.lower_case).finish(false, &[]), 0);
    }
    if habits.refuses {
        let reply = Writer::new(asked, rcode::REFUSED, false, habits.lower_case);
        return (reply.finish(edns, &[]), 0);
    }
    let limit = match asked.edns {
        _ if !by_udp => 65_535,
        Some((limit, _)) => limit.max(512),
        None => 512,
    };
    let (octets, delay_ms, truncated) = match zone::number_of(&asked.name) {
        Some(number) => {
            let meaning = meaning_of(number);
            let octets = respond_name(asked, number, &meaning, habits);
            (octets, meaning.delay_ms, meaning.truncated && by_udp)
        }
        None => (respond_other(asked, seed, habits), 0, false),
    };
    if truncated || octets.len() > limit {
        let mut reply = Writer::new(asked, 0, false, habits.lower_case);
        // Some of what there is, which nobody may use.
        reply.record(0, &asked.name.clone(), asked.rtype, 300, &[6; 4]);
        let mut octets = reply.finish(edns, &[]);
        octets[2] |= 2;
        return (octets, delay_ms);
    }
    (octets, delay_ms)
}

fn respond_name(asked: &Asked, number: u64, meaning: &Meaning, habits: &Habits) -> Vec<u8> {
    let edns = asked.edns.is_some();
    let dnssec_ok = asked.edns.is_some_and(|(_, dnssec_ok)| dnssec_ok);
    let signed = meaning.signed && dnssec_ok;
    let fate = meaning.fate(asked.rtype);
    let code = match fate {
        Fate::Answer => rcode::NOERROR,
        Fate::NxDomain => rcode::NXDOMAIN,
        Fate::Bogus => {
            let reply = Writer::new(asked, rcode::SERVFAIL, false, habits.lower_case);
            return reply.finish(edns, &[0, 15, 0, 2, 0, 6]);
        }
        Fate::Failure(code) => {
            return Writer::new(asked, code, false, habits.lower_case).finish(edns, &[]);
        }
    };
    let mut reply = Writer::new(asked, code, meaning.authentic, habits.lower_case);
    let names = zone::chain(number, meaning);
    if asked.rtype != rtype::CNAME {
        if let Links::Dname(with_cname) = meaning.links {
            let owner = names[0][2..].to_vec();
            let target = names[1][2..].to_vec();
            reply.record(0, &owner, rtype::DNAME, meaning.link_ttl, &target);
            if with_cname {
                reply.record(0, &names[0], rtype::CNAME, meaning.link_ttl, &names[1]);
            }
        } else {
            for pair in names.windows(2) {
                reply.record(0, &pair[0], rtype::CNAME, meaning.link_ttl, &pair[1]);
                if signed {
                    reply.rrsig(0, &pair[0], rtype::CNAME, meaning.link_ttl);
                }
            }
        }
    }
    let last = names.last().cloned().unwrap_or_default();
    let records = if fate == Fate::Answer { meaning.rdata(asked.rtype) } else { Vec::new() };
    for rdata in &records {
        reply.record(0, &last, asked.rtype, meaning.ttl(asked.rtype), rdata);
    }
    if signed && !records.is_empty() {
        reply.rrsig(0, &last, asked.rtype, meaning.ttl(asked.rtype));
    }
    if meaning.extra {
        // Nobody has asked for these: what is taken of them is poison.
        reply.record(0, b"\x06victim\x04test\0", rtype::A, 300, &[6, 6, 6, 1]);
        reply.record(0, &last, rtype::A + 98, 300, &[6, 6, 6, 2]);
        reply.record(1, b"\x04test\0", 2, 300, b"\x04evil\x04test\0");
    }
    let zone = b"\x03sim\x04test\0";
    if records.is_empty()
        && let Some(soa) = meaning.soa
    {
        reply.soa(zone, soa);
        if signed {
            reply.rrsig(1, zone, rtype::SOA, soa.0);
        }
    }
    if meaning.extra {
        reply.record(2, b"\x04evil\x04test\0", rtype::A, 300, &[6, 6, 6, 3]);
    }
    reply.finish(edns, &[])
}

fn respond_other(asked: &Asked, seed: u64, habits: &Habits) -> Vec<u8> {
    let edns = asked.edns.is_some();
    if let Some(address) = zone::ipv4_of(&asked.name) {
        let ptr = zone::ptr_of(seed, address);
        let code = if ptr.is_some() { rcode::NOERROR } else { rcode::NXDOMAIN };
        let mut reply = Writer::new(asked, code, false, habits.lower_case);
        match ptr {
            Some((target, ttl)) if asked.rtype == rtype::PTR => {
                reply.record(0, &asked.name.clone(), rtype::PTR, ttl, &target);
            }
            _ => reply.soa(b"\x07in-addr\x04arpa\0", (60, 60)),
        }
        return reply.finish(edns, &[]);
    }
    let mut reply = Writer::new(asked, rcode::NXDOMAIN, false, habits.lower_case);
    reply.soa(b"\0", (60, 60));
    reply.finish(edns, &[])
}

/// Makes counts wrong: records are announced that do not come.
pub(crate) fn miscount(response: &mut [u8], random: &mut Random) {
    let place = 6 + 2 * random.below(3) as usize;
    let count = u16::from_be_bytes([response[place], response[place + 1]]);
    let count = count + 1 + random.below(200) as u16;
    response[place..place + 2].copy_from_slice(&count.to_be_bytes());
}
