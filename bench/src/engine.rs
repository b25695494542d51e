//! One engine without sockets, filled with answers: what a query costs when nothing else does.
//!
//! The engine is filled by its own cold path: a query, the responses a scripted server would give,
//! the reply. So what is in the cache is what would be there in operation.

use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dns64::cache::Shard;
use dns64::datagram::{Channel, Client, Datagram, SourcePort, WorkerId};
use dns64::engine::{Destination, Engine, EngineSettings, Verdict};
use dns64::limits::{BATCH_LEN, MESSAGE_LEN_MAX, UDP_RECEIVE_LEN};
use dns64::policy::rpz::{RpzSettings, RpzZone, Unsupported, scan};
use dns64::policy::{
    AddressList, CachePolicy, DnssecSettings, Gateway, Limits, ListEntry, Policy, PolicySettings,
    PoolId, PoolSettings, PoolUse, PrefixSettings, Timing, Verdict as InList, ViewSettings,
};
use dns64::pref64::{Pref64, UOctet};
use dns64::sys::memory::advise_huge_pages;
use dns64::time::Moment;
use dns64::wire::PlainQuery;
use ipnet::{Ipv4Net, Ipv6Net};

use crate::wire::{self, HEADER_LEN, rtype};

/// Octets of cache for one name: its AAAA entry, its A entry, their share of the index, and some
/// more, so that hardly anything is evicted.
const OCTETS_PER_NAME: usize = 640;

/// Octets of the longest query made here.
const QUERY_LEN_MAX: usize = 160;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// AAAA of a name that has A records only.
    Synthesized,
    /// AAAA of a name that has them.
    Native,
    /// PTR of an address under the prefix.
    Reverse,
    /// AAAA of a name that does not exist.
    Denied,
    /// A query with two questions: FORMERR.
    Error,
}

/// How much there is in the configuration of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Views; the client is in the last of them.
    pub views: u16,
    /// Entries in each list of addresses and names that a view has: of IPv4 addresses that are
    /// mapped and that are not, of AAAA that count as absent, of domains of a prefix.
    pub entries: u32,
    /// Triggers of a response policy zone; none of them is for a name that is asked.
    pub triggers: u32,
    /// Gateways of a pool that all clients share; at most 32, and none with views.
    pub gateways: u8,
}

impl Size {
    /// The `[dns64]` table and the views.
    fn views(self) -> Vec<ViewSettings> {
        let mut base = ViewSettings::default();
        if self.gateways > 0 {
            base.prefixes = (0..self.gateways).map(gateway).map(PrefixSettings::new).collect();
            base.pool = Some(PoolUse { pool: PoolId(0), ttl_max_secs: POOL_TTL_SECS });
        }
        let view = |number: u16| {
            let network = Ipv6Addr::new(0x2001, 0xdb8, self.views - number, 0, 0, 0, 0, 0);
            let network = Ipv6Net::new_assert(network, 48);
            let mut view = ViewSettings {
                name: format!("view{number}"),
                clients: Some(AddressList::of([network.into()])),
                ..base.clone()
            };
            if number == self.views {
                self.fill(&mut view);
            }
            view
        };
        iter::once(base.clone()).chain((1..=self.views).map(view)).collect()
    }

    /// Fills the lists of a view with entries that concern no name and address that is asked.
    fn fill(self, view: &mut ViewSettings) {
        let v4 = |number: u32| Ipv4Net::new_assert((number << 10 | 0xd000_0000).into(), 24).into();
        let v6 = |number: u32| {
            let address = Ipv6Addr::from(0x2001_0db8_bad0 << 80 | u128::from(number) << 64);
            Ipv6Net::new_assert(address, 96).into()
        };
        let numbers = 0..self.entries;
        view.exclude_a = AddressList::of(numbers.clone().map(v4));
        view.exclude_aaaa = AddressList::of(numbers.clone().map(v6));
        let all = ListEntry { network: Ipv4Net::default().into(), verdict: InList::In };
        let unmapped =
            numbers.clone().map(|number| ListEntry { network: v4(number), verdict: InList::Out });
        view.prefixes[0].mapped = Some(AddressList::new(unmapped.chain([all]).collect()));
        let mut other = PrefixSettings::new(other_prefix());
        let domain = |number: u32| format!("\x08{number:08x}\x04corp\0").into_bytes();
        other.domains = Some(numbers.map(domain).collect());
        view.prefixes.push(other);
    }

