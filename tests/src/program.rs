//! Where the programs under test are.

use std::env;
use std::path::PathBuf;

use crate::netns::find_program;

/// `$DNS64D`, or the one that cargo built beside the tests.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn dns64d() -> PathBuf {
    found(env::var_os("DNS64D").map_or_else(|| directory().join("dns64d"), PathBuf::from))
}

/// The one that cargo built beside the tests.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn dns64bench() -> PathBuf {
    found(directory().join("dns64bench"))
}

/// Whether programs that a test starts are installed. If not, prints which, so that the test can
/// return.
///
/// # Panics
/// If one is missing and `CI` is `true`: a test must not be skipped there.
#[must_use]
pub fn installed(programs: &[&str]) -> bool {
    let missing: Vec<&str> =
        programs.iter().copied().filter(|program| find_program(program).is_none()).collect();
    if missing.is_empty() {
        return true;
    }
    let in_ci = env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "not installed: {}", missing.join(", "));
    eprintln!("skipped: not installed: {}", missing.join(", "));
    false
}

/// The directory of the programs that cargo builds beside the tests.
///
/// # Panics
/// If the test was not built by cargo.
#[must_use]
pub fn directory() -> PathBuf {
    let test = env::current_exe().expect("the system knows the path of this program");
    // target/<profile>/deps/<test>-<hash>
    let profile = test.ancestors().nth(2).expect("tests lie in deps/ of their profile");
    profile.to_path_buf()
}

/// A program that must be there.
fn found(program: PathBuf) -> PathBuf {
    assert!(
        program.is_file(),
        "there is no {}: run `cargo build --workspace` first, or name another dns64d in DNS64D",
        program.display()
    );
    program
}
