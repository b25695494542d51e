//! A network of the test's own: a namespace whose only interface is `lo`, with the clients'
//! addresses on it.
//!
//! The program starts itself once more under `unshare --net` (util-linux) before it has any thread,
//! so that all it starts later lives in the namespace and nothing is left when it ends.

use std::collections::BTreeSet;
use std::env;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// Set in the program that runs inside the namespace.
const MARK: &str = "DNS64_TEST_NAMESPACE";

/// Why the program must do without a namespace.
pub type Reason = String;

/// Makes sure that the program runs in a network namespace with `clients` on `lo`. Returns inside
/// the namespace, or with the reason why there is none.
///
/// # Errors
///
/// The namespace is there but could not be set up, or `CI=true` and there is none.
pub fn enter(clients: &BTreeSet<IpAddr>) -> Result<Option<Reason>> {
    if env::var_os(MARK).is_some() {
        set_up(clients)?;
        return Ok(None);
    }
    let reason = if !rustix::process::geteuid().is_root() {
        "a network namespace needs root".to_owned()
    } else if let Err(error) = run("unshare", &["--net", "--", "true"]) {
        error.to_string()
    } else {
        // Returns only if it fails.
        let error = Command::new("unshare")
            .args(["--net", "--"])
            .arg(env::current_exe()?)
            .args(env::args_os().skip(1))
            .env(MARK, "1")
            .exec();
        format!("unshare: {error}")
    };
    if env::var("CI").is_ok_and(|value| value == "true") {
        bail!("{reason}; with CI=true every case must be played");
    }
    Ok(Some(reason))
}

/// Brings `lo` up and gives it the clients' addresses.
fn set_up(clients: &BTreeSet<IpAddr>) -> Result<()> {
    ip(&["link", "set", "lo", "up"])?;
    for client in clients {
        if client.is_loopback() {
            continue;
        }
        let address = client.to_string();
        match client {
            IpAddr::V4(_) => ip(&["addr", "add", &address, "dev", "lo"])?,
            IpAddr::V6(_) => ip(&["addr", "add", &address, "dev", "lo", "nodad"])?,
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments)
}

/// Runs a program that must succeed.
fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} cannot be run"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(())
}
