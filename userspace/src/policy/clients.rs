//! Who a client is to us: one table look-up from its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

use super::list::AddressList;
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
    /// Whether it may ask at all; others get REFUSED.
    pub allowed: bool,
    /// The first view whose `clients` list has it.
    pub view: ViewId,
    /// The prefixes of the view whose `clients` list has it; empty where DNS64 is not done.
    pub prefixes: PrefixMask,
}

/// The class of every address. IPv4 and IPv6 are separate tables, so that an IPv4 look-up compares
/// 32 bits.
#[derive(Clone, Debug)]
pub(super) struct ClientTable {
    /// By IPv4 address.
    v4: RangeTable<u32, ClientClass>,
    /// By IPv6 address.
    v6: RangeTable<u128, ClientClass>,
}

impl ClientTable {
    /// The table of an access list and views, of which the first has the clients of no other.
    pub(super) fn new(allow: &AddressList, views: &[ViewSettings]) -> Self {
        Self {
            v4: flatten(allow, views, AddressList::flatten_v4),
            v6: flatten(allow, views, AddressList::flatten_v6),
        }
    }

    /// The class of a client. An IPv4-mapped address is the IPv4 address in it: that is how an IPv4
    /// client looks on a socket that takes both families.
    pub(super) fn classify(&self, client: IpAddr) -> ClientClass {
        match client.to_canonical() {
            IpAddr::V4(address) => self.v4.lookup(address.to_bits()),
            IpAddr::V6(address) => self.v6.lookup(address.to_bits()),
        }
    }

    /// Every network of addresses of one class, IPv4 before IPv6.
    pub(super) fn networks(&self) -> impl Iterator<Item = (IpNet, ClientClass)> + '_ {
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
    pub(super) fn allowed_classes(&self) -> Vec<ClientClass> {
        let mut classes = Vec::new();
        for class in self.v4.values().chain(self.v6.values()) {
            if class.allowed && !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
    }

    /// Whether any address is of this view.
    pub(super) fn has_clients(&self, view: ViewId) -> bool {
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
    views: &[ViewSettings],
    flatten_list: fn(&AddressList) -> RangeTable<K, bool>,
) -> RangeTable<K, ClientClass> {
    // An absent list has every client.
    let flatten_option = |list: &Option<AddressList>| match list {
        Some(list) => flatten_list(list),
        None => RangeTable::constant(true),
    };
    let allow = flatten_list(allow);
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
    let places = lists.chain([&allow]).flat_map(RangeTable::starts);
    RangeTable::from_places(places, |place| {
        let named = views.iter().skip(1).position(|view| view.clients.lookup(place));
        let index = named.map_or(0, |position| position + 1);
        let prefixes = &views[index].prefixes;
        ClientClass {
            allowed: allow.lookup(place),
            view: ViewId(u16::try_from(index).expect("the configuration counts the views")),
            prefixes: PrefixMask::of(
                (0..prefixes.len()).filter(|index| prefixes[*index].lookup(place)),
            ),
        }
    })
}
