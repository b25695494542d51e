//! Network namespaces for tests: hosts that consist of nothing but a network stack.
//!
//! A [`Netns`] is made for one test, joined to others by virtual Ethernet cables, and gone with
//! everything in it when dropped, also when the test panics. A run that was killed cannot clean up
//! after itself; its namespaces carry its process ID in their names, and the next run removes those
//! whose process is no more.
//!
//! ```text
//!   dns64e2e-4711-3-client      prefix, process of the test, a number, what it is for
//! ```
//!
//! Programs are run by `ip netns exec`, which also gives each namespace a `resolv.conf` of its own
//! from `/etc/netns/`. It replaces itself by the program, so that the process ID of the child is
//! the program's. All of this needs root: ask [`available`] first.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::server::Server;

/// What every name on the machine that tests make begins with.
const NAME_PREFIX: &str = "dns64e2e-";
/// Where `ip` keeps the names of namespaces.
const NAMES_DIR: &str = "/run/netns";
/// Where `ip netns exec` looks for files to put over those in `/etc`.
const ETC_DIR: &str = "/etc/netns";
/// How often things without a notification are looked at again.
const POLL: Duration = Duration::from_millis(10);

// ---- Whether tests can run

/// Whether namespaces can be made and all of `programs` are installed. If not, prints why, so that
/// the test can return; where `CI` is `true` a test must not be skipped, and this panics.
#[must_use]
pub fn available(programs: &[&str]) -> bool {
    let missing: Vec<&str> =
        programs.iter().copied().filter(|program| find_program(program).is_none()).collect();
    let reason = if !rustix::process::geteuid().is_root() {
        "network namespaces need root".to_owned()
    } else if !missing.is_empty() {
        format!("not installed: {}", missing.join(", "))
    } else {
        remove_leftovers();
        return true;
    };
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!in_ci, "a test with network namespaces cannot run: {reason}");
    eprintln!("skipped: {reason}");
    false
}

/// Looks a program up in `PATH` and where system programs live.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Waits until no other test of this process uses the machine. Tests with real servers in real time
/// disturb each other on few cores.
pub fn serial() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    // A test that panicked leaves nothing behind that could disturb the next.
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what killed runs left behind: once per process.
fn remove_leftovers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for dir in [Path::new(NAMES_DIR), Path::new(ETC_DIR), &std::env::temp_dir()] {
            for name in names_in(dir) {
                if !is_leftover(&name) {
                    continue;
                }
                eprintln!("removing {} of a run that is no more", dir.join(&name).display());
                if dir == Path::new(NAMES_DIR) {
                    remove_namespace(&name);
                } else {
                    // Gone already if a run at the same time was faster.
                    let _ = fs::remove_dir_all(dir.join(&name));
                }
            }
        }
    });
}

/// The names of files in a directory; none if there is no such directory.
fn names_in(dir: &Path) -> Vec<String> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Whether a name was made by a test whose process is no more.
fn is_leftover(name: &str) -> bool {
    let Some((pid, _)) = name.strip_prefix(NAME_PREFIX).and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
}

/// A name that nothing else on the machine has.
fn unique_name(role: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{NAME_PREFIX}{}-{number}-{role}", std::process::id())
}

// ---- A directory

/// A directory for the files of a test, removed with everything in it when dropped.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty directory.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(unique_name("files"));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into the directory and gives back its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

// ---- A namespace

/// A network namespace with its loopback interface up.
#[derive(Debug)]
pub struct Netns {
    name: String,
}

impl Netns {
    /// Makes a namespace; `role` says what it is for.
    ///
    /// # Panics
    /// If it cannot be made.
    #[must_use]
    pub fn new(role: &str) -> Self {
        let name = unique_name(role);
        ip(&["netns", "add", &name]);
        let netns = Self { name };
        // Addresses are usable at once: nobody else can have them.
        netns.sysctl("net.ipv6.conf.default.accept_dad", "0");
        netns.sysctl("net.ipv6.conf.all.accept_dad", "0");
        netns.ip(&["link", "set", "lo", "up"]);
        netns
    }

    /// What `ip netns` calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Joins this namespace and another by a virtual cable whose ends have the given names.
    ///
    /// # Panics
    /// If that fails.
    pub fn link(&self, here: &str, other: &Self, there: &str) {
        self.link_with_queues(here, other, there, 1);
    }

    /// As [`Self::link`], with so many queues in each direction at both ends.
    ///
    /// # Panics
    /// If that fails.
    pub fn link_with_queues(&self, here: &str, other: &Self, there: &str, queues: u32) {
        let queues = queues.to_string();
        let queues = ["numrxqueues", &queues, "numtxqueues", &queues];
        let mut all = vec!["link", "add", here, "netns", &self.name];
        all.extend(queues);
        all.extend(["type", "veth", "peer", "name", there, "netns", &other.name]);
        all.extend(queues);
        ip(&all);
        self.ip(&["link", "set", here, "up"]);
        other.ip(&["link", "set", there, "up"]);
    }

    /// Gives an interface an address with its prefix length.
    ///
    /// # Panics
    /// If that fails.
    pub fn address(&self, interface: &str, address: &str) {
        if address.contains(':') {
            self.ip(&["address", "add", address, "dev", interface, "nodad"]);
        } else {
            self.ip(&["address", "add", address, "dev", interface]);
        }
    }

