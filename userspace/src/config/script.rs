//! Reads `[script]`, and the script with it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::error::{ConfigError, Place};
use super::reader::{Source, Table};
use super::values;
use crate::script::{LuaScript, ScriptSource};

/// The instructions that one call may be allowed: from those of a few lines to about a second.
const INSTRUCTIONS: std::ops::RangeInclusive<u32> = 1_000..=100_000_000;

/// The least memory of a Lua state: below it there is no room for Lua itself.
const MEMORY_MIN: u64 = 1 << 20;

/// Reads the table. The script is read, too, and runs once, so that its mistakes show here.
pub(super) fn read_script(
    source: &Source<'_>,
    document: &Table<'_>,
    listen: &[SocketAddr],
) -> Option<ScriptSource> {
    let known = ["file", "instructions", "memory"];
    let table = document.item("script")?.table(&known)?;
    let item = table.required("file")?;
    let file = item.string()?;
    // Beside the configuration, wherever the program has been started.
    let directory = Path::new(source.name()).parent().unwrap_or_else(|| Path::new(""));
    let path = directory.join(file);
    source.note_file(&path);
    let text = match fs::read(&path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            item.refuse(format_args!("{} is not UTF-8 text", path.display()));
            return None;
        }
        Err(error) => {
            item.refuse_with_hint(
                format_args!("{} cannot be read: {error}", path.display()),
                "a path that does not begin with / starts where the configuration is",
            );
            return None;
        }
    };
    let mut script = ScriptSource::new(&path.display().to_string(), &text);
    script.listen = listen.to_vec();
    table.set_integer("instructions", INSTRUCTIONS, &mut script.instructions);
    if let Some(item) = table.item("memory")
        && let Some(memory) = item.parse_with(values::size)
    {
        if memory < MEMORY_MIN {
            item.refuse_with_hint("too little for a script", "the least is 1MiB");
        }
        script.memory_bytes = memory;
    }
    if let Err(error) = LuaScript::load(&script) {
        source.refuse_other(ConfigError {
            file: error.file,
            place: error.line.map(|line| Place { line: line as usize, column: 1 }),
            key: "script".to_owned(),
            message: error.message,
            hint: None,
        });
    }
    Some(script)
}
