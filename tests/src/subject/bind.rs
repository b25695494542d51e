//! BIND's named: one `dns64` block for each prefix, and global forwarders.

use super::{NotExpressible, Place, expressible_by_peers};
use crate::cases::CaseConfig;

/// The configuration file of a case.
pub(super) fn configuration(config: &CaseConfig, place: &Place) -> Result<String, NotExpressible> {
    expressible_by_peers(config)?;
    if config.translate_all.is_some() {
        return Err(NotExpressible("synthesis beside real AAAA"));
    }
    if !config.ignore_aaaa.is_empty() {
        return Err(NotExpressible("names whose AAAA are ignored"));
    }
    if config.allow_nonzero_u.is_some() {
        return Err(NotExpressible("a prefix whose bits 64-71 are not zero"));
    }
    // With `forward only` named leaves out its own zones for ipv4only.arpa. The names under them
    // never reach the upstream, so `first` changes nothing else.
    let forward = if config.ipv4only == Some(true) { "first" } else { "only" };
    let mut text = format!(
        "options {{\n directory \"{0}\";\n pid-file \"{0}/named.pid\";\n session-keyfile none;\n \
         listen-on port {1} {{ 127.0.0.1; }};\n listen-on-v6 port {1} {{ ::1; }};\n \
         allow-query {{ any; }};\n allow-query-cache {{ any; }};\n allow-recursion {{ any; }};\n \
         recursion yes;\n forward {4};\n forwarders {{ {2} port {3}; }};\n \
         dnssec-validation no;\n empty-zones-enable no;\n",
        place.directory.display(),
        place.port,
        place.upstream.ip(),
        place.upstream.port(),
        forward
    );
    match config.no_cache_zones.as_slice() {
        [] => {}
        [zone] if zone == "." => text.push_str(" max-cache-ttl 0;\n max-ncache-ttl 0;\n"),
        _ => return Err(NotExpressible("no_cache_zones other than the root")),
    }
    if config.prefixes.is_empty() {
        text.push_str(&format!(" dns64 64:ff9b::/96 {{{} }};\n", exclude(config, None)));
    }
    for prefix in &config.prefixes {
        text.push_str(&format!(" dns64 {} {{", prefix.prefix));
        if let Some(clients) = &prefix.clients {
            text.push_str(&format!(" clients {{ {} }};", list(clients)));
        }
        if let Some(mapped) = &prefix.mapped {
            text.push_str(&format!(" mapped {{ {} }};", list(mapped)));
        }
        text.push_str(&exclude(config, prefix.exclude.as_deref()));
        if let Some(suffix) = &prefix.suffix {
            text.push_str(&format!(" suffix {suffix};"));
        }
        for (statement, value) in
            [("recursive-only", prefix.recursive_only), ("break-dnssec", prefix.break_dnssec)]
        {
            if let Some(value) = value {
                let word = if value { "yes" } else { "no" };
                text.push_str(&format!(" {statement} {word};"));
            }
        }
        text.push_str(" };\n");
    }
    text.push_str("};\ncontrols { };\n");
    Ok(text)
}

/// The `exclude` statement of a prefix: its own list, else the case's.
fn exclude(config: &CaseConfig, own: Option<&[String]>) -> String {
    own.or(config.exclude.as_deref())
        .map_or_else(String::new, |ranges| format!(" exclude {{ {} }};", list(ranges)))
}

/// An address match list.
fn list(elements: &[String]) -> String {
    elements.iter().map(|element| format!("{element};")).collect::<Vec<_>>().join(" ")
}
