//! Reads a response policy zone from the text of a master file (RFC 1035 5.1).
//!
//! The `domain` crate reads the records. It is given one entry at a time, so that what is wrong
//! with an entry, by the rules of master files or by those of policy zones, is reported with the
//! line it starts in, and reading goes on behind it.

use bytes::Bytes;
use domain::base::iana::Class;
use domain::base::name::ToName;
use domain::base::rdata::ComposeRecordData;
use domain::base::{Name as DomainName, Rtype as DomainRtype};
use domain::rdata::ZoneRecordData;
use domain::zonefile::inplace::{Entry, ScannedRecord, Zonefile};

use super::zone::{Action, Contradiction, LocalRecord, Redirect, RpzZone};
use crate::wire::name::NameBuf;
use crate::wire::question::Rtype;

/// Most mistakes that are reported of one file.
const FAULTS_MAX: usize = 20;

/// The longest TTL that is given to clients, in seconds: a day.
const TTL_MAX_SECS: u32 = 86_400;

/// The longest TTL of denials, in seconds (RFC 2308 5 finds one to three hours sensible).
const NEGATIVE_TTL_MAX_SECS: u32 = 10_800;

/// Triggers by what is found while a name is resolved: a forwarder does not see it.
const UNSUPPORTED: [&str; 4] = ["rpz-ip", "rpz-client-ip", "rpz-nsdname", "rpz-nsip"];

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line in which the entry starts; the first is 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub hint: Option<String>,
}

/// What becomes of triggers that are not supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsupported {
    /// The zone is refused.
    #[default]
    Refuse,
    /// They are left out, with a warning.
    Skip,
}

/// A file that has been read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// What is wrong, in the order of the file; at most 20.
    pub faults: Vec<Fault>,
    /// The triggers that were left out: how many, and the line of the first.
    pub skipped: Option<(usize, usize)>,
}

/// Reads the text of a zone whose name is `apex` (wire form, lower case) into `zone`.
pub fn scan(text: &[u8], apex: &[u8], unsupported: Unsupported, zone: &mut RpzZone) -> Scanned {
    let mut reader = Reader { apex, unsupported, zone, scanned: Scanned::default() };
    let Ok(origin) = DomainName::from_octets(Bytes::copy_from_slice(apex)) else {
        reader.fault(1, "the zone has no name", None);
        return reader.scanned;
    };
    let mut file = fresh(&origin);
    for entry in Entries::of(text) {
        if reader.scanned.faults.len() >= FAULTS_MAX {
            break;
        }
        if entry.text.iter().all(u8::is_ascii_whitespace) || entry.text.starts_with(b";") {
            continue;
        }
        if !entry.whole {
            reader.fault(entry.line, "a parenthesis or a quotation mark is not closed", None);
            break;
        }
        file.extend_from_slice(entry.text);
        if !entry.text.ends_with(b"\n") {
            file.extend_from_slice(b"\n");
        }
        loop {
            match file.next_entry() {
                Ok(None) => break,
                Ok(Some(Entry::Record(record))) => reader.record(entry.line, &record),
                Ok(Some(Entry::Include { .. })) => {
                    let hint = "write the records into this file, or make another [[rpz]] of them";
                    reader.fault(entry.line, "$INCLUDE is not supported", Some(hint));
                }
                Err(error) => {
                    // "1:17: what is wrong", in the text of this entry.
                    let text = error.to_string();
                    let message = text.splitn(3, ':').last().unwrap_or(&text).trim();
                    reader.fault(entry.line, message, None);
                    // What was read of the entry is lost; origin and TTL hold on.
                    let origin = file.origin().unwrap_or_else(|_| origin.clone());
                    file = fresh(&origin);
                    break;
                }
            }
        }
    }
    reader.zone.close();
    reader.scanned
}

/// A reader of entries below this origin.
fn fresh(origin: &DomainName<Bytes>) -> Zonefile {
    let mut file = Zonefile::new();
    file.set_origin(origin.clone());
    file.set_default_class(Class::IN);
    file
}

/// A zone while its records are read.
struct Reader<'z> {
    /// The zone's name in wire form and lower case.
    apex: &'z [u8],
    /// What becomes of triggers that are not supported.
    unsupported: Unsupported,
    /// The zone.
    zone: &'z mut RpzZone,
    /// What has been found.
    scanned: Scanned,
}

