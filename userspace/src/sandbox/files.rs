//! Which files can be reached: Landlock (Documentation/userspace-api/landlock.rst).
//!
//! What is open already stays open. Sockets are not files in this sense, but the abstract ones of
//! other processes are out of reach, and so are signals to them.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, BitFlags, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    RulesetStatus, Scope, path_beneath_rules,
};

/// The latest version of Landlock whose rights are taken away; older kernels take away those they
/// know.
const VERSION: ABI = ABI::V6;

/// What is read while we run: the resolvers of the machine, users and groups, interfaces and their
/// queues, what the kernel says of itself to those who load BPF programs, of us and of forwarding.
const READ: [&str; 8] = [
    "/etc",
    "/run/systemd/resolve",
    "/sys/class/net",
    "/sys/devices",
    "/sys/kernel/btf",
    "/proc/version_signature",
    "/proc/self",
    "/proc/sys",
];

/// Files and directories, each with all below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// What may be read besides [`READ`].
    pub(super) read: Vec<PathBuf>,
    /// Directories in which files and sockets may be made, written, renamed and removed.
    pub(super) write: Vec<PathBuf>,
    /// Whether programs may be started, and what they need may be read.
    pub(super) programs: bool,
}

/// How well the kernel keeps to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enforced {
    /// In every respect.
    Fully,
    /// As far as it can: it has an older Landlock.
    Partly,
    /// It has no Landlock.
    Not,
}

impl Reach {
    /// Takes the reach of everything else from this thread and those it will start, for ever.
    pub(super) fn restrict(
        &self,
        signals_by_abstract_socket: bool,
    ) -> Result<Enforced, RulesetError> {
        let read = AccessFs::from_read(VERSION) & !BitFlags::from(AccessFs::Execute);
        let write = AccessFs::ReadFile
            | AccessFs::ReadDir
            | AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::MakeSock
            | AccessFs::RemoveFile;
        let everywhere: &[&str] = if self.programs { &["/"] } else { &[] };
        let null: &[&str] = if self.programs { &["/dev/null"] } else { &[] };
        let mut scope = BitFlags::from(Scope::Signal);
        if !signals_by_abstract_socket {
            scope |= Scope::AbstractUnixSocket;
        }
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(VERSION))?
            .scope(scope)?
            .create()?
            .add_rules(path_beneath_rules(READ, read))?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.write, write))?
            .add_rules(path_beneath_rules(everywhere, read | AccessFs::Execute))?
            .add_rules(path_beneath_rules(null, read | AccessFs::WriteFile))?
            .restrict_self()?;
        Ok(match status.ruleset {
            RulesetStatus::FullyEnforced => Enforced::Fully,
            RulesetStatus::PartiallyEnforced => Enforced::Partly,
            RulesetStatus::NotEnforced => Enforced::Not,
        })
    }
}
