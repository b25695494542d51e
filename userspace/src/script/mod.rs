//! Scripts in Lua, with the hooks and objects of PowerDNS Recursor.
//!
//! A script is a file of functions with the names of hooks (`preresolve`, `nodata`, `nxdomain`,
//! `postresolve`). Each worker has a Lua state of its own, so that no two ever wait for each other.
//! The engine calls a script through [`crate::engine::script::Script`] and knows nothing of Lua.
//!
//! | module | has |
//! |---|---|
//! | [`source`] | a script as text, with its budget |
//! | `state` | the sandbox: what a script can reach, and how much it may use |
//! | `hooks` | the calls, in the form of Recursor 4 and 5 |
//! | `legacy` | the calls in the form of Recursor 3 |
//! | `question` | the object `dq` |
//! | `record` | records as objects and as tables |
//! | `name`, `address`, `netmask` | names, addresses, groups of networks and of domains |
//! | `constants` | the table `pdns` |
//! | `fault` | what went wrong, in which line |
//! | `log_rate` | how much of it is logged |
//!
//! A hook that declares one parameter, or none, is called with `dq`; one that declares two or more
//! is of the older form and is called with client, name, type and records.
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a Lua value of any other type is refused by the name of its type"
)]

mod address;
mod constants;
mod fault;
mod hooks;
mod legacy;
mod log_rate;
mod name;
mod netmask;
mod question;
mod record;
pub mod source;
mod state;

pub use self::fault::ScriptError;
pub use self::hooks::LuaScript;
pub use self::source::ScriptSource;
