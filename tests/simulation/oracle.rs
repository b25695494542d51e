//! What replies may say. Written from the meaning of names and the text of RFC 6147, without a line
//! of the program under test: the views are spelled out here a second time.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::zone::{self, Fate, Links, Meaning, rcode, rtype};

/// The configuration of the simulated world. `servers` is a list of addresses in TOML, `more` the
/// tables behind `[cache]`.
pub(crate) fn configuration(servers: &str, more: &str) -> String {
    format!(
        r#"
listen = ["127.0.0.1:5364"]
allow = ["2001:db8::/32", "10.0.0.0/8"]
[upstream]
servers = [{servers}]
[dns64]
prefixes = ["64:ff9b::/96"]
[[view]]
name = "two"
clients = ["2001:db8:2::/48"]
[view.dns64]
trigger = "nodata"
prefixes = [
  "2001:db8:64::/96",
  {{ prefix = "2001:db8:65::/48", mapped = ["!9.0.0.0/8", "0.0.0.0/0"] }},
]
[[view]]
name = "off"
clients = ["2001:db8:3::/48", "10.3.0.0/16"]
dns64 = {{ enabled = false }}
[[view]]
name = "odd"
clients = ["2001:db8:4::/48"]
[view.dns64]
prefixes = ["2001:db8:66::/64"]
exclude_aaaa = ["::ffff:0:0/96", "2a00:0:0:0:8000::/65"]
exclude_a = ["9.0.0.0/8"]
ignore_aaaa = ["n3.sim.test.", "d3.sim.test.", "n5.sim.test.", "d5.sim.test."]
bypass = ["n4.sim.test.", "d4.sim.test."]
ptr = "direct"
{more}
"#
    )
}

/// The views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Default,
    Two,
    Off,
    Odd,
    /// Not a view: who must not ask.
    Stranger,
}

impl View {
    /// The prefixes: network and length.
    pub(crate) fn prefixes(self) -> Vec<(Ipv6Addr, usize)> {
        let prefix = |third: u16| Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, 0);
        match self {
            Self::Default => vec![(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96)],
            Self::Two => vec![(prefix(0x64), 96), (prefix(0x65), 48)],
            Self::Odd => vec![(prefix(0x66), 64)],
            Self::Off | Self::Stranger => Vec::new(),
        }
    }

    fn maps(self, prefix: usize, address: Ipv4Addr) -> bool {
        let [a, b, ..] = address.octets();
        match self {
            Self::Default => a != 10 && (a, b) != (192, 168),
            Self::Two => prefix == 0 || a != 9,
            Self::Odd => a != 9,
            Self::Off | Self::Stranger => false,
        }
    }

    fn excludes(self, address: Ipv6Addr) -> bool {
        if self == Self::Off {
            return false;
        }
        let bits = address.to_bits();
        let mapped = bits >> 32 == 0xffff;
        mapped || self == Self::Odd && bits >> 63 == 0x2a00_u128 << 49 | 1
    }

    fn ignores(self, number: u64) -> bool {
        self == Self::Odd && matches!(number, 3 | 5)
    }

    fn bypasses(self, number: u64) -> bool {
        self == Self::Odd && number == 4
    }
}

/// RFC 6052 2.2: the IPv4 address follows the prefix and steps over bits 64 to 71.
pub(crate) fn embed((network, length): (Ipv6Addr, usize), address: Ipv4Addr) -> Ipv6Addr {
    let mut octets = network.octets();
    let mut place = length / 8;
    for octet in address.octets() {
        if place == 8 {
            place += 1;
        }
        octets[place] = octet;
        place += 1;
    }
    Ipv6Addr::from(octets)
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A name of the zone.
    Name(u64),
    /// The name in ip6.arpa of an IPv4 address under a prefix.
    Reverse((Ipv6Addr, usize), Ipv4Addr),
    /// ipv4only.arpa.
    Ipv4Only,
    /// A name that does not exist.
    Missing,
    /// Octets that are no query.
    Malformed,
}

