//! What this process cannot do any more, even in the hands of somebody who has taken it over.
//!
//! dns64d reads what strangers send. Whatever mistake may be in that, the damage ends here: before
//! anything is opened the process becomes an unprivileged user if the operator names one, gives up
//! all capabilities that the configuration has no use for, and all files but a few directories;
//! when everything has started, the rest of the capabilities (threads for the data path keep
//! theirs) and all system calls that it does not make. None of that can be undone while it runs.
#![forbid(unsafe_code)]

mod files;
mod system_calls;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use dns64_ebpf::abi::SteerBy;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    Gid, Uid, set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};
use tracing::{info, warn};

use self::files::{Enforced, Reach};
use self::system_calls::Extras;
use crate::accounts::{self, User};
use crate::config::{Config, ProbeKind, SandboxSettings};
use crate::datapath::Mode;
use crate::sys::capabilities::{Capabilities, bound, keep};
use crate::xdp::{OBJECT_DIRECTORY, spreading};

/// The first port that anybody may listen on, where the administrator has not moved it
/// (`net.ipv4.ip_unprivileged_port_start`).
const UNPRIVILEGED_PORT: u16 = 1_024;

/// Often a link to a directory that a resolver or a network manager keeps.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A process that is about to start, or has started, with so much left.
#[derive(Debug)]
pub struct Sandbox {
    settings: SandboxSettings,
    needs: Needs,
    /// Whether the user is root, and stays root.
    is_root: bool,
}

/// What a configuration needs of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Needs {
    low_ports: bool,
    xdp: bool,
    raw: bool,
    chown: bool,
    reach: Reach,
}

impl Needs {
    /// Those of a configuration that was read from a file.
    fn of(config: &Config, file: Option<&Path>) -> Self {
        let ports =
            config.listen.iter().chain(config.metrics.iter().map(|metrics| &metrics.listen));
        let ports = ports.map(|address| address.port());
        let probes = || config.pools.iter().flat_map(|pool| &pool.probes).flatten();
        let is_command = |kind: &ProbeKind| matches!(kind, ProbeKind::Command(_));
        let is_icmp = |kind: &ProbeKind| matches!(kind, ProbeKind::Icmp(_));
        let datapath = &config.datapath;
        let directories = file.into_iter().chain(config.named_files.iter().map(PathBuf::as_path));
        let mut read: Vec<PathBuf> = directories.flat_map(directories_of).collect();
        read.extend(directories_of(Path::new(RESOLV_CONF)));
        read.extend(std::env::var_os(OBJECT_DIRECTORY).map(PathBuf::from));
        let socket = config.control.iter().map(|control| directory_of(&control.socket));
        let query_log = config.query_log.iter().map(|log| directory_of(&log.file));
        let snapshot = config.snapshot.iter().map(|snapshot| directory_of(&snapshot.file));
        Self {
            low_ports: ports.into_iter().any(|port| (1..UNPRIVILEGED_PORT).contains(&port)),
            xdp: datapath.steering == SteerBy::Name
                || datapath.mode != Mode::Socket && !datapath.interfaces.is_empty()
                || spreading::is_wanted(datapath),
            raw: probes().any(|probe| is_icmp(&probe.kind)),
            chown: config.control.as_ref().is_some_and(|control| control.group.is_some()),
            reach: Reach {
                read,
                write: socket.chain(query_log).chain(snapshot).collect(),
                programs: probes().any(|probe| is_command(&probe.kind)),
            },
        }
    }

    /// Capabilities that are needed to the end, by one thread or another.
    const fn while_running(&self) -> Capabilities {
        Capabilities::XDP.when(self.xdp).and(Capabilities::RAW.when(self.raw))
    }
}

/// The directories that must be read to reach a file: where it is, and where a link leads.
fn directories_of(file: &Path) -> Vec<PathBuf> {
    let target = std::fs::canonicalize(file).ok();
    std::iter::once(directory_of(file)).chain(target.as_deref().map(directory_of)).collect()
}

