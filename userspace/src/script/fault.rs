//! What goes wrong in a script, with the line.

use std::fmt;

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError {
    /// The name of the file.
    pub file: String,
    /// The line, from 1 on; `None` where no line is to blame.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
}

impl ScriptError {
    /// The error of a Lua state, in which the script runs under the name of its file.
    pub(super) fn of(file: &str, error: &mlua::Error) -> Self {
        let text = error.to_string();
        let text = text.trim_start_matches("runtime error: ").trim_start_matches("syntax error: ");
        // The message comes first, and behind it the calls that led there, innermost first.
        let first = text.lines().next().unwrap_or_default();
        let (line, message) = match place(first, file) {
            Some((line, rest)) => (Some(line), rest),
            None => {
                (text.lines().skip(1).find_map(|call| Some(place(call.trim(), file)?.0)), first)
            }
        };
        let message = message.trim_start_matches("runtime error: ");
        Self { file: file.to_owned(), line, message: message.trim().to_owned() }
    }
}

/// The line that a message begins with, and the rest of it.
fn place<'t>(text: &'t str, file: &str) -> Option<(u32, &'t str)> {
    let (line, rest) = text.strip_prefix(file)?.strip_prefix(':')?.split_once(':')?;
    Some((line.parse().ok()?, rest))
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ScriptError {}
