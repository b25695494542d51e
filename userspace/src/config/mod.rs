//! The configuration: a TOML file, read strictly.
//!
//! Nothing is ignored: a key that does not exist is a mistake, and so is a value that could never
//! have an effect. A run reports every mistake it finds, each with file, line, column, key, what is
//! wrong and, where there is one, the way out. What passes is a [`Config`] that needs no further
//! checks; [`Config::policy`] turns it into the tables that workers ask.
//!
//! Every key has a default, so an empty file is a configuration, and so is none at all:
//! `example.toml` beside the sources shows all keys with their defaults.
#![forbid(unsafe_code)]

mod changes;
mod control;
mod datapath;
mod dns64;
mod dnssec;
mod error;
mod file;
mod include;
mod metrics;
mod notes;
mod observe;
mod pool;
mod reader;
pub mod reference;
mod resolv;
mod rpz;
mod sandbox;
mod script;
mod snapshot;
mod summary;
mod values;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use self::changes::Change;
pub use self::control::ControlSettings;
pub use self::error::{ConfigError, ConfigErrors, Place};
pub use self::metrics::MetricsSettings;
pub use self::observe::{
    DnstapMessage, DnstapReader, DnstapSettings, QueryLogFormat, QueryLogSettings,
};
pub use self::pool::{PoolConfig, ProbeConfig, ProbeKind};
pub use self::sandbox::SandboxSettings;
pub use self::snapshot::SnapshotSettings;
pub use self::summary::check_json;
use crate::datapath::DatapathSettings;
use crate::dnssec::TrustAnchors;
use crate::policy::{Policy, PolicySettings};
use crate::script::ScriptSource;

/// A configuration that has passed every check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where we listen, by UDP and TCP: never empty, each once.
    pub listen: Vec<SocketAddr>,
    /// How many workers; `None`: one for each CPU we may use.
    pub workers: Option<u16>,
    /// What the policy is made from.
    pub policy: PolicySettings,
    /// The pools of the policy, with the probes of their gateways.
    pub pools: Vec<PoolConfig>,
    /// What chains of trust begin with, where we validate.
    pub trust_anchors: TrustAnchors,
    /// Which ways queries may take.
    pub datapath: DatapathSettings,
    /// The script that queries pass.
    pub script: Option<ScriptSource>,
    /// Where commands are taken; `None`: nowhere.
    pub control: Option<ControlSettings>,
    /// What monitoring is given, and where; `None`: nothing.
    pub metrics: Option<MetricsSettings>,
    /// What is logged of queries; `None`: nothing.
    pub query_log: Option<QueryLogSettings>,
    /// What dnstap gets; `None`: nothing.
    pub dnstap: Option<DnstapSettings>,
    /// Where the cache is written for the next start; `None`: nowhere.
    pub snapshot: Option<SnapshotSettings>,
    /// What the process gives up.
    pub sandbox: SandboxSettings,
    /// What is logged.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
    /// The files that `include` names, in the order in which they were read.
    pub included: Vec<String>,
    /// Every key that was written and its value, as TOML.
    pub written: BTreeMap<String, String>,
    /// Files, and patterns of files, that keys name.
    pub named_files: Vec<PathBuf>,
    /// What is accepted but probably not meant, in no order.
    pub warnings: Vec<ConfigError>,
}

impl Config {
    /// The configuration of a machine without a configuration file: that of an empty file.
    ///
    /// # Errors
    /// If `/etc/resolv.conf` names no resolver but ourselves.
    pub fn default_for_machine() -> Result<Self, ConfigErrors> {
        parse("", "(no configuration file)")
    }

    /// What the configuration means, ready to be asked.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::new(&self.policy)
    }
}

/// Reads a configuration file, and those that it includes.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let origin = path.display().to_string();
    let refusal =
        |message: String| ConfigErrors::from(ConfigError::of_file(&origin, message, None));
    let bytes = fs::read(path).map_err(|error| refusal(format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| refusal("is not UTF-8 text".to_owned()))?;
    parse(&text, &origin)
}

/// Reads the text of a configuration. `origin` is what errors call it: the name of the file.
///
/// Where the text names no upstream servers, those of `/etc/resolv.conf` are taken. Files that it
/// includes are read from the directory of `origin`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, origin: &str) -> Result<Config, ConfigErrors> {
    file::read(text, origin, resolv::machine_resolvers)
}

/// What is logged: this and what is more important.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// What stops us from answering.
    Error,
    /// What an operator should look at.
    Warn,
    /// What changes while we run.
    #[default]
    Info,
    /// What helps to find a mistake.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Every level.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The level of a word of the configuration.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.word() == word)
    }

    /// The word for it in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How it is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// Fields, to the journal of systemd.
    Journald,
}

impl LogFormat {
    /// Every format.
    const ALL: [Self; 3] = [Self::Text, Self::Json, Self::Journald];

    /// The word for it in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Journald => "journald",
        }
    }
}

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