    /// The pool, if there is one.
    fn pools(self) -> Vec<PoolSettings> {
        if self.gateways == 0 {
            return Vec::new();
        }
        let gateways = (0..self.gateways)
            .map(|number| Gateway { pref64: gateway(number), weight: u32::from(number % 3) + 1 });
        vec![PoolSettings {
            name: "nat64".to_owned(),
            gateways: gateways.collect(),
            affinity_ipv4: 32,
            affinity_ipv6: 64,
            ttl_max_secs: POOL_TTL_SECS,
        }]
    }

    /// The response policy zones.
    fn zones(self) -> Vec<RpzSettings> {
        if self.triggers == 0 {
            return Vec::new();
        }
        let lines = (0..self.triggers).map(|number| format!("host-{number}.blocked CNAME .\n"));
        let text: String = lines.collect();
        let mut zone = RpzZone::new("bench", None, None);
        let scanned = scan(text.as_bytes(), b"\x03rpz\0", Unsupported::Refuse, &mut zone);
        assert!(scanned.faults.is_empty(), "{scanned:?}");
        vec![RpzSettings { zone: Arc::new(zone), views: None }]
    }
}

/// The longest TTL of what is synthesized by a pool.
const POOL_TTL_SECS: u32 = 60;

/// The prefix of a gateway.
fn gateway(number: u8) -> Pref64 {
    let prefix = Ipv6Addr::new(0x2001, 0xdb8, 0x640, u16::from(number), 0, 0, 0, 0);
    let prefix = Ipv6Net::new_assert(prefix, 96);
    Pref64::new(prefix, Ipv6Addr::UNSPECIFIED, UOctet::Zero).expect("bits 64 to 71 are zero")
}

/// The prefix of domains that nobody asks for.
fn other_prefix() -> Pref64 {
    let prefix = Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0x64, 0, 0, 0, 0, 0), 96);
    Pref64::new(prefix, Ipv6Addr::UNSPECIFIED, UOctet::Zero).expect("bits 64 to 71 are zero")
}

/// A query in a buffer of its own.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    octets: [u8; QUERY_LEN_MAX],
    len: usize,
}

impl Query {
    /// A query of this kind for the name of this number, with EDNS.
    #[must_use]
    pub fn new(kind: Kind, number: u32) -> Self {
        let mut query = Self { octets: [0; QUERY_LEN_MAX], len: 0 };
        query.set(kind, number);
        query
    }

    /// Makes this the query for another name.
    pub fn set(&mut self, kind: Kind, number: u32) {
        let mut name = [0; 80];
        let name_len = write_name(&mut name, kind, number);
        let rtype = if kind == Kind::Reverse { rtype::PTR } else { rtype::AAAA };
        let edns = Some(wire::Edns { payload_size: 1_232, dnssec_ok: false });
        let id = number as u16;
        self.len = wire::write_query(&mut self.octets, id, &name[..name_len], rtype, edns);
        if kind == Kind::Error {
            self.octets[5] = 2;
        }
    }

    /// The message.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// Writes the name of a number: `www.<eight hexadecimal digits>.<kind>.example`, or the name of an
/// address in ip6.arpa.
fn write_name(out: &mut [u8; 80], kind: Kind, number: u32) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |place: u32| DIGITS[(number >> (place * 4) & 0xf) as usize];
    if kind == Kind::Reverse {
        // Addresses of 11.0.0.0/8: others may not be global, and then nobody is asked.
        let number = number | 0x0b00_0000;
        let digit = |place: u32| DIGITS[(number >> (place * 4) & 0xf) as usize];
        // 64:ff9b::/96, its last digit first.
        const PREFIX: &[u8; 24] = b"0000000000000000b9ff4600";
        let mut at = 0;
        for digit in (0..8).map(digit).chain(*PREFIX) {
            out[at..at + 2].copy_from_slice(&[1, digit]);
            at += 2;
        }
        out[at..at + 10].copy_from_slice(b"\x03ip6\x04arpa\0");
        return at + 10;
    }
    out[..4].copy_from_slice(b"\x03www");
    out[4] = 8;
    for place in 0..8 {
        out[5 + place as usize] = digit(7 - place);
    }
    let zone = match kind {
        Kind::Synthesized | Kind::Error => b"\x04test\x07example\0",
        Kind::Native => b"\x04both\x07example\0",
        Kind::Denied | Kind::Reverse => b"\x04none\x07example\0",
    };
    out[13..13 + zone.len()].copy_from_slice(zone);
    13 + zone.len()
}

