//! The table of client connections: who may stay when there are too many.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::server::TcpSettings;

/// All connections. Clones are handles to the same table.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Mutex<Table>>);

/// What is known of all connections.
#[derive(Debug)]
struct Table {
    /// By the connection's number.
    entries: HashMap<u64, Entry>,
    /// Idle connections in the order in which they became idle.
    idle: BTreeMap<u64, u64>,
    /// By the client's network.
    clients: HashMap<IpAddr, ClientConnections>,
    /// The number of the next connection, and of the next one to become idle.
    next: u64,
    /// Connections allowed at a time.
    connections_max: usize,
    /// Connections of one client allowed at a time.
    per_client_max: usize,
}

/// One connection.
#[derive(Debug)]
struct Entry {
    /// The network it comes from.
    network: IpAddr,
    /// Where its replies go. Dropping it closes the connection.
    replies: mpsc::Sender<Vec<u8>>,
    /// Its place among the idle ones.
    idle: Option<u64>,
}

/// The connections of one client.
#[derive(Debug, Default)]
struct ClientConnections {
    /// How many there are.
    count: usize,
    /// The idle ones among them, as in [`Table::idle`].
    idle: BTreeMap<u64, u64>,
}

/// How a new connection was taken in.
#[derive(Debug)]
pub(super) struct Admission {
    /// Its place in the table; leaving the table when dropped.
    pub(super) membership: Membership,
    /// Replies to it. Ends when the connection is to be closed.
    pub(super) replies: mpsc::Receiver<Vec<u8>>,
    /// Whether an idle connection was closed to make room.
    pub(super) evicted: bool,
}

/// A connection's place in the table.
#[derive(Debug)]
pub(super) struct Membership {
    /// The connection's number, never used twice.
    pub(super) connection: u64,
    /// The table.
    connections: Connections,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.connections.lock().remove(self.connection);
    }
}

impl Membership {
    /// Says that nothing is under way on the connection, so that it may be closed to make room.
    pub(super) fn set_idle(&self, idle: bool) {
        self.connections.lock().set_idle(self.connection, idle);
    }
}

impl Connections {
    /// An empty table.
    pub(super) fn new(settings: &TcpSettings) -> Self {
        Self(Arc::new(Mutex::new(Table {
            entries: HashMap::new(),
            idle: BTreeMap::new(),
            clients: HashMap::new(),
            next: 0,
            connections_max: settings.connections_max,
            per_client_max: settings.connections_per_client_max,
        })))
    }

    /// The table. Each use leaves it whole, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new connection in, idle, if there is room for it or room can be made.
    pub(super) fn admit(&self, peer: IpAddr, replies_max: usize) -> Option<Admission> {
        let mut table = self.lock();
        let evicted = table.make_room(network(peer))?;
        let (sender, replies) = mpsc::channel(replies_max.max(1));
        let connection = table.insert(network(peer), sender);
        let membership = Membership { connection, connections: self.clone() };
        Some(Admission { membership, replies, evicted })
    }

    /// Hands a reply to its connection. Nothing happens if that is gone.
    pub(super) fn reply(&self, connection: u64, bytes: Vec<u8>) {
        if let Some(entry) = self.lock().entries.get(&connection) {
            // As many replies fit as queries may be under way; more would be replies that nobody
            // asked for.
            let _unasked = entry.replies.try_send(bytes);
        }
    }

    /// How long a connection may be idle: less when there are many.
    pub(super) fn idle_timeout(&self, settings: &TcpSettings) -> Duration {
        let count = self.lock().entries.len();
        let quarters = count.saturating_mul(4) / settings.connections_max.max(1);
        match quarters {
            0 | 1 => settings.idle_timeout,
            2 => settings.idle_timeout / 2,
            _ => settings.idle_timeout / 4,
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().entries.len()
    }
}

impl Table {
    /// Makes sure that one more connection of a client fits, closing the one that has been idle
    /// longest if need be. Says whether it did; `None` where nothing is idle.
    fn make_room(&mut self, network: IpAddr) -> Option<bool> {
        let client = self.clients.get(&network);
        // A client at its limit pays with a connection of its own.
        let oldest = match client {
            Some(client) if client.count >= self.per_client_max => client.idle.first_key_value(),
            _ if self.entries.len() >= self.connections_max => self.idle.first_key_value(),
            _ => return Some(false),
        };
        let connection = *oldest?.1;
        self.remove(connection);
        Some(true)
    }