/// A query, as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) view: View,
    pub(crate) what: What,
    pub(crate) rtype: u16,
    pub(crate) recursion_desired: bool,
    pub(crate) checking_disabled: bool,
    pub(crate) wants_authentic: bool,
    /// Octets that fit, and DO.
    pub(crate) edns: Option<(u16, bool)>,
}

/// A reply that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) rcode: u8,
    /// CNAME and DNAME of the answer section, by owner and target.
    pub(crate) links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Owner of the records, their type, and their RDATA in ascending order.
    pub(crate) owner: Vec<u8>,
    pub(crate) rtype: u16,
    pub(crate) rdata: Vec<Vec<u8>>,
    /// Greatest TTL of the records.
    pub(crate) ttl_max: u32,
    /// Whether AD may be set.
    pub(crate) authentic: bool,
    /// The upstream answer the records come from: name, type, TTL of the records, seconds of life.
    pub(crate) origin: Option<(Vec<u8>, u16, u32, u32)>,
}

impl Allowed {
    fn bare(rcode: u8) -> Self {
        Self {
            rcode,
            links: Vec::new(),
            owner: Vec::new(),
            rtype: 0,
            rdata: Vec::new(),
            ttl_max: u32::MAX,
            authentic: false,
            origin: None,
        }
    }
}

/// A TTL as it may be used: RFC 2181 8, and the configured maximum.
fn clamp(ttl: u32) -> u32 {
    if ttl > 0x7fff_ffff { 0 } else { ttl.min(86_400) }
}

/// The life of a denial (RFC 2308 5).
fn denial_ttl((ttl, minimum): (u32, u32)) -> u32 {
    (if ttl > 0x7fff_ffff { 0 } else { ttl }).min(minimum).min(3_600)
}

/// What an upstream look-up comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Records,
    NoData,
    NxDomain,
    Failure,
    Bogus,
}

fn outcome(meaning: &Meaning, rtype: u16) -> Outcome {
    let chain_fails = match meaning.links {
        Links::Loop => true,
        Links::Cname(count) => count > 16,
        Links::None | Links::Dname(_) => false,
    };
    match meaning.fate(rtype) {
        Fate::Bogus => Outcome::Bogus,
        Fate::Failure(_) => Outcome::Failure,
        Fate::Answer | Fate::NxDomain if chain_fails => Outcome::Failure,
        Fate::NxDomain => Outcome::NxDomain,
        Fate::Answer if meaning.rdata(rtype).is_empty() => Outcome::NoData,
        Fate::Answer => Outcome::Records,
    }
}

/// Every reply that is allowed. `troubled` says that upstream answers may fail to come although
/// they exist, `edns_lost` that reasons of failures may.
pub(crate) fn allowed(
    intent: &Intent,
    seed: u64,
    meaning: &dyn Fn(u64) -> Meaning,
    troubled: bool,
    edns_lost: bool,
) -> Vec<Allowed> {
    if intent.view == View::Stranger {
        return vec![Allowed::bare(rcode::REFUSED)];
    }
    let mut list = match intent.what {
        What::Malformed => return Vec::new(),
        _ if intent.rtype == rtype::RRSIG || matches!(intent.rtype, 251 | 252 | 128..=249) => {
            return vec![Allowed::bare(rcode::REFUSED)];
        }
        What::Name(_) | What::Missing if intent.rtype == rtype::ANY => {
            // The records of HINFO are looked at by their type alone.
            return vec![Allowed { rtype: 13, ..Allowed::bare(rcode::NOERROR) }];
        }
        What::Ipv4Only if intent.view == View::Off => vec![Allowed::bare(rcode::NXDOMAIN)],
        What::Ipv4Only => return vec![ipv4_only(intent)],
        What::Missing => vec![Allowed::bare(rcode::NXDOMAIN)],
        What::Reverse(prefix, address) => reverse(intent, seed, prefix, address),
        What::Name(number) => name(intent, number, &meaning(number), troubled, edns_lost),
    };
    if troubled && !matches!(list.as_slice(), [Allowed { rcode: rcode::REFUSED, .. }]) {
        list.push(Allowed::bare(rcode::SERVFAIL));
    }
    if !intent.recursion_desired {
        list.push(Allowed::bare(rcode::REFUSED));
    }
    list
}

