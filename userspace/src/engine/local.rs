//! Answers that are made here and never asked for: ipv4only.arpa (RFC 8880), what lies under a
//! Pref64 in ip6.arpa without being the name of an IPv4 address, and ANY (RFC 8482).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::answer::POINTER_TO_QUESTION;
use crate::answer::encode::{ReplyWriter, Request};
use crate::limits::HEADER_LEN;
use crate::policy::{ClientClass, PrefixMask, PtrMode, View};
use crate::pref64::{Pref64, WELL_KNOWN};
use crate::reverse::{ReverseV6, parse_in_addr_arpa};
use crate::wire::header::Rcode;
use crate::wire::name::Name;
use crate::wire::question::{Class, Question, Rtype};

use super::cached::Written;
use super::plan::PlanFlags;

/// The well-known IPv4 addresses of ipv4only.arpa (RFC 7050 2.2).
const WELL_KNOWN_ADDRESSES: [Ipv4Addr; 2] =
    [Ipv4Addr::new(192, 0, 0, 170), Ipv4Addr::new(192, 0, 0, 171)];

/// `ipv4only.arpa.` in wire form.
const IPV4ONLY_ARPA: &[u8] = b"\x08ipv4only\x04arpa\x00";

/// TTL of the answers made here. Clients that learn a prefix ask again after it (RFC 7050 3), so
/// it bounds how long a prefix that is given up stays in use.
const TTL_SECS: u32 = 600;

/// TTL of the answer to ANY, as in the example of RFC 8482 4.2.
const TTL_ANY_SECS: u32 = 3_600;

/// RDATA of HINFO that says ANY is not answered (RFC 8482 4.2): "RFC8482" and an empty string.
const HINFO_ANY: &[u8] = b"\x07RFC8482\x00";

/// An answer that is made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LocalAnswer {
    /// The well-known IPv4 addresses.
    WellKnownA,
    /// The well-known IPv4 addresses under every prefix of the client.
    WellKnownAaaa,
    /// PTR ipv4only.arpa.
    WellKnownPtr,
    /// The SOA of a zone that is served here; the zone's name starts at this octet of the asked
    /// one.
    Soa(u8),
    /// The name exists without such records, in the zone that starts at this octet.
    NoData(u8),
    /// The name does not exist, in the zone that starts at this octet.
    NxDomain(u8),
    /// RFC 8482: ANY gets HINFO.
    Any,
}

impl LocalAnswer {
    /// The answer to a question of class IN for a name in arpa, if it is made here. `reverse` is
    /// what the name says in ip6.arpa.
    pub(super) fn of(
        question: &Question<'_>,
        reverse: ReverseV6,
        flags: PlanFlags,
        client: ClientClass,
        view: &View,
    ) -> Option<Self> {
        // Without DNS64 for this client we are an ordinary forwarder, perhaps in front of another
        // DNS64 whose prefix it must be able to learn.
        if client.prefixes.is_empty() {
            return None;
        }
        let local = view.ipv4only.then(|| well_known(question, flags)).flatten();
        local.or_else(|| under_prefix(question, reverse, view))
    }

    /// Writes the reply.
    pub(super) fn write(
        self,
        out: &mut [u8],
        request: &Request<'_>,
        view: &View,
        prefixes: PrefixMask,
    ) -> Written {
        let rcode = match self {
            Self::NxDomain(_) => Rcode::NXDOMAIN,
            Self::WellKnownA
            | Self::WellKnownAaaa
            | Self::WellKnownPtr
            | Self::Soa(_)
            | Self::NoData(_)
            | Self::Any => Rcode::NOERROR,
        };
        let mut reply = ReplyWriter::new(out, request, rcode);
        let mut record = |rtype, ttl_secs, rdata: &[u8]| {
            reply.record(POINTER_TO_QUESTION, rtype, Class::IN, ttl_secs, rdata);
        };
        match self {
            Self::WellKnownA => {
                for address in WELL_KNOWN_ADDRESSES {
                    record(Rtype::A, TTL_SECS, &address.octets());
                }
            }
            Self::WellKnownAaaa => {
                for index in prefixes.indices() {
                    for address in WELL_KNOWN_ADDRESSES {
                        let embedded = view.prefixes[index].pref64.embed(address);
                        record(Rtype::AAAA, TTL_SECS.min(view.ttl_max_secs()), &embedded.octets());
                    }
                }
            }
            Self::WellKnownPtr => record(Rtype::PTR, TTL_SECS, IPV4ONLY_ARPA),
            Self::Any => record(Rtype::HINFO, TTL_ANY_SECS, HINFO_ANY),
            Self::Soa(zone) => record(Rtype::SOA, TTL_SECS, &soa_rdata(zone, TTL_SECS)),
            Self::NoData(zone) | Self::NxDomain(zone) => {
                let owner = pointer_into_question(zone);
                let soa = soa_rdata(zone, TTL_SECS);
                reply.authority_record(owner, Rtype::SOA, Class::IN, TTL_SECS, &soa);
            }
        }
        Written { len: reply.finish(None), rcode, synthesized: self == Self::WellKnownAaaa }
    }
}

/// The pointer to the part of the asked name that starts at this octet.
fn pointer_into_question(octet: u8) -> u16 {
    0xc000 | (HEADER_LEN as u16 + u16::from(octet))
}

