//! Namespaces, veth pairs, and who does their receive work on which CPU.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::net::Ipv6Addr;
use std::os::fd::AsFd;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, bail, ensure};
use rustix::process::setpriority_process;
use rustix::thread::{
    CpuSet, LinkNameSpaceType, gettid, move_into_link_name_space, sched_setaffinity,
};

use super::Refusal;
use super::state::State;

/// What every name on the machine that the lab makes begins with.
const NAME_PREFIX: &str = "dns64bench-";
/// Octets of the receive buffer of servers that do not set their own, and the most one may set.
/// With the kernel's 208 KiB BIND, which sets none, would lose bursts that others keep.
const SOCKET_BUFFER_BYTES: u32 = 8 << 20;
/// Real-time priority of NAPI threads. The ring of a veth device holds 256 packets: in the ordinary
/// class its thread would wait for the program beside it, and the ring would overflow.
const NAPI_PRIORITY: &str = "50";
/// Priority of what is measured and what measures, against other work on the machine.
pub const NICENESS: i32 = -10;
/// Priority of the upstream: a generator that offers too much must not keep it from answering.
pub const UPSTREAM_NICENESS: i32 = -20;

/// Programs the lab is built with, and the Debian packages they are in.
pub const PROGRAMS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("taskset", "util-linux"),
    ("chrt", "util-linux"),
    ("setpriv", "util-linux"),
];

/// Which CPU does what.
#[derive(Clone, Copy, Debug)]
pub struct Cpus {
    /// Generator and upstream.
    pub generator: usize,
    /// Servers.
    pub server: usize,
}

/// A network namespace.
#[derive(Clone, Debug, Default)]
pub struct Namespace {
    /// Its name, as `ip netns` knows it.
    name: String,
}

/// A server's end of the lab.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its address.
    pub address: Ipv6Addr,
    /// The generator's address, as the server sees it: that of its clients and of the upstream.
    pub generator_address: Ipv6Addr,
    /// The network of both, as `address/length`.
    pub network: String,
    /// The device at the server's end.
    pub device: String,
    /// The device at the generator's end.
    pub generator_device: String,
    /// The NAPI threads of the server's end, by their process IDs.
    pub napi: Vec<i32>,
    /// Those of the generator's end.
    pub generator_napi: Vec<i32>,
}

/// The lab: the generator's namespace, and a site for each server.
#[derive(Debug)]
pub struct Lab {
    /// Where generator and upstream are.
    pub generator: Namespace,
    /// Which CPU does what.
    pub cpus: Cpus,
    /// For files.
    pub directory: PathBuf,
    /// Takes everything down.
    state: State,
}

impl Lab {
    /// Changes the settings and makes the generator's namespace.
    ///
    /// # Errors
    /// [`Refusal`] if this machine does not let it; else what failed.
    pub fn build(cpus: Cpus) -> anyhow::Result<Self> {
        let state = State::claim()?;
        for (program, package) in PROGRAMS {
            if find_program(program).is_none() {
                let text =
                    format!("{program} is missing: install {package}, or run bench/lab/setup");
                return Err(Refusal(text).into());
            }
        }
        for cpu in [cpus.generator, cpus.server] {
            let online = format!("/sys/devices/system/cpu/cpu{cpu}");
            if !Path::new(&online).exists() || cpu >= CpuSet::MAX_CPU {
                return Err(Refusal(format!("there is no CPU {cpu} on this machine")).into());
            }
        }
        let buffer = SOCKET_BUFFER_BYTES.to_string();
        for (key, value) in [
            ("net/core/rmem_max", buffer.as_str()),
            ("net/core/wmem_max", &buffer),
            ("net/core/rmem_default", &buffer),
            // With groups, niceness would not count between sessions.
            ("kernel/sched_autogroup_enabled", "0"),
        ] {
            state.set(&Path::new("/proc/sys").join(key), value)?;
        }
        let directory = state.make_directory()?;
        let generator = Namespace::make(&state, "generator")?;
        Ok(Self { generator, cpus, directory, state })
    }

