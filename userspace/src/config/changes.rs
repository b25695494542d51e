//! What distinguishes one configuration from another: what `dns64ctl reload --diff` shows, what a
//! reload can do, and what it leaves in the cache.

use std::collections::BTreeMap;
use std::path::Path;

use dns64_ebpf::hash::name_hash;
use toml::{Table, Value};

use super::Config;
use crate::policy::PolicySettings;

/// Any number that stays the same.
const FINGERPRINT_SEED: u64 = 64;

/// A key that says something else, or a file that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key: tables of a list go by their names.
    pub key: String,
    /// What it said, as TOML; `None`: it was not there.
    pub before: Option<String>,
    /// What it says; `None`: it is not there.
    pub after: Option<String>,
}

impl Config {
    /// What is different in another configuration that is to take the place of this one, by key.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<Change> {
        let keys = self.written.keys().chain(after.written.keys());
        let keys: std::collections::BTreeSet<&String> = keys.collect();
        let of = |config: &Self, key: &String| config.written.get(key).cloned();
        let changed = keys.into_iter().filter_map(|key| {
            let (before, after) = (of(self, key), of(after, key));
            (before != after).then(|| Change { key: key.clone(), before, after })
        });
        let mut changes: Vec<Change> = changed.collect();
        let mut of_file = |key: String, differs: bool| {
            if differs && !changes.iter().any(|change| change.key == key) {
                let told = |when: &str| Some(format!("the file as it {when}"));
                changes.push(Change { key, before: told("was"), after: told("is") });
            }
        };
        for zone in &after.policy.rpz {
            let known = self.policy.rpz.iter().find(|known| known.zone.name == zone.zone.name);
            of_file(
                format!("rpz.{}.file", zone.zone.name),
                known.is_some_and(|known| known.zone != zone.zone),
            );
        }
        if let (Some(before), Some(script)) = (&self.script, &after.script) {
            of_file("script.file".to_owned(), before.text != script.text);
        }
        let anchors_differ = self.trust_anchors != after.trust_anchors;
        of_file("dnssec.trust_anchors".to_owned(), anchors_differ);
        if !after.written.contains_key("upstream.servers")
            && !self.written.contains_key("upstream.servers")
            && self.policy.servers != after.policy.servers
        {
            let told = |config: &Self| Some(format!("{:?}, of resolv.conf", config.policy.servers));
            let key = "upstream.servers".to_owned();
            changes.push(Change { key, before: told(self), after: told(after) });
        }
        changes
    }

    /// The keys with another value that only a new start can bring into force.
    #[must_use]
    pub fn needs_restart(&self, after: &Self) -> Vec<&'static str> {
        let (limits, others) = (&self.policy.limits, &after.policy.limits);
        let keys = [
            ("cache.snapshot", self.snapshot_out_of_reach(after)),
            ("listen", self.listen != after.listen),
            ("workers", self.workers != after.workers),
            ("datapath", self.datapath != after.datapath),
            ("control", self.control != after.control),
            ("metrics", self.metrics != after.metrics),
            ("query_log", self.query_log != after.query_log),
            ("dnstap", self.dnstap != after.dnstap),
            ("sandbox", self.sandbox != after.sandbox),
            ("log.format", self.log_format != after.log_format),
            ("limits.tcp_clients", limits.tcp_clients != others.tcp_clients),
            ("limits.tcp_per_client", limits.tcp_per_client != others.tcp_per_client),
            ("limits.tcp_idle_ms", limits.tcp_idle_ms != others.tcp_idle_ms),
            ("limits.tcp_pipeline", limits.tcp_pipeline != others.tcp_pipeline),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    /// Whether another configuration has its snapshots in a directory that this process has shut
    /// itself out of.
    fn snapshot_out_of_reach(&self, after: &Self) -> bool {
        let directory = |config: &Self| {
            let settings = config.snapshot.as_ref();
            settings.and_then(|settings| settings.file.parent()).map(Path::to_owned)
        };
        self.sandbox.landlock
            && directory(after).is_some_and(|wanted| directory(self) != Some(wanted))
    }

    /// What decides whether answers that were kept under one configuration hold under another, in
    /// one number: the same wherever [`keeps_cache`](Self::keeps_cache) says so, but for the size
    /// of the cache, which no answer minds.
    #[must_use]
    pub fn cache_fingerprint(&self) -> u64 {
        let PolicySettings { servers, forwards, dnssec, cache, .. } = &self.policy;
        let ttls = (cache.min_ttl_secs, cache.max_ttl_secs, cache.max_negative_ttl_secs);
        let all = (servers, forwards, dnssec, &self.trust_anchors, ttls, cache.max_stale_secs);
        name_hash(format!("{all:?}").as_bytes(), FINGERPRINT_SEED)
    }

    /// Whether the answers that were kept under this configuration hold under another: it asks the
    /// same servers for the same names, believes them as much, and keeps what they say as long.
    #[must_use]
    pub fn keeps_cache(&self, after: &Self) -> bool {
        let kept = |config: &Self| {
            let cache = config.policy.cache;
            (cache.size_bytes, cache.min_ttl_secs, cache.max_ttl_secs, cache.max_negative_ttl_secs)
        };
        self.policy.servers == after.policy.servers
            && self.policy.forwards == after.policy.forwards
            && self.policy.dnssec == after.policy.dnssec
            && self.trust_anchors == after.trust_anchors
            && kept(self) == kept(after)
            && self.policy.cache.max_stale_secs == after.policy.cache.max_stale_secs
    }
}

/// Every key of these texts and its value, as TOML. Of a text that is none, nothing.
pub(super) fn written<'t>(texts: impl Iterator<Item = &'t str>) -> BTreeMap<String, String> {
    let mut document = Table::new();
    for text in texts {
        join(&mut document, text.parse().unwrap_or_default());
    }
    let mut keys = BTreeMap::new();
    collect("", &document, &mut keys);
    keys
}