    /// Adds a connection, idle.
    fn insert(&mut self, network: IpAddr, replies: mpsc::Sender<Vec<u8>>) -> u64 {
        let connection = self.next;
        self.next += 1;
        self.entries.insert(connection, Entry { network, replies, idle: None });
        self.clients.entry(network).or_default().count += 1;
        self.set_idle(connection, true);
        connection
    }

    /// Removes a connection, if it is still there.
    fn remove(&mut self, connection: u64) {
        self.set_idle(connection, false);
        let Some(entry) = self.entries.remove(&connection) else { return };
        let Some(client) = self.clients.get_mut(&entry.network) else { return };
        client.count -= 1;
        if client.count == 0 {
            self.clients.remove(&entry.network);
        }
    }

    /// Moves a connection to the end of the idle ones, or out of them.
    fn set_idle(&mut self, connection: u64, idle: bool) {
        let Some(entry) = self.entries.get_mut(&connection) else { return };
        let client = self.clients.entry(entry.network).or_default();
        if let Some(place) = entry.idle.take() {
            self.idle.remove(&place);
            client.idle.remove(&place);
        }
        if idle {
            entry.idle = Some(self.next);
            self.idle.insert(self.next, connection);
            client.idle.insert(self.next, connection);
            self.next += 1;
        }
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, whose addresses are all at the
/// disposal of one host (RFC 4291 2.5.4).
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let high = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(high))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of four, two for each client.
    fn table() -> (Connections, TcpSettings) {
        let settings = TcpSettings {
            connections_max: 4,
            connections_per_client_max: 2,
            idle_timeout: Duration::from_secs(8),
            ..TcpSettings::default()
        };
        (Connections::new(&settings), settings)
    }

    /// Lets a client in.
    fn admit(table: &Connections, peer: &str) -> Option<Admission> {
        table.admit(peer.parse().unwrap(), 1)
    }

    #[test]
    fn the_longest_idle_connection_makes_room() {
        let (table, _) = table();
        let peers = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"];
        let mut admitted = peers.map(|peer| admit(&table, peer).unwrap());
        admitted[0].membership.set_idle(false);
        let last = admit(&table, "192.0.2.5").unwrap();
        assert!(last.evicted);
        assert_eq!(table.len(), 4);
        // The first was busy, so the second was closed.
        assert!(admitted[1].replies.is_closed());
        assert!(!admitted[0].replies.is_closed());
        assert!(admitted[1].replies.try_recv().is_err());
        for admission in admitted.iter().chain([&last]) {
            admission.membership.set_idle(false);
        }
        assert!(admit(&table, "192.0.2.6").is_none());
        drop(admitted);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_client_at_its_limit_loses_a_connection_of_its_own() {
        let (table, _) = table();
        let other = admit(&table, "192.0.2.1").unwrap();
        let first = admit(&table, "2001:db8::1").unwrap();
        let second = admit(&table, "2001:db8::2:1").unwrap();
        let third = admit(&table, "2001:db8::3:1").unwrap();
        assert!(third.evicted && first.replies.is_closed());
        assert!(!other.replies.is_closed());
        second.membership.set_idle(false);
        third.membership.set_idle(false);
        assert!(admit(&table, "2001:db8::4").is_none());
        assert!(admit(&table, "2001:db8:0:1::4").is_some());
    }

    #[test]
    fn the_idle_time_shrinks_with_load() {
        let (table, settings) = table();
        let mut admitted = Vec::new();
        let mut seconds = Vec::new();
        for peer in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"] {
            admitted.push(admit(&table, peer).unwrap());
            seconds.push(table.idle_timeout(&settings).as_secs());
        }
        assert_eq!(seconds, [8, 4, 2, 2]);
    }

    #[test]
    fn a_reply_reaches_its_connection_only() {
        let (table, _) = table();
        let mut first = admit(&table, "192.0.2.1").unwrap();
        let mut second = admit(&table, "192.0.2.1").unwrap();
        table.reply(second.membership.connection, vec![1]);
        table.reply(u64::MAX, vec![2]);
        assert_eq!(second.replies.try_recv(), Ok(vec![1]));
        assert!(first.replies.try_recv().is_err());
    }
}
