//! The server under test: `dns64d`, or a peer that the same cases are played against.
//!
//! Each subject turns a case's configuration into its own, or says which part it has no words for.
//! A peer is configured as its manual says for a forwarder with DNS64, with nothing tuned to please
//! a case.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::cases::{CaseConfig, Question, Transport};
use crate::client::{exchange, query_octets};
use crate::presentation::address;
use crate::reply::Reply;
use crate::upstream::{PROBE_ADDRESS, PROBE_NAME};

mod bind;
mod dns64d;
mod unbound;

/// How long one probe waits for its answer.
const PROBE_PATIENCE: Duration = Duration::from_millis(200);
/// How often the state of a process is looked at.
const POLL: Duration = Duration::from_millis(10);
/// Octets of a process's own words that an error message repeats.
const MAX_WORDS: usize = 2_000;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectKind {
    /// This project's responder.
    Dns64d,
    /// NLnet Labs Unbound.
    Unbound,
    /// ISC BIND's named.
    Bind,
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Dns64d => "dns64d",
            Self::Unbound => "unbound",
            Self::Bind => "bind",
        })
    }
}

/// A part of a case's configuration that a subject has no words for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotExpressible(pub &'static str);

impl fmt::Display for NotExpressible {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not expressible: {}", self.0)
    }
}

/// Where a server listens, forwards to and keeps its files.
#[derive(Debug, Clone)]
pub struct Place {
    /// An IPv4 and an IPv6 address; peers listen on loopback alone.
    pub addresses: [IpAddr; 2],
    /// Port on both addresses, UDP and TCP.
    pub port: u16,
    /// The `[datapath]` table of `dns64d`.
    pub datapath: String,
    /// The scripted upstream.
    pub upstream: SocketAddr,
    /// A directory of its own.
    pub directory: PathBuf,
}

impl Place {
    /// A place on `127.0.0.1` and `::1`. Cases run side by side there: no XDP program of one may
    /// take the packets of another.
    pub fn on_loopback(port: u16, upstream: SocketAddr, directory: PathBuf) -> Self {
        let addresses = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let datapath = "mode = \"socket\"".to_owned();
        Self { addresses, port, datapath, upstream, directory }
    }
}

/// A server program that can be started.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Which server.
    pub kind: SubjectKind,
    program: PathBuf,
    checker: PathBuf,
}

impl Subject {
    /// The subject that `DNS64_TEST_SUBJECT` names; `dns64d` if it is not set.
    ///
    /// # Errors
    ///
    /// A name that is not known, or a program that is not there.
    pub fn from_environment() -> Result<Self> {
        let name = env::var("DNS64_TEST_SUBJECT").unwrap_or_else(|_| "dns64d".to_owned());
        match name.as_str() {
            "dns64d" => Self::dns64d(),
            "unbound" => Ok(Self {
                kind: SubjectKind::Unbound,
                program: installed("unbound")?,
                checker: installed("unbound-checkconf")?,
            }),
            "bind" => Ok(Self {
                kind: SubjectKind::Bind,
                program: installed("named")?,
                checker: installed("named-checkconf")?,
            }),
            _ => bail!("DNS64_TEST_SUBJECT={name}: dns64d, unbound and bind are known"),
        }
    }

    /// This project's responder, whatever the environment says.
    ///
    /// # Errors
    ///
    /// The program is not there.
    pub fn dns64d() -> Result<Self> {
        let program = crate::program::dns64d();
        Ok(Self { kind: SubjectKind::Dns64d, checker: program.clone(), program })
    }

    /// What the program says of its version.
    ///
    /// # Errors
    ///
    /// The program cannot be run.
    pub fn version(&self) -> Result<String> {
        let option = match self.kind {
            SubjectKind::Dns64d => "--version",
            SubjectKind::Unbound => "-V",
            SubjectKind::Bind => "-v",
        };
        let output = Command::new(&self.program).arg(option).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
    }

