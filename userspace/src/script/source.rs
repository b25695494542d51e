//! A script before it runs.

use std::net::SocketAddr;

/// Instructions of the Lua machine that one call may execute, where nothing else is configured:
/// about a millisecond.
pub const INSTRUCTIONS_DEFAULT: u32 = 100_000;

/// Octets that one worker's Lua state may hold, where nothing else is configured.
pub const MEMORY_DEFAULT: u64 = 16 << 20;

/// A script and its budget: what each worker makes its Lua state from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptSource {
    /// What errors call it: the name of the file.
    pub name: String,
    /// The text.
    pub text: String,
    /// Instructions that one call may execute.
    pub instructions: u32,
    /// Octets that the Lua state may hold.
    pub memory_bytes: u64,
    /// Where queries come in: the ports of `dq.localaddr`.
    pub listen: Vec<SocketAddr>,
}

impl ScriptSource {
    /// A script with the default budget.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            text: text.to_owned(),
            instructions: INSTRUCTIONS_DEFAULT,
            memory_bytes: MEMORY_DEFAULT,
            listen: Vec::new(),
        }
    }
}
