//! Reads the `[[rpz]]` tables, and the zone files that they name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, Place};
use super::reader::{Item, Source, Table};
use super::values;
use crate::policy::ViewSettings;
use crate::policy::rpz::{
    Action, Override, Redirect, RpzSettings, RpzZone, Scanned, Unsupported, ZONES_MAX, scan,
};
use crate::wire::edns::InfoCode;

/// The keys of an `[[rpz]]` table.
const RPZ_KEYS: [&str; 7] = ["name", "file", "policy", "redirect", "ede", "views", "unsupported"];

/// TTL of the CNAME of `redirect`, in seconds: a change of the zone is seen soon.
const REDIRECT_TTL_SECS: u32 = 60;

/// The longest zone file, in octets: places in a zone are 32 bits.
const FILE_LEN_MAX: u64 = u32::MAX as u64;

/// Reads the zones, in order.
pub(super) fn read_rpz(
    source: &Source<'_>,
    document: &Table<'_>,
    views: &[ViewSettings],
) -> Vec<RpzSettings> {
    let tables = document.item("rpz").and_then(|item| item.items()).unwrap_or_default();
    if let Some(item) = tables.get(ZONES_MAX) {
        item.refuse(format_args!("there are more than {ZONES_MAX} policy zones"));
        return Vec::new();
    }
    let mut zones: Vec<RpzSettings> = Vec::new();
    for item in tables {
        if let Some(zone) = read_zone(source, &item, views, &zones) {
            zones.push(zone);
        }
    }
    zones
}

/// Reads one `[[rpz]]` and its file; `None` for a zone that is switched off, or wrong.
fn read_zone(
    source: &Source<'_>,
    item: &Item<'_>,
    views: &[ViewSettings],
    earlier: &[RpzSettings],
) -> Option<RpzSettings> {
    let table = item.table(&RPZ_KEYS)?;
    let name_item = table.required("name");
    let file_item = table.required("file");
    let (mut disabled, instead) = read_policy(&table);
    let mut info_code = Some(InfoCode::BLOCKED);
    let words = [
        ("blocked", Some(InfoCode::BLOCKED)),
        ("censored", Some(InfoCode::CENSORED)),
        ("filtered", Some(InfoCode::FILTERED)),
        ("none", None),
    ];
    table.set_word("ede", &words, &mut info_code);
    let mut unsupported = Unsupported::default();
    let words = [("refuse", Unsupported::Refuse), ("skip", Unsupported::Skip)];
    table.set_word("unsupported", &words, &mut unsupported);
    let views = table.item("views").map(|item| read_view_names(&item, views));

    let name_item = name_item?;
    let apex = name_item.parse_with(values::name)?.to_ascii_lowercase();
    let name = name_item.string()?;
    if earlier.iter().any(|zone| zone.zone.name.eq_ignore_ascii_case(name)) {
        name_item.refuse(format_args!("there is a zone {name} already"));
        disabled = true;
    }
    let file_item = file_item?;
    let path = source.beside(file_item.string()?);
    if disabled {
        return None;
    }
    source.note_file(&path);
    let text = match read_file(&path) {
        Ok(text) => text,
        Err(error) => {
            let hint = "a relative path starts at the directory of the configuration";
            file_item.refuse_with_hint(format_args!("{}: {error}", path.display()), hint);
            return None;
        }
    };
    let mut zone = RpzZone::new(name, info_code, instead);
    let scanned = scan(&text, &apex, unsupported, &mut zone);
    report(source, &path, &scanned);
    if zone.is_empty() && scanned.faults.is_empty() {
        file_item.warn("the zone has no triggers", "nothing is blocked by it");
    }
    Some(RpzSettings { zone: Arc::new(zone), views })
}

/// Reads `policy` and `redirect`: whether the zone is switched off, and what takes the place of its
/// actions.
fn read_policy(table: &Table<'_>) -> (bool, Option<Override>) {
    /// What the words mean.
    #[derive(Clone, Copy)]
    enum Policy {
        Given,
        Disabled,
        Instead(Action),
    }
    let mut policy = Policy::Given;
    let words = [
        ("given", Policy::Given),
        ("disabled", Policy::Disabled),
        ("passthru", Policy::Instead(Action::Passthru)),
        ("nxdomain", Policy::Instead(Action::Nxdomain)),
        ("nodata", Policy::Instead(Action::NoData)),
        ("drop", Policy::Instead(Action::Drop)),
        ("tcp-only", Policy::Instead(Action::TcpOnly)),
    ];
    table.set_word("policy", &words, &mut policy);
    let redirect = table.item("redirect");
    let target = redirect.as_ref().and_then(|item| item.parse_with(values::name));
    if let (Some(item), Policy::Instead(_)) = (&redirect, policy) {
        item.refuse("a zone has either a policy or a redirect");
    }
    let redirect = target.map(|target| {
        let prepends = target.starts_with(b"\x01*");
        let target = if prepends { &target[2..] } else { &target };
        Override::Redirect(Redirect {
            target: target.into(),
            prepends,
            ttl_secs: REDIRECT_TTL_SECS,
        })
    });
    match policy {
        Policy::Given => (false, redirect),
        Policy::Disabled => (true, None),
        Policy::Instead(action) => (false, Some(Override::Action(action))),
    }
}

/// Reads a list of views.
fn read_view_names(item: &Item<'_>, views: &[ViewSettings]) -> Vec<String> {
    let mut names = Vec::new();
    for item in item.items().unwrap_or_default() {
        let Some(name) = item.string() else { continue };
        if !views.iter().any(|view| view.name == name) {
            let hint = "\"default\" are the clients that are in no [[view]]";
            item.refuse_with_hint(format_args!("there is no view \"{name}\""), hint);
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        item.warn("the zone is for no view", "leave the key out for all views");
    }
    names
}

/// Reads a zone file.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is no file".to_owned());
    }
    if metadata.len() > FILE_LEN_MAX {
        return Err("is longer than 4 GiB".to_owned());
    }
    fs::read(path).map_err(|error| error.to_string())
}

/// Reports what was found in a zone file.
fn report(source: &Source<'_>, path: &Path, scanned: &Scanned) {
    let at = |line: usize, message: String, hint: Option<String>| ConfigError {
        file: path.display().to_string(),
        place: Some(Place { line, column: 1 }),
        key: String::new(),
        message,
        hint,
    };
    for fault in &scanned.faults {
        source.refuse_other(at(fault.line, fault.message.clone(), fault.hint.clone()));
    }
    if let Some((count, line)) = scanned.skipped {
        let message = format!("{count} triggers are left out, of kinds that are not supported");
        let hint = "only triggers by name are: nothing is blocked by an address or a name server";
        source.warn_other(at(line, message, Some(hint.to_owned())));
    }
}

impl Source<'_> {
    /// A path that this text names: relative ones start at its directory.
    fn beside(&self, path: &str) -> PathBuf {
        Path::new(self.origin()).parent().unwrap_or_else(|| Path::new("")).join(path)
    }
}