fn ipv4_only(intent: &Intent) -> Allowed {
    let owner = b"\x08ipv4only\x04arpa\0".to_vec();
    let addresses = [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];
    let rdata = match intent.rtype {
        rtype::A => addresses.iter().map(|address| address.octets().to_vec()).collect(),
        rtype::AAAA if !intent.checking_disabled => {
            let mut rdata: Vec<Vec<u8>> = Vec::new();
            for prefix in intent.view.prefixes() {
                rdata.extend(
                    addresses.iter().map(|address| embed(prefix, *address).octets().to_vec()),
                );
            }
            rdata
        }
        _ => Vec::new(),
    };
    let (rtype, ttl_max) = (intent.rtype, 600);
    sorted(Allowed { owner, rtype, rdata, ttl_max, ..Allowed::bare(rcode::NOERROR) })
}

fn sorted(mut allowed: Allowed) -> Allowed {
    allowed.rdata.sort();
    allowed
}

fn reverse(
    intent: &Intent,
    seed: u64,
    prefix: (Ipv6Addr, usize),
    address: Ipv4Addr,
) -> Vec<Allowed> {
    let well_known = prefix == View::Default.prefixes()[0];
    let configured = intent.view.prefixes().contains(&prefix);
    // RFC 6147 5.3.1: every configured prefix, or the well-known one.
    if intent.view == View::Off || !(configured || well_known) || intent.rtype != rtype::PTR {
        let local = intent.view != View::Off && (configured || well_known);
        let mut list = vec![Allowed::bare(rcode::NXDOMAIN)];
        if local {
            list.push(Allowed::bare(rcode::NOERROR));
        }
        return list;
    }
    let [a, b, ..] = address.octets();
    if well_known && (a == 10 || (a, b) == (192, 168)) {
        return vec![Allowed::bare(rcode::NXDOMAIN)];
    }
    let asked = zone::ip6_arpa(embed(prefix, address));
    let target = zone::in_addr_arpa(address);
    match zone::ptr_of(seed, address) {
        None => vec![Allowed::bare(rcode::NXDOMAIN)],
        Some((host, ttl)) => {
            let direct = intent.view == View::Odd;
            let links = if direct { Vec::new() } else { vec![(asked.clone(), target.clone())] };
            vec![Allowed {
                links,
                owner: if direct { asked } else { target.clone() },
                rtype: rtype::PTR,
                rdata: vec![host],
                ttl_max: clamp(ttl),
                origin: Some((target, rtype::PTR, clamp(ttl), clamp(ttl))),
                ..Allowed::bare(rcode::NOERROR)
            }]
        }
    }
}

fn name(
    intent: &Intent,
    number: u64,
    meaning: &Meaning,
    troubled: bool,
    edns_lost: bool,
) -> Vec<Allowed> {
    let native = |rtype: u16, outcome: Outcome| of_outcome(intent, number, meaning, rtype, outcome);
    let view = intent.view;
    let own = outcome(meaning, intent.rtype);
    let synthesizes = intent.rtype == rtype::AAAA
        && !view.prefixes().is_empty()
        && !intent.checking_disabled
        && !view.bypasses(number);
    if !synthesizes {
        return vec![native(intent.rtype, own)];
    }
    let mut list = vec![synthesize(intent, number, meaning, own)];
    if own == Outcome::Bogus && edns_lost {
        list.push(synthesize(intent, number, meaning, Outcome::Failure));
    }
    if troubled && view != View::Two {
        list.push(synthesize(intent, number, meaning, Outcome::Failure));
    }
    if troubled && view.ignores(number) {
        list.push(native(rtype::AAAA, own));
    }
    list
}

