//! The configuration as files: several that are read as one, through the real program, and the
//! schema, against the reader and against a validator of others.

mod include;
mod schema;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use dns64_tests::netns::Scratch;
use dns64_tests::program::dns64d;

/// Runs `dns64d check` in a directory, on its `dns64d.toml`.
fn check(directory: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(dns64d());
    command.args(["check", "--config", "dns64d.toml"]).args(options);
    command.current_dir(directory).stdin(Stdio::null()).output().expect("dns64d can be run")
}

/// A directory with these files.
fn files(files: &[(&str, &str)]) -> Scratch {
    let scratch = Scratch::new();
    for (name, text) in files {
        if let Some((directory, _)) = name.rsplit_once('/') {
            std::fs::create_dir_all(scratch.path().join(directory)).expect("a directory");
        }
        scratch.write(name, text);
    }
    scratch
}

/// What is said of a directory whose configuration is refused, line by line.
fn refusal(scratch: &Scratch) -> Vec<String> {
    let output = check(scratch.path(), &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    said.trim_start_matches("dns64d: ").lines().map(str::to_owned).collect()
}
