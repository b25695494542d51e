//! Running `dns64bench load`.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use dns64_tests::netns::Scratch;
pub(crate) use dns64_tests::program::dns64bench;
use serde_json::Value;

/// What a run of the program brought.
pub(crate) struct Outcome {
    /// The exit code.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Outcome {
    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.stdout, self.stderr))
    }

    /// Numbers of the report, by their keys.
    pub(crate) fn numbers<const N: usize>(&self, keys: [&str; N]) -> [u64; N] {
        let json = self.json();
        keys.map(|key| json[key].as_u64().unwrap_or_else(|| panic!("{key} in {json:#}")))
    }
}

/// Runs a command with this input to its end.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Outcome {
    let scratch = Scratch::new();
    let file = scratch.path().join("input");
    std::fs::write(&file, input).expect("the scratch directory takes files");
    let output = command
        .stdin(Stdio::from(File::open(&file).expect("it was just written")))
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("the program writes text"),
        stderr: String::from_utf8(output.stderr).expect("the program writes text"),
    }
}

/// Runs `dns64bench load` against a server, with more arguments and queries on standard input.
pub(crate) fn load(server: SocketAddr, arguments: &str, input: &str) -> Outcome {
    load_octets(server, arguments, input.as_bytes())
}

/// [`load`], with any input.
pub(crate) fn load_octets(server: SocketAddr, arguments: &str, input: &[u8]) -> Outcome {
    let mut command = Command::new(dns64bench());
    command.args(["load", "-s", &server.ip().to_string(), "-p", &server.port().to_string()]);
    run(command.args(arguments.split_whitespace()), input)
}

/// Query lines: AAAA of names with one A record, numbered from 0; `words` are added to the label.
pub(crate) fn names(count: u32, words: &str) -> String {
    (0..count).map(|number| format!("a-11-0-0-{number}{words}.v4.test AAAA\n")).collect()
}
