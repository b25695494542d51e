//! Who asks most, and for what: the names and the clients of a worker's queries, counted for as
//! long as somebody wants to know.
//!
//! A [`Tally`] is one worker's, made outside and filled by it: nothing is allocated while it
//! counts.
//! [`Ranking::of`] makes one list of those of all workers.
#![forbid(unsafe_code)]

pub mod sketch;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use self::sketch::{Counted, SpaceSaving, merge};
use crate::datagram::Datagram;
use crate::limits::HEADER_LEN;
use crate::time::Moment;
use crate::wire::{Class, Name, NameBuf, Rtype};

/// Counters of names, and as many of clients, in each worker: what is more than a thousandth of its
/// queries is never missed.
pub const COUNTERS: usize = 1_024;

/// What is counted, and how far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether names are.
    pub names: bool,
    /// Whether clients are.
    pub clients: bool,
    /// Names that are alike in so many labels at their end are one, whatever type is asked for;
    /// `None`: each name and type is one.
    pub labels: Option<u8>,
    /// Bits of an IPv4 client that count, 0 to 32.
    pub ipv4_bits: u8,
    /// Bits of an IPv6 client that count, 0 to 128.
    pub ipv6_bits: u8,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asked {
    /// The name in lower case, or the end of it.
    pub name: NameBuf,
    /// Type and class; `None` where those of all types are one.
    pub kind: Option<(Rtype, Class)>,
}

/// What became of the queries of a client, as far as they were counted for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// So many were dropped.
    pub dropped: u64,
    /// So many got REFUSED.
    pub refused: u64,
}

impl Fate {
    /// Adds that of more queries.
    const fn add(&mut self, other: &Self) {
        self.dropped += other.dropped;
        self.refused += other.refused;
    }
}

/// What became of a query at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It got no answer and gets none.
    Dropped,
    /// It got REFUSED.
    Refused,
    /// It was answered, or waits.
    Served,
}

/// What one worker counts, from one moment to another.
#[derive(Clone, Debug)]
pub struct Tally {
    settings: Settings,
    begun: Moment,
    until: Moment,
    queries: u64,
    unreadable: u64,
    fate: Fate,
    names: Option<SpaceSaving<Asked, ()>>,
    clients: Option<SpaceSaving<IpNet, Fate>>,
}

impl Tally {
    /// One that has not begun. `seed` decides where keys lie, and is nobody's business.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            begun: Moment::START,
            until: Moment::START,
            queries: 0,
            unreadable: 0,
            fate: Fate::default(),
            names: settings.names.then(|| SpaceSaving::new(COUNTERS, seed)),
            clients: settings.clients.then(|| SpaceSaving::new(COUNTERS, seed)),
        }
    }

    /// Counts from now on, for so long.
    pub fn begin(&mut self, now: Moment, lasts: Duration) {
        self.begun = now;
        self.until = now + lasts;
    }

    /// When it has counted long enough.
    #[must_use]
    pub const fn until(&self) -> Moment {
        self.until
    }

    /// Counts no more, also if its time is not up yet.
    pub fn end(&mut self, now: Moment) {
        self.until = self.until.min(now).max(self.begun);
    }

    /// Counts a query, if its time is not up.
    pub fn count(&mut self, query: Datagram<'_>, outcome: Outcome, now: Moment) {
        if now < self.begun || now >= self.until {
            return;
        }
        self.queries += 1;
        let fate = match outcome {
            Outcome::Dropped => Fate { dropped: 1, refused: 0 },
            Outcome::Refused => Fate { dropped: 0, refused: 1 },
            Outcome::Served => Fate::default(),
        };
        self.fate.add(&fate);
        if let Some(clients) = &mut self.clients {
            clients.offer(&network_of(query.client.peer.ip(), &self.settings)).add(&fate);
        }
        match asked(query.bytes, self.settings.labels) {
            Some(asked) => {
                if let Some(names) = &mut self.names {
                    names.offer(&asked);
                }
            }
            None => self.unreadable += 1,
        }
    }
}

/// The network of a client.
fn network_of(client: IpAddr, settings: &Settings) -> IpNet {
    let bits = if client.is_ipv4() { settings.ipv4_bits } else { settings.ipv6_bits };
    // More bits than an address has are all of them.
    IpNet::new(client, bits).map_or_else(|_| client.into(), |network| network.trunc())
}