/// An engine that has answered so many names.
pub struct Filled {
    engine: Engine,
    now: Moment,
    names: u32,
    kind: Kind,
    client: Client,
    out: Vec<u8>,
    message: Vec<u8>,
    batch: [Query; BATCH_LEN],
    ahead: Vec<Option<PlainQuery>>,
    random: u64,
}

impl Filled {
    /// An engine whose cache holds the answers to the queries 0 to `names` - 1 of this kind.
    ///
    /// # Panics
    /// If the engine does not answer: then there is nothing to measure.
    #[must_use]
    pub fn new(kind: Kind, names: u32) -> Self {
        Self::with_policy(kind, names, Size::default())
    }

    /// As [`Filled::new`], with a configuration of this size.
    ///
    /// # Panics
    /// As [`Filled::new`].
    #[must_use]
    pub fn with_policy(kind: Kind, names: u32, size: Size) -> Self {
        let capacity = (names as usize * OCTETS_PER_NAME).max(1 << 20);
        let mut filled = Self::empty(kind, names, capacity, size);
        for number in 0..names {
            filled.fill(number);
        }
        let stats = filled.engine.shard().stats();
        assert_eq!(stats.evictions, 0, "everything has room");
        filled
    }

    /// An engine with an empty cache of so many octets.
    #[must_use]
    pub fn with_room(kind: Kind, names: u32, capacity_octets: usize) -> Self {
        Self::empty(kind, names, capacity_octets, Size::default())
    }

    /// An engine with an empty cache.
    fn empty(kind: Kind, names: u32, capacity_octets: usize, size: Size) -> Self {
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
        let policy = Arc::new(Policy::new(&PolicySettings {
            allow: AddressList::any(),
            drop: AddressList::default(),
            views: size.views(),
            listen: Vec::new(),
            rpz: size.zones(),
            pools: size.pools(),
            servers: vec![server],
            forwards: Vec::new(),
            cache: CachePolicy::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            dnssec: DnssecSettings::default(),
        }));
        let settings = EngineSettings {
            policy,
            worker: WorkerId(0),
            workers: 1,
            hash_seed: 0x5eed_5eed,
            random_seed: [7; 32],
        };
        let client = Client {
            peer: SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 40_000)),
            local: IpAddr::V6(Ipv6Addr::LOCALHOST),
            interface: 0,
            channel: Channel::Udp { socket: 0 },
        };
        Self {
            engine: Engine::new(settings, Shard::new_with(capacity_octets, advise_huge_pages)),
            now: Moment::from_millis(1_000),
            names: names.max(1),
            kind,
            client,
            out: vec![0; UDP_RECEIVE_LEN],
            message: vec![0; MESSAGE_LEN_MAX],
            batch: [Query::new(kind, 0); BATCH_LEN],
            ahead: Vec::with_capacity(BATCH_LEN),
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// One query that has to be looked up, with all that follows; what a cold answer costs.
    ///
    /// # Panics
    /// If it does not end with a reply.
    pub fn fill(&mut self, number: u32) {
        let query = Query::new(self.kind, number);
        let datagram = Datagram { bytes: query.octets(), client: self.client };
        match self.engine.handle_query(datagram, &mut self.out, self.now) {
            Verdict::Pending => {}
            Verdict::Reply { .. } => return,
            Verdict::Drop(reason) => panic!("{reason:?}"),
        }
        self.finish_look_ups();
    }

    /// Answers what the engine asks upstream, until the client has its reply.
    fn finish_look_ups(&mut self) {
        let mut replies = 0;
        while let Some((to, len)) = self.engine.poll_transmit(&mut self.message) {
            match to {
                Destination::Client(_) => replies += 1,
                Destination::Upstream { server, handle, .. } => {
                    let port = SourcePort(1_024);
                    self.engine.sent(handle, port);
                    let len = respond(&mut self.message, len, self.kind);
                    let later = self.now + Duration::from_micros(1);
                    self.engine.handle_response(server, port, &self.message[..len], later);
                }
                Destination::UpstreamTcp { .. } => panic!("a good answer needs no TCP"),
                Destination::Validator(_) => panic!("nothing is validated here"),
            }
        }
        assert_eq!(replies, 1, "a look-up ends with a reply");
    }

    /// Writes the next queries into the batch: names in an order without pattern.
    pub fn draw(&mut self) {
        for query in &mut self.batch {
            // A multiplicative generator (Knuth); its upper half is scaled to the names.
            self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let number = ((self.random >> 32) * u64::from(self.names)) >> 32;
            query.set(self.kind, number as u32);
        }
    }

    /// Reads the batch ahead as a worker does; with `touch` as one with a large cache does.
    pub fn read_ahead(&mut self, touch: bool) {
        let queries = self.batch.iter().map(Query::octets);
        self.engine.read_ahead(queries, touch, &mut self.ahead);
    }

    /// Answers the batch that was read ahead; octets of all replies given at once. A name whose
    /// bucket of the index was full when the cache was filled is looked up again: that is one in
    /// thousands, and once.
    ///
    /// # Panics
    /// If one of them is dropped.
    pub fn answer(&mut self) -> usize {
        let mut octets = 0;
        for place in 0..BATCH_LEN {
            let datagram = Datagram { bytes: self.batch[place].octets(), client: self.client };
            let plain = self.ahead[place].as_ref();
            match self.engine.handle_query_ahead(datagram, plain, &mut self.out, self.now) {
                Verdict::Reply { len } => octets += len,
                Verdict::Pending => self.finish_look_ups(),
                Verdict::Drop(reason) => panic!("{reason:?}"),
            }
        }
        octets
    }

    /// The reply that was written last has at least its octets.
    #[must_use]
    pub fn last_reply(&self) -> &[u8] {
        &self.out
    }
}

