//! A zone as tables.

use std::fmt;

use dns64_ebpf::hash::name_hash;
use hashbrown::HashTable;

use crate::limits::NAME_LEN_MAX;
use crate::wire::edns::InfoCode;
use crate::wire::question::Rtype;

/// Seed of the hashes. Who asks cannot choose what is in a zone, so it need not be secret.
const SEED: u64 = 0x7270_7a00;

/// TTL of denials where the zone has no SOA, in seconds.
const NEGATIVE_TTL_SECS: u32 = 60;

/// What is done with a query for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The name does not exist: `CNAME .`
    Nxdomain,
    /// The name has no records: `CNAME *.`
    NoData,
    /// The name is left alone, whatever later zones say: `CNAME rpz-passthru.`
    Passthru,
    /// There is no reply: `CNAME rpz-drop.`
    Drop,
    /// By UDP the client is sent to TCP, by TCP the name is left alone: `CNAME rpz-tcp-only.`
    TcpOnly,
    /// The records of the zone are all that the name has; see [`RpzZone::records`].
    Data(u32),
    /// The name is an alias of another; see [`RpzZone::redirect`].
    Redirect(u32),
}

impl Action {
    /// Whether the query ends with it; if not, its answer is looked for as ever.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Passthru | Self::TcpOnly | Self::Redirect(_))
    }

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nxdomain => "nxdomain",
            Self::NoData => "nodata",
            Self::Passthru => "passthru",
            Self::Drop => "drop",
            Self::TcpOnly => "tcp-only",
            Self::Data(_) => "local data",
            Self::Redirect(_) => "redirect",
        }
    }
}

/// An action that takes the place of all actions of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Override {
    /// Each trigger does this; none of those with data.
    Action(Action),
    /// Each trigger makes its name an alias of this one.
    Redirect(Redirect),
}

/// A record of a zone's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRecord {
    /// Its type.
    pub rtype: Rtype,
    /// Its TTL in seconds.
    pub ttl_secs: u32,
    /// Its data in wire form, names whole.
    pub rdata: Box<[u8]>,
}

/// Where an alias leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The target in uncompressed wire form.
    pub target: Box<[u8]>,
    /// Whether the asked name is put in front of the target: `CNAME *.garden.example.`
    pub prepends: bool,
    /// TTL of the CNAME in seconds.
    pub ttl_secs: u32,
}

impl Redirect {
    /// The target for a name in wire form; `None` if it would be too long for a name.
    #[must_use]
    pub fn target_of(&self, name: &[u8]) -> Option<Vec<u8>> {
        if !self.prepends {
            return Some(self.target.to_vec());
        }
        let labels = name.get(..name.len().checked_sub(1)?)?;
        let target = [labels, &self.target].concat();
        (target.len() <= NAME_LEN_MAX).then_some(target)
    }
}

/// A response policy zone.
pub struct RpzZone {
    /// Its name, for people.
    pub name: String,
    /// The Extended Error that replies by this zone have (RFC 8914).
    pub info_code: Option<InfoCode>,
    /// TTL of its denials in seconds.
    pub negative_ttl_secs: u32,
    /// What takes the place of all its actions.
    instead: Option<Action>,
    /// Triggers for names.
    exact: Triggers,
    /// Triggers for what lies below names.
    below: Triggers,
    /// Records by the number in [`Action::Data`].
    data: Vec<Vec<LocalRecord>>,
    /// Targets by the number in [`Action::Redirect`].
    redirects: Vec<Redirect>,
}

/// Two triggers of one name that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contradiction(pub(super) Action);

impl RpzZone {
    /// A zone without triggers.
    #[must_use]
    pub fn new(name: &str, info_code: Option<InfoCode>, instead: Option<Override>) -> Self {
        let (instead, redirects) = match instead {
            None => (None, Vec::new()),
            Some(Override::Action(action)) => (Some(action), Vec::new()),
            Some(Override::Redirect(redirect)) => (Some(Action::Redirect(0)), vec![redirect]),
        };
        Self {
            name: name.to_owned(),
            info_code,
            negative_ttl_secs: NEGATIVE_TTL_SECS,
            instead,
            exact: Triggers::default(),
            below: Triggers::default(),
            data: Vec::new(),
            redirects,
        }
    }

    /// What is done with a query for this name (uncompressed wire form, any letter case).
    #[must_use]
    pub fn action(&self, name: &[u8]) -> Option<Action> {
        let found = self.exact.get(name).or_else(|| self.nearest_wildcard(name))?;
        Some(self.instead.unwrap_or(found))
    }

    /// The action of the nearest wildcard above a name.
    fn nearest_wildcard(&self, name: &[u8]) -> Option<Action> {
        let mut rest = name;
        loop {
            let label_len = usize::from(*rest.first().filter(|length| **length > 0)?);
            rest = rest.get(1 + label_len..)?;
            if let Some(action) = self.below.get(rest) {
                return Some(action);
            }
        }
    }

    /// The records that are all that a name with this action has.
    #[must_use]
    pub fn records(&self, data: u32) -> &[LocalRecord] {
        self.data.get(data as usize).map_or(&[], Vec::as_slice)
    }

    /// Where a name with this action leads.
    #[must_use]
    pub fn redirect(&self, redirect: u32) -> Option<&Redirect> {
        self.redirects.get(redirect as usize)
    }