/// What a message asks, also if it is no query that would be answered; `None` if it is a response
/// or has not one question.
fn asked(message: &[u8], labels: Option<u8>) -> Option<Asked> {
    let (header, body) = message.split_first_chunk::<HEADER_LEN>()?;
    if header[2] & 0x80 != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let (mut name, rest) = Name::split(body).ok()?;
    let [rtype_high, rtype_low, class_high, class_low] = *rest.first_chunk::<4>()?;
    let Some(labels) = labels else {
        let rtype = Rtype(u16::from_be_bytes([rtype_high, rtype_low]));
        let class = Class(u16::from_be_bytes([class_high, class_low]));
        return Some(Asked { name: NameBuf::from(name).folded(), kind: Some((rtype, class)) });
    };
    for _ in usize::from(labels)..name.label_count() {
        name = name.parent()?;
    }
    Some(Asked { name: NameBuf::from(name).folded(), kind: None })
}

/// What all workers have counted.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// The longest time for which one of them counted.
    pub lasted: Duration,
    /// Queries.
    pub queries: u64,
    /// Of these, what has no question that can be read.
    pub unreadable: u64,
    /// What became of them.
    pub fate: Fate,
    /// What was asked for most, first of all; `None` if names were not counted.
    pub names: Option<Vec<Counted<Asked, ()>>>,
    /// Who asked most, first of all; `None` if clients were not counted.
    pub clients: Option<Vec<Counted<IpNet, Fate>>>,
}