    /// The text of the configuration file for a case.
    ///
    /// # Errors
    ///
    /// What the subject has no words for.
    pub fn configuration(
        &self,
        config: &CaseConfig,
        place: &Place,
    ) -> Result<String, NotExpressible> {
        match self.kind {
            SubjectKind::Dns64d => dns64d::configuration(config, place),
            SubjectKind::Unbound => unbound::configuration(config, place),
            SubjectKind::Bind => bind::configuration(config, place),
        }
    }

    /// True if cases that only check a configuration can be played.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn can_check(&self) -> Result<(), NotExpressible> {
        match self.kind {
            SubjectKind::Dns64d | SubjectKind::Bind => Ok(()),
            SubjectKind::Unbound => {
                Err(NotExpressible("unbound-checkconf does not look at the DNS64 prefix"))
            }
        }
    }

    /// Lets the program check a configuration: true if it accepts it.
    ///
    /// # Errors
    ///
    /// The program ends by a signal, does not end, or `dns64d` ends with a code other than 0 and 2.
    pub fn check(&self, configuration: &str, place: &Place) -> Result<bool> {
        let file = write_configuration(configuration, place)?;
        let mut command = Command::new(&self.checker);
        match self.kind {
            SubjectKind::Dns64d => command.arg("check").arg("--config").arg(&file),
            SubjectKind::Unbound | SubjectKind::Bind => command.arg(&file),
        };
        let mut process = Process::spawn(&mut command, place)?;
        let status = process.wait(Duration::from_secs(5))?;
        match (self.kind, status.code()) {
            (_, Some(0)) => Ok(true),
            (SubjectKind::Dns64d, Some(2))
            | (SubjectKind::Unbound | SubjectKind::Bind, Some(_)) => Ok(false),
            _ => bail!("check: {status}\n{}", process.words()),
        }
    }

    /// Starts the server and waits until it answers through its upstream.
    ///
    /// # Errors
    ///
    /// The server ends, or does not answer in time.
    pub fn start(&self, configuration: &str, place: &Place) -> Result<Server> {
        let file = write_configuration(configuration, place)?;
        let mut command = Command::new(&self.program);
        match self.kind {
            SubjectKind::Dns64d => command.arg("--config").arg(&file),
            SubjectKind::Unbound => command.arg("-d").arg("-c").arg(&file),
            SubjectKind::Bind => command.args(["-g", "-n", "1", "-c"]).arg(&file),
        };
        let patience = Duration::from_secs(if self.kind == SubjectKind::Dns64d { 5 } else { 10 });
        let mut server = Server { kind: self.kind, process: Process::spawn(&mut command, place)? };
        server.wait_until_ready(place, patience)?;
        Ok(server)
    }
}

/// What neither peer has words for.
fn expressible_by_peers(config: &CaseConfig) -> Result<(), NotExpressible> {
    let missing = [
        (config.validation.is_some(), "a validating upstream in place of one's own validator"),
        (!config.policy.is_empty() || !config.exclude_a.is_empty(), "A that are never mapped"),
        (!config.exclude_zones.is_empty(), "names never synthesized for"),
        (config.ptr.is_some(), "another way to answer PTR"),
        (config.trigger.is_some(), "a choice of what triggers synthesis"),
        (config.hold_ms.is_some(), "a hold before A is asked"),
        (config.ipv4only == Some(false), "ipv4only.arpa forwarded"),
        (!config.views.is_empty(), "views that inherit"),
        (
            config.non_global_ipv4_under_wkp.as_ref().is_some_and(|ranges| !ranges.is_empty()),
            "a list of non-global IPv4 addresses",
        ),
    ];
    missing.iter().find(|(used, _)| *used).map_or(Ok(()), |(_, what)| Err(NotExpressible(what)))
}

/// A program that a package installed, in the directories of `PATH` or of the system's
/// administrator.
fn installed(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("{name} is not installed"))
}

fn write_configuration(configuration: &str, place: &Place) -> Result<PathBuf> {
    let file = place.directory.join("server.conf");
    fs::write(&file, configuration)?;
    Ok(file)
}

/// A child process with its words in a file; killed if it is still there at the end.
#[derive(Debug)]
struct Process {
    child: Child,
    words: PathBuf,
}