/// Turns the query in `message` into its response, as an authority of these names would answer
/// through a resolver.
fn respond(message: &mut [u8], len: usize, kind: Kind) -> usize {
    let Some(name_len) = wire::name_len(message, HEADER_LEN) else { return len };
    let end = HEADER_LEN + name_len + 4;
    let asked = wire::u16_at(message, end - 4).unwrap_or_default();
    // Owner and RDATA are as short as they can be: the parser's cost is in the records.
    let soa = b"\0\0\x06\0\x01\0\0\x0e\x10\0\x16\0\0\0\0\0\x01\0\0\x0e\x10\0\0\x03\x84\0\x09\x3a\x80\0\0\x0e\x10";
    let a = b"\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04\xc0\0\x02\x21";
    let aaaa = b"\xc0\x0c\0\x1c\0\x01\0\0\x0e\x10\0\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
    let ptr = b"\xc0\x0c\0\x0c\0\x01\0\0\x0e\x10\0\x0e\x04host\x07example\0";
    let (rcode, answers, authorities, record): (u8, u8, u8, &[u8]) = match (kind, asked) {
        (Kind::Denied, _) => (wire::rcode::NXDOMAIN, 0, 1, soa),
        (_, rtype::A) => (wire::rcode::NOERROR, 1, 0, a),
        (Kind::Native, rtype::AAAA) => (wire::rcode::NOERROR, 1, 0, aaaa),
        (_, rtype::PTR) => (wire::rcode::NOERROR, 1, 0, ptr),
        _ => (wire::rcode::NOERROR, 0, 1, soa),
    };
    message[2..4].copy_from_slice(&[0x81, 0x80 | rcode]);
    message[4..12].copy_from_slice(&[0, 1, 0, answers, 0, authorities, 0, 0]);
    message[end..end + record.len()].copy_from_slice(record);
    end + record.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The RCODE and the number of answers of the first reply.
    fn replied(kind: Kind) -> (u8, u8) {
        let mut filled = Filled::new(kind, 200);
        filled.draw();
        filled.read_ahead(true);
        filled.answer();
        (filled.last_reply()[3] & 0xf, filled.last_reply()[7])
    }

    #[test]
    fn each_kind_is_answered_as_its_name_says() {
        assert_eq!(replied(Kind::Synthesized), (0, 1));
        assert_eq!(replied(Kind::Native), (0, 1));
        assert_eq!(replied(Kind::Reverse), (0, 2));
        assert_eq!(replied(Kind::Denied), (3, 0));
    }
}
