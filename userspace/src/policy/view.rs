//! A view: what DNS64 does for one group of clients.
//!
//! The options are those of BIND's `dns64 {}` block, and so is the way they combine. A client has
//! the prefixes whose `clients` list it is in; an IPv4 address gets one AAAA under each of them
//! whose `mapped` list it is in; and an AAAA counts as absent only if *every* prefix of the client
//! excludes it: a prefix that lets it pass is enough to keep it, and a client without prefixes
//! keeps all.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::mask::PrefixMask;
use super::names::{NameMap, NameSet};
use super::range::{RangePainter, RangeTable};
use super::settings::{PoolUse, PtrMode, Trigger, ViewSettings};
use crate::limits::PREFIXES_MAX;
use crate::pref64::{Pref64, WELL_KNOWN};

/// A prefix of a view: what the answer path needs of it beside the tables of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix with its suffix.
    pub pref64: Pref64,
    /// Whether the prefix serves recursive queries only.
    pub recursive_only: bool,
    /// Whether the prefix serves clients that ask for DNSSEC data of signed zones.
    pub break_dnssec: bool,
}

/// The prefix an address lies under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReversePrefix {
    /// The prefix.
    pub pref64: Pref64,
    /// Its index in the view; `None` for 64:ff9b::/96 where the view does not name it.
    pub index: Option<usize>,
}

/// What DNS64 does for one group of clients.
#[derive(Clone, Debug)]
pub struct View {
    /// The name of the view: "default" is the `[dns64]` table itself.
    pub name: String,
    /// Whether DNS64 is done here at all; if not, clients of the view have no prefixes.
    pub enabled: bool,
    /// The prefixes in the order of the configuration; never empty.
    pub prefixes: Vec<Prefix>,
    /// The pool of which each client has one gateway; the prefixes are those of the gateways.
    pub pool: Option<PoolUse>,
    /// Whether every AAAA is ignored (Unbound's dns64-synthall).
    pub synth_all: bool,
    /// How PTR queries are answered.
    pub ptr: PtrMode,
    /// Whether ipv4only.arpa is answered here (RFC 8880).
    pub ipv4only: bool,
    /// What makes us ask for A.
    pub trigger: Trigger,
    /// How long AAAA may be outstanding before A is asked for (RFC 6147 5.1.8).
    pub hold: Duration,
    /// Which prefixes map an IPv4 address.
    mapped: RangeTable<u32, PrefixMask>,
    /// Which prefixes exclude an IPv6 address.
    excluded: RangeTable<u128, PrefixMask>,
    /// Which IPv4 addresses have no place under 64:ff9b::/96.
    non_global: RangeTable<u32, bool>,
    /// The longest prefix an IPv6 address is under.
    reverse: RangeTable<u128, Option<ReversePrefix>>,
    /// Names whose AAAA are ignored.
    ignore_aaaa: NameSet,
    /// Names that are never synthesized for.
    bypass: NameSet,
    /// The prefixes for names, and those for names without a prefix of their own.
    domains: NameMap<PrefixMask>,
    elsewhere: PrefixMask,
    /// The prefixes for recursive queries only.
    recursive_only: PrefixMask,
    /// The prefixes that serve clients that ask for DNSSEC data of signed zones.
    break_dnssec: PrefixMask,
}

impl View {
    /// The view of these settings.
    #[must_use]
    pub fn new(settings: &ViewSettings) -> Self {
        let settings = &with_prefix(settings);
        let prefixes: Vec<Prefix> = settings
            .prefixes
            .iter()
            .map(|prefix| Prefix {
                pref64: prefix.pref64,
                recursive_only: prefix.recursive_only,
                break_dnssec: prefix.break_dnssec,
            })
            .collect();
        assert!(!prefixes.is_empty(), "a view has a prefix");
        assert!(prefixes.len() <= PREFIXES_MAX, "the configuration counts the prefixes");
        let indices_where = |choose: fn(&Prefix) -> bool| {
            PrefixMask::of((0..prefixes.len()).filter(|index| choose(&prefixes[*index])))
        };
        let non_global = non_global(settings);
        Self {
            name: settings.name.clone(),
            enabled: settings.enabled,
            pool: settings.pool,
            synth_all: settings.synth_all,
            ptr: settings.ptr,
            ipv4only: settings.ipv4only,
            trigger: settings.trigger,
            hold: settings.hold,
            mapped: mapped(settings, &non_global),
            excluded: excluded(settings),
            non_global,
            reverse: reverse(settings),
            ignore_aaaa: NameSet::new(&settings.ignore_aaaa),
            bypass: NameSet::new(&settings.bypass),
            domains: domains(settings),
            elsewhere: PrefixMask::of(
                (0..prefixes.len()).filter(|index| settings.prefixes[*index].domains.is_none()),
            ),
            recursive_only: indices_where(|prefix| prefix.recursive_only),
            break_dnssec: indices_where(|prefix| prefix.break_dnssec),
            prefixes,
        }
    }