impl Process {
    fn spawn(command: &mut Command, place: &Place) -> Result<Self> {
        let words = place.directory.join("words.log");
        let out = File::create(&words)?;
        let child = command
            .current_dir(&place.directory)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        Ok(Self { child, words })
    }

    /// The end of what it printed.
    fn words(&self) -> String {
        let text = fs::read(&self.words).unwrap_or_default();
        let tail = text.get(text.len().saturating_sub(MAX_WORDS)..).unwrap_or_default();
        String::from_utf8_lossy(tail).into_owned()
    }

    fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "still running after {patience:?}\n{}",
                self.words()
            );
            thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    kind: SubjectKind,
    process: Process,
}

impl Server {
    /// Asks for [`PROBE_NAME`] until its address comes back.
    fn wait_until_ready(&mut self, place: &Place, patience: Duration) -> Result<()> {
        let question = Question {
            qname: PROBE_NAME.to_owned(),
            qtype: "A".to_owned(),
            qclass: "IN".to_owned(),
            dnssec_ok: false,
            cd: false,
            ad: false,
            rd: true,
            edns_size: None,
            edns_version: 0,
            opcode: 0,
            transport: Transport::Udp,
            client: Ipv4Addr::LOCALHOST.into(),
        };
        let query = query_octets(&question, 0x7e57)?;
        let server = SocketAddr::new(place.addresses[0], place.port);
        let deadline = Instant::now() + patience;
        loop {
            self.ensure_alive()?;
            ensure!(
                Instant::now() < deadline,
                "{} does not answer after {patience:?}\n{}",
                self.kind,
                self.process.words()
            );
            if let Ok((octets, _)) =
                exchange(&query, server.ip(), server, Transport::Udp, PROBE_PATIENCE)
                && holds_probe_address(octets)
            {
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }

    /// Fails if the process has ended.
    ///
    /// # Errors
    ///
    /// How it ended and what it said.
    pub fn ensure_alive(&mut self) -> Result<()> {
        if let Some(status) = self.process.child.try_wait()? {
            bail!("{} ended: {status}\n{}", self.kind, self.process.words());
        }
        Ok(())
    }

    /// Waits until the end of what it said holds some words.
    ///
    /// # Errors
    ///
    /// The server ends, or does not say so in time.
    pub fn wait_for(&mut self, words: &str, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        while !self.process.words().contains(words) {
            self.ensure_alive()?;
            ensure!(Instant::now() < deadline, "no {words:?}:\n{}", self.process.words());
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends the server with SIGTERM; the end of what it said.
    ///
    /// # Errors
    ///
    /// It ended before, does not end in time, or (`dns64d`) not with exit code 0.
    pub fn stop(self) -> Result<String> {
        let patience = Duration::from_secs(if self.kind == SubjectKind::Dns64d { 3 } else { 10 });
        self.stop_within(patience)
    }

    /// As [`Self::stop`], but with another time to end in.
    ///
    /// # Errors
    ///
    /// As [`Self::stop`].
    pub fn stop_within(mut self, patience: Duration) -> Result<String> {
        self.ensure_alive()?;
        let pid = Pid::from_child(&self.process.child);
        kill_process(pid, Signal::TERM)?;
        let status = self.process.wait(patience).context("SIGTERM")?;
        ensure!(
            self.kind != SubjectKind::Dns64d || status.success(),
            "SIGTERM: {status}\n{}",
            self.process.words()
        );
        Ok(self.process.words())
    }
}

fn holds_probe_address(octets: Vec<u8>) -> bool {
    Reply::parse(octets).is_ok_and(|reply| {
        reply.answer.iter().any(|record| address(&record.wire) == Some(IpAddr::from(PROBE_ADDRESS)))
    })
}

/// A directory that is removed with the value.
#[derive(Debug)]
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    /// Makes a new one; `label` must be unique in this process.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub fn new(label: &str) -> Result<Self> {
        let name = format!("dns64-cases-{}-{label}", std::process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}