    /// Makes a site: a namespace, a pair to the generator, and its NAPI threads.
    ///
    /// # Errors
    /// What failed.
    pub fn add_site(&self, name: &str, number: u16) -> anyhow::Result<Site> {
        let namespace = Namespace::make(&self.state, name)?;
        let address = |host| Ipv6Addr::new(0xfd00, 0x64, 0, number, 0, 0, 0, host);
        let (generator_address, address) = (address(1), address(2));
        let (generator_device, device) = (format!("lab{number}g"), format!("lab{number}s"));
        let (here, there) = (&self.generator, &namespace);
        let pair = ["type", "veth", "peer", "name", &device, "netns", &there.name];
        let link = ["link", "add", &generator_device, "netns", &here.name];
        run("ip", &[&link[..], &pair[..]].concat())?;
        let ends = [
            (here, &generator_device, generator_address, self.cpus.generator),
            (there, &device, address, self.cpus.server),
        ];
        let mut threads = Vec::new();
        let mut hardware = Vec::new();
        for (namespace, device, address, cpu) in ends {
            let address = format!("{address}/64");
            namespace.ip(&["addr", "add", &address, "dev", device, "nodad"])?;
            namespace.ip(&["link", "set", device, "up"])?;
            hardware.push(namespace.hardware_address(device)?);
            threads.push(namespace.pin_napi(device, cpu)?);
        }
        // Nobody has to ask for them while something is measured.
        for (end, peer) in [(0, 1), (1, 0)] {
            let (namespace, device, ..) = ends[end];
            let peer_address = ends[peer].2.to_string();
            let link = ["lladdr", &hardware[peer], "nud", "permanent", "dev", device];
            namespace.ip(&[&["neigh", "replace", &peer_address][..], &link[..]].concat())?;
        }
        let network = format!("{}/64", Ipv6Addr::new(0xfd00, 0x64, 0, number, 0, 0, 0, 0));
        let namespace = namespace.clone();
        let napi = threads.pop().unwrap_or_default();
        let generator_napi = threads.pop().unwrap_or_default();
        Ok(Site {
            namespace,
            address,
            generator_address,
            network,
            device,
            generator_device,
            napi,
            generator_napi,
        })
    }

    /// Does work on a thread in the generator's namespace, on its CPU and with this priority, which
    /// threads that the work starts inherit. A panic in it goes on here.
    ///
    /// # Errors
    /// If the namespace or the CPU cannot be had.
    pub fn as_generator<T: Send>(
        &self,
        niceness: i32,
        work: impl FnOnce() -> T + Send,
    ) -> anyhow::Result<T> {
        let path = self.generator.path();
        let namespace = File::open(&path).with_context(|| path.display().to_string())?;
        let mut cpus = CpuSet::new();
        cpus.set(self.cpus.generator);
        let inside = || -> anyhow::Result<T> {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .context("cannot enter the generator's namespace")?;
            sched_setaffinity(None, &cpus).context("cannot have the generator's CPU")?;
            setpriority_process(Some(gettid()), niceness).context("cannot have priority")?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }
}

impl Namespace {
    /// Makes one, with its loopback interface up.
    fn make(state: &State, role: &str) -> anyhow::Result<Self> {
        let name = format!("{NAME_PREFIX}{role}");
        state.make_namespace(&name)?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The file that stands for it.
    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// A command that runs in it on these CPUs (a list for taskset(1)) with the lab's priority, and
    /// that the kernel kills when the thread that starts it ends. Its process is that of the
    /// program.
    #[must_use]
    pub fn command(&self, cpus: &str, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, "setpriv", "--pdeathsig", "KILL"]);
        command.args(["nice", "-n", &NICENESS.to_string(), "taskset", "-c", cpus]);
        command.arg(program);
        command
    }

    /// Runs `ip` in it.
    ///
    /// # Errors
    /// If it fails: with what it wrote.
    pub fn ip(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run("ip", &[&["-n", &self.name], arguments].concat())
    }

    /// The hardware address of a device.
    fn hardware_address(&self, device: &str) -> anyhow::Result<String> {
        let file = format!("/sys/class/net/{device}/address");
        // The view of /sys is that of the namespace inside `ip netns exec` only.
        let address = run("ip", &["netns", "exec", &self.name, "cat", &file])?;
        Ok(address.trim().to_owned())
    }

    /// Gives the receive work of a device to a thread on this CPU; returns the threads' IDs.
    fn pin_napi(&self, device: &str, cpu: usize) -> anyhow::Result<Vec<i32>> {
        // With GRO a veth device has a NAPI instance whose work a thread can do. It is passed by
        // for packets of a peer that has TSO: their receive work would be done by the sender.
        let features = ["-K", device, "gro", "on", "tso", "off"];
        run("ip", &[&["netns", "exec", &self.name, "ethtool"], &features[..]].concat())?;
        let threaded = format!("echo 1 > /sys/class/net/{device}/threaded");
        run("ip", &["netns", "exec", &self.name, "sh", "-c", &threaded])
            .context("threaded NAPI, which Linux has since 5.12, is missing")?;
        let threads = kernel_threads(&format!("napi/{device}-"));
        ensure!(!threads.is_empty(), "no NAPI thread for {device}");
        for thread in &threads {
            let (thread, cpu) = (thread.to_string(), cpu.to_string());
            run("taskset", &["-pc", &cpu, &thread])?;
            run("chrt", &["-f", "-p", NAPI_PRIORITY, &thread])?;
        }
        Ok(threads)
    }
}

/// Kernel threads whose names begin so, by their process IDs.
#[must_use]
pub fn kernel_threads(prefix: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            name.starts_with(prefix).then_some(pid)
        })
        .collect()
}

/// Looks a program up in `PATH` and where system programs live.
#[must_use]
pub fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Runs a command to its successful end; returns what it wrote.
///
/// # Errors
/// If it cannot be started or fails: with what it wrote.
pub fn run(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let path = find_program(program).unwrap_or_else(|| PathBuf::from(program));
    let output = Command::new(path)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
