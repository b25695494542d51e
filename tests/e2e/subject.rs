//! The responder under test.

use std::env;
use std::fmt::Write as _;
use std::path::PathBuf;

use dns64_tests::netns::{Netns, Scratch};
use dns64_tests::program::dns64d;
use dns64_tests::server::Server;

use crate::zone::{START_LIMIT, start_unbound};

/// The prefix of all end-to-end tests; the IPv4 address follows in the last 32 bits.
pub(crate) const PREFIX: &str = "2001:db8:64::/96";

/// Which program answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `dns64d` at this path.
    Dns64d(PathBuf),
    /// Unbound with its own module.
    Unbound,
}

/// What a responder is told.
pub(crate) struct Settings<'a> {
    /// Where it listens, as `address:port` with brackets around IPv6 addresses.
    pub(crate) listen: &'a [&'a str],
    /// The resolver it asks, in the same form.
    pub(crate) upstream: &'a str,
}

impl Subject {
    /// The program that the environment asks for.
    ///
    /// # Panics
    /// If the environment names an unknown one, or `dns64d` is not built.
    pub(crate) fn from_env() -> Self {
        match env::var("DNS64_TEST_SUBJECT").as_deref() {
            Ok("unbound") => Self::Unbound,
            Ok("dns64d") | Err(env::VarError::NotPresent) => Self::Dns64d(dns64d()),
            other => panic!("DNS64_TEST_SUBJECT is {other:?}; known are dns64d and unbound"),
        }
    }

    /// Whether this is our own program, which tests may expect more of.
    pub(crate) fn is_dns64d(&self) -> bool {
        matches!(self, Self::Dns64d(_))
    }

    /// Starts the program and waits until it answers.
    pub(crate) fn start(&self, netns: &Netns, scratch: &Scratch, settings: &Settings) -> Server {
        match self {
            Self::Dns64d(path) => {
                let config = scratch.write("dns64d.toml", &dns64d_config(settings));
                let mut server = netns.spawn(path, &["--config", &config.to_string_lossy()]);
                server.wait_for("ready", START_LIMIT);
                server
            }
            Self::Unbound => start_unbound(netns, scratch, "dns64", &unbound_settings(settings)),
        }
    }
}

/// A configuration file for `dns64d`.
pub(crate) fn dns64d_config(settings: &Settings) -> String {
    format!(
        r#"listen  = {listen:?}
workers = 2
allow   = ["::/0", "0.0.0.0/0"]

[upstream]
servers = ["{upstream}"]

[dns64]
prefixes = ["{PREFIX}"]

[datapath]
mode = "socket"
"#,
        listen = settings.listen,
        upstream = settings.upstream,
    )
}

/// The same for Unbound.
fn unbound_settings(settings: &Settings) -> String {
    let mut text = format!(
        "    module-config: \"dns64 iterator\"
    dns64-prefix: {PREFIX}
    do-not-query-localhost: no
    interface-automatic: {automatic}
",
        automatic =
            if settings.listen.iter().any(|listen| is_wildcard(listen)) { "yes" } else { "no" },
    );
    for listen in settings.listen {
        let _ = writeln!(text, "    interface: {}", at_form(listen));
    }
    let _ = writeln!(
        text,
        "forward-zone:\n    name: .\n    forward-addr: {}",
        at_form(settings.upstream)
    );
    text
}

/// Whether an `address:port` stands for all addresses of a family.
fn is_wildcard(listen: &str) -> bool {
    listen.starts_with("[::]:") || listen.starts_with("0.0.0.0:")
}

/// `address:port` as Unbound writes it: `address@port`.
fn at_form(address: &str) -> String {
    let (host, port) = address.rsplit_once(':').expect("addresses of tests have a port");
    format!("{}@{port}", host.trim_matches(['[', ']']))
}
