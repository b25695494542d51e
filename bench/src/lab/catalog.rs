//! The servers of a comparison: this responder, its peers, and the machine's limits.
//!
//! Configurations are files of `bench/lab`, part of the program, with words between `@` to be
//! filled in. Each peer is tuned by its own documentation, with one thread and without DNSSEC.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::network::{Site, find_program};
use crate::results::Role;

/// Port of the scripted upstream.
pub const UPSTREAM_PORT: u16 = 5300;
/// The NAT64 prefix of all servers, as they write it: the network, and its address alone.
pub const PREFIX: &str = "64:ff9b::/96";
const PREFIX_ADDRESS: &str = "64:ff9b::";

/// A server, before it is on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its key.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it is in a comparison.
    pub role: Role,
    /// Its program, and the Debian package that has it.
    program: &'static str,
    /// The Debian package of the program; empty for programs of this project.
    pub package: &'static str,
    /// What makes it say its version.
    version_option: &'static str,
    /// Its arguments, with words between `@`.
    arguments: &'static [&'static str],
    /// The name of its configuration file, and what is in it.
    configuration: Option<(&'static str, &'static str)>,
    /// Words of its own in the configuration.
    words: &'static [(&'static str, &'static str)],
    /// Whether it works below sockets.
    below_sockets: bool,
    /// Whether it is there for names that were asked before alone.
    pub hits_only: bool,
    /// Whether it has the generator's CPU as well, and a worker there.
    pub has_both_cpus: bool,
}

/// Everyone, in the order in which they are shown.
pub const ENTRIES: [Entry; 11] = [
    Entry {
        name: "dns64d",
        title: "dns64d",
        role: Role::Subject,
        program: "dns64d",
        package: "",
        version_option: "--version",
        arguments: &["--config", "@FILE@"],
        configuration: Some(("dns64d.toml", include_str!("../../lab/dns64d.toml"))),
        words: &[("@WORKERS@", "1")],
        below_sockets: false,
        hits_only: false,
        has_both_cpus: false,
    },
    Entry {
        name: "dns64d-two",
        title: "dns64d, two workers",
        role: Role::Tier,
        program: "dns64d",
        package: "",
        version_option: "--version",
        arguments: &["--config", "@FILE@"],
        configuration: Some(("dns64d.toml", include_str!("../../lab/dns64d.toml"))),
        words: &[("@WORKERS@", "2")],
        below_sockets: false,
        hits_only: true,
        has_both_cpus: true,
    },
    Entry {
        name: "dns64d-xdp",
        title: "dns64d, AF_XDP",
        role: Role::Tier,
        program: "dns64d",
        package: "",
        version_option: "--version",
        arguments: &["--config", "@FILE@"],
        configuration: Some(("dns64d-xdp.toml", include_str!("../../lab/dns64d-xdp.toml"))),
        words: &[("@HOT@", "false")],
        below_sockets: true,
        hits_only: false,
        has_both_cpus: false,
    },
    Entry {
        name: "dns64d-hot",
        title: "dns64d, hot answers",
        role: Role::Tier,
        program: "dns64d",
        package: "",
        version_option: "--version",
        arguments: &["--config", "@FILE@"],
        configuration: Some(("dns64d-xdp.toml", include_str!("../../lab/dns64d-xdp.toml"))),
        words: &[("@HOT@", "true")],
        below_sockets: true,
        hits_only: true,
        has_both_cpus: false,
    },
    Entry {
        name: "unbound",
        title: "Unbound",
        role: Role::Peer,
        program: "unbound",
        package: "unbound",
        version_option: "-V",
        arguments: &["-d", "-c", "@FILE@"],
        configuration: Some(("unbound.conf", include_str!("../../lab/peers/unbound.conf"))),
        words: &[],
        below_sockets: false,
        hits_only: false,
        has_both_cpus: false,
    },
    Entry {
        name: "bind",
        title: "BIND",
        role: Role::Peer,
        program: "named",
        package: "bind9",
        version_option: "-v",
        arguments: &["-f", "-n", "1", "-c", "@FILE@"],
        configuration: Some(("named.conf", include_str!("../../lab/peers/named.conf"))),
        words: &[],
        below_sockets: false,
        hits_only: false,
        has_both_cpus: false,
    },
    Entry {
        name: "pdns",
        title: "PowerDNS Recursor",
        role: Role::Peer,
        program: "pdns_recursor",
        package: "pdns-recursor",
        version_option: "--version",
        arguments: &["--config-dir=@DIRECTORY@"],
        configuration: Some(("recursor.conf", include_str!("../../lab/peers/pdns-recursor.conf"))),
        words: &[],
        below_sockets: false,
        hits_only: false,
        has_both_cpus: false,
    },
    Entry {
        name: "knot",
        title: "Knot Resolver",
        role: Role::Peer,
        program: "kresd",
        package: "knot-resolver",
        version_option: "--version",
        arguments: &["-n", "-c", "@FILE@", "@DIRECTORY@"],
        configuration: Some(("kresd.conf", include_str!("../../lab/peers/kresd.conf"))),
        words: &[],
        below_sockets: false,
        hits_only: false,
        has_both_cpus: false,
    },
    Entry {
        name: "echo",
        title: "echo, sockets",
        role: Role::Limit,
        program: "dns64bench",
        package: "",
        version_option: "--version",
        // Replies as long as those with one synthesized address.
        arguments: &["echo", "--listen", "[@SERVER@]:53", "--records", "1"],
        configuration: None,
        words: &[],
        below_sockets: false,
        hits_only: false,
        has_both_cpus: false,
    },
    Entry {
        name: "echo-xdp",
        title: "echo, AF_XDP",
        role: Role::Limit,
        program: "dns64bench",
        package: "",
        version_option: "--version",
        arguments: &["echo", "--xdp", "@DEVICE@", "--listen", "[@SERVER@]:53", "--records", "1"],
        configuration: None,
        words: &[],
        below_sockets: true,
        hits_only: false,
        has_both_cpus: false,
    },
    Entry {
        name: "reflect",
        title: "reflector, XDP_TX",
        role: Role::Limit,
        program: "dns64bench",
        package: "",
        version_option: "--version",
        // Replies as long as queries: XDP adds nothing to a frame here.
        arguments: &["reflect", "@DEVICE@", "--listen", "[@SERVER@]:53"],
        configuration: None,
        words: &[],
        below_sockets: true,
        hits_only: false,
        has_both_cpus: false,
    },
];

