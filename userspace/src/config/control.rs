//! Reads `[control]`.

use std::path::{Path, PathBuf};

use super::reader::{Item, Table};

/// Octets of the longest path of a Unix socket (`sun_path` without the zero).
const PATH_LEN_MAX: usize = 107;

/// The mode without configuration: owner and group may ask.
const MODE_DEFAULT: u32 = 0o660;

/// Where commands are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSettings {
    /// The path of the socket: absolute.
    pub socket: PathBuf,
    /// The mode of its file.
    pub mode: u32,
    /// The group of its file, by name or number; `None`: that of the process.
    pub group: Option<String>,
}

/// Reads the table; `None` if there is to be no socket.
pub(super) fn read_control(document: &Table<'_>) -> Option<ControlSettings> {
    let item = document.item("control")?;
    let table = item.table(&["socket", "mode", "group"])?;
    let mode = table.item("mode").map(|item| (read_mode(&item), item));
    let group = table.item("group").and_then(|item| Some((item.string()?.to_owned(), item)));
    if let Some((group, item)) = &group
        && (group.is_empty() || group.contains([':', '\n']))
    {
        item.refuse_with_hint(
            format_args!("{group:?} is no name of a group"),
            "getent group lists those there are",
        );
    }
    let Some(socket) = table.item("socket") else {
        for item in mode.iter().map(|(_, item)| item).chain(group.iter().map(|(_, item)| item)) {
            item.warn("this means nothing without a socket", "set control.socket");
        }
        return None;
    };
    let socket = read_path(&socket)?;
    let mode = mode.and_then(|(mode, _)| mode).unwrap_or(MODE_DEFAULT);
    Some(ControlSettings { socket, mode, group: group.map(|(group, _)| group) })
}

/// Reads the path of the socket.
pub(super) fn read_path(item: &Item<'_>) -> Option<PathBuf> {
    let text = item.string()?;
    let path = Path::new(text);
    if !path.is_absolute() || path.file_name().is_none() || text.contains('\0') {
        item.refuse_with_hint(
            format_args!("{text:?} is no absolute path of a file"),
            "such as \"/run/dns64d/control.sock\"",
        );
        return None;
    }
    if text.len() > PATH_LEN_MAX {
        item.refuse(format_args!(
            "the path of a socket has at most {PATH_LEN_MAX} octets, this one has {}",
            text.len()
        ));
        return None;
    }
    Some(path.to_owned())
}

/// Reads a mode: octal digits, as for chmod.
fn read_mode(item: &Item<'_>) -> Option<u32> {
    let text = item.string()?;
    let is_octal = (3..=4).contains(&text.len()) && text.bytes().all(|c| matches!(c, b'0'..=b'7'));
    let mode = if is_octal { u32::from_str_radix(text, 8).ok() } else { None };
    let Some(mode) = mode.filter(|mode| *mode <= 0o777) else {
        let hint = "three octal digits, such as \"0660\": owner and group may ask";
        item.refuse_with_hint(format_args!("{text:?} is no mode of a file"), hint);
        return None;
    };
    if mode & 0o002 != 0 {
        let hint = "\"0660\" lets owner and group ask";
        item.warn("every user of this machine may command dns64d", hint);
    }
    if mode & 0o600 != 0o600 {
        item.refuse_with_hint("the owner could not ask", "\"0600\" or \"0660\"");
    }
    Some(mode)
}
