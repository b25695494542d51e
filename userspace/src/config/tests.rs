//! Tests of whole configurations.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::reference::{EXAMPLE, examples};
use super::*;
use crate::policy::{
    CachePolicy, Limits, PrefixMask, PtrMode, Timing, Trigger, ViewId, ViewSettings,
};

/// What follows a configuration under test, so that the machine's resolvers play no part.
const UPSTREAM: &str = "[upstream]\nservers = [\"192.0.2.53\"]\n";

/// Reads a text as on a machine whose resolver is 192.0.2.53.
fn read(text: &str) -> Result<Config, ConfigErrors> {
    file::read(text, "test.toml", || Ok(vec!["192.0.2.53:53".parse().unwrap()]))
}

/// Reads a text that must be accepted.
fn accept(text: &str) -> Config {
    read(text).unwrap_or_else(|errors| panic!("refused:\n{errors}\n{text}"))
}

/// Reads a text that must be refused, and gives what is said of it.
fn refuse(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(errors) => errors.to_string(),
    }
}

/// Reads a `[dns64]` table.
fn dns64(keys: &str) -> Result<Config, ConfigErrors> {
    read(&format!("{UPSTREAM}[dns64]\n{keys}\n"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

// ---- Defaults

#[test]
fn an_empty_file_has_the_defaults_of_the_contract() {
    let config = accept("");
    let listen: Vec<String> = config.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:5364", "[::1]:5364"]);
    assert_eq!(config.workers, None);
    assert_eq!(config.policy.servers, ["192.0.2.53:53".parse::<SocketAddr>().unwrap()]);
    assert_eq!(
        config.policy.timing,
        Timing { timeout: Duration::from_millis(250), budget: Duration::from_secs(2) }
    );
    assert_eq!(
        config.policy.cache,
        CachePolicy {
            size_bytes: 268_435_456,
            min_ttl_secs: 0,
            max_ttl_secs: 86_400,
            max_negative_ttl_secs: 3_600,
            serve_stale: true,
            max_stale_secs: 86_400,
            prefetch: true,
        }
    );
    assert_eq!(
        config.policy.limits,
        Limits {
            udp_payload: 1_232,
            inflight: 16_384,
            inflight_per_client: 1_000,
            tcp_clients: 1_024,
            tcp_per_client: 64,
            tcp_idle_ms: 10_000,
            tcp_pipeline: 100,
            rate: 0,
            rate_burst: 0,
            rate_slip: 2,
        }
    );
    let [view] = &config.policy.views[..] else { panic!("one view") };
    assert!(view.enabled && view.ipv4only && !view.synth_all);
    assert_eq!((view.ptr, view.trigger), (PtrMode::Cname, Trigger::Error));
    assert_eq!(view.hold, Duration::from_millis(50));
    assert_eq!((config.log_level, config.log_format), (LogLevel::Info, LogFormat::Text));
    let view = &config.policy().views[0];
    assert_eq!(view.prefixes.len(), 1);
    assert!(view.prefixes[0].pref64.is_well_known());
}

#[test]
fn the_example_says_the_defaults() {
    let example = Config { written: BTreeMap::default(), ..accept(EXAMPLE) };
    assert_eq!(example, accept(""));
}

#[test]
fn the_example_has_every_key_and_all_of_them_are_accepted() {
    let anchors = std::env::temp_dir().join(format!("dns64-example-{}", std::process::id()));
    fs::write(&anchors, format!(". IN DS 1 13 2 {}", "00".repeat(32))).unwrap();
    let [with_pool, with_prefixes] = examples(&format!("trust_anchors = {anchors:?}\n"));
    let pool = accept(&with_pool).policy.views.into_iter().find(|view| view.name == "default");
    assert_eq!(pool.and_then(|view| view.pool).map(|of| of.ttl_max_secs), Some(60));
    let config = accept(&with_prefixes);
    fs::remove_file(&anchors).unwrap();
    assert_eq!(config.policy.views.len(), 3);
    assert_eq!(config.script.map(|script| script.memory_bytes), Some(16 << 20));
    assert_eq!(config.policy.forwards.len(), 1);
    for key in [
        "listen",
        "workers",
        "allow",
        "servers",
        "timeout_ms",
        "budget_ms",
        "zone",
        "enabled",
        "prefixes",
        "exclude_aaaa",
        "exclude_a",
        "non_global_ipv4",
        "ignore_aaaa",
        "synth_all",
        "bypass",
        "ptr",
        "ipv4only",
        "trigger",
        "allow_nonzero_u",
        "hold_ms",
        "name",
        "clients",
        "prefix",
        "mapped",
        "domains",
        "file",
        "policy",
        "redirect",
        "ede",
        "views",
        "unsupported",
        "suffix",
        "recursive_only",
        "break_dnssec",
        "size",
        "min_ttl",
        "max_ttl",
        "max_negative_ttl",
        "serve_stale",
        "max_stale",
        "prefetch",
        "mode",
        "udp_payload",
        "inflight",
        "inflight_per_client",
        "tcp_clients",
        "tcp_per_client",
        "tcp_idle_ms",
        "tcp_pipeline",
        "rate",
        "rate_burst",
        "rate_slip",
        "file",
        "instructions",
        "memory",
        "level",
        "format",
    ] {
        let start = format!("{key} = ");
        let is_there =
            with_pool.lines().chain(with_prefixes.lines()).any(|line| line.starts_with(&start));
        assert!(is_there, "{key} is not in the example");
    }
}

#[test]
fn clients_of_this_machine_and_its_networks_may_ask_and_others_may_not() {
    let policy = accept("").policy();
    for client in [
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "172.31.255.255",
        "192.168.0.1",
        "fd00::1",
        "169.254.1.1",
        "fe80::1",
        "::ffff:10.0.0.1",
    ] {
        assert!(policy.classify_at(ip(client), 0, ip("::1")).allowed, "{client}");
    }
    for client in ["192.0.2.1", "172.32.0.0", "2001:db8::1", "::ffff:192.0.2.1", "::"] {
        assert!(!policy.classify_at(ip(client), 0, ip("::1")).allowed, "{client}");
    }
}

// ---- Prefixes

#[test]
fn every_length_of_rfc_6052_is_accepted_and_no_other() {
    for prefix in [
        "2001:db8::/32",
        "2001:db8:100::/40",
        "2001:db8:122::/48",
        "2001:db8:122:300::/56",
        "2001:db8:122:344::/64",
        "2001:db8:122:344::/96",
        "64:ff9b::/96",
        "64::/32",
        "64:ff9b::/56",
    ] {
        let config = dns64(&format!("prefixes = [\"{prefix}\"]")).unwrap();
        let view = &config.policy().views[0];
        assert_eq!(view.prefixes[0].pref64.to_string(), prefix);
    }
    for prefix in [
        "::/0",
        "2001:db8::/49",
        "2001:db8::/72",
        "2001:db8::/97",
        "2001:db8::/104",
        "::/129",
        "192.0.2.0/24",
        "2001:db8::",
        "nonsense",
        "2001:db8::1/96",
        "",
    ] {
        let errors = dns64(&format!("prefixes = [\"{prefix}\"]")).unwrap_err();
        assert_eq!(errors.errors()[0].key, "dns64.prefixes[0]", "{prefix}");
    }
}

#[test]
fn a_96_with_bits_64_to_71_is_refused_unless_it_is_allowed() {
    for prefix in [
        "2001:db8:0:0:ff00::/96",
        "0:0:0:0:100:f::/96",
        "0:0:0:0:400:f::/96",
        "0:0:0:0:800:f::/96",
        "0:0:0:0:2000:f::/96",
        "0:0:0:0:8000:f::/96",
        "fe80::21b:77ff:0:0/96",
    ] {
        let errors = dns64(&format!("prefixes = [\"{prefix}\"]")).unwrap_err().to_string();
        assert!(errors.contains("hint: ") && errors.contains("allow_nonzero_u = true"), "{errors}");
        dns64(&format!("allow_nonzero_u = true\nprefixes = [\"{prefix}\"]")).unwrap();
    }
}

#[test]
fn a_suffix_sets_only_bits_behind_the_ipv4_address() {
    dns64("prefixes = [{ prefix = \"2001:db8:122:344::/64\", suffix = \"::12:3456\" }]").unwrap();
    for (prefix, suffix) in [
        ("::/96", "::1"),
        ("2001:db8::/32", "::ff00:0:0:0"),
        ("2001:db8::/32", "::1:0:0:0:0"),
        ("2001:db8::/32", "1.2.3.4"),
    ] {
        let table = format!("prefixes = [{{ prefix = \"{prefix}\", suffix = \"{suffix}\" }}]");
        let errors = dns64(&table).unwrap_err();
        assert_eq!(errors.errors()[0].key, "dns64.prefixes[0].suffix");
    }
}

#[test]
fn the_lists_of_a_prefix_are_of_their_family() {
    for option in [
        "exclude_aaaa = [\"bogusacl\"]",
        "exclude_aaaa = [\"10.0.0.0/8\"]",
        "clients = [\"bogusacl\"]",
        "clients = \"10.0.0.0/8\"",
        "mapped = [\"2001:db8::/32\"]",
        "mapped = [\"10.0.0.0/8\", 7]",
        "exclude = []",
        "suffix = 1",
    ] {
        let table = format!("prefixes = [{{ prefix = \"fc36:eafe:f993::/64\", {option} }}]");
        assert!(dns64(&table).is_err(), "{option}");
    }
    // A list that nobody is in is odd but clear.
    dns64("prefixes = [{ prefix = \"64:ff9b::/96\", clients = [], mapped = [] }]").unwrap();
}

#[test]
fn no_prefix_stands_for_the_well_known_one() {
    let policy = dns64("prefixes = []").unwrap().policy();
    assert!(policy.views[0].prefixes[0].pref64.is_well_known());
    assert_eq!(policy.classify_at(ip("::1"), 0, ip("::1")).prefixes, PrefixMask(1));
}

#[test]
fn a_prefix_may_overlap_another_but_not_be_it() {
    dns64("prefixes = [\"2001:db8::/32\", \"2001:db8::/96\"]").unwrap();
    let errors =
        dns64("prefixes = [\"2001:db8::/32\", { prefix = \"2001:db8::/32\", suffix = \"::1\" }]");
    assert_eq!(errors.unwrap_err().errors()[0].key, "dns64.prefixes[1]");
}

#[test]
fn a_view_has_at_most_32_prefixes() {
    let prefixes = |count: u32| {
        let prefix = |index| format!("\"2001:db8:{index:x}::/96\"");
        format!("prefixes = [{}]", (0..count).map(prefix).collect::<Vec<_>>().join(", "))
    };
    dns64(&prefixes(32)).unwrap();
    let errors = dns64(&prefixes(33)).unwrap_err();
    assert_eq!(errors.errors()[0].key, "dns64.prefixes[32]");
}

// ---- Views

/// `[dns64]` with every key changed that a view can inherit, and views that change some back.
const VIEWS: &str = r#"
allow = ["0.0.0.0/0", "::/0"]
[upstream]
servers = ["192.0.2.53"]
[dns64]
prefixes = ["2001:db8:64::/96"]
exclude_aaaa = []
ptr = "off"
trigger = "nodata"
hold_ms = 70
bypass = ["v6.example."]
[[view]]
name = "off"
clients = ["2001:db8:1:1::/64", "192.0.2.1"]
dns64 = { enabled = false }
[[view]]
name = "north"
clients = ["!2001:db8:1:2::/64", "2001:db8:1::/48"]
dns64 = { prefixes = ["2001:db8:65::/96", { prefix = "2001:db8:66::/96", clients = ["2001:db8:1:3::/64"] }], ptr = "direct" }
"#;

#[test]
fn a_view_inherits_what_it_does_not_override() {
    let policy = accept(VIEWS).policy();
    let north = policy.view(ViewId(2));
    assert_eq!(
        (north.name.as_str(), north.ptr, north.trigger),
        ("north", PtrMode::Direct, Trigger::Nodata)
    );
    assert_eq!(north.hold, Duration::from_millis(70));
    assert!(north.excludes_nothing());
    assert!(north.bypasses(b"\x01a\x02V6\x07example\x00"));
    assert_eq!(north.prefixes[0].pref64.to_string(), "2001:db8:65::/96");
    let off = policy.view(ViewId(1));
    assert_eq!((off.enabled, off.ptr), (false, PtrMode::Off));
    assert!(policy.view(ViewId::DEFAULT).enabled);
}

#[test]
fn the_first_view_that_has_the_client_wins() {
    let policy = accept(VIEWS).policy();
    for (client, view, prefixes) in [
        ("2001:db8:1:1::9", 1, 0b00),
        ("192.0.2.1", 1, 0b00),
        ("::ffff:192.0.2.1", 1, 0b00),
        ("2001:db8:1:2::9", 0, 0b01),
        ("2001:db8:1:3::9", 2, 0b11),
        ("2001:db8:1:4::9", 2, 0b01),
        ("192.0.2.2", 0, 0b01),
    ] {
        let class = policy.classify_at(ip(client), 0, ip("::1"));
        assert_eq!((class.view, class.prefixes), (ViewId(view), PrefixMask(prefixes)), "{client}");
        assert!(class.allowed);
    }
}

#[test]
fn a_view_behind_one_that_has_all_its_clients_is_warned_of() {
    let view = |name: &str, client: &str| {
        format!("[[view]]\nname = \"{name}\"\nclients = [\"{client}\"]\n")
    };
    let warnings = accept(&(view("a", "2001:db8::/32") + &view("b", "2001:db8:1::/48"))).warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!((warnings[0].key.as_str(), warnings[0].place.unwrap().line), ("view[1]", 4));
    let warnings = accept(&(view("a", "2001:db8:1::/48") + &view("b", "2001:db8::/32"))).warnings;
    assert_eq!(warnings, []);
}

#[test]
fn a_view_has_a_name_of_its_own_and_clients() {
    let view = |name: &str| format!("[[view]]\nname = \"{name}\"\nclients = [\"::1\"]\n");
    assert!(refuse(&view("default")).contains("test.toml:2:8: view[0].name: "));
    assert!(refuse(&view("")).contains("view[0].name"));
    assert!(refuse(&(view("a") + &view("a"))).starts_with("test.toml:5:8: view[1].name: "));
    assert_eq!(
        refuse("[[view]]\nname = \"a\"\n"),
        "test.toml:1:1: view[0].clients: this key is missing"
    );
    assert!(
        refuse("[[view]]\nname = \"a\"\nclients = [\"::1\"]\ndns64 = { prefix = 1 }\n")
            .starts_with("test.toml:4:11: view[0].dns64.prefix: unknown key\n  hint: did you mean")
    );
}

// ---- Servers

#[test]
fn the_longest_zone_names_the_servers_and_a_server_counts_once() {
    let policy = accept(
        "[upstream]\nservers = [\"192.0.2.1\", \"192.0.2.2\"]\n\
         [[forward]]\nzone = \"example.\"\nservers = [\"192.0.2.2\"]\n\
         [[forward]]\nzone = \"Corp.example\"\nservers = [\"[2001:db8::1]:5353\"]\n",
    )
    .policy();
    let servers_of = |name: &[u8]| -> Vec<String> {
        let group = policy.group(policy.servers_for(name));
        group.servers.iter().map(|id| policy.upstreams[usize::from(id.0)].to_string()).collect()
    };
    assert_eq!(servers_of(b"\x01a\x04corp\x07EXAMPLE\x00"), ["[2001:db8::1]:5353"]);
    assert_eq!(servers_of(b"\x05acorp\x07example\x00"), ["192.0.2.2:53"]);
    assert_eq!(servers_of(b"\x00"), ["192.0.2.1:53", "192.0.2.2:53"]);
    assert_eq!(policy.upstreams.len(), 3);
}

#[test]
fn a_server_where_we_listen_is_a_loop() {
    for (listen, server) in [
        ("127.0.0.1:53", "127.0.0.1"),
        ("0.0.0.0:53", "127.0.0.53"),
        ("[::]:53", "::1"),
        ("192.0.2.1", "192.0.2.1:53"),
        ("[::ffff:192.0.2.1]:53", "192.0.2.1"),
    ] {
        let text = format!("listen = [\"{listen}\"]\n[upstream]\nservers = [\"{server}\"]\n");
        assert!(refuse(&text).contains("upstream.servers[0]: "), "{text}");
    }
    accept(
        "listen = [\"0.0.0.0:53\"]\n[upstream]\nservers = [\"127.0.0.1:5353\", \"192.0.2.1\"]\n",
    );
    assert!(
        refuse("[[forward]]\nzone = \"a.\"\nservers = [\"127.0.0.1:5364\"]\n")
            .starts_with("test.toml:3:12: forward[0].servers[0]: ")
    );
}

#[test]
fn the_machines_resolver_is_left_out_where_it_is_ourselves() {
    let read = |resolvers: &[&str]| {
        let resolvers = resolvers.iter().map(|text| text.parse().unwrap()).collect();
        file::read("listen = [\"127.0.0.1:53\"]\n", "test.toml", || Ok(resolvers))
    };
    let config = read(&["127.0.0.1:53", "192.0.2.1:53"]).unwrap();
    assert_eq!(config.policy.servers, ["192.0.2.1:53".parse::<SocketAddr>().unwrap()]);
    assert!(config.warnings[0].message.contains("127.0.0.1:53"));
    let errors = read(&["127.0.0.1:53"]).unwrap_err();
    assert_eq!(errors.errors()[0].file, "/etc/resolv.conf");
    assert!(errors.to_string().contains("[upstream] servers"));
}

#[test]
fn the_machines_resolvers_are_not_asked_for_where_the_file_names_servers() {
    let config = file::read(UPSTREAM, "test.toml", || panic!("asked"));
    assert_eq!(config.unwrap().policy.servers.len(), 1);
}

// ---- Mistakes

#[test]
fn every_mistake_has_its_place_its_key_and_a_way_out() {
    let errors = refuse(
        "listen = [\"[::1]:53\",\n  \"[::1]:53\"]\nworkers = 0\nalow = []\n\n\
         [dns64]\nprefixes = [\"64:ff9b::/96\", { prefix = \"2001:db8::/96\", suffix = \"::1\" }]\n\
         exclude_aaaa = [\"10.0.0.0/8\"]\nptr = \"cnam\"\n[limits]\nrate = \"fast\"\n",
    );
    assert_eq!(
        errors,
        "test.toml:2:3: listen[1]: [::1]:53 is in this list already\n\
         test.toml:3:11: workers: 0 is not in the range 1 to 256\n\
         test.toml:4:1: alow: unknown key\n  hint: did you mean \"allow\"?\n\
         test.toml:7:66: dns64.prefixes[1].suffix: the suffix may only set bits behind the IPv4 \
         address (RFC 6052 2.2)\n  hint: behind a /96 the IPv4 address takes all the room\n\
         test.toml:8:17: dns64.exclude_aaaa[0]: 10.0.0.0/8 is IPv4, but this list is about IPv6 \
         addresses: it would never match\n  hint: IPv4-mapped addresses are written \
         ::ffff:192.0.2.0/120\n\
         test.toml:9:7: dns64.ptr: \"cnam\" is not one of \"cname\", \"direct\", \"off\"\n  \
         hint: did you mean \"cname\"?\n\
         test.toml:11:8: limits.rate: expected a whole number, found a string"
    );
}

#[test]
fn a_mistake_of_syntax_has_its_place() {
    let Err(errors) = read("listen = [\"::1\"]\nworkers = = 4\n") else { panic!("accepted") };
    assert_eq!(errors.errors().len(), 1);
    assert_eq!(errors.errors()[0].place, Some(Place { line: 2, column: 11 }));
    assert!(refuse("a = 1\na = 2\n").starts_with("test.toml:2:1: "));
    assert!(refuse("[dns64]\n[dns64]\n").starts_with("test.toml:2:"));
}

#[test]
fn what_is_wrong_is_refused_key_by_key() {
    for text in [
        "listen = []",
        "listen = \"::1\"",
        "listen = [\"::1:0:x\"]",
        "listen = [\"[::1]:0\"]",
        "workers = 257",
        "workers = -1",
        "workers = 1.5",
        "workers = true",
        "allow = [\"any\"]",
        "allow = [1]",
        "upstream = 1",
        "[upstream]\nservers = []",
        "[upstream]\nservers = [\"dns.example\"]",
        "[upstream]\nservers = [\"192.0.2.1\", \"192.0.2.1:53\"]",
        "[upstream]\nservers = [\"0.0.0.0\"]",
        "[upstream]\ntimeout_ms = 9",
        "[upstream]\ntimeout_ms = 10001",
        "[upstream]\nbudget_ms = 99",
        "[upstream]\nbudget_ms = 30001",
        "[upstream]\ntimeout_ms = 3000",
        "[[forward]]\nzone = \"a.\"",
        "[[forward]]\nservers = [\"192.0.2.1\"]",
        "[[forward]]\nzone = \"a..\"\nservers = [\"192.0.2.1\"]",
        "[forward]\nzone = \"a.\"\nservers = [\"192.0.2.1\"]",
        "[[forward]]\nzone = \"a.\"\nservers = []",
        "[[forward]]\nzone = \"a.\"\nservers = [\"192.0.2.1\"]\n\
         [[forward]]\nzone = \"A\"\nservers = [\"192.0.2.1\"]",
        "[dns64]\nenabled = \"yes\"",
        "[dns64]\nprefixes = \"64:ff9b::/96\"",
        "[dns64]\nprefixes = [{ suffix = \"::\" }]",
        "[dns64]\nexclude_a = [\"::/0\"]",
        "[dns64]\nnon_global_ipv4 = [\"::/0\"]",
        "[dns64]\nbypass = [\"\"]",
        "[dns64]\nbypass = [\"a b.\"]",
        "[dns64]\ntrigger = \"never\"",
        "[dns64]\nhold_ms = 2000",
        "[dns64]\nhold_ms = 10001",
        "[cache]\nsize = 256",
        "[cache]\nsize = \"1023KiB\"",
        "[cache]\nsize = \"big\"",
        "[cache]\nmax_ttl = 604801",
        "[cache]\nmin_ttl = 2\nmax_ttl = 1",
        "[cache]\nserve_stale = 1",
        "[cache]\nsnapshot = \"cache\"",
        "[cache]\nsnapshot = \"/\"",
        "[cache]\nsnapshot = \"/c\"\nsnapshot_interval = 86401",
        "[datapath]\nmode = \"xdp\"",
        "[datapath]\nmode = \"xdp\"\ninterfaces = []",
        "[datapath]\nmode = \"fast\"",
        "[datapath]\ninterfaces = \"eth0\"",
        "[datapath]\ninterfaces = [\"eth0\", \"eth0\"]",
        "[datapath]\ninterfaces = [\"an interface\"]",
        "[datapath]\ninterfaces = [\"sixteen-letters-\"]",
        "[datapath]\ninterfaces = [\"lo\"]",
        "[datapath]\nattach = \"fast\"",
        "[datapath]\nhot_answers = \"auto\"",
        "[datapath]\nsteering = \"cpu\"",
        "[limits]\nudp_payload = 511",
        "[limits]\nudp_payload = 4097",
        "[limits]\ninflight = 63",
        "[limits]\ntcp_clients = 0",
        "[log]\nlevel = \"loud\"",
        "[log]\nformat = \"xml\"",
        "[script]\nfile = \"dns64.lua\"",
        "[dns64]\npool = \"a\"",
        "[[pool]]\nname = \"a\"",
        "[[pool]]\nname = \"a\"\nprefixes = []",
        "[[pool]]\nprefixes = [\"64:ff9b::/96\"]",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\", \"64:ff9b::/96\"]",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/95\"]",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\"]\nclients = []",
        "[[pool]]\nname = \"a\"\nprefixes = [{ prefix = \"64:ff9b::/96\", weight = 0 }]",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\"]\nprobe = {}",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\"]\nprobe = { tcp = \"::1\" }",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\"]\n\
         probe = { tcp = \"192.0.2.1:1\", udp = \"192.0.2.1:1\" }",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\"]\n\
         probe = { icmp = \"192.0.2.1\", interval_ms = 100, timeout_ms = 101 }",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\"]\nprobe = { command = [\"x\"] }",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\"]\n\
         probe = { http = \"https://192.0.2.1/\" }",
        "[[pool]]\nname = \"a\"\nprefixes = [\"64:ff9b::/96\"]\n\
         [dns64]\npool = \"a\"\nprefixes = [\"64:ff9b::/96\"]",
        "[control]\nsocket = \"control.sock\"",
        "[control]\nsocket = \"/\"",
        "[control]\nsocket = \"/run/control.sock\"\nmode = \"0668\"",
        "[control]\nsocket = \"/run/control.sock\"\nmode = \"1777\"",
        "[control]\nsocket = \"/run/control.sock\"\nmode = \"0060\"",
        "[control]\nsocket = \"/run/control.sock\"\nmode = 660",
        "[control]\nsocket = \"/run/control.sock\"\ngroup = \"\"",
        "[control]\npath = \"/run/control.sock\"",
        "[metrics]\nlisten = \"127.0.0.1\"",
        "[metrics]\nlisten = \"localhost:9164\"",
        "[metrics]\nlisten = 9164",
        "[metrics]\naddress = \"127.0.0.1:9164\"",
        "[metrics]\nlisten = \"127.0.0.1:9164\"\npage = \"yes\"",
    ] {
        refuse(text);
    }
}

#[test]
fn what_is_right_is_accepted_key_by_key() {
    for text in [
        "listen = [\"::\", \"0.0.0.0:53\"]",
        "workers = 256",
        "allow = []",
        "[upstream]\ntimeout_ms = 2000",
        "[[forward]]\nzone = \".\"\nservers = [\"192.0.2.1\"]",
        "[dns64]\nenabled = false",
        "[dns64]\nexclude_aaaa = []",
        "[dns64]\nexclude_aaaa = [\"!2001:db8::1\", \"2001:db8::/32\"]",
        "[dns64]\nnon_global_ipv4 = []",
        "[dns64]\nbypass = [\"_sip._tcp.example.\", \".\"]",
        "[dns64]\nhold_ms = 0",
        "[cache]\nmax_ttl = 0\nmax_negative_ttl = 0\nserve_stale = false",
        "[cache]\nsize = \"1MiB\"",
        "[cache]\nsnapshot = \"/var/lib/dns64d/cache\"\nsnapshot_interval = 0",
        "[datapath]\nmode = \"socket\"",
        "[datapath]\nmode = \"socket\"\ninterfaces = [\"eth0\"]\nsteering = \"name\"",
        "[datapath]\ninterfaces = [\"eth0\", \"enp3s0f1np1\"]\nattach = \"native\"",
        "[datapath]\nmode = \"xdp\"\ninterfaces = [\"eth0\"]\nsteering = \"flow\"",
        "[control]\nsocket = \"/run/control.sock\"\nmode = \"640\"\ngroup = \"adm\"",
        "[metrics]\nlisten = \"[::1]:9164\"",
        "[limits]\nrate = 10",
        "[log]\nlevel = \"trace\"\nformat = \"json\"",
    ] {
        accept(text);
    }
}

#[test]
fn a_mistake_in_a_pool_has_its_place_and_key() {
    let said = refuse("[[pool]]\nname = \"a\"\nprefixes = [{ prefix = \"::/96\", weight = 0 }]\n");
    let begin = "test.toml:3:42: pool[0].prefixes[0].weight: 0 is not in the range 1 to 1000";
    assert!(said.starts_with(begin), "{said}");
    let said = refuse("[dns64]\npool = \"b\"\n[[pool]]\nname = \"a\"\nprefixes = [\"::/96\"]\n");
    let wanted = "test.toml:2:8: dns64.pool: there is no pool \"b\"\n  hint: pools: a";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_view_has_the_prefixes_of_its_pool_or_others() {
    let config = accept(
        "[[pool]]\nname = \"a\"\nttl_max = 30\n\
         prefixes = [\"2001:db8:1::/96\", { prefix = \"2001:db8:2::/96\", weight = 3 }]\n\
         probe = { http = \"http://192.0.2.1:8080/up\", fall = 1 }\n\
         [dns64]\npool = \"a\"\n\
         [[view]]\nname = \"own\"\nclients = [\"::1\"]\n\
         dns64 = { prefixes = [\"2001:db8:3::/96\"] }\n",
    );
    assert_eq!(config.warnings, []);
    let policy = config.policy();
    let prefixes = |view: usize| policy.views[view].prefixes.len();
    assert_eq!((prefixes(0), prefixes(1)), (2, 1));
    assert_eq!(policy.views[0].ttl_max_secs(), 30);
    assert_eq!((policy.views[1].pool, policy.views[1].ttl_max_secs()), (None, u32::MAX));
    assert_eq!(policy.pools[0].gateways[1].weight, 3);
    let probe = config.pools[0].probes[1].clone().unwrap();
    let server = "192.0.2.1:8080".parse().unwrap();
    assert_eq!(probe.kind, ProbeKind::Http { server, path: "/up".to_owned() });
    assert_eq!((probe.rise, probe.fall), (3, 1));
    let unused = accept("[[pool]]\nname = \"a\"\nprefixes = [\"2001:db8:1::/96\"]\n").warnings;
    assert_eq!(unused[0].key, "pool[0]");
}

#[test]
fn monitoring_is_nowhere_by_default_and_warned_of_where_others_reach_it() {
    assert_eq!(accept("").metrics, None);
    let config = accept("[metrics]\nlisten = \"127.0.0.1:9164\"\n");
    let listen = "127.0.0.1:9164".parse().unwrap();
    assert_eq!(config.metrics, Some(MetricsSettings { listen, page: true }));
    assert_eq!(config.warnings, []);
    let warnings = accept("[metrics]\nlisten = \"0.0.0.0:9164\"\n").warnings;
    assert_eq!(warnings[0].key, "metrics.listen");
    let config = accept("[metrics]\nlisten = \"127.0.0.1:9164\"\npage = false\n");
    assert_eq!(config.metrics, Some(MetricsSettings { listen, page: false }));
    let warnings = accept("[metrics]\npage = false\n").warnings;
    assert_eq!(warnings[0].key, "metrics.page");
}

#[test]
fn there_is_no_control_socket_unless_one_is_named() {
    assert_eq!(accept("").control, None);
    let warnings = accept("[control]\nmode = \"0600\"\n").warnings;
    assert_eq!(warnings[0].key, "control.mode");
    let config = accept("[control]\nsocket = \"/run/dns64d/control.sock\"\n");
    let control = config.control.unwrap();
    assert_eq!((control.mode, control.group), (0o660, None));
    let config = accept("[control]\nsocket = \"/run/control.sock\"\nmode = \"0666\"\n");
    assert_eq!(config.warnings[0].key, "control.mode");
    let long = format!("[control]\nsocket = \"/{}\"\n", "a".repeat(107));
    let said = refuse(&long);
    assert!(said.starts_with("test.toml:2:10: control.socket: the path of a socket"), "{said}");
}

#[test]
fn the_burst_is_twice_the_rate_unless_it_is_given() {
    assert_eq!(accept("[limits]\nrate = 10").policy.limits.rate_burst, 20);
    assert_eq!(accept("[limits]\nrate = 10\nrate_burst = 15").policy.limits.rate_burst, 15);
}

#[test]
fn an_open_resolver_is_accepted_with_a_warning() {
    let warnings = accept("listen = [\"0.0.0.0\"]\nallow = [\"0.0.0.0/0\"]\n").warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].place, Some(Place { line: 2, column: 9 }));
    // On the loopback nobody else can ask.
    assert_eq!(accept("allow = [\"0.0.0.0/0\", \"::/0\"]\n").warnings, []);
}

#[test]
fn trust_anchors_are_read_from_their_file_and_refused_with_their_line() {
    let directory = std::env::temp_dir().join(format!("dns64-anchors-{}", std::process::id()));
    let dnssec = |keys: &str| format!("[dnssec]\nmode = \"validate\"\n{keys}\n");
    let with_file = |text: &str| {
        fs::write(&directory, text).unwrap();
        dnssec(&format!("trust_anchors = {directory:?}"))
    };
    let good = read(&with_file(&format!("example. IN DS 1 13 2 {}", "00".repeat(32))));
    let bad = read(&with_file("; none\nexample. IN A 192.0.2.1"));
    let absent = fs::remove_file(&directory).map(|()| read(&dnssec("trust_anchors = \"/none\"")));
    assert!(good.unwrap().to_string().contains("validate, from 1 trust anchor of example."));
    let bad = bad.unwrap_err().to_string();
    assert!(bad.starts_with("test.toml:3:17: dnssec.trust_anchors: "), "{bad}");
    assert!(bad.contains("line 2: \"A\" is neither DS nor DNSKEY"), "{bad}");
    let absent = absent.unwrap().unwrap_err().to_string();
    assert!(absent.contains("/none cannot be read: "), "{absent}");
}

#[test]
fn negative_trust_anchors_are_names_but_not_the_root_and_only_for_validators() {
    let read = |mode: &str, name: &str| {
        read(&format!("[dnssec]\nmode = {mode:?}\nnegative_trust_anchors = [{name:?}]\n"))
    };
    let config = read("validate", "Broken.example.").unwrap();
    let dnssec = config.policy().dnssec;
    assert!(dnssec.is_negative(b"\x01a\x06broken\x07example\0"));
    assert_eq!(config.warnings, []);
    assert!(read("validate", ".").unwrap_err().to_string().contains("leaves nothing to validate"));
    assert_eq!(read("off", "broken.example.").unwrap().warnings.len(), 1);
    assert!(read("on", "broken.example.").unwrap_err().to_string().contains("dnssec.mode"));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let errors = load(Path::new("/nonexistent/dns64d.toml")).unwrap_err().to_string();
    assert!(errors.starts_with("/nonexistent/dns64d.toml: cannot be read: "), "{errors}");
}

#[test]
fn the_check_for_programs_has_its_keys() {
    let json = check_json(&read("workers = 2\n"));
    assert_eq!(
        json.to_string(),
        "{\"ok\":true,\"summary\":{\"dnssec\":\"trust-upstream\",\"included\":[],\"listen\":[\"127.0.0.1:5364\",\"[::1]:5364\"],\
         \"pools\":[],\"prefixes\":[\"64:ff9b::/96\"],\"rpz\":[],\"script\":null,\
         \"upstreams\":[\"192.0.2.53:53\"],\
         \"views\":[{\"enabled\":true,\"name\":\"default\",\"prefixes\":[\"64:ff9b::/96\"]}],\
         \"workers\":2},\"warnings\":[]}"
    );
    let json = check_json(&read("workers = 0\n"));
    assert_eq!((&json["ok"], &json["errors"][0]["key"]), (&false.into(), &"workers".into()));
    assert_eq!(json["errors"][0]["hint"], serde_json::Value::Null);
}

#[test]
fn the_default_settings_of_a_view_are_those_of_an_empty_table() {
    assert_eq!(accept("").policy.views, [ViewSettings::default()]);
}
