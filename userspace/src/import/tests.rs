//! Every reader, option by option, and what it says of mistakes.

use std::path::{Path, PathBuf};

use super::*;
use crate::config::Config;

/// Files in memory, the first of which is read.
fn import_files(from: Option<Peer>, files: &[(&str, &str)]) -> Result<Import, ImportError> {
    let memory = Memory(
        files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect(),
    );
    import(Path::new(files[0].0), from, &memory)
}

/// One file and what became of it.
fn read(name: &str, text: &str) -> (toml::Table, Import) {
    let import = import_files(None, &[(name, text)]).unwrap_or_else(|error| panic!("{error}"));
    let table = import.text.parse().unwrap_or_else(|error| panic!("{error}\n{}", import.text));
    (table, import)
}

/// The error of a file.
fn error(name: &str, text: &str) -> String {
    import_files(None, &[(name, text)]).unwrap_err().to_string()
}

/// The value at a path, as TOML has it: `dns64.prefixes.0.prefix`.
fn at(table: &toml::Table, path: &str) -> String {
    let mut value = &toml::Value::Table(table.clone());
    for part in path.split('.') {
        let next = match part.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(part),
        };
        match next {
            Some(next) => value = next,
            None => return "-".to_owned(),
        }
    }
    value.to_string()
}

/// Whether a note says this.
fn notes(import: &Import, text: &str) -> bool {
    import.notes.iter().any(|note| note.to_string().contains(text))
}

/// What `check` makes of it.
fn checked(import: &Import) -> Config {
    crate::config::parse(&import.text, "imported").unwrap_or_else(|error| panic!("{error}"))
}

mod bind;
mod coredns;
mod knot;
mod pdns;
mod unbound;
mod whole;
