//! What an importer has read, in the words of dns64d's configuration and of no peer.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv6Net};

use super::files::{Place, printable};

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sourced<T> {
    /// The value.
    pub(super) value: T,
    /// For the comment beside it: the place and the peer's word, or the peer's default.
    pub(super) origin: String,
}

impl<T> Sourced<T> {
    /// A value from a place, where it stood as `word`.
    pub(super) fn new(value: T, place: &Place, word: &str) -> Self {
        Self { value, origin: origin(place, word) }
    }

    /// A value that the peer has without being told.
    pub(super) fn default_of(value: T, why: &str) -> Self {
        Self { value, origin: why.to_owned() }
    }
}

/// The comment for something that stood at a place.
pub(super) fn origin(place: &Place, word: &str) -> String {
    printable(&format!("{} {word}", place.short()))
}

/// A network of a list; `out` leaves its addresses out of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) network: IpNet,
    pub(super) out: bool,
}

impl Entry {
    /// As dns64d's configuration has it.
    pub(super) fn text(self) -> String {
        format!("{}{}", if self.out { "!" } else { "" }, self.network)
    }
}

/// A list of networks; the first entry that has an address decides.
pub(super) type List = Vec<Sourced<Entry>>;

/// What a key can have.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Integer(u32),
    Boolean(bool),
    Text(String),
    Texts(Vec<Sourced<String>>),
    Networks(List),
}

/// The keys of a table that are set, in the order of setting.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Keys(pub(super) Vec<(&'static str, Sourced<Value>)>);

impl Keys {
    /// Sets a key, again if it was set.
    pub(super) fn set(&mut self, key: &'static str, value: Value, origin: impl Into<String>) {
        self.0.retain(|(name, _)| *name != key);
        self.0.push((key, Sourced { value, origin: origin.into() }));
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| *name == key).map(|(_, sourced)| &sourced.value)
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| *name != key);
    }

    /// The names of a list, to be added to.
    pub(super) fn texts(&mut self, key: &'static str) -> &mut Vec<Sourced<String>> {
        if !matches!(self.get(key), Some(Value::Texts(_))) {
            self.set(key, Value::Texts(Vec::new()), "");
        }
        let found = self.0.iter_mut().find(|(name, _)| *name == key);
        match found.map(|(_, sourced)| &mut sourced.value) {
            Some(Value::Texts(texts)) => texts,
            _ => unreachable!("the key has just been set to texts"),
        }
    }
}

/// One prefix with its options.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prefix {
    pub(super) prefix: Sourced<Ipv6Net>,
    pub(super) options: Keys,
}

impl Prefix {
    /// A prefix without options.
    pub(super) fn new(prefix: Sourced<Ipv6Net>) -> Self {
        Self { prefix, options: Keys::default() }
    }
}

/// `[dns64]`, or that of a view.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dns64 {
    pub(super) keys: Keys,
    /// Empty: those of the table that it inherits from.
    pub(super) prefixes: Vec<Prefix>,
}

/// A `[[view]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) name: Sourced<String>,
    pub(super) clients: List,
    pub(super) dns64: Dns64,
}

/// A `[[forward]]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Forward {
    pub(super) zone: Sourced<String>,
    pub(super) servers: Vec<Sourced<SocketAddr>>,
}

/// Something that was not carried over, or not quite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it stands; `None` if it is a matter of what the peer does without being told.
    pub place: Option<Place>,
    /// What it is, and why it was not carried over.
    pub message: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{}: {}", place.short(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Imported {
    pub(super) listen: Vec<Sourced<SocketAddr>>,
    pub(super) root: Keys,
    pub(super) allow: Option<List>,
    pub(super) drop: Option<List>,
    pub(super) servers: Vec<Sourced<SocketAddr>>,
    pub(super) forwards: Vec<Forward>,
    pub(super) dns64: Dns64,
    pub(super) views: Vec<View>,
    pub(super) cache: Keys,
    pub(super) limits: Keys,
    pub(super) script: Keys,
    pub(super) notes: Vec<Note>,
}

impl Imported {
    /// Notes something at a place.
    pub(super) fn note(&mut self, place: &Place, message: impl AsRef<str>) {
        let message = printable(message.as_ref());
        self.notes.push(Note { place: Some(place.clone()), message });
    }

    /// Notes something about what the peer does without being told.
    pub(super) fn remark(&mut self, message: impl AsRef<str>) {
        self.notes.push(Note { place: None, message: message.as_ref().to_owned() });
    }

    /// Adds the servers of a zone: to those of every name if it is the root.
    pub(super) fn forward(&mut self, zone: Sourced<String>, servers: Vec<Sourced<SocketAddr>>) {
        if zone.value.trim() == "." {
            self.servers.extend(servers);
        } else {
            self.forwards.push(Forward { zone, servers });
        }
    }

    /// A number within the range of one of our keys, or the nearest, with a note.
    pub(super) fn within(
        &mut self,
        number: u64,
        range: RangeInclusive<u32>,
        place: &Place,
        word: &str,
    ) -> u32 {
        let wanted = u32::try_from(number).unwrap_or(u32::MAX);
        let near = wanted.clamp(*range.start(), *range.end());
        if u64::from(near) != number {
            self.note(place, format!("{word}: {number} became {near}, the nearest that there is"));
        }
        near
    }

    /// Sets `[cache] size`, in octets.
    pub(super) fn cache_size(&mut self, octets: u64, place: &Place, word: &str) {
        /// The least cache, in MiB.
        const LEAST_MIB: u64 = 1;
        let mib = octets.div_ceil(1 << 20).max(LEAST_MIB);
        self.cache.set("size", Value::Text(format!("{mib}MiB")), origin(place, word));
    }
}