    /// Waits until the other end of an interface is there: the other end of a cable, or the program
    /// behind a tun device.
    ///
    /// # Panics
    /// If it does not come in time.
    pub fn wait_for_carrier(&self, interface: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let output = Command::new("ip")
                .args(["-n", &self.name, "-oneline", "link", "show", interface])
                .output()
                .unwrap_or_else(|error| panic!("cannot run ip: {error}"));
            let text = succeeded(&format!("ip link show {interface}"), &output);
            if text.contains("LOWER_UP") {
                return;
            }
            assert!(Instant::now() < deadline, "{interface} has no carrier: {text}");
            thread::sleep(POLL);
        }
    }

    /// Routes a destination (or `default`) through a next hop.
    ///
    /// # Panics
    /// If that fails.
    pub fn route(&self, destination: &str, via: &str) {
        self.ip(&["route", "add", destination, "via", via]);
    }

    /// Runs `ip` inside the namespace.
    ///
    /// # Panics
    /// If it fails.
    pub fn ip(&self, arguments: &[&str]) {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend_from_slice(arguments);
        ip(&all);
    }

    /// Sets a kernel parameter of the namespace.
    ///
    /// # Panics
    /// If it cannot be set.
    pub fn sysctl(&self, key: &str, value: &str) {
        let file = Path::new("/proc/sys").join(key.replace('.', "/"));
        self.enter(|| {
            fs::write(&file, value).unwrap_or_else(|error| panic!("{key} = {value}: {error}"));
        });
    }

    /// Makes `server` the only name server that programs in the namespace know of. Takes effect for
    /// programs started afterwards.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn name_server(&self, server: &str) {
        let dir = Path::new(ETC_DIR).join(&self.name);
        let content = format!("nameserver {server}\noptions timeout:3 attempts:2\n");
        fs::create_dir_all(&dir)
            .and_then(|()| fs::write(dir.join("resolv.conf"), content))
            .unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    }

    /// A command that will run inside the namespace.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a program inside the namespace to its end.
    ///
    /// # Panics
    /// If it cannot be started. That it fails is for the caller to see.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program)
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}"))
    }

    /// Runs a program inside the namespace to its successful end; what it wrote to standard output.
    ///
    /// # Panics
    /// If it cannot be started or fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        succeeded(&format!("{program} {}", arguments.join(" ")), &self.output(program, arguments))
    }

    /// Starts a server inside the namespace.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn spawn(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Server {
        let mut command = self.command(&program);
        command.args(arguments);
        Server::start(&program.as_ref().to_string_lossy(), command)
    }

    /// Does `work` on a thread whose sockets belong to the namespace. A panic in it goes on here.
    ///
    /// # Panics
    /// If the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new(NAMES_DIR).join(&self.name))
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let inside = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap_or_else(|error| panic!("cannot enter {}: {error}", self.name));
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        remove_namespace(&self.name);
        // There only if the namespace had a name server.
        let _ = fs::remove_dir_all(Path::new(ETC_DIR).join(&self.name));
    }
}

/// Kills what runs in a namespace and removes it. Does not panic: it runs while tests do.
fn remove_namespace(name: &str) {
    if let Ok(output) = Command::new("ip").args(["netns", "pids", name]).output() {
        let pids = String::from_utf8_lossy(&output.stdout).into_owned();
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            if let Some(pid) = Pid::from_raw(pid) {
                // Gone already if it ended meanwhile.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
    match Command::new("ip").args(["netns", "delete", name]).output() {
        Ok(output) if output.status.success() => {}
        other => eprintln!("cannot remove namespace {name}: {other:?}"),
    }
}

/// Runs `ip` to its successful end.
fn ip(arguments: &[&str]) {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run ip: {error}"));
    succeeded(&format!("ip {}", arguments.join(" ")), &output);
}

/// The standard output of a command that must have succeeded.
fn succeeded(command: &str, output: &Output) -> String {
    assert!(
        output.status.success(),
        "{command}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_dead_runs_are_leftovers() {
        assert!(is_leftover("dns64e2e-4194999-0-client"), "beyond the largest process ID");
        assert!(!is_leftover(&unique_name("client")));
        assert!(!is_leftover("dns64e2e-"));
        assert!(!is_leftover("dns64e2e-x-0-client"));
        assert!(!is_leftover("somebody-else"));
    }

    #[test]
    fn a_namespace_and_its_servers_are_gone_after_a_panic() {
        if !available(&["ip", "sleep"]) {
            return;
        }
        let name = Mutex::new(String::new());
        let result = panic::catch_unwind(|| {
            let netns = Netns::new("panic");
            netns.name_server("2001:db8::53");
            name.lock().unwrap().clone_from(&netns.name);
            let _server = netns.spawn("sleep", &["600"]);
            panic!("on purpose");
        });
        assert!(result.is_err());
        let name = name.into_inner().unwrap_or_else(PoisonError::into_inner);
        assert!(!name.is_empty());
        assert!(!Path::new(NAMES_DIR).join(&name).exists());
        assert!(!Path::new(ETC_DIR).join(&name).exists());
    }

    #[test]
    fn two_namespaces_reach_each_other_over_their_link() {
        if !available(&["ip"]) {
            return;
        }
        let (left, right) = (Netns::new("left"), Netns::new("right"));
        left.link("eth0", &right, "eth0");
        left.address("eth0", "2001:db8::1/64");
        right.address("eth0", "2001:db8::2/64");
        let server = right.enter(|| std::net::UdpSocket::bind("[2001:db8::2]:53").unwrap());
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        left.enter(|| {
            let client = std::net::UdpSocket::bind("[::]:0").unwrap();
            client.send_to(b"hello", "[2001:db8::2]:53").unwrap();
        });
        let mut buffer = [0; 16];
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"hello");
        assert_eq!(from.ip().to_string(), "2001:db8::1");
    }
}
