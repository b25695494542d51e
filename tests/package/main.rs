//! What is shipped to run `dns64d` elsewhere agrees with the program and with itself: the installed
//! configuration, the lists of packaged files, the image and the manifest for Kubernetes.
//!
//! The packages themselves are built and installed by `tests/package/install`, a step of
//! `tests/run`. Neither the image nor the manifest is run by any test.

mod yaml;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use dns64::config::Config;
use dns64_tests::netns::Scratch;
use dns64_tests::program::dns64d;
use serde_json::Value;

/// Octets that a process may have beyond its cache without AF_XDP, as `tests/faults` asserts.
const BESIDE_CACHE: u64 = 64 << 20;

fn top() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests lie in the workspace").to_path_buf()
}

fn text(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn toml(path: &str) -> toml::Table {
    text(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A configuration that is accepted without a warning.
fn accepted(text: &str, name: &str) -> Config {
    let config = dns64::config::parse(text, name).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.warnings, [], "{name}");
    config
}

// ---- The installed configuration

#[test]
fn the_installed_configuration_serves_this_machine_beside_another_resolver() {
    // The resolvers are this machine's, which a test must not depend on.
    let text = text("userspace/packaging/dns64d.toml").replace("#servers", "servers");
    let config = accepted(&text, "dns64d.toml");
    for address in &config.listen {
        assert!(address.ip().is_loopback() && address.port() != 53, "{address}");
    }
    let control = config.control.expect("dns64ctl finds it");
    let unit = self::text("userspace/systemd/dns64d.service");
    let directory = control.socket.parent().and_then(Path::file_name).expect("a directory");
    let made = format!("RuntimeDirectory={}", directory.to_string_lossy());
    assert!(unit.lines().any(|line| line == made), "the unit makes {directory:?}");
}

#[test]
fn what_stands_behind_a_mark_in_the_installed_configuration_is_accepted_too() {
    let text = text("userspace/packaging/dns64d.toml");
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key,
        _ => line,
    });
    let config = accepted(&lines.collect::<Vec<_>>().join("\n"), "dns64d.toml");
    assert!(config.metrics.is_some(), "the last mark is taken away");
}

// ---- The packages

/// A packaged file: where it comes from and where it goes.
type Asset = (String, String);

fn deb_assets() -> Vec<Asset> {
    let manifest = toml("userspace/Cargo.toml");
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().expect("a list");
    let word = |asset: &toml::Value, at: usize| asset[at].as_str().expect("a text").to_owned();
    assets.iter().map(|asset| (word(asset, 0), format!("/{}", word(asset, 1)))).collect()
}

fn rpm_assets() -> Vec<Asset> {
    let manifest = toml("userspace/Cargo.toml");
    let rpm = &manifest["package"]["metadata"]["generate-rpm"];
    let assets = rpm["assets"].as_array().expect("a list");
    let word = |asset: &toml::Value, key: &str| asset[key].as_str().expect("a text").to_owned();
    assets.iter().map(|asset| (word(asset, "source"), word(asset, "dest"))).collect()
}

#[test]
fn the_programs_of_the_unit_and_of_the_readme_are_in_both_packages() {
    let unit = text("userspace/systemd/dns64d.service");
    let started = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a program");
    let mut words = started.split(' ');
    let program = words.next().expect("a path");
    let configuration = words.next_back().expect("a path");
    for assets in [deb_assets(), rpm_assets()] {
        let files: BTreeSet<String> = assets
            .iter()
            .map(|(from, to)| format!("{to}{}", from.rsplit('/').next().unwrap_or_default()))
            .collect();
        for file in [program, configuration, "/usr/bin/dns64ctl", "/usr/bin/dns64bench"] {
            assert!(files.contains(file), "{file} of {files:?}");
        }
    }
}

#[test]
fn every_packaged_file_is_there_or_is_put_there_by_the_build() {
    let build = text("userspace/packaging/build");
    let staged = "target/release/package/";
    assert!(build.contains("$target/release/package"));
    for (base, assets) in [("userspace", deb_assets()), ("", rpm_assets())] {
        for (from, _) in assets {
            assert!(from.starts_with(staged) || top().join(base).join(&from).is_file(), "{from}");
        }
    }
    for script in ["post", "preun", "postun"] {
        let path = format!("userspace/packaging/rpm/{script}");
        assert!(text("userspace/Cargo.toml").contains(&path), "{path}");
        let checked = Command::new("sh").arg("-n").arg(top().join(&path)).status().expect("sh");
        assert!(checked.success(), "{path}");
    }
}

// ---- Capabilities