    /// The longest that what is made here with a prefix may live: what a pool says.
    #[must_use]
    pub fn ttl_max_secs(&self) -> u32 {
        self.pool.map_or(u32::MAX, |pool| pool.ttl_max_secs)
    }

    /// The prefixes that map this IPv4 address (RFC 6147 5.1.7).
    ///
    /// A prefix does if its `mapped` list has the address, `exclude_a` has not, and, under
    /// 64:ff9b::/96 only, [`View::non_global`] does not hold (RFC 6052 3.1).
    #[must_use]
    pub fn mapped(&self, address: Ipv4Addr) -> PrefixMask {
        self.mapped.lookup(address.to_bits())
    }

    /// Which of a client's prefixes are for this name (uncompressed wire form): those of the
    /// longest domain it is in, of the domains that the client's prefixes name; and where it is in
    /// none of them, the prefixes without domains.
    #[inline]
    #[must_use]
    pub fn prefixes_for(&self, name: &[u8], prefixes: PrefixMask) -> PrefixMask {
        if self.domains.is_empty() {
            return prefixes;
        }
        let of_client = |mask: PrefixMask| !(mask & prefixes).is_empty();
        self.domains.longest_where(name, of_client).unwrap_or(self.elsewhere) & prefixes
    }

    /// Whether this AAAA counts as absent for a client with these prefixes (RFC 6147 5.1.4).
    ///
    /// It does if each of the prefixes excludes it. A client without prefixes keeps every AAAA.
    #[must_use]
    pub fn is_absent(&self, address: Ipv6Addr, prefixes: PrefixMask) -> bool {
        !prefixes.is_empty() && prefixes.without(self.excluded.lookup(address.to_bits())).is_empty()
    }

    /// Whether [`View::is_absent`] holds for no address.
    #[must_use]
    pub fn excludes_nothing(&self) -> bool {
        self.excluded.sole_value() == Some(PrefixMask::EMPTY)
    }

    /// The prefix this address is under: the longest configured one, else 64:ff9b::/96, which a
    /// PTR query is compared with whatever is configured (RFC 6147 5.3.1). `None` in a view where
    /// DNS64 is not done.
    #[must_use]
    pub fn reverse_prefix(&self, address: Ipv6Addr) -> Option<ReversePrefix> {
        self.reverse.lookup(address.to_bits()).filter(|_| self.enabled)
    }

    /// Whether the AAAA of this name (uncompressed wire form) are ignored.
    #[must_use]
    pub fn ignores_aaaa(&self, name: &[u8]) -> bool {
        self.synth_all || self.ignore_aaaa.covers(name)
    }

    /// Whether this name (uncompressed wire form) is never synthesized for.
    #[must_use]
    pub fn bypasses(&self, name: &[u8]) -> bool {
        self.bypass.covers(name)
    }

    /// Every prefix of the view.
    #[must_use]
    pub fn all(&self) -> PrefixMask {
        PrefixMask::of(0..self.prefixes.len())
    }

    /// The prefixes for recursive queries only (BIND's recursive-only).
    #[must_use]
    pub const fn recursive_only(&self) -> PrefixMask {
        self.recursive_only
    }

    /// The prefixes that serve clients that ask for DNSSEC data of signed zones (BIND's
    /// break-dnssec).
    #[must_use]
    pub const fn break_dnssec(&self) -> PrefixMask {
        self.break_dnssec
    }

