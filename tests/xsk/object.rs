//! The committed object belongs to the sources beside it.

use std::path::Path;
use std::process::Command;

#[test]
fn the_committed_object_is_what_the_sources_make() {
    let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ebpf/build");
    let output = Command::new(build).arg("--check").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