impl Reader<'_> {
    /// Notes a mistake.
    fn fault(&mut self, line: usize, message: impl Into<String>, hint: Option<&str>) {
        let hint = hint.map(str::to_owned);
        self.scanned.faults.push(Fault { line, message: message.into(), hint });
    }

    /// Takes a record.
    fn record(&mut self, line: usize, record: &ScannedRecord) {
        let owner = wire(record.owner());
        let rtype = record.rtype();
        if record.class() != Class::IN {
            return self.fault(line, format!("class {} is not IN", record.class()), None);
        }
        let Some(trigger) = below(&owner, self.apex) else {
            let (owner, apex) = (text(&owner), text(self.apex));
            let message = format!("{owner} is not in the zone {apex}");
            let hint = "a final dot makes a name absolute: triggers have none, or the zone's name \
                        at their end";
            return self.fault(line, message, Some(hint));
        };
        if trigger == [0] {
            return self.apex_record(line, record);
        }
        // Signatures of the zone are for those who transfer it.
        if matches!(
            rtype,
            DomainRtype::RRSIG
                | DomainRtype::NSEC
                | DomainRtype::NSEC3
                | DomainRtype::NSEC3PARAM
                | DomainRtype::DNSKEY
        ) {
            return;
        }
        if let Some(kind) = self.kind_of(line, &trigger) {
            self.trigger(line, &trigger, kind, record);
        }
    }

    /// Takes a record of the zone itself: of its SOA the negative TTL counts, the rest is for those
    /// who transfer it.
    fn apex_record(&mut self, line: usize, record: &ScannedRecord) {
        if let ZoneRecordData::Soa(soa) = record.data() {
            let ttl_secs = record.ttl().as_secs().min(soa.minimum().as_secs());
            self.zone.negative_ttl_secs = ttl_secs.min(NEGATIVE_TTL_MAX_SECS);
        } else if let ZoneRecordData::Cname(_) = record.data() {
            self.fault(line, "the name of the zone itself is no trigger", None);
        }
    }

    /// Whether a trigger is a wildcard; `None` if it is none that can be used.
    fn kind_of(&mut self, line: usize, trigger: &[u8]) -> Option<bool> {
        let last = labels(trigger).last().unwrap_or_default();
        if !last.starts_with(b"rpz-") {
            return Some(trigger.starts_with(b"\x01*"));
        }
        let word = String::from_utf8_lossy(last).into_owned();
        if !UNSUPPORTED.contains(&word.as_str()) {
            self.fault(line, format!("there are no triggers of the kind {word}"), None);
        } else if self.unsupported == Unsupported::Skip {
            let (count, first) = self.scanned.skipped.unwrap_or((0, line));
            self.scanned.skipped = Some((count + 1, first));
        } else {
            let message = format!("triggers of the kind {word} are not supported, only names are");
            let hint = "unsupported = \"skip\" leaves them out";
            self.fault(line, message, Some(hint));
        }
        None
    }

    /// Takes a record of a trigger.
    #[expect(clippy::wildcard_enum_match_arm, reason = "local data may be of every other type")]
    fn trigger(&mut self, line: usize, trigger: &[u8], wildcard: bool, record: &ScannedRecord) {
        let name = if wildcard { &trigger[2..] } else { trigger };
        let ttl_secs = record.ttl().as_secs().min(TTL_MAX_SECS);
        let added = match record.data() {
            ZoneRecordData::Cname(cname) => {
                let target = wire(cname.cname());
                match action_of(&target, trigger) {
                    Ok(Some(action)) => self.zone.add(name, wildcard, action),
                    Ok(None) => {
                        let prepends = target.starts_with(b"\x01*");
                        let target = if prepends { &target[2..] } else { &target };
                        let redirect = Redirect { target: target.into(), prepends, ttl_secs };
                        self.zone.add_redirect(name, wildcard, redirect)
                    }
                    Err(word) => {
                        let hint = "there are rpz-passthru., rpz-drop. and rpz-tcp-only.";
                        let message = format!("there is no action {word}.");
                        return self.fault(line, message, Some(hint));
                    }
                }
            }
            ZoneRecordData::Dname(_) | ZoneRecordData::Ns(_) | ZoneRecordData::Soa(_) => {
                let message = format!("{} is no record of a trigger", record.rtype());
                return self.fault(line, message, None);
            }
            data => {
                let mut rdata = Vec::new();
                // A Vec takes everything.
                let _infallible = data.compose_rdata(&mut rdata);
                let rtype = Rtype(record.rtype().to_int());
                let record = LocalRecord { rtype, ttl_secs, rdata: rdata.into() };
                self.zone.add_record(name, wildcard, record)
            }
        };
        if let Err(Contradiction(known)) = added {
            let message = format!("{} has another action already: {}", text(trigger), known.word());
            self.fault(line, message, Some("a name has one CNAME, or records without a CNAME"));
        }
    }
}