/// Joins tables as those of several files are joined, where nothing has two values.
fn join(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(there)), Value::Table(more)) => join(there, more),
            (Some(Value::Array(there)), Value::Array(more)) => there.extend(more),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Collects the keys under a path.
fn collect(path: &str, table: &Table, keys: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(table) => collect(&path, table, keys),
            Value::Array(items) if !items.is_empty() && items.iter().all(Value::is_table) => {
                for (index, table) in items.iter().filter_map(Value::as_table).enumerate() {
                    let name = table.get("name").or_else(|| table.get("zone"));
                    let name = name.and_then(Value::as_str).map_or_else(
                        || format!("{path}[{index}]"),
                        |name| format!("{path}.{name}"),
                    );
                    collect(&name, table, keys);
                }
            }
            Value::Array(_)
            | Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => {
                keys.insert(path, value.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        super::super::parse(text, "test.toml").expect("a configuration")
    }

    const BEFORE: &str = "[upstream]\nservers = [\"192.0.2.53\"]\n[[view]]\nname = \"north\"\n\
                          clients = [\"2001:db8::/32\"]\ndns64 = { enabled = false }\n";

    #[test]
    fn changes_go_by_the_names_of_tables() {
        let before = config(BEFORE);
        let after = format!("{BEFORE}[[view]]\nname = \"south\"\nclients = [\"2001:db9::/32\"]\n");
        let after = config(&after.replace("enabled = false", "enabled = true"));
        let changes = before.changes(&after);
        let told: Vec<String> = changes
            .iter()
            .map(|change| format!("{}: {:?} {:?}", change.key, change.before, change.after))
            .collect();
        let expected = [
            "view.north.dns64.enabled: Some(\"false\") Some(\"true\")",
            "view.south.clients: None Some(\"[\\\"2001:db9::/32\\\"]\")",
            "view.south.name: None Some(\"\\\"south\\\"\")",
        ];
        assert_eq!(told, expected);
        assert_eq!(before.changes(&before), []);
    }

    #[test]
    fn a_file_that_is_named_counts_by_what_is_in_it() {
        let before = config(BEFORE);
        let mut after = before.clone();
        let other = ". IN DS 20326 8 2 \
                     E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";
        after.trust_anchors = other.parse().expect("an anchor");
        let changes = before.changes(&after);
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["dnssec.trust_anchors"]);
    }

    #[test]
    fn what_was_learned_holds_while_the_same_servers_are_asked_alike() {
        let before = config(BEFORE);
        for (line, keeps) in [
            ("[dns64]\nprefixes = [\"2001:db8:64::/96\"]\n", true),
            ("[limits]\nrate = 100\n", true),
            ("[cache]\nserve_stale = false\n", true),
            ("[cache]\nmax_ttl = 60\n", false),
            ("[cache]\nsize = \"2MiB\"\n", false),
            ("[[forward]]\nzone = \"corp.example\"\nservers = [\"192.0.2.54\"]\n", false),
            ("[dnssec]\nmode = \"validate\"\n", false),
        ] {
            let after = config(&format!("{BEFORE}{line}"));
            assert_eq!(before.keeps_cache(&after), keeps, "{line}");
            let holds = keeps || line.contains("size");
            let is_same = before.cache_fingerprint() == after.cache_fingerprint();
            assert_eq!(is_same, holds, "{line}");
        }
    }

    #[test]
    fn a_snapshot_moves_within_its_directory_and_elsewhere_only_without_landlock() {
        let with = |lines: &str| config(&format!("{BEFORE}{lines}"));
        let here = with("[cache]\nsnapshot = \"/var/lib/dns64d/cache\"\n");
        let beside = "[cache]\nsnapshot = \"/var/lib/dns64d/other\"\nsnapshot_interval = 0\n";
        assert!(here.needs_restart(&with(beside)).is_empty());
        assert!(here.needs_restart(&with("")).is_empty(), "it may go");
        let elsewhere = with("[cache]\nsnapshot = \"/var/cache\"\n");
        assert_eq!(here.needs_restart(&elsewhere), ["cache.snapshot"]);
        let open = |config: Config| {
            let sandbox = crate::config::SandboxSettings { landlock: false, ..config.sandbox };
            Config { sandbox, ..config }
        };
        assert!(open(here).needs_restart(&open(elsewhere)).is_empty());
    }

    #[test]
    fn what_needs_a_new_start_is_named() {
        let before = config(BEFORE);
        for (line, keys) in [
            ("workers = 7\n", &["workers"][..]),
            ("listen = [\"127.0.0.1:53\"]\n", &["listen"]),
            ("allow = [\"::1/128\"]\n", &[]),
        ] {
            assert_eq!(before.needs_restart(&config(&format!("{line}{BEFORE}"))), keys, "{line}");
        }
        for (line, keys) in [
            ("[limits]\ntcp_clients = 7\nrate = 9\n", &["limits.tcp_clients"][..]),
            ("[metrics]\nlisten = \"127.0.0.1:9164\"\n", &["metrics"]),
            ("[query_log]\nfile = \"/var/log/q\"\n", &["query_log"]),
            ("[dnstap]\naddress = \"127.0.0.1:6000\"\n", &["dnstap"]),
            ("[log]\nformat = \"journald\"\n", &["log.format"]),
            ("[log]\nlevel = \"debug\"\n", &[]),
            ("[cache]\nsnapshot = \"/var/lib/dns64d/cache\"\n", &["cache.snapshot"]),
        ] {
            assert_eq!(before.needs_restart(&config(&format!("{BEFORE}{line}"))), keys, "{line}");
        }
    }
}
