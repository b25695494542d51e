//! Views by the address that was asked: which of the tables of clients holds for a query.
//!
//! Where no view has a `listen` list there is one table, and nothing is looked at. Else each place
//! of the list of listen addresses has its table; a place that listens on every address has one
//! more for each address that a view names with its port.

use std::net::{IpAddr, SocketAddr};

use super::settings::ViewSettings;

/// The tables by place and address.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    /// For each listen address; empty where all queries have the first table.
    places: Vec<Place>,
}

/// What holds for queries to one listen address.
#[derive(Clone, Debug)]
struct Place {
    /// The table.
    table: u16,
    /// Tables for some of the addresses of a place that listens on all.
    by_address: Vec<(IpAddr, u16)>,
}

impl Places {
    /// The places of these listen addresses, and for each table the views that take part in it, as
    /// places in `views`. The first table is that of queries whose place is not known.
    pub(super) fn new(listen: &[SocketAddr], views: &[ViewSettings]) -> (Self, Vec<Vec<usize>>) {
        let everywhere = (0..views.len()).filter(|index| views[*index].listen.is_none()).collect();
        let mut tables: Vec<Vec<usize>> = vec![everywhere];
        if views.iter().all(|view| view.listen.is_none()) {
            return (Self::default(), tables);
        }
        let mut table_at = |bound: SocketAddr, asked: IpAddr| {
            let takes_part = |index: &usize| {
                let list = views[*index].listen.as_ref();
                list.is_none_or(|list| list.iter().any(|entry| is_asked(*entry, bound, asked)))
            };
            let part: Vec<usize> = (0..views.len()).filter(takes_part).collect();
            let known = tables.iter().position(|table| *table == part);
            let place = known.unwrap_or_else(|| {
                tables.push(part);
                tables.len() - 1
            });
            u16::try_from(place).expect("the configuration counts views and listen addresses")
        };
        let named = || views.iter().filter_map(|view| view.listen.as_ref()).flatten();
        let place = |bound: &SocketAddr| Place {
            table: table_at(*bound, bound.ip()),
            by_address: named()
                .filter(|entry| bound.ip().is_unspecified() && entry.port() == bound.port())
                .map(|entry| (entry.ip(), table_at(*bound, entry.ip())))
                .collect(),
        };
        (Self { places: listen.iter().map(place).collect() }, tables)
    }

    /// The table for a query to this place of the list of listen addresses, sent to this address.
    #[inline]
    pub(super) fn table(&self, place: u16, asked: IpAddr) -> usize {
        if self.places.is_empty() {
            return 0;
        }
        let Some(place) = self.places.get(usize::from(place)) else { return 0 };
        let named = place.by_address.iter().find(|(address, _)| *address == asked);
        usize::from(named.map_or(place.table, |(_, table)| *table))
    }
}

/// Whether a query that came to the listen address `bound`, sent to `asked`, is of this entry.
fn is_asked(entry: SocketAddr, bound: SocketAddr, asked: IpAddr) -> bool {
    // An entry that is every address means all queries of that listen address.
    entry.port() == bound.port() && (entry.ip() == asked || entry == bound)
}
