//! What the kernel says of the threads of a running dns64d.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};

use dns64_tests::daemon::{Daemon, START_LIMIT, free_address, spawn};
use dns64_tests::netns::{Netns, Scratch, available};
use dns64_tests::program::dns64d;
use dns64_tests::server::Server;
use rustix::process::{Pid, Signal};

/// The unprivileged user that every system has.
const NOBODY: u32 = 65_534;

/// `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`.
const FILES: u64 = 1 << 1 | 1 << 2;
/// `CAP_NET_ADMIN`, `CAP_NET_RAW`, `CAP_IPC_LOCK`, `CAP_PERFMON`, `CAP_BPF`.
const XDP: u64 = 1 << 12 | 1 << 13 | 1 << 14 | 1 << 38 | 1 << 39;

/// A configuration for loopback.
fn configuration(more: &str) -> String {
    let listen = free_address();
    format!(
        "listen = [\"{listen}\"]\nworkers = 2\n[upstream]\nservers = [\"192.0.2.1\"]\n\
         [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n{more}"
    )
}

/// The fields of /proc/PID/status of each thread, by the thread's name.
fn threads(pid: Pid) -> Vec<(String, BTreeMap<String, String>)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())).expect("a process");
    let read = tasks.map(|task| {
        let status =
            fs::read_to_string(task.expect("a thread").path().join("status")).expect("its status");
        let fields: BTreeMap<String, String> = status
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
            .collect();
        (fields["Name"].clone(), fields)
    });
    read.collect()
}

fn capabilities(fields: &BTreeMap<String, String>) -> u64 {
    let set = |key: &str| u64::from_str_radix(&fields[key], 16).expect("a number");
    assert_eq!(set("CapEff"), set("CapPrm"));
    assert_eq!(set("CapInh") | set("CapAmb"), 0);
    set("CapEff")
}

/// Whether it answers: a name that needs no upstream server.
fn answers(daemon: &Daemon) -> bool {
    let text = fs::read_to_string(&daemon.config).expect("a file");
    let listen = text.split('"').nth(1).expect("an address").to_owned();
    let output =
        dns64_tests::daemon::dns64ctl(&["query", "ipv4only.arpa", "AAAA", "--server", &listen]);
    String::from_utf8_lossy(&output.stdout).contains("2001:db8:64::c000:aa")
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: not root");
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI runs as root");
    }
    root
}

#[test]
fn no_thread_has_rights_or_system_calls_that_it_does_not_need() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    let daemon = Daemon::start(&scratch, None, &configuration(""));
    for (name, fields) in threads(daemon.server.pid()) {
        assert_eq!(fields["NoNewPrivs"], "1", "{name}");
        assert_eq!(fields["Seccomp"], "2", "{name}");
        assert_eq!(fields["Seccomp_filters"], "2", "{name}");
        // As root it still opens the files of others, if Landlock lets it.
        let left = if name == "dns64d" { FILES } else { 0 };
        assert_eq!(capabilities(&fields), left, "{name}");
    }
    assert!(answers(&daemon), "{}", daemon.server.log());
    let log = daemon.server.log();
    assert!(log.contains("confined") && log.contains("landlock=true"), "{log}");
}

#[test]
fn as_a_user_it_is_nobody_else_and_answers_and_reloads_and_cleans_up() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(scratch.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let more = format!("[sandbox]\nuser = \"{NOBODY}\"\n");
    let mut daemon = Daemon::start(&scratch, None, &configuration(&more));
    let ids = [NOBODY; 4].map(|id| id.to_string()).join("\t");
    for (name, fields) in threads(daemon.server.pid()) {
        assert_eq!((&fields["Uid"], &fields["Gid"]), (&ids, &ids), "{name}");
        assert_eq!(fields["Groups"], NOBODY.to_string(), "{name}");
        assert_eq!(capabilities(&fields), 0, "{name}");
    }
    assert_eq!(fs::metadata(&daemon.socket).unwrap().uid(), NOBODY);
    assert!(answers(&daemon), "{}", daemon.server.log());
    let text = fs::read_to_string(&daemon.config).unwrap();
    fs::write(&daemon.config, text.replace("2001:db8:64::/96", "2001:db8:65::/96")).unwrap();
    let reload = daemon.ctl(&["reload"]);
    assert!(reload.status.success(), "{reload:?}");
    daemon.server.signal(Signal::TERM);
    assert!(daemon.server.wait(START_LIMIT).is_some_and(|status| status.success()));
    assert!(!daemon.socket.exists(), "the socket goes with the process");
}

