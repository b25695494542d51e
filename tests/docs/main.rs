//! Tests that the documents say what is so: configurations are accepted, commands print what is
//! shown, keys and modules are all named, links lead somewhere, and whatever the program may say
//! has an entry in the operator's guide.

mod commands;
mod configuration;
mod guide;
mod links;
mod markdown;
mod structure;
mod troubleshooting;

use std::fs;
use std::path::{Path, PathBuf};

/// The documents, by their paths from the root of the workspace.
const DOCUMENTS: [&str; 16] = [
    "README.md",
    "CHANGELOG.md",
    "userspace/ARCHITECTURE.md",
    "tests/README.md",
    "bench/README.md",
    "bench/RESULTS.md",
    "userspace/doc/README.md",
    "userspace/doc/clients.md",
    "userspace/doc/configure.md",
    "userspace/doc/install.md",
    "userspace/doc/monitor.md",
    "userspace/doc/security.md",
    "userspace/doc/size.md",
    "userspace/doc/troubleshooting.md",
    "userspace/doc/tune.md",
    "userspace/doc/upgrade.md",
];

/// The root of the workspace.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in the workspace").to_path_buf()
}

/// The text of a file, by its path from the root of the workspace.
fn text(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
