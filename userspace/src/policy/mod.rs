//! What the configuration means, ready to be asked on the path of every query.
//!
//! A [`Policy`] is a snapshot: it is built once from checked settings and never changes. Workers
//! share it; a new configuration is a new policy. All lists are flattened into tables when it is
//! built (see [`range`]), so that a question about an address is a binary search, and a question
//! about a name at most one binary search for each of its labels. None of them allocates.
//!
//! | question | answered by |
//! |---|---|
//! | may this client ask, and by which rules? | [`Policy::classify`] |
//! | which gateway of a pool does this client have? | [`PoolTable::gateway`] |
//! | which prefixes map this IPv4 address? | [`View::mapped`] |
//! | does this AAAA count as absent? | [`View::is_absent`] |
//! | is this the address of a PTR query we answer? | [`View::reverse_prefix`] |
//! | is this name answered by the operator's rules? | [`rpz::Rpz::decide`] |
//! | who is asked for this name? | [`Policy::servers_for`] |
#![forbid(unsafe_code)]

mod clients;
mod dnssec;
mod limits;
pub mod list;
mod listen;
mod mask;
pub mod names;
mod pool;
pub mod range;
pub mod rpz;
pub mod settings;
mod view;

use std::net::{IpAddr, SocketAddr};

use dns64_ebpf::abi::REFUSED;
use ipnet::IpNet;

use self::clients::Clients;
pub use self::clients::{ClientClass, ViewId};
pub use self::dnssec::{DnssecMode, DnssecPolicy, DnssecSettings};
pub use self::limits::{CachePolicy, Limits, Timing};
pub use self::list::{AddressList, ListEntry, Verdict};
pub use self::mask::PrefixMask;
use self::names::NameMap;
pub use self::pool::{Gateway, PoolId, PoolSettings, PoolTable, SLOTS};
use self::rpz::{Rpz, RpzSettings};
pub use self::settings::{PoolUse, PrefixSettings, PtrMode, Trigger, ViewSettings};
pub use self::view::{Prefix, ReversePrefix, View};
use crate::datagram::{Client, UpstreamId};

/// A group of upstream servers, by its place in [`Policy::groups`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(pub u16);

impl GroupId {
    /// The servers of `[upstream]`, asked where no zone says otherwise.
    pub const DEFAULT: Self = Self(0);
}

/// Upstream servers that are asked for the same names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamGroup {
    /// The servers in the order of the configuration; never empty, each once.
    pub servers: Vec<UpstreamId>,
}

/// What a policy is made from, already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySettings {
    /// Who may ask.
    pub allow: AddressList,
    /// Where queries come; a query's place in this list counts.
    pub listen: Vec<SocketAddr>,
    /// Whose queries are thrown away, whatever `allow` says.
    pub drop: AddressList,
    /// The `[dns64]` table, then each `[[view]]` in order.
    pub views: Vec<ViewSettings>,
    /// The `[[rpz]]` tables, in order.
    pub rpz: Vec<RpzSettings>,
    /// The `[[pool]]` tables in order.
    pub pools: Vec<PoolSettings>,
    /// The servers for every name.
    pub servers: Vec<SocketAddr>,
    /// Zones in wire form, and their servers.
    pub forwards: Vec<(Vec<u8>, Vec<SocketAddr>)>,
    /// The `[cache]` table.
    pub cache: CachePolicy,
    /// Time-outs.
    pub timing: Timing,
    /// The `[limits]` table.
    pub limits: Limits,
    /// The `[dnssec]` table.
    pub dnssec: DnssecSettings,
}

/// What the configuration means: immutable, and everything in it resolved.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The `[dns64]` table, then each `[[view]]` in order.
    pub views: Vec<View>,
    /// The response policy zones.
    pub rpz: Rpz,
    /// The `[[pool]]` tables in order; [`PoolId`] is the place in this list.
    pub pools: Vec<PoolSettings>,
    /// Which servers are asked for which names.
    pub forwards: ForwardTable,
    /// Every upstream server once; [`UpstreamId`] is the place in this list.
    pub upstreams: Vec<SocketAddr>,
    /// Groups of upstream servers; the first is that of `[upstream]`.
    pub groups: Vec<UpstreamGroup>,
    /// The `[cache]` table.
    pub cache: CachePolicy,
    /// Time-outs.
    pub timing: Timing,
    /// The `[limits]` table.
    pub limits: Limits,
    /// The `[dnssec]` table.
    pub dnssec: DnssecPolicy,
    /// Where queries come.
    pub listen: Vec<SocketAddr>,
    /// The class of every client.
    clients: Clients,
    /// The different classes of clients that may ask; an audience is a place in this list, plus 1.
    audiences: Vec<ClientClass>,
}

