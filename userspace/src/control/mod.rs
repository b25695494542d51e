//! The control socket: what `dns64ctl` asks a running `dns64d`.
//!
//! A Unix stream socket. A request is one line of JSON, and so is the reply to it:
//!
//! ```text
//!   {"command":"status"}              {"schema":1,"result":{"version":"0.1.0",...}}
//!   {"command":"no-such-thing"}       {"schema":1,"error":"unknown variant `no-such-thing`, ..."}
//! ```
//!
//! Several requests may follow each other on a connection. Who may open the socket may ask
//! everything: access is what the mode and the group of the file say. Lines, connections and waits
//! are bounded, and the socket is served by the housekeeping thread, never by a worker.
//!
//! A command is a file of this module, with what it answers and how `dns64ctl` prints that, a
//! variant of [`Request`], and an arm in [`server`].
#![forbid(unsafe_code)]

pub mod client;
pub mod drain;
pub mod dump_cache;
pub mod flush;
pub mod listen;
pub mod log_level;
pub mod lookup;
pub mod reload;
pub mod server;
pub mod stats;
pub mod status;
pub mod top;
pub mod trace;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::trace::Question;

/// The version of the replies: it grows when a key goes or changes its meaning.
pub const SCHEMA: u64 = 1;

/// Where `dns64ctl` looks for a `dns64d` if nobody says otherwise.
pub const SOCKET_DEFAULT: &str = "/run/dns64d/control.sock";

/// Octets of the longest request, with the end of its line.
pub const REQUEST_LEN_MAX: usize = 64 << 10;

/// Octets of the longest reply that a client takes.
pub const REPLY_LEN_MAX: u64 = 64 << 20;

/// Connections at a time; more are told so and closed.
pub const CONNECTIONS_MAX: usize = 16;

/// How long a connection may be silent, and how long a reply may take to be read.
pub const IDLE_WAIT: Duration = Duration::from_secs(10);

/// How long `dns64ctl` waits for a reply: longer than `dns64d` waits for its workers.
pub const REPLY_WAIT: Duration = Duration::from_secs(15);

/// What is asked. Variants without keys have braces: of others, keys that are too many would be
/// ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Who runs, since when, and how.
    Status {},
    /// What has been counted.
    Stats {},
    /// Which rules decide about a query.
    Trace(Question),
    /// Forgets answers.
    Flush {
        /// Which.
        scope: FlushScope,
    },
    /// Answers of the cache, a page of them.
    DumpCache {
        /// Which.
        scope: FlushScope,
        /// The worker in whose cache the page begins.
        #[serde(default)]
        worker: usize,
        /// Where there, as the page before says.
        #[serde(default)]
        from: u32,
    },
    /// Which servers are asked for a name.
    Lookup {
        /// The name, as in a master file.
        name: String,
    },
    /// How much is logged; sets it, until the next reload.
    LogLevel {
        /// The word for another level.
        #[serde(default)]
        level: Option<String>,
    },
    /// Reads the configuration file again and puts it in force.
    Reload {
        /// Whether only to say what would change.
        #[serde(default)]
        diff: bool,
    },
    /// Counts who asks most, and for what.
    Top(top::Wanted),
    /// Gives a gateway of a pool no more clients.
    Drain {
        /// The pool.
        pool: String,
        /// The gateway's prefix.
        prefix: String,
    },
    /// Gives a gateway that was drained its clients back.
    Undrain {
        /// The pool.
        pool: String,
        /// The gateway's prefix.
        prefix: String,
    },
}

/// Which answers are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FlushScope {
    /// All of them.
    All,
    /// Those of a name.
    Name {
        /// The name, as in a master file.
        name: String,
        /// The number of the type; without it, of every type.
        #[serde(default)]
        rtype: Option<u16>,
    },
    /// Those of a name and of the names below it.
    Zone {
        /// The name, as in a master file.
        zone: String,
    },
}

/// The reply to a request: one line without its end.
#[must_use]
pub fn reply_line(result: &Result<Value, String>) -> String {
    match result {
        Ok(result) => json!({ "schema": SCHEMA, "result": result }).to_string(),
        Err(error) => json!({ "schema": SCHEMA, "error": error }).to_string(),
    }
}

/// Reads a request line.
///
/// # Errors
/// What is wrong with it, for whoever wrote it.
pub fn parse_request(line: &[u8]) -> Result<Request, String> {
    serde_json::from_slice(line).map_err(|error| format!("not a request: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_object_that_names_its_command() {
        assert_eq!(parse_request(br#"{"command":"status"}"#), Ok(Request::Status {}));
        for (line, said) in [
            (&b"{}"[..], "missing field `command`"),
            (br#"{"command":"halt"}"#, "unknown variant `halt`"),
            (br#"{"command":"stats","all":1}"#, "unknown field `all`"),
            (b"stats", "not a request"),
            (b"\xff", "not a request"),
        ] {
            let error = parse_request(line).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_reply_is_one_line_with_its_schema() {
        let good = reply_line(&Ok(json!({ "a": "b\nc" })));
        assert_eq!(good, r#"{"result":{"a":"b\nc"},"schema":1}"#);
        let bad = reply_line(&Err("no".to_owned()));
        assert_eq!(bad, r#"{"error":"no","schema":1}"#);
    }
}