/// The action that the target of a CNAME says; `None` if it is an ordinary name.
///
/// # Errors
/// The word, if it is of the form of an action and none.
fn action_of(target: &[u8], trigger: &[u8]) -> Result<Option<Action>, String> {
    let words: [(&[u8], Action); 5] = [
        (b"\0", Action::Nxdomain),
        (b"\x01*\0", Action::NoData),
        (b"\x0crpz-passthru\0", Action::Passthru),
        (b"\x08rpz-drop\0", Action::Drop),
        (b"\x0crpz-tcp-only\0", Action::TcpOnly),
    ];
    if let Some((_, action)) = words.iter().find(|(word, _)| *word == target) {
        return Ok(Some(*action));
    }
    // The old way to write it: a name that is an alias of itself.
    if target == trigger {
        return Ok(Some(Action::Passthru));
    }
    match labels(target).next() {
        Some(label) if label.starts_with(b"rpz-") && target.len() == label.len() + 2 => {
            Err(String::from_utf8_lossy(label).into_owned())
        }
        _ => Ok(None),
    }
}

/// A name in wire form and lower case.
fn wire(name: &impl ToName) -> Vec<u8> {
    let mut wire = Vec::new();
    // A Vec takes everything; length octets are below every letter.
    let _infallible = name.compose(&mut wire);
    wire.make_ascii_lowercase();
    wire
}

/// The labels of a name in wire form, without the root.
fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (len, after) = rest.split_first().filter(|(len, _)| **len > 0)?;
        let (label, behind) = after.split_at_checked(usize::from(*len))?;
        rest = behind;
        Some(label)
    })
}

/// The name without the zone's name at its end; `None` if it is not in the zone.
fn below(name: &[u8], apex: &[u8]) -> Option<Vec<u8>> {
    let mut rest = name;
    while rest.len() > apex.len() {
        let len = usize::from(*rest.first()?);
        rest = rest.get(1 + len..)?;
    }
    (rest == apex).then(|| {
        let mut trigger = name[..name.len() - apex.len()].to_vec();
        trigger.push(0);
        trigger
    })
}

/// A name for people.
fn text(name: &[u8]) -> String {
    NameBuf::from_wire(name).map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// An entry of a master file.
struct Line<'t> {
    /// The line it starts in.
    line: usize,
    /// Its text with the end of its last line.
    text: &'t [u8],
    /// Whether its parentheses and quotation marks are closed.
    whole: bool,
}

/// The entries of a master file: lines, or what parentheses and quotation marks hold together
/// (RFC 1035 5.1).
struct Entries<'t> {
    rest: &'t [u8],
    line: usize,
}

impl<'t> Entries<'t> {
    const fn of(text: &'t [u8]) -> Self {
        Self { rest: text, line: 1 }
    }
}

impl<'t> Iterator for Entries<'t> {
    type Item = Line<'t>;

    fn next(&mut self) -> Option<Line<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut open, mut quoted, mut comment, mut escaped) = (0_usize, false, false, false);
        let started = self.line;
        for (at, octet) in self.rest.iter().enumerate() {
            let was_escaped = std::mem::take(&mut escaped);
            match octet {
                b'\n' => {
                    comment = false;
                    self.line += 1;
                    if open == 0 && !quoted {
                        let (text, rest) = self.rest.split_at(at + 1);
                        self.rest = rest;
                        return Some(Line { line: started, text, whole: true });
                    }
                }
                _ if comment || was_escaped => {}
                b'\\' => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b';' => comment = true,
                b'(' => open += 1,
                b')' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        let text = std::mem::take(&mut self.rest);
        Some(Line { line: started, text, whole: open == 0 && !quoted })
    }
}
