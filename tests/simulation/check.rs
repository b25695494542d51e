//! A reply, held against what is allowed.

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, Record};

use super::oracle::{Allowed, What};
use super::world::{Open, World, hex};
use super::zone::rtype;

/// Checks one reply. Panics with what is wrong.
pub(crate) fn reply(world: &World, open: &Open, octets: &[u8], allowed: &[Allowed]) {
    let waited = world.now - open.arrived;
    assert!(waited <= 2_002_000, "I8: a reply after {waited} us");
    assert!(octets.len() <= open.limit, "a reply of {} octets, {} fit", octets.len(), open.limit);
    assert_eq!(u16::from_be_bytes([octets[0], octets[1]]), open.id, "I1: the ID");
    let flags = u16::from_be_bytes([octets[2], octets[3]]);
    assert_ne!(flags & 0x8000, 0, "QR");
    let message = Message::from_vec(octets);
    let message =
        message.unwrap_or_else(|error| panic!("no DNS message: {error}: {}", hex(octets)));
    if matches!(open.intent.what, What::Malformed) {
        assert!(octets.len() <= 512);
        // What was damaged may be no damage: a query cut behind its question, or not at all.
        return;
    }
    assert!(octets[12..].starts_with(&open.question), "I1: the question as it was asked");
    assert_eq!(flags & 0x7800, 0, "OPCODE");
    assert_eq!(flags & 0x0400, 0, "AA");
    assert_ne!(flags & 0x0080, 0, "RA");
    assert_eq!(flags & 0x0110, open.flags & 0x0110, "RD and CD");
    assert_eq!(message.edns.is_some(), open.intent.edns.is_some(), "OPT where there was one");

    if flags & 0x0200 != 0 {
        assert!(open.client.channel.is_udp(), "TC by TCP");
        let fits = |one: &Allowed| size_at_most(one, &open.question) <= open.limit;
        assert!(!allowed.iter().all(fits), "TC though it fits: {allowed:?}");
        assert!(message.answers.is_empty(), "nothing beside TC");
        return;
    }
    let seen = Seen::of(&message, octets, open);
    let mut reasons = Vec::new();
    for one in allowed {
        match seen.fault(one, flags, world, open) {
            None => return,
            Some(reason) => reasons.push(reason),
        }
    }
    panic!(
        "I2/I3/I7/I9: {:?}\nreply {}\n{seen:?}\n{}",
        open.intent,
        hex(octets),
        allowed
            .iter()
            .zip(&reasons)
            .map(|(one, reason)| format!("not {one:?}\n  because of {reason}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
}

/// The octets of a reply if no name in it is compressed.
fn size_at_most(one: &Allowed, question: &[u8]) -> usize {
    let links: usize =
        one.links.iter().map(|(owner, target)| owner.len() + target.len() + 10).sum();
    let records: usize = one.rdata.iter().map(|rdata| one.owner.len() + 10 + rdata.len()).sum();
    // SOA, OPT and an Extended Error; RRSIG are as many as links, and one more.
    let rest = 12 + 200 + 17 + (one.links.len() + 2) * 120;
    12 + question.len() + links + records + rest
}

/// What a reply has.
#[derive(Debug)]
struct Seen {
    rcode: u8,
    links: Vec<(Vec<u8>, Vec<u8>)>,
    owners: Vec<Vec<u8>>,
    types: Vec<u16>,
    rdata: Vec<Vec<u8>>,
    ttls: Vec<u32>,
    /// The Extended Error, which is the last option where there is one.
    info_code: Option<u16>,
}

impl Seen {
    fn of(message: &Message, octets: &[u8], open: &Open) -> Self {
        let mut seen = Self {
            rcode: u16::from(message.metadata.response_code) as u8,
            links: Vec::new(),
            owners: Vec::new(),
            types: Vec::new(),
            rdata: Vec::new(),
            ttls: Vec::new(),
            info_code: match octets.last_chunk::<6>() {
                Some(&[0, 15, 0, 2, high, low]) => Some(u16::from_be_bytes([high, low])),
                _ => None,
            },
        };
        for record in &message.answers {
            seen.record(record, open);
        }
        for record in &message.authorities {
            let rtype = u16::from(record.record_type());
            let known = rtype == rtype::SOA || rtype == rtype::RRSIG;
            assert!(known, "type {rtype} in the authority section");
        }
        seen.rdata.sort();
        seen
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "the enumeration is open")]
    fn record(&mut self, record: &Record, open: &Open) {
        let rtype = u16::from(record.record_type());
        let owner = wire(&record.name);
        match &record.data {
            RData::CNAME(target) => self.links.push((owner, wire(&target.0))),
            RData::Unknown { rdata, .. } if rtype == rtype::DNAME => {
                self.links.push((owner, rdata.anything.to_ascii_lowercase()));
            }
            _ if rtype == rtype::RRSIG => {
                let dnssec_ok = open.intent.edns.is_some_and(|(_, dnssec_ok)| dnssec_ok);
                assert!(dnssec_ok, "RRSIG without DO");
            }
            data => {
                let rdata = match data {
                    RData::A(address) => address.octets().to_vec(),
                    RData::AAAA(address) => address.octets().to_vec(),
                    RData::PTR(name) => wire(&name.0),
                    RData::TXT(_) => b"\x04text".to_vec(),
                    _ => Vec::new(),
                };
                self.owners.push(owner);
                self.types.push(rtype);
                self.rdata.push(rdata);
                self.ttls.push(record.ttl);
            }
        }
    }

    /// What this reply has that it should not have, or the other way round.
    fn fault(&self, one: &Allowed, flags: u16, world: &World, open: &Open) -> Option<String> {
        if self.rcode != one.rcode {
            return Some(format!("RCODE {}", self.rcode));
        }
        if one.rtype == 13 {
            return (self.types != [13]).then(|| "HINFO".to_owned());
        }
        if self.links != one.links {
            return Some("links".to_owned());
        }
        if self.rdata != one.rdata {
            return Some("records".to_owned());
        }
        if self.owners.iter().any(|owner| *owner != one.owner) {
            return Some("owner".to_owned());
        }
        if self.types.iter().any(|rtype| *rtype != one.rtype) {
            return Some("type".to_owned());
        }
        if flags & 0x20 != 0 && !one.authentic {
            return Some("AD".to_owned());
        }
        let ttl = self.ttls.iter().max()?;
        if *ttl > one.ttl_max {
            return Some(format!("TTL {ttl}"));
        }
        let (name, rtype, origin_ttl, life) = one.origin.as_ref()?;
        let now = world.now / 1_000_000;
        let Some(&last) = world.delivered.get(&(name.clone(), *rtype)) else {
            return Some("nobody has said so".to_owned());
        };
        let age = now - last;
        let left = u64::from(*origin_ttl).saturating_sub(age);
        let says_so = matches!(self.info_code, Some(3 | 19)) || open.intent.edns.is_none();
        // The look-up of another worker, or with other flags, may be younger than a stale answer.
        let may_be_stale = says_so && *ttl <= 30;
        if age < u64::from(*life) && !may_be_stale {
            return (u64::from(*ttl) > left).then(|| format!("TTL {ttl} of {left}"));
        }
        // Who waited for an answer gets it, whatever its life.
        let waited = world.now > open.arrived && age < u64::from(*life) + 3;
        // On its way between workers an answer that is not kept does not age: it may be a second
        // too young.
        if waited && u64::from(*ttl) <= left + 1 {
            return None;
        }
        if *ttl > 30 {
            return Some(format!("stale TTL {ttl}"));
        }
        if *ttl > 0 && !says_so {
            return Some("no Extended Error says that it is stale".to_owned());
        }
        let stale = if world.setting.serve_stale { world.setting.max_stale_secs } else { 0 };
        // Who waits keeps an answer for the time of its budget.
        let end = u64::from(*life) + stale + 3;
        (age > end).then(|| format!("age {age}, {end} at most"))
    }
}

fn wire(name: &Name) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.iter() {
        wire.push(label.len() as u8);
        wire.extend(label.to_ascii_lowercase());
    }
    wire.push(0);
    wire
}