impl Policy {
    /// The policy of these settings.
    ///
    /// # Panics
    /// If there is no view or no server, or more than fit their identifiers: the configuration has
    /// checked that.
    #[must_use]
    pub fn new(settings: &PolicySettings) -> Self {
        assert!(!settings.views.is_empty(), "the [dns64] table is a view");
        let mut upstreams = Upstreams::default();
        upstreams.add_group(&settings.servers);
        let zones = settings
            .forwards
            .iter()
            .map(|(zone, servers)| (zone.as_slice(), upstreams.add_group(servers)));
        let forwards = ForwardTable { zones: NameMap::new(zones) };
        let clients =
            Clients::new(&settings.allow, &settings.drop, &settings.views, &settings.listen);
        Self {
            audiences: clients.allowed_classes(),
            views: settings.views.iter().map(View::new).collect(),
            rpz: Rpz::new(&settings.rpz, settings.views.iter().map(|view| view.name.as_str())),
            pools: settings.pools.clone(),
            forwards,
            upstreams: upstreams.servers,
            groups: upstreams.groups,
            cache: settings.cache,
            timing: settings.timing,
            limits: settings.limits,
            dnssec: DnssecPolicy::new(&settings.dnssec),
            listen: settings.listen.clone(),
            clients,
        }
    }

    /// What the configuration says of a client, by its address and by where it asks.
    #[inline]
    #[must_use]
    pub fn classify(&self, client: &Client) -> ClientClass {
        self.clients.classify(client.peer.ip(), client.channel.socket(), client.local)
    }

    /// What the configuration says of a client of this address, for a query to this place of the
    /// list of listen addresses and to this address of ours.
    #[must_use]
    pub fn classify_at(&self, client: IpAddr, place: u16, asked: IpAddr) -> ClientClass {
        self.clients.classify(client, place, asked)
    }

    /// The number of the clients of a class among those that get the same answers, from 1 on; 0 for
    /// clients that may not ask, for classes past 65,534, and for clients whose class depends on
    /// the address they ask, which the kernel does not look at.
    #[must_use]
    pub fn audience(&self, class: ClientClass) -> u16 {
        let place = self.audiences.iter().position(|known| *known == class);
        let number = place.and_then(|place| u16::try_from(place + 1).ok());
        number.filter(|number| *number != REFUSED).unwrap_or(0)
    }

    /// How many audiences there are, and so the greatest number of one; at most 65,534.
    #[must_use]
    pub fn audiences(&self) -> u16 {
        u16::try_from(self.audiences.len()).unwrap_or(u16::MAX).min(u16::MAX - 1)
    }

    /// Every network of clients of one class, wherever they ask; together they have all addresses.
    pub fn client_networks(&self) -> impl Iterator<Item = (IpNet, ClientClass)> + '_ {
        self.clients.networks()
    }

    /// Whether there is an address whose client is of this view: if not, its list is empty, or
    /// earlier views have all of it.
    #[must_use]
    pub fn has_clients(&self, view: ViewId) -> bool {
        self.clients.has_clients(view)
    }

    /// The tables of all pools while every gateway serves.
    #[must_use]
    pub fn pool_tables(&self) -> Vec<PoolTable> {
        let all = |pool: &PoolSettings| PrefixMask::of(0..pool.gateways.len());
        self.pools.iter().map(|pool| PoolTable::new(pool, all(pool))).collect()
    }

    /// The view with this identifier.
    #[must_use]
    pub fn view(&self, view: ViewId) -> &View {
        &self.views[usize::from(view.0)]
    }

    /// The servers to ask for a name (uncompressed wire form): those of the longest zone it is in.
    #[must_use]
    pub fn servers_for(&self, name: &[u8]) -> GroupId {
        self.forwards.group_of(name)
    }

    /// The zone that decides which servers are asked for a name: the part of the name, in wire
    /// form, that a `[[forward]]` names; `None`: no zone, and the default servers.
    #[must_use]
    pub fn forwarded_zone<'n>(&self, name: &'n [u8]) -> Option<&'n [u8]> {
        self.forwards.zones.longest_entry(name, |_| true).map(|(zone, _)| zone)
    }

    /// The group with this identifier.
    #[must_use]
    pub fn group(&self, group: GroupId) -> &UpstreamGroup {
        &self.groups[usize::from(group.0)]
    }
}

/// The `[[forward]]` tables: from zones to groups of servers.
#[derive(Clone, Debug, Default)]
pub struct ForwardTable {
    /// Zones and their groups.
    zones: NameMap<GroupId>,
}

impl ForwardTable {
    /// The group of the longest zone that a name (uncompressed wire form) is in.
    #[must_use]
    pub fn group_of(&self, name: &[u8]) -> GroupId {
        self.zones.longest(name).unwrap_or(GroupId::DEFAULT)
    }

    /// How many zones.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.zones.len()
    }

    /// Whether every name goes to the default servers.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}

/// Servers and groups while they are collected.
#[derive(Default)]
struct Upstreams {
    /// Each server once.
    servers: Vec<SocketAddr>,
    /// The groups, in the order they were added.
    groups: Vec<UpstreamGroup>,
}

impl Upstreams {
    /// Adds a group of these servers.
    fn add_group(&mut self, servers: &[SocketAddr]) -> GroupId {
        assert!(!servers.is_empty(), "the configuration refuses an empty list of servers");
        let mut group = Vec::with_capacity(servers.len());
        for server in servers {
            let known = self.servers.iter().position(|known| known == server);
            let index = known.unwrap_or(self.servers.len());
            if known.is_none() {
                self.servers.push(*server);
            }
            let id = UpstreamId(u16::try_from(index).expect("the configuration counts servers"));
            if !group.contains(&id) {
                group.push(id);
            }
        }
        self.groups.push(UpstreamGroup { servers: group });
        GroupId(u16::try_from(self.groups.len() - 1).expect("the configuration counts zones"))
    }
}

#[cfg(test)]
mod tests;
