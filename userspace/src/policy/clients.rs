//! Who a client is to us: one table look-up from its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::list::AddressList;
use super::listen::Places;
use super::mask::PrefixMask;
use super::range::{RangeKey, RangeTable};
use super::settings::ViewSettings;

/// A view, by its place in [`Policy::views`](super::Policy::views).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewId(pub u16);

impl ViewId {
    /// The view of clients that no `[[view]]` names: the `[dns64]` table.
    pub const DEFAULT: Self = Self(0);
}

/// What the configuration says of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientClass {
    /// Whether it may ask at all; others get REFUSED, or nothing.
    pub allowed: bool,
    /// Whether its queries are thrown away. Never with `allowed`.
    pub dropped: bool,
    /// The first view whose `clients` list has it.
    pub view: ViewId,
    /// The prefixes of the view whose `clients` list has it; empty where DNS64 is not done.
    pub prefixes: PrefixMask,
}

impl ClientClass {
    /// The class of addresses whose clients are of different classes, by the address they ask: only
    /// whether they may ask is said of them.
    const fn several(self) -> Self {
        Self { view: ViewId(u16::MAX), prefixes: PrefixMask::EMPTY, ..self }
    }

    /// Whether this is the class of addresses of several.
    const fn is_several(self) -> bool {
        self.view.0 == u16::MAX
    }
}

/// The classes of all clients, by the address they ask.
#[derive(Clone, Debug)]
pub(super) struct Clients {
    /// Which table holds for a query.
    places: Places,
    /// The tables; at least one.
    tables: Vec<ClientTable>,
    /// What all tables say alike; there where they do not, [`ClientClass::several`].
    common: ClientTable,
}

impl Clients {
    /// The classes by two access lists, of which the second comes first, and views, of which the
    /// first has the clients of no other.
    pub(super) fn new(
        allow: &AddressList,
        drop: &AddressList,
        views: &[ViewSettings],
        listen: &[SocketAddr],
    ) -> Self {
        let (places, parts) = Places::new(listen, views);
        let tables: Vec<ClientTable> =
            parts.iter().map(|part| ClientTable::new(allow, drop, views, part)).collect();
        Self { places, common: ClientTable::common(&tables), tables }
    }

    /// The class of a client by where its query came.
    #[inline]
    pub(super) fn classify(&self, client: IpAddr, place: u16, asked: IpAddr) -> ClientClass {
        self.tables[self.places.table(place, asked)].classify(client)
    }

    /// Every network of addresses of one class, IPv4 before IPv6.
    pub(super) fn networks(&self) -> impl Iterator<Item = (IpNet, ClientClass)> + '_ {
        self.common.networks()
    }

    /// The different classes of clients that may ask, wherever they ask.
    pub(super) fn allowed_classes(&self) -> Vec<ClientClass> {
        let mut classes = self.common.allowed_classes();
        classes.retain(|class| !class.is_several());
        classes
    }

    /// Whether any address is of this view.
    pub(super) fn has_clients(&self, view: ViewId) -> bool {
        self.tables.iter().any(|table| table.has_clients(view))
    }
}

/// The class of every address. IPv4 and IPv6 are separate tables, so that an IPv4 look-up compares
/// 32 bits.
#[derive(Clone, Debug)]
struct ClientTable {
    /// By IPv4 address.
    v4: RangeTable<u32, ClientClass>,
    /// By IPv6 address.
    v6: RangeTable<u128, ClientClass>,
}

impl ClientTable {
    /// The table of these views, by their places in `views`.
    fn new(
        allow: &AddressList,
        drop: &AddressList,
        views: &[ViewSettings],
        part: &[usize],
    ) -> Self {
        Self {
            v4: flatten(allow, drop, views, part, AddressList::flatten_v4),
            v6: flatten(allow, drop, views, part, AddressList::flatten_v6),
        }
    }

    /// What these tables say alike.
    fn common(tables: &[Self]) -> Self {
        Self {
            v4: agreed(&tables.iter().map(|table| &table.v4).collect::<Vec<_>>()),
            v6: agreed(&tables.iter().map(|table| &table.v6).collect::<Vec<_>>()),
        }
    }

