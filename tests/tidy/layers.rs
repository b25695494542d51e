//! The layers of `userspace/src`: what lies above may use what lies below, and never the reverse.
//!
//! The pure modules decide; they see no socket, clock, thread, random source or logger. That makes
//! them testable with made-up time and packets, and this test keeps it so.

use std::collections::BTreeSet;

use crate::code::{code_of, has_word, is_test_file, places_of, without_tests};
use crate::files::{assert_faultless, rust};

/// A module and the modules it may use besides itself.
struct Layer {
    module: &'static str,
    uses: &'static [&'static str],
    /// Pure: no operating system in any form.
    pure: bool,
}

const fn pure(module: &'static str, uses: &'static [&'static str]) -> Layer {
    Layer { module, uses, pure: true }
}

const fn outer(module: &'static str, uses: &'static [&'static str]) -> Layer {
    Layer { module, uses, pure: false }
}

/// From the ground up. Modules that are not here (`worker`, `runtime` and the programs) put the
/// others together and may use all.
const LAYERS: [Layer; 24] = [
    pure("limits", &[]),
    pure("time", &[]),
    pure("datagram", &[]),
    pure("datapath", &[]),
    pure("wire", &["limits"]),
    pure("pref64", &[]),
    pure("reverse", &["limits", "wire", "pref64"]),
    pure("answer", &["limits", "wire", "pref64"]),
    pure("cache", &["limits", "time"]),
    pure("durations", &[]),
    pure("counters", &["wire", "durations"]),
    pure("policy", &["limits", "datagram", "wire", "pref64"]),
    pure(
        "engine",
        &[
            "limits", "time", "datagram", "wire", "pref64", "reverse", "answer", "cache",
            "counters", "policy",
        ],
    ),
    pure("top", &["limits", "time", "datagram", "wire"]),
    outer("sys", &["limits", "time", "datagram"]),
    outer("xdp", &["datapath", "sys"]),
    outer("transport", &["limits", "time", "datagram", "sys"]),
    outer("dnssec", &["limits", "datagram", "wire", "policy", "engine", "sys", "transport"]),
    outer("script", &["wire", "pref64", "answer", "datagram", "engine"]),
    outer("config", &["limits", "datapath", "wire", "pref64", "policy", "dnssec", "script"]),
    outer("cli", &["config"]),
    outer(
        "observe",
        &[
            "limits", "time", "datagram", "datapath", "wire", "pref64", "counters", "policy",
            "engine", "sys", "config",
        ],
    ),
    outer("ask", &["limits", "wire"]),
    outer("import", &["limits", "wire", "pref64", "config"]),
];

/// Words that no pure module may have: the operating system, and crates that lead to it.
const IMPURE: [&str; 19] = [
    "std::thread",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "Instant",
    "SystemTime",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "libc",
    "rustix",
    "socket2",
    "tokio",
    "tracing",
    "getrandom",
    "crossbeam",
    "core_affinity",
    "aya",
];

/// A crate and the only places of `userspace/src` that may name it.
const CRATES: [(&str, &[&str]); 18] = [
    // Queries are read by our own parser; hickory-proto reads what comes from upstream, and is the
    // second opinion of the programs that ask.
    (
        "hickory_proto",
        &[
            "answer/compile.rs",
            "answer/records.rs",
            "engine/respond.rs",
            "dnssec/",
            "ask.rs",
            "bin/",
            "demo/",
        ],
    ),
    ("hickory_net", &["dnssec/"]),
    ("futures_util", &["dnssec/"]),
    ("mlua", &["script/"]),
    ("libc", &["sys/", "sandbox/system_calls.rs"]),
    // The key of the configuration has its name.
    ("landlock", &["sandbox/", "config/sandbox.rs", "config/changes.rs"]),
    ("seccompiler", &["sandbox/"]),
    (
        "tokio",
        &[
            "transport/tcp",
            "transport/task_inbox.rs",
            "daemon.rs",
            "connections.rs",
            "reload.rs",
            "control/",
            "metrics/",
            "watchdog.rs",
            "pools/",
            "snapshot/",
            "dnssec/",
            "runtime.rs",
            "demo/",
            "main.rs",
        ],
    ),
    ("getrandom", &["pools/probe.rs", "runtime.rs", "trace.rs", "bin/"]),
    ("core_affinity", &["runtime.rs"]),
    ("aya", &["xdp/"]),
    ("saphyr_parser", &["import/"]),
    ("glob", &["import/", "config/include.rs"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("prost", &["observe/dnstap.rs"]),
    ("jiff", &["observe/line.rs"]),
    ("tracing_journald", &["main.rs"]),
];

/// The path of a file below `userspace/src`.
fn in_userspace(path: &str) -> Option<&str> {
    path.strip_prefix("userspace/src/")
}

/// The module of a path: its first part.
fn module_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The modules of this crate that code names, as `crate::name` or in `crate::{...}`.
fn modules_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for at in places_of(code, "crate") {
        let Some(rest) = code[at..].strip_prefix("crate::") else { continue };
        let Some(group) = rest.strip_prefix('{') else {
            used.insert(first_word(rest).to_owned());
            continue;
        };
        let mut depth = 0;
        let mut begins = true;
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if begins && c.is_alphanumeric() => {
                    used.insert(first_word(&group[at..]).to_owned());
                    begins = false;
                }
                _ => {}
            }
        }
    }
    // `$crate::name!` and `crate::name!` are macros, `crate::Name` what the root gives out.
    used.retain(|name| name.starts_with(|c: char| c.is_ascii_lowercase()));
    used
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Uses of layers above, and of the operating system in a pure layer.
fn layer_faults(path: &str, source: &str) -> Vec<String> {
    let Some(inner) = in_userspace(path).filter(|inner| !is_test_file(inner)) else {
        return Vec::new();
    };
    let module = module_of(inner);
    let Some(layer) = LAYERS.iter().find(|layer| layer.module == module) else {
        return Vec::new();
    };
    let code = code_of(source);
    let code = without_tests(&code);
    let mut faults = Vec::new();
    for used in modules_used(code) {
        if used != module && !layer.uses.contains(&used.as_str()) {
            faults.push(format!("{path}: {module} must not use {used}"));
        }
    }
    if layer.pure {
        let impure = IMPURE.iter().filter(|word| has_word(code, word));
        faults.extend(impure.map(|word| format!("{path}: {module} is pure and names {word}")));
    }
    faults
}

/// Crates that are named where they do not belong.
fn crate_faults(path: &str, source: &str) -> Vec<String> {
    let Some(inner) = in_userspace(path).filter(|inner| !is_test_file(inner)) else {
        return Vec::new();
    };
    let code = code_of(source);
    let code = without_tests(&code);
    CRATES
        .iter()
        .filter(|(name, places)| {
            has_word(code, name) && !places.iter().any(|place| inner.starts_with(place))
        })
        .map(|(name, places)| format!("{path}: {name} belongs into {}", places.join(", ")))
        .collect()
}

/// Pure modules whose root does not forbid `unsafe`.
fn unguarded(path: &str, source: &str) -> Vec<String> {
    let guarded = ["wire", "pref64", "answer", "policy", "engine", "counters", "top"];
    let Some(inner) = in_userspace(path) else { return Vec::new() };
    let is_root = inner == format!("{}.rs", module_of(inner)) || inner.ends_with("mod.rs");
    let concerned =
        is_root && inner.matches('/').count() <= 1 && guarded.contains(&module_of(inner));
    if concerned && !code_of(source).contains("#![forbid(unsafe_code)]") {
        return vec![format!("{path}: does not forbid unsafe code")];
    }
    Vec::new()
}

#[test]
fn modules_use_only_the_layers_below_them() {
    assert_faultless(rust(), layer_faults);
}

#[test]
fn crates_are_named_only_where_they_belong() {
    assert_faultless(rust(), crate_faults);
}

#[test]
fn the_pure_modules_forbid_unsafe_code() {
    assert_faultless(rust(), unguarded);
}

#[test]
fn a_layer_uses_only_layers_listed_before_it() {
    for (index, layer) in LAYERS.iter().enumerate() {
        for used in layer.uses {
            let below = LAYERS[..index].iter().any(|lower| lower.module == *used);
            assert!(below, "{} uses {used}", layer.module);
        }
    }
}

// ---- The rules find what they are for

#[test]
fn a_use_of_a_layer_above_is_found() {
    let path = "userspace/src/wire/name.rs";
    for source in [
        "use crate::engine::Engine;",
        "use crate::{limits::NAME_LEN_MAX, engine::{Engine, Verdict}};",
        "fn f() { crate::transport::g() }",
    ] {
        assert_eq!(layer_faults(path, source).len(), 1, "{source}");
    }
    let harmless = "use crate::limits::NAME_LEN_MAX; // crate::engine\n\
                    #[cfg(test)]\nmod tests { use crate::engine::Engine; }";
    assert!(layer_faults(path, harmless).is_empty());
    assert!(layer_faults("userspace/src/runtime.rs", "use crate::engine::Engine;").is_empty());
}

#[test]
fn the_operating_system_in_a_pure_module_is_found() {
    let path = "userspace/src/engine/mod.rs";
    for source in [
        "let now = std::time::Instant::now();",
        "use std::net::UdpSocket;",
        "tracing::info!(\"x\");",
        "std::thread::spawn(f);",
    ] {
        assert_eq!(layer_faults(path, source).len(), 1, "{source}");
        assert!(layer_faults("userspace/src/worker.rs", source).is_empty());
    }
    assert!(layer_faults(path, "use std::net::SocketAddr;").is_empty());
}

#[test]
fn a_crate_in_the_wrong_place_is_found() {
    let hickory = "use hickory_proto::op::Message;";
    assert_eq!(crate_faults("userspace/src/wire/query.rs", hickory).len(), 1);
    assert!(crate_faults("userspace/src/answer/compile.rs", hickory).is_empty());
    assert_eq!(crate_faults("userspace/src/transport/poll.rs", "libc::poll()").len(), 1);
    assert_eq!(crate_faults("userspace/src/engine/mod.rs", "tokio::spawn(f)").len(), 1);
    assert_eq!(unguarded("userspace/src/wire/mod.rs", "//! Doc.\n").len(), 1);
}