    /// How many triggers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.entries.len() + self.below.entries.len()
    }

    /// Whether there is no trigger.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Octets of memory that the triggers take.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.exact.memory() + self.below.memory()
    }

    /// The triggers of names, or of what lies below them.
    const fn triggers(&mut self, wildcard: bool) -> &mut Triggers {
        if wildcard { &mut self.below } else { &mut self.exact }
    }

    /// Adds a trigger; `name` in wire form and lower case, for a wildcard without its first label.
    pub(super) fn add(
        &mut self,
        name: &[u8],
        wildcard: bool,
        action: Action,
    ) -> Result<(), Contradiction> {
        match self.triggers(wildcard).get(name) {
            None => self.triggers(wildcard).insert(name, action),
            Some(known) if known == action => {}
            Some(known) => return Err(Contradiction(known)),
        }
        Ok(())
    }

    /// Adds a trigger that makes its name an alias.
    pub(super) fn add_redirect(
        &mut self,
        name: &[u8],
        wildcard: bool,
        redirect: Redirect,
    ) -> Result<(), Contradiction> {
        match self.triggers(wildcard).get(name) {
            None => {
                // Walled gardens have one target for all their names.
                let known = self.redirects.last() == Some(&redirect);
                if !known {
                    self.redirects.push(redirect);
                }
                let number = self.redirects.len() - 1;
                self.triggers(wildcard).insert(name, Action::Redirect(number as u32));
                Ok(())
            }
            Some(Action::Redirect(known)) if self.redirect(known) == Some(&redirect) => Ok(()),
            Some(known) => Err(Contradiction(known)),
        }
    }

    /// Adds a record to what a name has.
    pub(super) fn add_record(
        &mut self,
        name: &[u8],
        wildcard: bool,
        record: LocalRecord,
    ) -> Result<(), Contradiction> {
        match self.triggers(wildcard).get(name) {
            None => {
                self.data.push(vec![record]);
                let number = self.data.len() - 1;
                self.triggers(wildcard).insert(name, Action::Data(number as u32));
            }
            Some(Action::Data(data)) => {
                let records = &mut self.data[data as usize];
                if !records.contains(&record) {
                    records.push(record);
                }
            }
            Some(known) => return Err(Contradiction(known)),
        }
        Ok(())
    }

    /// Gives back the room that was kept for more triggers.
    pub(super) fn close(&mut self) {
        for triggers in [&mut self.exact, &mut self.below] {
            triggers.names.shrink_to_fit();
            triggers.entries.shrink_to_fit();
        }
    }
}

impl PartialEq for RpzZone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.info_code == other.info_code
            && self.negative_ttl_secs == other.negative_ttl_secs
            && self.instead == other.instead
            && self.exact == other.exact
            && self.below == other.below
            && self.data == other.data
            && self.redirects == other.redirects
    }
}

impl Eq for RpzZone {}

impl fmt::Debug for RpzZone {
    /// Without the triggers, which may be a million.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpzZone")
            .field("name", &self.name)
            .field("triggers", &self.len())
            .finish_non_exhaustive()
    }
}

/// A map from names to actions: names in one run of octets, found by hash.
#[derive(Default)]
struct Triggers {
    /// The names in wire form and lower case, one behind the other.
    names: Vec<u8>,
    /// Where each name starts, and its action.
    entries: Vec<(u32, Action)>,
    /// Places in `entries` by the hash of the name.
    places: HashTable<u32>,
    /// Octets of the shortest and the longest name.
    lengths: Option<(usize, usize)>,
}

impl Triggers {
    /// The action of a name in wire form and any letter case.
    fn get(&self, name: &[u8]) -> Option<Action> {
        let (shortest, longest) = self.lengths?;
        if !(shortest..=longest).contains(&name.len()) {
            return None;
        }
        // A wire form ends with its root label: no name is the beginning of another.
        let is_name = |place: &u32| {
            let start = self.entries[*place as usize].0 as usize;
            let stored = self.names.get(start..start + name.len());
            stored.is_some_and(|stored| stored.eq_ignore_ascii_case(name))
        };
        let place = self.places.find(name_hash(name, SEED), is_name)?;
        Some(self.entries[*place as usize].1)
    }

    /// Adds a name that is not there.
    fn insert(&mut self, name: &[u8], action: Action) {
        let start = u32::try_from(self.names.len()).expect("a zone file is shorter than 4 GiB");
        self.names.extend_from_slice(name);
        let place = self.entries.len() as u32;
        self.entries.push((start, action));
        let (names, entries) = (&self.names, &self.entries);
        self.places.insert_unique(name_hash(name, SEED), place, |place| {
            name_hash(name_at(names, entries[*place as usize].0 as usize), SEED)
        });
        let (shortest, longest) = self.lengths.unwrap_or((name.len(), name.len()));
        self.lengths = Some((shortest.min(name.len()), longest.max(name.len())));
    }

    /// Octets of memory.
    fn memory(&self) -> usize {
        self.names.capacity()
            + self.entries.capacity() * size_of::<(u32, Action)>()
            + self.places.allocation_size()
    }
}

impl PartialEq for Triggers {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names && self.entries == other.entries
    }
}

/// The name that starts at a place of a run of names.
fn name_at(names: &[u8], start: usize) -> &[u8] {
    let mut end = start;
    while let Some(len @ 1..) = names.get(end) {
        end += 1 + usize::from(*len);
    }
    names.get(start..=end).unwrap_or_default()
}