/// Those of the unit, as `CAP_NET_RAW`.
fn unit_capabilities() -> BTreeSet<String> {
    let unit = text("userspace/systemd/dns64d.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    line.expect("a line of them").split(' ').map(str::to_owned).collect()
}

#[test]
fn unit_image_and_manifest_give_the_same_capabilities() {
    let unit = unit_capabilities();
    assert!(unit.contains("CAP_BPF"), "{unit:?}");
    let image = text("userspace/packaging/Containerfile");
    let of_file: BTreeSet<String> = image
        .lines()
        .find(|line| line.contains("setcap") && line.ends_with("/dns64d-xdp"))
        .and_then(|line| line.split("setcap ").nth(1)?.split('=').next())
        .expect("the capabilities of the file")
        .split(',')
        .map(str::to_uppercase)
        .collect();
    assert_eq!(of_file, unit, "Containerfile");
    let context = &container()["securityContext"];
    let added: BTreeSet<String> =
        texts(&context["capabilities"]["add"]).map(|name| format!("CAP_{name}")).collect();
    assert_eq!(added, unit, "kubernetes.yaml");
    assert_eq!(texts(&context["capabilities"]["drop"]).collect::<Vec<_>>(), ["ALL"]);
    // Without it the kernel passes over the capabilities of a file.
    assert_eq!(context["allowPrivilegeEscalation"], "true");
}

// ---- The image

/// An instruction of the Containerfile and its arguments, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = text("userspace/packaging/Containerfile").replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap_or_else(|| panic!("{line:?} is no instruction")))
        .map(|(name, arguments)| (name.to_owned(), arguments.trim().to_owned()))
        .collect()
}

fn arguments_of(name: &str) -> Vec<String> {
    let named = instructions().into_iter().filter(|(instruction, _)| instruction == name);
    named.map(|(_, arguments)| arguments).collect()
}

/// The files in the image that are copied there.
fn copied() -> BTreeSet<String> {
    let copies = arguments_of("COPY").into_iter();
    let ends = copies.filter_map(|copy| copy.rsplit(' ').next().map(str::to_owned));
    ends.filter(|path| path.starts_with('/')).collect()
}

/// An instruction in the form of JSON.
fn exec_form(name: &str) -> Vec<String> {
    let arguments = arguments_of(name).pop().unwrap_or_else(|| panic!("no {name}"));
    serde_json::from_str(&arguments).unwrap_or_else(|error| panic!("{name} {arguments}: {error}"))
}

#[test]
fn the_image_is_made_of_known_instructions_from_files_that_are_there() {
    const KNOWN: [&str; 9] =
        ["FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD"];
    for (name, _) in instructions() {
        assert!(KNOWN.contains(&name.as_str()), "{name}");
    }
    let stages: Vec<String> = arguments_of("FROM")
        .into_iter()
        .filter_map(|from| from.split_once(" AS ").map(|(_, stage)| stage.to_owned()))
        .collect();
    let workspace = toml("Cargo.toml");
    let mut copied_whole = BTreeSet::new();
    for copy in arguments_of("COPY") {
        let words: Vec<&str> = copy.split_whitespace().collect();
        let (_, sources) = words.split_last().expect("a target");
        if let Some(stage) = words[0].strip_prefix("--from=") {
            assert!(stages.iter().any(|known| known == stage), "there is no stage {stage}");
            continue;
        }
        for source in sources {
            assert!(top().join(source).exists(), "{source}");
            copied_whole.insert((*source).to_owned());
        }
    }
    for member in workspace["workspace"]["members"].as_array().expect("a list") {
        let member = member.as_str().expect("a text");
        assert!(copied_whole.contains(member), "cargo wants every member, and {member} too");
    }
    let compiler = workspace["workspace"]["package"]["rust-version"].as_str().expect("a version");
    assert!(arguments_of("FROM")[0].starts_with(&format!("rust:{compiler}-")), "{compiler}");
}

#[test]
fn the_image_starts_a_program_and_a_configuration_that_are_copied_there() {
    let copied = copied();
    let entry = exec_form("ENTRYPOINT");
    assert!(copied.contains(&entry[0]), "{entry:?} of {copied:?}");
    let arguments = exec_form("CMD");
    assert_eq!(arguments[0], "--config");
    assert!(copied.contains(&arguments[1]), "{arguments:?}");
    let help = Command::new(dns64d()).arg("--help").output().expect("it runs");
    assert!(String::from_utf8_lossy(&help.stdout).contains("--config"), "dns64d takes it");
    assert_ne!(arguments_of("USER"), Vec::<String>::new(), "it does not run as root");
}

// ---- The manifest

fn manifest() -> Vec<Value> {
    yaml::documents(&text("userspace/packaging/kubernetes.yaml"))
}

/// The document of a kind.
fn of_kind(kind: &str) -> Value {
    let found = manifest().into_iter().find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("there is no {kind}"))
}