    /// Whether this IPv4 address has no place under 64:ff9b::/96 (RFC 6052 3.1). Never true of
    /// 192.0.0.170 and 192.0.0.171, by which clients find the prefix (RFC 7050 2.2).
    #[must_use]
    pub fn non_global(&self, address: Ipv4Addr) -> bool {
        self.non_global.lookup(address.to_bits())
    }
}

/// The settings, with 64:ff9b::/96 if they have no prefix (RFC 6147 5.2).
fn with_prefix(settings: &ViewSettings) -> ViewSettings {
    let mut settings = settings.clone();
    if settings.prefixes.is_empty() {
        settings.prefixes.push(super::settings::PrefixSettings::new(WELL_KNOWN));
    }
    settings
}

// ---- Tables

/// Which IPv4 addresses have no place under 64:ff9b::/96.
fn non_global(settings: &ViewSettings) -> RangeTable<u32, bool> {
    // 192.0.0.170 and .171 lie side by side, at the end of one range and the start of none.
    let (first, last) = (0xc000_00aa, 0xc000_00ab);
    let listed = settings.non_global_ipv4.flatten_v4();
    RangeTable::from_places(listed.starts().chain([first, last + 1]), |place| {
        listed.lookup(place) && !(first..=last).contains(&place)
    })
}

/// Which prefixes map an IPv4 address.
fn mapped(
    settings: &ViewSettings,
    non_global: &RangeTable<u32, bool>,
) -> RangeTable<u32, PrefixMask> {
    let excluded = settings.exclude_a.flatten_v4();
    let lists: Vec<RangeTable<u32, bool>> = settings
        .prefixes
        .iter()
        .map(|prefix| match &prefix.mapped {
            Some(list) => list.flatten_v4(),
            None => RangeTable::constant(true),
        })
        .collect();
    let places = lists.iter().chain([&excluded, non_global]).flat_map(RangeTable::starts);
    RangeTable::from_places(places, |place| {
        if excluded.lookup(place) {
            return PrefixMask::EMPTY;
        }
        PrefixMask::of((0..lists.len()).filter(|index| {
            let well_known = settings.prefixes[*index].pref64.is_well_known();
            lists[*index].lookup(place) && !(well_known && non_global.lookup(place))
        }))
    })
}

/// The prefixes of each domain.
fn domains(settings: &ViewSettings) -> NameMap<PrefixMask> {
    let mut masks: BTreeMap<Vec<u8>, PrefixMask> = BTreeMap::new();
    for (index, prefix) in settings.prefixes.iter().enumerate() {
        for domain in prefix.domains.iter().flatten() {
            let mask = masks.entry(domain.to_ascii_lowercase()).or_default();
            *mask = *mask | PrefixMask::of([index]);
        }
    }
    NameMap::new(masks)
}

/// Which prefixes exclude an IPv6 address.
fn excluded(settings: &ViewSettings) -> RangeTable<u128, PrefixMask> {
    let of_the_view = settings.exclude_aaaa.flatten_v6();
    let lists: Vec<RangeTable<u128, bool>> = settings
        .prefixes
        .iter()
        .map(|prefix| match &prefix.exclude_aaaa {
            Some(list) => list.flatten_v6(),
            None => of_the_view.clone(),
        })
        .collect();
    RangeTable::from_places(lists.iter().flat_map(RangeTable::starts), |place| {
        PrefixMask::of((0..lists.len()).filter(|index| lists[*index].lookup(place)))
    })
}

/// The longest prefix an IPv6 address is under.
fn reverse(settings: &ViewSettings) -> RangeTable<u128, Option<ReversePrefix>> {
    let configured = settings.prefixes.iter().enumerate();
    let mut prefixes: Vec<ReversePrefix> = configured
        .map(|(index, prefix)| ReversePrefix { pref64: prefix.pref64, index: Some(index) })
        .collect();
    prefixes.sort_by_key(|prefix| prefix.pref64.length());
    // What is painted later lies on top: 64:ff9b::/96 below all, then from the shortest to the
    // longest.
    prefixes.insert(0, ReversePrefix { pref64: WELL_KNOWN, index: None });
    let mut painter = RangePainter::new(None);
    for prefix in prefixes {
        let network = prefix.pref64.network();
        let (first, last) = (network.network().to_bits(), network.broadcast().to_bits());
        painter.paint(first, last, Some(prefix));
    }
    painter.finish()
}
