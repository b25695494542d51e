//! Reads `cache.snapshot` and `cache.snapshot_interval`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Table;

/// Seconds from one snapshot to the next without configuration.
const INTERVAL_DEFAULT_SECS: u32 = 900;

/// The longest time from one snapshot to the next: a day, as long as most answers live.
const INTERVAL_MAX_SECS: u32 = 86_400;

/// Where the cache is written, to be read by the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSettings {
    /// The path of the file: absolute.
    pub file: PathBuf,
    /// How often it is written while we run; `None`: only at the end.
    pub interval: Option<Duration>,
}

/// Reads both keys of `[cache]`; `None` if there is to be no snapshot.
pub(super) fn read_snapshot(cache: &Table<'_>) -> Option<SnapshotSettings> {
    let mut interval_secs = INTERVAL_DEFAULT_SECS;
    cache.set_integer("snapshot_interval", 0..=INTERVAL_MAX_SECS, &mut interval_secs);
    let Some(item) = cache.item("snapshot") else {
        if let Some(item) = cache.item("snapshot_interval") {
            item.warn("this means nothing without a snapshot", "set cache.snapshot");
        }
        return None;
    };
    let text = item.string()?;
    let path = Path::new(text);
    if !path.is_absolute() || path.file_name().is_none() || text.contains('\0') {
        item.refuse_with_hint(
            format_args!("{text:?} is no absolute path of a file"),
            "such as \"/var/lib/dns64d/cache\"",
        );
        return None;
    }
    let interval = (interval_secs > 0).then(|| Duration::from_secs(u64::from(interval_secs)));
    Some(SnapshotSettings { file: path.to_owned(), interval })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::config::{Config, parse};

    fn config(cache: &str) -> Config {
        let text = format!("[upstream]\nservers = [\"192.0.2.53\"]\n[cache]\n{cache}");
        parse(&text, "test.toml").expect("a configuration")
    }

    #[test]
    fn there_is_a_snapshot_where_a_file_is_named_and_its_interval_may_be_none() {
        assert_eq!(config("").snapshot, None);
        let snapshot = config("snapshot = \"/c\"").snapshot.expect("a file");
        assert_eq!(snapshot.file, Path::new("/c"));
        assert_eq!(snapshot.interval, Some(Duration::from_secs(900)));
        let snapshot = config("snapshot = \"/c\"\nsnapshot_interval = 0").snapshot;
        assert_eq!(snapshot.expect("a file").interval, None);
    }

    #[test]
    fn keys_without_effect_are_warned_of() {
        for (cache, said) in [
            ("snapshot_interval = 60", "this means nothing without a snapshot"),
            ("snapshot = \"/c\"\nmax_ttl = 0", "this means nothing where nothing is cached"),
        ] {
            let warnings = config(cache).warnings;
            assert_eq!(warnings.len(), 1, "{cache}");
            assert!(warnings[0].to_string().contains(said), "{}", warnings[0]);
        }
        assert!(config("snapshot = \"/c\"").warnings.is_empty());
    }
}
