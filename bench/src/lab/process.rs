//! A server that runs in the lab.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::catalog::Invocation;
use super::machine::{ksoftirqd, schedstat_ns};
use super::network::{Cpus, Lab, Site};
use crate::results::CpuTime;

/// How long a server may take to end after SIGTERM before it is killed.
const TERM_WAIT: Duration = Duration::from_secs(5);
/// How often its end is looked for.
const POLL: Duration = Duration::from_millis(5);

/// A running server. It ends when dropped.
#[derive(Debug)]
pub struct Process {
    /// Its process, which the programs in front of it turned into.
    child: Child,
    /// What it writes to standard output and standard error.
    log: PathBuf,
    /// NAPI threads that work for it.
    napi: Vec<i32>,
    /// ksoftirqd of its CPU.
    ksoftirqd: i32,
}

impl Process {
    /// Starts a server at its site; with `has_both_cpus` it may run on the generator's CPU too.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        lab: &Lab,
        site: &Site,
        has_both_cpus: bool,
        invocation: &Invocation,
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let out = File::create(&log).with_context(|| log.display().to_string())?;
        let errors = out.try_clone()?;
        let Cpus { generator, server } = lab.cpus;
        let cpus = if has_both_cpus { format!("{generator},{server}") } else { server.to_string() };
        let child = site
            .namespace
            .command(&cpus, &invocation.program)
            .args(&invocation.arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", invocation.program.display()))?;
        let ksoftirqd = ksoftirqd(lab.cpus.server)?;
        Ok(Self { child, log, napi: site.napi.clone(), ksoftirqd })
    }

    /// Fails if the server has ended: with the last lines it wrote.
    ///
    /// # Errors
    /// If it has ended.
    pub fn must_run(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended ({status}); its last words: {}", self.last_words());
        }
        Ok(())
    }

    /// The last lines that the server wrote.
    #[must_use]
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(4)..).unwrap_or_default();
        if last.is_empty() { "none".to_owned() } else { last.join(" / ") }
    }

    /// CPU time so far of the server's threads and of the kernel threads that work for it.
    #[must_use]
    pub fn cpu_time(&self) -> CpuTime {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let tasks = tasks.into_iter().flatten().flatten();
        let kernel = |pid: &i32| schedstat_ns(&Path::new("/proc").join(pid.to_string()));
        CpuTime {
            server_ns: tasks.map(|task| schedstat_ns(&task.path())).sum(),
            napi_ns: self.napi.iter().map(kernel).sum(),
            ksoftirqd_ns: kernel(&self.ksoftirqd),
        }
    }

    /// Octets of memory that the server holds; 0 if it has ended.
    #[must_use]
    pub fn rss_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        kibibytes.unwrap_or(0) * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // Not waited for yet, so the ID is still its own.
        let _ended = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + TERM_WAIT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL);
        }
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}
