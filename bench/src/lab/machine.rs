//! The machine: what a reader needs to know about it, and what else it does meanwhile.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::network::kernel_threads;
use crate::results::Machine;

/// What this machine is.
#[must_use]
pub fn facts() -> Machine {
    let uname = rustix::system::uname();
    let cpuinfo = read("/proc/cpuinfo");
    let release = read("/etc/os-release");
    let memory = read("/proc/meminfo");
    let value = |text: &str, key: &str, separator: char| {
        let line = text.lines().find(|line| line.starts_with(key));
        let (_, value) = line.and_then(|line| line.split_once(separator)).unwrap_or_default();
        value.trim().trim_matches('"').to_owned()
    };
    let kibibytes = value(&memory, "MemTotal", ':');
    let kibibytes = kibibytes.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
    Machine {
        date: now(),
        kernel: uname.release().to_string_lossy().into_owned(),
        system: value(&release, "PRETTY_NAME", '='),
        cpu: value(&cpuinfo, "model name", ':'),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: kibibytes.unwrap_or(0) * 1024,
        virtual_machine: value(&cpuinfo, "flags", ':').split(' ').any(|flag| flag == "hypervisor"),
        load_average: read("/proc/loadavg")
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or(0.0),
    }
}

/// This moment, to the second (RFC 3339).
fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// Ticks of a CPU so far. They are sampled, and so only good to see what else was running.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ticks {
    /// All.
    pub all: u64,
    /// Those in which something ran.
    pub busy: u64,
    /// Those that the hypervisor took away.
    pub steal: u64,
}

impl Ticks {
    /// Those of this CPU.
    ///
    /// # Errors
    /// If there is no such CPU.
    pub fn of(cpu: usize) -> anyhow::Result<Self> {
        let name = format!("cpu{cpu} ");
        let text = read("/proc/stat");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        let line = line.with_context(|| format!("/proc/stat has no CPU {cpu}"))?;
        // user nice system idle iowait irq softirq steal (proc(5)); guests are part of user.
        let numbers: Vec<u64> =
            line.split_whitespace().take(8).map(|word| word.parse().unwrap_or(0)).collect();
        let number = |place: usize| numbers.get(place).copied().unwrap_or(0);
        let (all, steal) = (numbers.iter().sum(), number(7));
        Ok(Self { all, busy: all - number(3) - number(4) - steal, steal })
    }

    /// Those since an earlier moment.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            all: self.all.saturating_sub(earlier.all),
            busy: self.busy.saturating_sub(earlier.busy),
            steal: self.steal.saturating_sub(earlier.steal),
        }
    }
}

/// CPU time of one thread in nanoseconds: the first field of its schedstat. Exact, while the other
/// accounts of the kernel are sampled; 0 if the thread has ended.
#[must_use]
pub fn schedstat_ns(thread: &Path) -> u64 {
    let text = fs::read_to_string(thread.join("schedstat")).unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The kernel thread for the softirqs of a CPU.
///
/// # Errors
/// If there is none.
pub fn ksoftirqd(cpu: usize) -> anyhow::Result<i32> {
    let name = format!("ksoftirqd/{cpu}");
    let is_it = |pid: &i32| read(&format!("/proc/{pid}/comm")).trim() == name;
    kernel_threads(&name).into_iter().find(is_it).with_context(|| format!("there is no {name}"))
}

/// A file's text; empty if it is not there.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_that_runs_this_has_ticks() {
        let ticks = Ticks::of(0).unwrap();
        assert!(ticks.all >= ticks.busy + ticks.steal && ticks.all > 0);
        assert!(Ticks::of(4_000).is_err());
    }

    #[test]
    fn a_machine_has_a_kernel_and_memory() {
        let machine = facts();
        assert!(machine.memory_bytes > 0 && !machine.kernel.is_empty() && machine.cpus > 0);
    }
}
