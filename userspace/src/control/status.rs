//! `dns64ctl status`: who runs, since when, and how queries come in.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::drain;
use crate::daemon::{Daemon, Rules};
use crate::xdp::watch::InterfaceTier;

/// The status of the program.
pub(super) fn answer(daemon: &Daemon) -> Value {
    of(daemon, &daemon.in_force.get())
}

/// The status of the program under this configuration.
pub(crate) fn of(daemon: &Daemon, rules: &Rules) -> Value {
    let policy = &rules.policy;
    let views = policy.views.iter().map(|view| {
        let prefixes = view.prefixes.iter().map(|prefix| prefix.pref64.to_string());
        json!({
            "name": view.name,
            "enabled": view.enabled,
            "prefixes": if view.enabled { prefixes.collect() } else { Vec::new() },
            "pool": view.pool.as_ref().map(|used| &policy.pools[usize::from(used.pool.0)].name),
        })
    });
    let interfaces =
        [daemon.datapath.tiers(), daemon.spreading.get()].into_iter().flat_map(|tiers| tiers.0);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_seconds": daemon.started.elapsed().as_secs(),
        "listen": daemon.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "workers": daemon.workers.len(),
        "steering": { "by": daemon.steered.word(), "refusal": daemon.steered.refusal },
        "interfaces": interfaces.map(|tier| interface(&tier)).collect::<Vec<_>>(),
        "views": views.collect::<Vec<_>>(),
        "pools": rules.pools.to_json(),
        "upstreams": policy.upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// How high an interface has got; `refusal` is why not higher, null if nothing was in the way.
fn interface(tier: &InterfaceTier) -> Value {
    let refusal = (!tier.refusal.is_empty()).then_some(&tier.refusal);
    json!({
        "interface": tier.interface,
        "tier": tier.tier.name(),
        "queues": tier.queues,
        "refusal": refusal,
    })
}

/// The status for people.
#[must_use]
pub fn render(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let list = |value: &Value| {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().map(text).collect::<Vec<_>>().join(", ")
    };
    let items = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    let mut out = String::new();
    let seconds = status["uptime_seconds"].as_u64().unwrap_or_default();
    let version = text(&status["version"]);
    let _ = writeln!(out, "dns64d     {version}, pid {}, up {}", status["pid"], uptime(seconds));
    let _ = writeln!(out, "listen     {}", list(&status["listen"]));
    let _ = writeln!(out, "workers    {}", status["workers"]);
    let _ = writeln!(out, "steering   {}", text(&status["steering"]["by"]));
    if let Some(refusal) = status["steering"]["refusal"].as_str() {
        let _ = writeln!(out, "           {refusal}");
    }
    if items("interfaces").is_empty() {
        let _ = writeln!(out, "tier       socket");
    }
    for interface in items("interfaces") {
        let (name, tier) = (text(&interface["interface"]), text(&interface["tier"]));
        let _ = writeln!(out, "tier       {name}: {tier}, queues: {}", interface["queues"]);
        if let Some(refusal) = interface["refusal"].as_str() {
            let _ = writeln!(out, "           not higher: {refusal}");
        }
    }
    for view in items("views") {
        let prefixes = match view["enabled"].as_bool() {
            Some(true) => list(&view["prefixes"]),
            _ => "no DNS64".to_owned(),
        };
        let _ = writeln!(out, "view       {}: {prefixes}", text(&view["name"]));
    }
    out.push_str(&drain::render(status));
    let _ = writeln!(out, "upstream   {}", list(&status["upstreams"]));
    out
}

/// A span of time as people read it: `3 d 4 h 5 min 6 s`.
fn uptime(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min")];
    let mut words: Vec<String> = parts
        .into_iter()
        .skip_while(|(number, _)| *number == 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    words.push(format!("{} s", seconds % 60));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_begins_with_its_largest_unit() {
        assert_eq!(uptime(7), "7 s");
        assert_eq!(uptime(3_600), "1 h 0 min 0 s");
        assert_eq!(uptime(2 * 86_400 + 61), "2 d 0 h 1 min 1 s");
    }

    #[test]
    fn a_status_is_told_line_by_line() {
        let status = json!({
            "version": "1.2.3", "pid": 7, "uptime_seconds": 61,
            "listen": ["[::1]:53"], "workers": 2,
            "steering": { "by": "flow", "refusal": null },
            "interfaces": [
                { "interface": "eth0", "tier": "socket", "queues": 0, "refusal": "no rights" },
            ],
            "views": [
                { "name": "default", "enabled": true, "prefixes": ["64:ff9b::/96"] },
                { "name": "dual", "enabled": false, "prefixes": [] },
            ],
            "upstreams": ["192.0.2.53:53", "192.0.2.54:53"],
        });
        let lines = "dns64d     1.2.3, pid 7, up 1 min 1 s\n\
                     listen     [::1]:53\n\
                     workers    2\n\
                     steering   flow\n\
                     tier       eth0: socket, queues: 0\n\
                     \x20          not higher: no rights\n\
                     view       default: 64:ff9b::/96\n\
                     view       dual: no DNS64\n\
                     upstream   192.0.2.53:53, 192.0.2.54:53\n";
        assert_eq!(render(&status), lines);
    }
}