/// An upstream answer passed on.
fn of_outcome(
    intent: &Intent,
    number: u64,
    meaning: &Meaning,
    rtype: u16,
    outcome: Outcome,
) -> Allowed {
    let code = match outcome {
        Outcome::Records | Outcome::NoData => rcode::NOERROR,
        Outcome::NxDomain => rcode::NXDOMAIN,
        Outcome::Failure | Outcome::Bogus => return Allowed::bare(rcode::SERVFAIL),
    };
    let names = zone::chain(number, meaning);
    let mut links: Vec<_> =
        names.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    if let Links::Dname(_) = meaning.links {
        links.insert(0, (names[0][2..].to_vec(), names[1][2..].to_vec()));
    }
    let rdata = if outcome == Outcome::Records { meaning.rdata(rtype) } else { Vec::new() };
    let ttl = clamp(meaning.ttl(rtype));
    let life = if links.is_empty() { ttl } else { ttl.min(clamp(meaning.link_ttl)) };
    let dnssec_ok = intent.edns.is_some_and(|(_, dnssec_ok)| dnssec_ok);
    sorted(Allowed {
        rcode: code,
        links,
        owner: names.last().cloned().unwrap_or_default(),
        rtype,
        ttl_max: if rdata.is_empty() { u32::MAX } else { ttl },
        origin: (!rdata.is_empty()).then(|| (names[0].clone(), rtype, ttl, life)),
        rdata,
        authentic: meaning.authentic && (dnssec_ok || intent.wants_authentic),
    })
}

/// RFC 6147 5.1.
fn synthesize(intent: &Intent, number: u64, meaning: &Meaning, own: Outcome) -> Allowed {
    let view = intent.view;
    let native = of_outcome(intent, number, meaning, rtype::AAAA, own);
    let mut denial = None;
    let mut give_back = false;
    match own {
        Outcome::NxDomain | Outcome::Bogus => return native,
        Outcome::Failure if view == View::Two => return native,
        Outcome::Failure => {}
        Outcome::NoData => denial = meaning.soa,
        Outcome::Records if view.ignores(number) => give_back = true,
        Outcome::Records => {
            let kept: Vec<Vec<u8>> = meaning
                .aaaa
                .iter()
                .filter(|address| !view.excludes(**address))
                .map(|address| address.octets().to_vec())
                .collect();
            if kept.len() == meaning.aaaa.len() {
                return native;
            }
            if !kept.is_empty() {
                return sorted(Allowed { rdata: kept, authentic: false, ..native });
            }
        }
    }
    let a = outcome(meaning, rtype::A);
    let of_a = Allowed { authentic: false, ..of_outcome(intent, number, meaning, rtype::A, a) };
    let mut rdata: Vec<Vec<u8>> = Vec::new();
    if a == Outcome::Records {
        for (index, prefix) in view.prefixes().into_iter().enumerate() {
            let mapped = meaning.a.iter().filter(|address| view.maps(index, **address));
            rdata.extend(mapped.map(|address| embed(prefix, *address).octets().to_vec()));
        }
    }
    if rdata.is_empty() {
        return match a {
            _ if give_back => native,
            Outcome::NoData if own == Outcome::Failure => Allowed::bare(rcode::SERVFAIL),
            Outcome::Records => {
                Allowed { rdata: Vec::new(), ttl_max: u32::MAX, origin: None, ..of_a }
            }
            Outcome::NoData | Outcome::NxDomain | Outcome::Failure | Outcome::Bogus => of_a,
        };
    }
    // RFC 6147 5.1.7, with RFC 2308 5 for what the TTL of a denial is.
    let bound = denial.map_or(600, denial_ttl);
    sorted(Allowed { rtype: rtype::AAAA, rdata, ttl_max: of_a.ttl_max.min(bound), ..of_a })
}