#[test]
fn threads_that_follow_interfaces_keep_the_rights_for_it_and_no_others() {
    if !available(&["ip"]) {
        return;
    }
    let (scratch, host, peer) = (Scratch::new(), Netns::new("sandbox"), Netns::new("client"));
    host.link_with_queues("eth0", &peer, "eth0", 2);
    host.address("eth0", "10.64.0.2/24");
    host.wait_for_carrier("eth0", START_LIMIT);
    let text = "listen = [\"10.64.0.2:53\"]\nworkers = 2\n[upstream]\nservers = [\"192.0.2.1\"]\n\
                [datapath]\nmode = \"xdp\"\ninterfaces = [\"eth0\"]\n";
    let daemon = Daemon::start(&scratch, Some(&host), text);
    let threads = threads(daemon.server.pid());
    let of = |wanted: &str| {
        let (_, fields) = threads.iter().find(|(name, _)| name == wanted).unwrap();
        capabilities(fields)
    };
    assert_eq!(of("datapath"), XDP);
    assert_eq!(of("worker-0") | of("worker-1"), 0);
    assert_eq!(of("dns64d"), FILES);
}

#[test]
fn each_restriction_can_be_switched_off() {
    let scratch = Scratch::new();
    let more = "[sandbox]\nlandlock = false\nseccomp = false\n";
    let daemon = Daemon::start(&scratch, None, &configuration(more));
    for (name, fields) in threads(daemon.server.pid()) {
        assert_eq!(fields["Seccomp"], "0", "{name}");
    }
    assert!(daemon.server.log().contains("landlock=false"), "{}", daemon.server.log());
}

#[test]
fn a_zone_in_a_directory_of_which_the_start_knew_nothing_is_not_read() {
    let (scratch, elsewhere) = (Scratch::new(), Scratch::new());
    let zone = "$TTL 60\n@ SOA . . 1 1 1 1 1\n@ NS .\nblocked.example CNAME .\n";
    let near = scratch.write("near.rpz", zone);
    let far = elsewhere.write("far.rpz", zone);
    let with = |file: &std::path::Path| {
        format!("[[rpz]]\nname = \"rpz.test.\"\nfile = \"{}\"\n", file.display())
    };
    let configuration = configuration("");
    let daemon = Daemon::start(&scratch, None, &configuration);
    let text = fs::read_to_string(&daemon.config).unwrap();
    fs::write(&daemon.config, format!("{text}{}", with(&far))).unwrap();
    let refused = daemon.ctl(&["reload"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("Permission denied"), "{said}");
    fs::write(&daemon.config, format!("{text}{}", with(&near))).unwrap();
    let taken = daemon.ctl(&["reload"]);
    assert!(taken.status.success(), "{taken:?}");
}

/// What a start says that does not come about, and its exit code.
fn refusal(command: Command) -> (Option<i32>, String) {
    let mut command = command;
    let output = command.stdin(Stdio::null()).env_remove("RUST_LOG").output().expect("it is run");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_user_that_it_cannot_become_is_refused_at_start() {
    if !is_root() {
        return;
    }
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let nobody = configuration("[sandbox]\nuser = \"no-such-user\"\n");
    let file = scratch.write("nobody.toml", &nobody);
    let mut command = Command::new(dns64d());
    command.arg("--config").arg(&file);
    let (code, said) = refusal(command);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no user no-such-user") && said.contains("hint"), "{said}");

    let file = scratch.write("root.toml", &configuration("[sandbox]\nuser = \"root\"\n"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(dns64d());
    command.arg("--config").arg(&file);
    let (code, said) = refusal(command);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot become root"), "{said}");
}

#[test]
fn a_low_port_is_bound_before_the_right_to_it_is_given_up() {
    if !available(&["ip"]) {
        return;
    }
    let (scratch, host) = (Scratch::new(), Netns::new("sandbox"));
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = scratch.write(
        "dns64d.toml",
        "listen = [\"127.0.0.1:53\"]\n[upstream]\nservers = [\"192.0.2.1\"]\n\
         [sandbox]\nuser = \"65534\"\n",
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut server: Server = spawn(Some(&host), &file);
    server.wait_for("ready", START_LIMIT);
    for (name, fields) in threads(server.pid()) {
        assert_eq!(capabilities(&fields), 0, "{name}");
    }
}