    /// The class of a client. An IPv4-mapped address is the IPv4 address in it: that is how an IPv4
    /// client looks on a socket that takes both families.
    fn classify(&self, client: IpAddr) -> ClientClass {
        match client.to_canonical() {
            IpAddr::V4(address) => self.v4.lookup(address.to_bits()),
            IpAddr::V6(address) => self.v6.lookup(address.to_bits()),
        }
    }

    /// Every network of addresses of one class, IPv4 before IPv6.
    fn networks(&self) -> impl Iterator<Item = (IpNet, ClientClass)> + '_ {
        let v4 = self.v4.ranges().flat_map(|(first, last, class)| {
            let networks = Ipv4Subnets::new(Ipv4Addr::from(first), Ipv4Addr::from(last), 0);
            networks.map(move |network| (IpNet::V4(network), class))
        });
        let v6 = self.v6.ranges().flat_map(|(first, last, class)| {
            let networks = Ipv6Subnets::new(Ipv6Addr::from(first), Ipv6Addr::from(last), 0);
            networks.map(move |network| (IpNet::V6(network), class))
        });
        v4.chain(v6)
    }

    /// The different classes of clients that may ask.
    fn allowed_classes(&self) -> Vec<ClientClass> {
        let mut classes = Vec::new();
        for class in self.v4.values().chain(self.v6.values()) {
            if class.allowed && !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
    }

    /// Whether any address is of this view.
    fn has_clients(&self, view: ViewId) -> bool {
        self.v4.values().chain(self.v6.values()).any(|class| class.view == view)
    }
}

/// The lists of a view in one address family.
struct FlatView<K> {
    /// The clients of the view.
    clients: RangeTable<K, bool>,
    /// The clients of each prefix; none where DNS64 is not done.
    prefixes: Vec<RangeTable<K, bool>>,
}

/// One family's table.
fn flatten<K: RangeKey>(
    allow: &AddressList,
    drop: &AddressList,
    views: &[ViewSettings],
    part: &[usize],
    flatten_list: fn(&AddressList) -> RangeTable<K, bool>,
) -> RangeTable<K, ClientClass> {
    // An absent list has every client.
    let flatten_option = |list: &Option<AddressList>| match list {
        Some(list) => flatten_list(list),
        None => RangeTable::constant(true),
    };
    let (allow, drop) = (flatten_list(allow), flatten_list(drop));
    let views: Vec<FlatView<K>> = views
        .iter()
        .map(|view| FlatView {
            clients: flatten_option(&view.clients),
            prefixes: match (view.enabled, view.prefixes.is_empty()) {
                (false, _) => Vec::new(),
                // No prefix configured stands for 64:ff9b::/96, and that for every client.
                (true, true) => vec![RangeTable::constant(true)],
                (true, false) => {
                    view.prefixes.iter().map(|prefix| flatten_option(&prefix.clients)).collect()
                }
            },
        })
        .collect();
    let lists = views.iter().flat_map(|view| view.prefixes.iter().chain([&view.clients]));
    let places = lists.chain([&allow, &drop]).flat_map(RangeTable::starts);
    RangeTable::from_places(places, |place| {
        let mut named = part.iter().copied().filter(|index| *index > 0);
        let index = named.find(|index| views[*index].clients.lookup(place)).unwrap_or(0);
        let prefixes = &views[index].prefixes;
        ClientClass {
            allowed: allow.lookup(place) && !drop.lookup(place),
            dropped: drop.lookup(place),
            view: ViewId(u16::try_from(index).expect("the configuration counts the views")),
            prefixes: PrefixMask::of(
                (0..prefixes.len()).filter(|index| prefixes[*index].lookup(place)),
            ),
        }
    })
}

/// What tables of one family say alike.
fn agreed<K: RangeKey>(tables: &[&RangeTable<K, ClientClass>]) -> RangeTable<K, ClientClass> {
    let places = tables.iter().flat_map(|table| table.starts());
    RangeTable::from_places(places, |place| {
        let class = tables[0].lookup(place);
        let agree = tables.iter().all(|table| table.lookup(place) == class);
        if agree { class } else { class.several() }
    })
}
