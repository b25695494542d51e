//! What a view is made from: the values of `[dns64]` or of a `[[view]]`, already checked.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::list::AddressList;
use super::pool::PoolId;
use crate::pref64::{Pref64, WELL_KNOWN};

/// The IPv4 networks that are not mapped under 64:ff9b::/96 by default (RFC 6052 3.1).
///
/// The documentation networks 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24 are not here:
/// nothing real is in them, and the examples of RFC 6147 7 use them under this prefix.
pub const NON_GLOBAL_IPV4: [Ipv4Net; 11] = {
    const fn network(a: u8, b: u8, c: u8, bits: u8) -> Ipv4Net {
        Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, c, 0), bits)
    }
    [
        network(0, 0, 0, 8),
        network(10, 0, 0, 8),
        network(100, 64, 0, 10),
        network(127, 0, 0, 8),
        network(169, 254, 0, 16),
        network(172, 16, 0, 12),
        network(192, 0, 0, 24),
        network(192, 168, 0, 16),
        network(198, 18, 0, 15),
        network(224, 0, 0, 4),
        network(240, 0, 0, 4),
    ]
};

/// The AAAA that count as absent by default: IPv4-mapped addresses (RFC 6147 5.1.4, which writes
/// "::ffff/96" once and means this).
pub const IPV4_MAPPED: Ipv6Net =
    Ipv6Net::new_assert(std::net::Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);

/// How a PTR query for an address under a prefix is answered (RFC 6147 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PtrMode {
    /// With a CNAME to the in-addr.arpa name and the PTR there (option 2).
    Cname,
    /// With the PTR of the in-addr.arpa name under the asked name, as Unbound does.
    Direct,
    /// Not at all: the query is forwarded.
    Off,
}

/// What makes us ask for A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// No AAAA, and every failure but NXDOMAIN and DNSSEC failures (RFC 6147 5.1.2).
    Error,
    /// No AAAA only.
    Nodata,
}

/// A prefix of a view and its options: BIND's `dns64 {}`. An absent list is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixSettings {
    /// The prefix with its suffix.
    pub pref64: Pref64,
    /// The IPv4 addresses that the prefix maps; `None`: all.
    pub mapped: Option<AddressList>,
    /// The clients that get the prefix; `None`: all of the view.
    pub clients: Option<AddressList>,
    /// The names, and all below them, that the prefix is for, in wire form; `None`: those that no
    /// prefix of the client names.
    pub domains: Option<Vec<Vec<u8>>>,
    /// The AAAA that count as absent under this prefix; `None`: those of the view.
    pub exclude_aaaa: Option<AddressList>,
    /// Whether the prefix serves recursive queries only.
    pub recursive_only: bool,
    /// Whether the prefix serves clients that ask for DNSSEC data of signed zones. RFC 6147 5.5
    /// lets it, and clients of validating stubs and forwarders that always set DO depend on it;
    /// BIND's default is that it does not.
    pub break_dnssec: bool,
}

impl PrefixSettings {
    /// The prefix with every option at its default.
    #[must_use]
    pub const fn new(pref64: Pref64) -> Self {
        Self {
            pref64,
            mapped: None,
            clients: None,
            domains: None,
            exclude_aaaa: None,
            recursive_only: false,
            break_dnssec: true,
        }
    }
}

/// What a view needs of its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// Which pool.
    pub pool: PoolId,
    /// Synthesized answers live at most so many seconds.
    pub ttl_max_secs: u32,
}

/// The values of `[dns64]`, or of a view that has inherited them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewSettings {
    /// Name of the view: unique.
    pub name: String,
    /// The clients of the view; `None`: all.
    pub clients: Option<AddressList>,
    /// The listen addresses, or our addresses with a port, whose queries are of the view; `None`:
    /// all.
    pub listen: Option<Vec<SocketAddr>>,
    /// Whether DNS64 is done here at all.
    pub enabled: bool,
    /// The prefixes, in the order of their AAAA; at most [`crate::limits::PREFIXES_MAX`], each
    /// once. Empty: 64:ff9b::/96 (RFC 6147 5.2).
    pub prefixes: Vec<PrefixSettings>,
    /// The pool whose gateways the prefixes lead through, in its order: each client has one of
    /// them. `None`: each client has all.
    pub pool: Option<PoolUse>,
    /// AAAA that count as absent under every prefix without a list of its own.
    pub exclude_aaaa: AddressList,
    /// IPv4 addresses that are mapped under no prefix.
    pub exclude_a: AddressList,
    /// IPv4 addresses that are not mapped under 64:ff9b::/96.
    pub non_global_ipv4: AddressList,
    /// Names whose AAAA are ignored, in wire form.
    pub ignore_aaaa: Vec<Vec<u8>>,
    /// Names that are never synthesized for, in wire form.
    pub bypass: Vec<Vec<u8>>,
    /// Whether every AAAA is ignored.
    pub synth_all: bool,
    /// How PTR queries are answered.
    pub ptr: PtrMode,
    /// Whether ipv4only.arpa is answered here.
    pub ipv4only: bool,
    /// What makes us ask for A.
    pub trigger: Trigger,
    /// How long AAAA may be outstanding before A is asked for.
    pub hold: Duration,
}

impl Default for ViewSettings {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            clients: None,
            listen: None,
            enabled: true,
            prefixes: vec![PrefixSettings::new(WELL_KNOWN)],
            pool: None,
            exclude_aaaa: AddressList::of([IpNet::V6(IPV4_MAPPED)]),
            exclude_a: AddressList::default(),
            non_global_ipv4: AddressList::of(NON_GLOBAL_IPV4.map(IpNet::V4)),
            ignore_aaaa: Vec::new(),
            bypass: Vec::new(),
            synth_all: false,
            ptr: PtrMode::Cname,
            ipv4only: true,
            trigger: Trigger::Error,
            hold: Duration::from_millis(50),
        }
    }
}
