//! The table `pdns`: types, RCODEs, levels of the log, states of validation.

use mlua::{Lua, Result, Table};

use crate::wire::header::Rcode;
use crate::wire::question::Rtype;

/// What a hook of Recursor 3 returns to let a query pass.
pub(super) const PASS: i64 = -1;

/// The RCODE that means: give no reply.
pub(super) const DROP: i64 = -2;

/// Levels of the log, as syslog numbers them (RFC 5424 6.2.1), and two more.
const LEVELS: [(&str, i64); 9] = [
    ("All", 0),
    ("Alert", 1),
    ("Critical", 2),
    ("Error", 3),
    ("Warning", 4),
    ("Notice", 5),
    ("Info", 6),
    ("Debug", 7),
    ("None", 8),
];

/// States of validation.
pub(super) const STATES: [(&str, i64); 4] =
    [("Indeterminate", 0), ("Insecure", 1), ("Secure", 2), ("Bogus", 3)];

/// Makes the table.
pub(super) fn table(lua: &Lua) -> Result<Table> {
    let pdns = lua.create_table()?;
    for rtype in Rtype::REGISTERED {
        if let Some(name) = rtype.mnemonic() {
            pdns.set(name, rtype.0)?;
        }
    }
    for rcode in Rcode::REGISTERED {
        if let Some(name) = rcode.mnemonic() {
            pdns.set(name, rcode.0)?;
        }
    }
    for (name, value) in [("PASS", PASS), ("DROP", DROP)] {
        pdns.set(name, value)?;
    }
    for (name, entries) in [("loglevels", &LEVELS[..]), ("validationstates", &STATES[..])] {
        let table = lua.create_table()?;
        for (key, value) in entries {
            table.set(*key, *value)?;
        }
        pdns.set(name, table)?;
    }
    Ok(pdns)
}
