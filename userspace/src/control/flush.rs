//! `dns64ctl flush`: forgets answers, in the caches of all workers and in the kernel.

use serde_json::{Value, json};

use super::FlushScope;
use crate::cache::Scope;
use crate::daemon::Daemon;
use crate::wire::NameBuf;
use crate::wire::question::Rtype;

/// Forgets what is meant.
///
/// # Errors
/// If the name is none, or a worker does not answer in time.
pub(super) async fn answer(daemon: &Daemon, scope: FlushScope) -> Result<Value, String> {
    let flushed = daemon.flush(read(scope)?).await?;
    Ok(json!({ "flushed": flushed }))
}

/// The entries that are meant. Synthesized answers stand beside the answer to AAAA: whoever flushes
/// A means them too.
///
/// # Errors
/// If the name is none.
pub(super) fn read(scope: FlushScope) -> Result<Scope, String> {
    let wire = |name: &str| {
        let name: NameBuf = name.parse().map_err(|error| format!("{name:?}: {error}"))?;
        Ok::<_, String>(name.folded().as_wire().to_vec())
    };
    Ok(match scope {
        FlushScope::All => Scope::All,
        FlushScope::Name { name, rtype: None } => Scope::Name(wire(&name)?),
        FlushScope::Name { name, rtype: Some(rtype) } => {
            let mut types = vec![rtype];
            if rtype == Rtype::A.0 {
                types.push(Rtype::AAAA.0);
            }
            Scope::Types(wire(&name)?, types)
        }
        FlushScope::Zone { zone } => Scope::Subtree(wire(&zone)?),
    })
}

/// The reply for people.
#[must_use]
pub fn render(reply: &Value) -> String {
    format!("{} answers are forgotten\n", reply["flushed"])
}