/// SOA of a zone that only exists here, as RFC 6303 3 has it for such zones. The zone's name starts
/// at this octet of the asked one.
pub(super) fn soa_rdata(zone: u8, minimum_secs: u32) -> [u8; 38] {
    let mut rdata = [0; 38];
    rdata[..2].copy_from_slice(&pointer_into_question(zone).to_be_bytes());
    rdata[2..18].copy_from_slice(b"\x06nobody\x07invalid\x00");
    // Serial, refresh, retry, expire, minimum.
    for (field, value) in
        rdata[18..].chunks_exact_mut(4).zip([1, 3_600, 1_200, 604_800, minimum_secs])
    {
        field.copy_from_slice(&value.to_be_bytes());
    }
    rdata
}

/// ipv4only.arpa and the reverse names of its addresses (RFC 8880 7.1, 7.2).
fn well_known(question: &Question<'_>, flags: PlanFlags) -> Option<LocalAnswer> {
    let name = question.name;
    let apex = Name::from_wire(IPV4ONLY_ARPA).ok()?;
    if name.is_subdomain_of(apex) {
        let zone = (name.as_wire().len() - IPV4ONLY_ARPA.len()) as u8;
        if zone > 0 {
            return Some(LocalAnswer::NxDomain(zone));
        }
        return match question.rtype {
            // RFC 8880 7.1: DS is the one type that is resolved the normal way.
            Rtype::DS => None,
            Rtype::A | Rtype::ANY => Some(LocalAnswer::WellKnownA),
            // RFC 7050 3: a client clears CD when it wants the prefix.
            Rtype::AAAA if flags.checking_disabled => Some(LocalAnswer::NoData(0)),
            Rtype::AAAA => Some(LocalAnswer::WellKnownAaaa),
            Rtype::SOA => Some(LocalAnswer::Soa(0)),
            _ => Some(LocalAnswer::NoData(0)),
        };
    }
    let address = parse_in_addr_arpa(name)?;
    if !WELL_KNOWN_ADDRESSES.contains(&address) {
        return None;
    }
    match question.rtype {
        Rtype::DS => None,
        Rtype::PTR | Rtype::ANY => Some(LocalAnswer::WellKnownPtr),
        Rtype::SOA => Some(LocalAnswer::Soa(0)),
        _ => Some(LocalAnswer::NoData(0)),
    }
}

/// Names under a Pref64 that are not the PTR of an IPv4 address: nobody else can know of them, so
/// they are not asked for.
fn under_prefix(question: &Question<'_>, reverse: ReverseV6, view: &View) -> Option<LocalAnswer> {
    if view.ptr == PtrMode::Off {
        return None;
    }
    let (address, bits) = reverse.known_bits()?;
    let pref64 = prefix_of(address, bits, view)?;
    let zone = zone_start(question.name, pref64)?;
    if question.rtype == Rtype::DS && bits == pref64.length().bits() {
        return None;
    }
    let at_apex = bits == pref64.length().bits();
    match reverse {
        ReverseV6::Partial { .. } if at_apex && question.rtype == Rtype::SOA => {
            Some(LocalAnswer::Soa(zone))
        }
        // RFC 8020: below an empty non-terminal there may be names, so it exists.
        ReverseV6::Partial { .. } if u_octet_agrees(address, bits, pref64) => {
            Some(LocalAnswer::NoData(zone))
        }
        ReverseV6::Partial { .. } | ReverseV6::Below(_) | ReverseV6::Malformed { .. } => {
            Some(LocalAnswer::NxDomain(zone))
        }
        ReverseV6::Address(address) => {
            // RFC 6052 2.2: bits 64 to 71 that are not zero make it no IPv4-embedded address.
            let Some(v4) = pref64.extract(address) else {
                return Some(LocalAnswer::NxDomain(zone));
            };
            let asks_ptr = matches!(question.rtype, Rtype::PTR | Rtype::ANY);
            if view.ipv4only && WELL_KNOWN_ADDRESSES.contains(&v4) {
                return Some(if asks_ptr {
                    LocalAnswer::WellKnownPtr
                } else {
                    LocalAnswer::NoData(zone)
                });
            }
            // RFC 6303: nobody outside knows private addresses, and none should be asked.
            if pref64.is_well_known() && view.non_global(v4) {
                return Some(LocalAnswer::NxDomain(zone));
            }
            (!asks_ptr).then_some(LocalAnswer::NoData(zone))
        }
        ReverseV6::NotReverse => None,
    }
}

/// The longest prefix of the view, or the Well-Known Prefix (RFC 6147 5.3.1), of which these first
/// bits of an address leave no doubt.
fn prefix_of(address: Ipv6Addr, bits: u8, view: &View) -> Option<Pref64> {
    let prefixes = view.prefixes.iter().map(|prefix| prefix.pref64).chain([WELL_KNOWN]);
    prefixes
        .filter(|pref64| pref64.length().bits() <= bits && pref64.covers(address))
        .max_by_key(|pref64| pref64.length())
}

/// Whether bits 64 to 71, where they are known, are those of the prefix.
fn u_octet_agrees(address: Ipv6Addr, bits: u8, pref64: Pref64) -> bool {
    // A nibble of zeros that is not known yet agrees with everything.
    bits <= 64 || pref64.extract(address).is_some()
}

/// Where in the asked name the name of the prefix starts.
fn zone_start(name: Name<'_>, pref64: Pref64) -> Option<u8> {
    // The zone has a label for each nibble, and "ip6" and "arpa": two octets a nibble and ten more.
    let zone_len = usize::from(pref64.length().bits() / 4) * 2 + 10;
    u8::try_from(name.as_wire().len().checked_sub(zone_len)?).ok()
}
