//! Unbound: its `dns64` module before the iterator, and one forward zone.

use super::{NotExpressible, Place, expressible_by_peers};
use crate::cases::CaseConfig;

/// Zones that Unbound answers itself unless told not to; the cases use names in them.
const BUILT_IN_ZONES: [&str; 3] = ["test.", "2.0.192.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."];

/// The configuration file of a case.
pub(super) fn configuration(config: &CaseConfig, place: &Place) -> Result<String, NotExpressible> {
    expressible_by_peers(config)?;
    if config.exclude.is_some() {
        return Err(NotExpressible("an exclusion list"));
    }
    if config.ipv4only == Some(true) {
        return Err(NotExpressible("local answers for ipv4only.arpa"));
    }
    let prefix = match config.prefixes.as_slice() {
        [] => None,
        [one] if one.is_plain() => Some(&one.prefix),
        [_] => return Err(NotExpressible("options of a prefix")),
        _ => return Err(NotExpressible("several prefixes")),
    };
    let mut text = format!(
        "server:\n interface: 127.0.0.1\n interface: ::1\n port: {}\n num-threads: 1\n \
         do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"{}\"\n pidfile: \"\"\n \
         use-syslog: no\n logfile: \"\"\n access-control: 0.0.0.0/0 allow\n \
         access-control: ::/0 allow\n do-not-query-localhost: no\n unblock-lan-zones: yes\n \
         insecure-lan-zones: yes\n module-config: \"dns64 iterator\"\n",
        place.port,
        place.directory.display()
    );
    for zone in BUILT_IN_ZONES {
        text.push_str(&format!(" local-zone: \"{zone}\" nodefault\n"));
    }
    if let Some(prefix) = prefix {
        text.push_str(&format!(" dns64-prefix: {prefix}\n"));
    }
    if config.translate_all == Some(true) {
        text.push_str(" dns64-synthall: yes\n");
    }
    for name in &config.ignore_aaaa {
        text.push_str(&format!(" dns64-ignore-aaaa: \"{name}\"\n"));
    }
    text.push_str(&format!(
        "remote-control:\n control-enable: no\nforward-zone:\n name: \".\"\n \
         forward-addr: {}@{}\n",
        place.upstream.ip(),
        place.upstream.port()
    ));
    match config.no_cache_zones.as_slice() {
        [] => {}
        [zone] if zone == "." => text.push_str(" forward-no-cache: yes\n"),
        _ => return Err(NotExpressible("no_cache_zones other than the root")),
    }
    Ok(text)
}