impl Ranking {
    /// That of the tallies of all workers.
    #[must_use]
    pub fn of(tallies: Vec<Tally>) -> Self {
        let sum = |part: fn(&Tally) -> u64| tallies.iter().map(part).sum::<u64>();
        let lasted = tallies.iter().map(|tally| tally.until.since(tally.begun)).max();
        let (lasted, queries) = (lasted.unwrap_or_default(), sum(|tally| tally.queries));
        let unreadable = sum(|tally| tally.unreadable);
        let mut fate = Fate::default();
        tallies.iter().for_each(|tally| fate.add(&tally.fate));
        let (names, clients): (Vec<_>, Vec<_>) =
            tallies.into_iter().map(|tally| (tally.names, tally.clients)).unzip();
        let names: Option<Vec<_>> = names.into_iter().collect();
        let clients: Option<Vec<_>> = clients.into_iter().collect();
        Self {
            lasted,
            queries,
            unreadable,
            fate,
            names: names.map(|names| merge(&names, |(), ()| {})),
            clients: clients.map(|clients| merge(&clients, Fate::add)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datagram::{Channel, Client};

    const ALL: Settings =
        Settings { names: true, clients: true, labels: None, ipv4_bits: 32, ipv6_bits: 64 };

    /// A question for a name.
    fn question(name: &str, rtype: Rtype) -> Vec<u8> {
        let name: NameBuf = name.parse().expect("a name");
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(name.as_wire());
        message.extend_from_slice(&rtype.0.to_be_bytes());
        message.extend_from_slice(&[0, 1]);
        message
    }

    fn datagram<'a>(bytes: &'a [u8], peer: &str) -> Datagram<'a> {
        let client = Client {
            peer: (peer.parse::<IpAddr>().expect("an address"), 5_353).into(),
            local: [192, 0, 2, 53].into(),
            interface: 0,
            channel: Channel::Udp { socket: 0 },
        };
        Datagram { bytes, client }
    }

    /// A tally that has counted these queries for a second.
    fn tally(settings: Settings, queries: &[(&[u8], &str, Outcome)]) -> Tally {
        let mut tally = Tally::new(settings, 7);
        tally.begin(Moment::from_millis(1_000), Duration::from_secs(1));
        for (bytes, peer, outcome) in queries {
            tally.count(datagram(bytes, peer), *outcome, Moment::from_millis(1_500));
        }
        tally
    }

    fn names(ranking: &Ranking) -> Vec<(String, u64)> {
        let names = ranking.names.as_ref().expect("they are counted");
        names.iter().map(|counted| (counted.key.name.to_string(), counted.count)).collect()
    }

    #[test]
    fn names_are_counted_by_type_whatever_their_letters_and_clients_by_network() {
        let one = question("WWW.example", Rtype::AAAA);
        let two = question("www.EXAMPLE", Rtype::AAAA);
        let other = question("www.example", Rtype::A);
        let served = Outcome::Served;
        let first =
            tally(ALL, &[(&one, "2001:db8::1", served), (&two, "2001:db8::2", Outcome::Refused)]);
        let second =
            tally(ALL, &[(&other, "192.0.2.1", Outcome::Dropped), (&one, "192.0.2.2", served)]);
        let ranking = Ranking::of(vec![first, second]);
        assert_eq!((ranking.queries, ranking.lasted), (4, Duration::from_secs(1)));
        assert_eq!(ranking.fate, Fate { dropped: 1, refused: 1 });
        let rows = ranking.names.expect("they are counted");
        let kinds: Vec<_> = rows.iter().map(|row| (row.key.kind, row.count)).collect();
        let kind = |rtype| Some((rtype, Class::IN));
        assert_eq!(kinds, [(kind(Rtype::AAAA), 3), (kind(Rtype::A), 1)]);
        let rows = ranking.clients.expect("they are counted");
        let rows: Vec<_> =
            rows.iter().map(|row| (row.key.to_string(), row.count, row.value)).collect();
        assert_eq!(
            rows,
            [
                ("2001:db8::/64".to_owned(), 2, Fate { dropped: 0, refused: 1 }),
                ("192.0.2.1/32".to_owned(), 1, Fate { dropped: 1, refused: 0 }),
                ("192.0.2.2/32".to_owned(), 1, Fate::default()),
            ]
        );
    }

    #[test]
    fn names_with_the_same_end_are_one_if_only_their_end_counts() {
        let queries = ["a.b.victim.example", "c.victim.example", "victim.example", "example", "."];
        let queries = queries.map(|name| question(name, Rtype::A));
        let queries: Vec<(&[u8], &str, Outcome)> =
            queries.iter().map(|query| (&query[..], "192.0.2.1", Outcome::Served)).collect();
        let ends = |labels| {
            let settings = Settings { labels: Some(labels), ..ALL };
            names(&Ranking::of(vec![tally(settings, &queries)]))
        };
        let row = |name: &str, count| (name.to_owned(), count);
        assert_eq!(ends(2), [row("victim.example.", 3), row(".", 1), row("example.", 1)]);
        assert_eq!(ends(1), [row("example.", 4), row(".", 1)]);
        assert_eq!(ends(127).len(), 5);
    }

    #[test]
    fn what_has_no_question_is_counted_for_its_client_alone() {
        let mut response = question("a.example", Rtype::A);
        response[2] |= 0x80;
        let mut two = question("a.example", Rtype::A);
        two[5] = 2;
        let whole = question("a.example", Rtype::A);
        let cut = &whole[..whole.len() - 1];
        let messages: [&[u8]; 5] = [b"", b"short", &response, &two, cut];
        let queries = messages.map(|message| (message, "192.0.2.1", Outcome::Dropped));
        let ranking = Ranking::of(vec![tally(ALL, &queries)]);
        assert_eq!((ranking.queries, ranking.unreadable), (5, 5));
        assert_eq!(names(&ranking), []);
        assert_eq!(ranking.clients.expect("they are counted")[0].count, 5);
    }

    #[test]
    fn nothing_is_counted_before_the_beginning_and_after_the_end() {
        let query = question("a.example", Rtype::A);
        let query = datagram(&query, "192.0.2.1");
        let mut tally = Tally::new(ALL, 7);
        tally.count(query, Outcome::Served, Moment::START);
        tally.begin(Moment::from_millis(1_000), Duration::from_secs(2));
        for millis in [999, 1_000, 1_999, 2_000, 2_999, 3_000] {
            tally.count(query, Outcome::Served, Moment::from_millis(millis));
        }
        assert_eq!((tally.queries, tally.until()), (4, Moment::from_millis(3_000)));
        tally.end(Moment::from_millis(2_500));
        tally.count(query, Outcome::Served, Moment::from_millis(2_700));
        let ranking = Ranking::of(vec![tally]);
        assert_eq!((ranking.queries, ranking.lasted), (4, Duration::from_millis(1_500)));
    }

    #[test]
    fn what_is_not_wanted_is_not_counted() {
        let query = question("a.example", Rtype::A);
        let queries: [(&[u8], &str, Outcome); 1] = [(&query, "192.0.2.1", Outcome::Served)];
        let only = Settings { names: false, ..ALL };
        let ranking = Ranking::of(vec![tally(only, &queries)]);
        assert!(ranking.names.is_none() && ranking.clients.is_some_and(|rows| rows.len() == 1));
        let only = Settings { clients: false, ..ALL };
        let ranking = Ranking::of(vec![tally(only, &queries)]);
        assert!(ranking.clients.is_none() && ranking.names.is_some_and(|rows| rows.len() == 1));
    }
}