/// The directory that a file is in.
fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Sandbox {
    /// Gives up what is not needed to start. Called before any thread is started; `file` is the
    /// configuration's.
    ///
    /// # Errors
    /// If there is no such user, or the system refuses.
    pub fn enter(config: &Config, file: Option<&Path>) -> Result<Self, SandboxError> {
        let settings = config.sandbox.clone();
        let needs = Needs::of(config, file);
        let failed = |what| move |error: io::Error| SandboxError::System(what, error);
        let is_root = rustix::process::geteuid().is_root();
        let user = settings.user.as_deref().map(|name| find(name, settings.group.as_deref()));
        let user = user.transpose()?;
        let stays_root = is_root && user.as_ref().is_none_or(|user| user.uid == 0);
        let wanted = Capabilities::LOW_PORTS
            .when(needs.low_ports)
            .and(Capabilities::CHOWN.when(needs.chown))
            .and(Capabilities::FILES.when(stays_root))
            .and(needs.while_running());
        if needs.xdp {
            // Frames of AF_XDP sockets, and maps of kernels before 5.11; those without the right
            // to raise it have what they were given.
            let unlimited = Rlimit { current: None, maximum: None };
            let _refused = setrlimit(Resource::Memlock, unlimited);
        }
        bound(wanted);
        if let Some(user) = user {
            become_user(&user, settings.user.as_deref().unwrap_or_default())?;
        }
        keep(wanted).map_err(failed("give up capabilities"))?;
        set_no_new_privs(true)
            .map_err(|error| SandboxError::System("refuse new privileges", error.into()))?;
        if settings.landlock {
            let abstract_notify =
                std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| is_abstract(&path));
            match needs.reach.restrict(abstract_notify) {
                Ok(Enforced::Fully) => {}
                Ok(Enforced::Partly) => {
                    info!("an older Landlock: files are out of reach as far as this kernel can");
                }
                Ok(Enforced::Not) => {
                    warn!(
                        "this kernel has no Landlock: what the user may do to files, dns64d may; \
                         it wants CONFIG_SECURITY_LANDLOCK and landlock in lsm="
                    );
                }
                Err(error) => return Err(SandboxError::Landlock(error.to_string())),
            }
        }
        if let Some(file) = file
            && let Err(error) = std::fs::File::open(file)
        {
            warn!(
                file = %file.display(),
                "this user cannot read the configuration, so it cannot be reloaded: {error}"
            );
        }
        Ok(Self { settings, needs, is_root: stays_root })
    }

    /// Gives up what only the start has needed, when every thread has been started.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn close(&self) -> Result<(), SandboxError> {
        // Of this thread, which waits for commands and connections; workers have none, and threads
        // that follow interfaces keep theirs.
        let wanted =
            Capabilities::RAW.when(self.needs.raw).and(Capabilities::FILES.when(self.is_root));
        let left =
            keep(wanted).map_err(|error| SandboxError::System("give up capabilities", error))?;
        let mut system_calls = None;
        if self.settings.seccomp {
            let extras = Extras { xdp: self.needs.xdp, programs: self.needs.reach.programs };
            match system_calls::restrict(extras) {
                Ok(count) => system_calls = Some(count),
                Err(error) => return Err(SandboxError::Seccomp(error.to_string())),
            }
        }
        info!(
            user = %rustix::process::geteuid().as_raw(),
            capabilities = %left,
            landlock = self.settings.landlock,
            system_calls,
            programs = self.needs.reach.programs,
            "confined"
        );
        Ok(())
    }
}

/// Whether the path of a socket is none of a file.
fn is_abstract(path: &std::ffi::OsStr) -> bool {
    path.as_encoded_bytes().first() == Some(&b'@')
}

/// The user that the configuration names.
fn find(name: &str, group: Option<&str>) -> Result<User, SandboxError> {
    let mut user = accounts::user(name).ok_or_else(|| SandboxError::NoUser(name.to_owned()))?;
    if let Some(group) = group {
        user.gid = accounts::group(group).ok_or_else(|| SandboxError::NoGroup(group.to_owned()))?;
    }
    Ok(user)
}

/// Takes the rights of a user, but for capabilities. There is one thread.
fn become_user(user: &User, name: &str) -> Result<(), SandboxError> {
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    if rustix::process::geteuid() == uid && rustix::process::getegid() == gid {
        return Ok(());
    }
    let groups: Vec<Gid> =
        std::iter::once(gid).chain(user.groups.iter().map(|group| Gid::from_raw(*group))).collect();
    set_keep_capabilities(true)
        .and_then(|()| set_thread_groups(&groups))
        .and_then(|()| set_thread_res_gid(gid, gid, gid))
        .and_then(|()| set_thread_res_uid(uid, uid, uid))
        .and_then(|()| set_keep_capabilities(false))
        .map_err(|error| SandboxError::User(name.to_owned(), error.into()))
}

/// Why the process cannot give up what it should.
#[derive(Debug)]
pub enum SandboxError {
    /// `sandbox.user` is nobody.
    NoUser(String),
    /// `sandbox.group` is none.
    NoGroup(String),
    /// It may not become this user.
    User(String, io::Error),
    /// The kernel refuses a restriction of files.
    Landlock(String),
    /// The kernel refuses a restriction of system calls.
    Seccomp(String),
    /// The kernel refuses to do this.
    System(&'static str, io::Error),
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser(name) => write!(
                f,
                "sandbox.user: /etc/passwd has no user {name}\n  hint: useradd --system {name}, or \
                 let systemd choose one (DynamicUser=yes) and leave the key out"
            ),
            Self::NoGroup(name) => write!(
                f,
                "sandbox.group: /etc/group has no group {name}\n  hint: numbers are taken, too"
            ),
            Self::User(name, error) => write!(
                f,
                "sandbox.user: cannot become {name}: {error}\n  hint: start it as root, or leave \
                 the key out"
            ),
            Self::Landlock(error) => write!(
                f,
                "files cannot be restricted: {error}\n  hint: sandbox.landlock = false goes without"
            ),
            Self::Seccomp(error) => write!(
                f,
                "system calls cannot be restricted: {error}\n  hint: sandbox.seccomp = false goes \
                 without"
            ),
            Self::System(what, error) => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for SandboxError {}
