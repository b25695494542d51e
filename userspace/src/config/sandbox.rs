//! Reads `[sandbox]`.

use super::reader::{Item, Table};

/// What the process gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxSettings {
    /// Whose rights it takes, by name or number; `None`: it stays who started it.
    pub user: Option<String>,
    /// The group; `None`: that of the user.
    pub group: Option<String>,
    /// Whether Landlock bounds the files it can reach.
    pub landlock: bool,
    /// Whether seccomp bounds the system calls it can make.
    pub seccomp: bool,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        Self { user: None, group: None, landlock: true, seccomp: true }
    }
}

/// Reads the table.
pub(super) fn read_sandbox(document: &Table<'_>) -> SandboxSettings {
    let mut settings = SandboxSettings::default();
    let known = ["user", "group", "landlock", "seccomp"];
    let Some(table) = document.item("sandbox").and_then(|item| item.table(&known)) else {
        return settings;
    };
    settings.user = table.item("user").and_then(|item| read_account(&item));
    settings.group = table.item("group").and_then(|item| read_account(&item));
    if let (None, Some(item)) = (&settings.user, table.item("group")) {
        item.refuse_with_hint("a group without a user", "set sandbox.user, too");
    }
    table.set_boolean("landlock", &mut settings.landlock);
    table.set_boolean("seccomp", &mut settings.seccomp);
    settings
}

/// Reads the name or the number of a user or a group.
fn read_account(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    if name.is_empty() || name.contains([':', '\n']) {
        item.refuse_with_hint(
            format_args!("{name:?} is no name of a user or group"),
            "such as \"dns64d\", or a number",
        );
        return None;
    }
    Some(name.to_owned())
}
