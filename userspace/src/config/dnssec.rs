//! Reads `[dnssec]`.

use std::fs;
use std::path::Path;

use super::reader::{Item, Table};
use super::values;
use crate::dnssec::TrustAnchors;
use crate::policy::{DnssecMode, DnssecSettings};

/// Most octets of a file of trust anchors.
const FILE_LEN_MAX: u64 = 1 << 20;

/// Most negative trust anchors: each is a hole in the chain of trust, and meant to be temporary.
const NEGATIVE_MAX: usize = 1_000;

/// Reads the table. Files of trust anchors are read here, so that what is wrong with them shows
/// before anything starts.
pub(super) fn read_dnssec(document: &Table<'_>) -> (DnssecSettings, TrustAnchors) {
    let mut settings = DnssecSettings::default();
    let mut anchors = TrustAnchors::iana_root();
    let known = ["mode", "trust_anchors", "negative_trust_anchors"];
    let Some(table) = document.item("dnssec").and_then(|item| item.table(&known)) else {
        return (settings, anchors);
    };
    table.set_word("mode", &DnssecMode::ALL.map(|mode| (mode.word(), mode)), &mut settings.mode);
    for key in ["trust_anchors", "negative_trust_anchors"] {
        if settings.mode != DnssecMode::Validate
            && let Some(item) = table.item(key)
        {
            item.warn("this means nothing unless we validate", "set mode = \"validate\"");
        }
    }
    if let Some(item) = table.item("trust_anchors")
        && let Some(read) = read_anchors(&item)
    {
        anchors = read;
    }
    if let Some(item) = table.item("negative_trust_anchors") {
        let items = item.items().unwrap_or_default();
        if items.len() > NEGATIVE_MAX {
            item.refuse(format_args!("more than {NEGATIVE_MAX} negative trust anchors"));
        }
        for item in items {
            let Some(name) = item.parse_with(values::name) else { continue };
            if name.as_slice() == [0] {
                item.refuse_with_hint(
                    "a negative trust anchor for the root leaves nothing to validate",
                    "mode = \"off\" or mode = \"trust-upstream\" says so",
                );
            }
            settings.negative.push(name);
        }
    }
    (settings, anchors)
}

/// Reads the file that `trust_anchors` names.
fn read_anchors(item: &Item<'_>) -> Option<TrustAnchors> {
    let path = Path::new(item.string()?);
    item.note_file(path);
    let readable = fs::metadata(path).and_then(|file| match file.len() {
        0..=FILE_LEN_MAX => fs::read_to_string(path),
        _ => Err(std::io::Error::other("it is too long for a file of trust anchors")),
    });
    let text = match readable {
        Ok(text) => text,
        Err(error) => {
            item.refuse(format_args!("{} cannot be read: {error}", path.display()));
            return None;
        }
    };
    match text.parse() {
        Ok(anchors) => Some(anchors),
        Err(error) => {
            item.refuse_with_hint(
                format_args!("{}: {error}", path.display()),
                "one record a line: \". IN DS 20326 8 2 E06D44B8...\" or a DNSKEY",
            );
            None
        }
    }
}