/// The entry with this key.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}

/// Programs of this project.
#[derive(Clone, Debug)]
pub struct Own {
    /// The responder.
    pub dns64d: PathBuf,
    /// This program.
    pub dns64bench: PathBuf,
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its configuration; empty if it needs none.
    pub configuration: String,
}

impl Entry {
    /// Whether it sends packets from XDP, which the other end of a veth pair takes only if it has
    /// an XDP program of its own.
    #[must_use]
    pub const fn sends_from_xdp(&self) -> bool {
        self.below_sockets
    }

    /// Whether it answers from the kernel alone, and so only what it was asked often before.
    #[must_use]
    pub fn is_hot(&self) -> bool {
        self.words.contains(&("@HOT@", "true"))
    }

    /// Where its program is; `None` if it is not on this machine.
    #[must_use]
    pub fn find(&self, own: &Own) -> Option<PathBuf> {
        match self.program {
            "dns64d" => Some(own.dns64d.clone()),
            "dns64bench" => Some(own.dns64bench.clone()),
            program => find_program(program),
        }
    }

    /// The version that the program gives itself; empty if it gives none.
    #[must_use]
    pub fn version(&self, program: &Path) -> String {
        let Ok(output) = Command::new(program).arg(self.version_option).output() else {
            return String::new();
        };
        let text = [output.stdout, output.stderr].concat();
        version_in(&String::from_utf8_lossy(&text)).to_owned()
    }

    /// Writes its configuration into a directory of its own, with everything filled in.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn prepare(
        &self,
        program: PathBuf,
        site: &Site,
        directory: &Path,
    ) -> anyhow::Result<Invocation> {
        let directory = directory.join(self.name);
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let file = directory.join(self.configuration.map_or("", |(name, _)| name));
        let words = [
            ("@DIRECTORY@", directory.display().to_string()),
            ("@FILE@", file.display().to_string()),
            ("@SERVER@", site.address.to_string()),
            ("@DEVICE@", site.device.clone()),
            ("@CLIENTS@", site.network.clone()),
            ("@PREFIX@", PREFIX.to_owned()),
            ("@PREFIX_ADDRESS@", PREFIX_ADDRESS.to_owned()),
            ("@UPSTREAM_PORT@", UPSTREAM_PORT.to_string()),
            ("@UPSTREAM@", site.generator_address.to_string()),
        ];
        let own_words = self.words.iter().map(|(word, value)| (*word, (*value).to_owned()));
        let words: Vec<_> = words.into_iter().chain(own_words).collect();
        let fill_in = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
        };
        let configuration = self.configuration.map_or_else(String::new, |(_, text)| fill_in(text));
        if !configuration.is_empty() {
            fs::write(&file, &configuration).with_context(|| file.display().to_string())?;
        }
        let arguments = self.arguments.iter().map(|text| fill_in(text)).collect();
        Ok(Invocation { program, arguments, configuration })
    }
}

/// The first word that looks like a version: some programs write a date and more in front of it.
fn version_in(text: &str) -> &str {
    let is_version =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    text.split_whitespace().find(is_version).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::network::Namespace;

    fn site() -> Site {
        Site {
            namespace: Namespace::default(),
            address: "fd00:64:0:1::2".parse().unwrap(),
            generator_address: "fd00:64:0:1::1".parse().unwrap(),
            network: "fd00:64:0:1::/64".to_owned(),
            device: "lab1s".to_owned(),
            generator_device: "lab1g".to_owned(),
            napi: Vec::new(),
            generator_napi: Vec::new(),
        }
    }

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, version) in [
            ("Version 1.17.1\n\nConfigure line: --x=2.0", "1.17.1"),
            ("Nov 22 01:30:59 PowerDNS Recursor 4.8.8 (C) 2001-2022 PowerDNS.COM", "4.8.8"),
            ("BIND 9.18.49-1~deb12u3-Debian (Extended) <id:>", "9.18.49-1~deb12u3-Debian"),
            ("usage: x", ""),
        ] {
            assert_eq!(version_in(said), version);
        }
    }

    #[test]
    fn no_word_is_left_in_a_configuration() {
        let directory =
            std::env::temp_dir().join(format!("dns64bench-catalog-{}", std::process::id()));
        for entry in ENTRIES {
            let program = PathBuf::from(entry.program);
            let invocation = entry.prepare(program, &site(), &directory).unwrap();
            let text = format!("{}{}", invocation.configuration, invocation.arguments.join(" "));
            let is_word = |part: &&str| {
                !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            };
            assert_eq!(text.split('@').find(is_word), None, "{}", entry.name);
            assert!(text.contains("fd00:64:0:1::2"), "{}", entry.name);
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