fn pod() -> Value {
    of_kind("DaemonSet")["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    pod()["containers"][0].clone()
}

/// The texts of a list.
fn texts(value: &Value) -> impl Iterator<Item = String> + '_ {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)
}

/// The configuration of the manifest, and the name of its file.
fn shipped() -> (String, String) {
    let map = of_kind("ConfigMap");
    let (name, text) = map["data"].as_object().and_then(|data| data.iter().next()).expect("a file");
    (name.clone(), text.as_str().expect("a text").to_owned())
}

#[test]
fn the_configuration_of_the_manifest_is_accepted_also_by_the_program() {
    let (name, text) = shipped();
    accepted(&text, &name);
    let scratch = Scratch::new();
    let file = scratch.write(&name, &text);
    let check = Command::new(dns64d()).args(["check", "--config"]).arg(file).output();
    assert!(check.expect("it runs").status.success());
}

#[test]
fn probes_and_ports_are_those_of_the_configuration() {
    let (name, text) = shipped();
    let config = accepted(&text, &name);
    let metrics: SocketAddr = config.metrics.expect("probes need them").listen;
    let container = container();
    let server = self::text("userspace/src/metrics/server.rs");
    for (probe, path) in
        [("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")]
    {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["port"], metrics.port().to_string(), "{probe}");
        assert_eq!(get["host"], metrics.ip().to_string(), "{probe}: the network is the node's");
        assert_eq!(get["path"], path, "{probe}");
        assert!(server.contains(&format!("\"{path}\"")), "{path} is answered");
    }
    let ports = container["ports"].as_array().expect("a list");
    let named: BTreeSet<String> = ports
        .iter()
        .filter_map(|port| {
            Some(format!("{}/{}", port["containerPort"].as_str()?, port["protocol"]))
        })
        .map(|port| port.replace('"', "").to_lowercase())
        .collect();
    let mut expected: BTreeSet<String> = config
        .listen
        .iter()
        .flat_map(|address| ["udp", "tcp"].map(|protocol| format!("{}/{protocol}", address.port())))
        .collect();
    expected.insert(format!("{}/tcp", metrics.port()));
    assert_eq!(named, expected);
    let exposed: BTreeSet<String> =
        arguments_of("EXPOSE")[0].split(' ').map(str::to_owned).collect();
    assert_eq!(exposed, expected, "Containerfile");
    assert_eq!(pod()["hostNetwork"], "true", "XDP needs the node's interfaces");
}

#[test]
fn the_manifest_starts_what_the_image_has_with_what_it_mounts() {
    let (name, text) = shipped();
    let config = accepted(&text, &name);
    let container = container();
    let command: Vec<String> = texts(&container["command"]).collect();
    assert!(copied().contains(&command[0]), "{command:?}");
    let mounts = container["volumeMounts"].as_array().expect("a list");
    let mounted_at = |path: &str| {
        let mount = mounts.iter().find(|mount| mount["mountPath"] == path);
        mount.unwrap_or_else(|| panic!("nothing is mounted at {path}"))["name"].clone()
    };
    let file = Path::new(command.last().expect("a path"));
    assert_eq!(file.file_name().and_then(|file| file.to_str()), Some(name.as_str()));
    let directory = file.parent().and_then(Path::to_str).expect("a directory");
    let volumes = pod()["volumes"].as_array().cloned().expect("a list");
    let volume = |name: &Value| {
        let found = volumes.iter().find(|volume| volume["name"] == *name);
        found.unwrap_or_else(|| panic!("there is no volume {name}")).clone()
    };
    let configuration = volume(&mounted_at(directory));
    assert_eq!(configuration["configMap"]["name"], of_kind("ConfigMap")["metadata"]["name"]);
    let socket = config.control.expect("a control socket").socket;
    let run = volume(&mounted_at(socket.parent().and_then(Path::to_str).expect("a directory")));
    assert!(run["emptyDir"].is_object(), "it can be written");
    let user = pod()["securityContext"]["runAsUser"].as_str().map(str::to_owned);
    let user = user.expect("a user");
    assert_eq!(arguments_of("USER"), [format!("{user}:{user}")], "the image's user");
}

#[test]
fn the_memory_of_the_manifest_is_enough_for_its_cache() {
    let (name, text) = shipped();
    let config = accepted(&text, &name);
    let limit = container()["resources"]["limits"]["memory"].as_str().map(str::to_owned);
    let limit = limit.and_then(|limit| limit.strip_suffix("Mi")?.parse::<u64>().ok());
    let limit = limit.expect("a number of MiB") << 20;
    assert!(limit >= config.policy.cache.size_bytes + BESIDE_CACHE, "{limit}");
}
