//! `dns64d demo`: the responder in front of a small upstream server of its own. It needs no
//! network, no rights and no configuration, asks itself a few questions and explains the replies.

mod upstream;
mod zone;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use tokio::runtime::Runtime;

use crate::ask::{Ask, render};
use crate::config::{self, Config, ConfigErrors};
use crate::policy::Policy;
use crate::runtime::{ConfigSource, Server, StartError};
use crate::transport::passed::PassedSockets;

pub use self::upstream::DemoUpstream;
pub use self::zone::{QUESTIONS, Question};

/// Where the demonstration listens if nothing else is said.
pub const LISTEN: [&str; 2] = ["127.0.0.1:5364", "[::1]:5364"];

/// The demonstration's configuration in front of this upstream server.
///
/// # Errors
/// If an address is not fit for it.
pub fn configuration(listen: &[SocketAddr], upstream: SocketAddr) -> Result<Config, ConfigErrors> {
    let quoted: Vec<String> = listen.iter().map(|address| format!("\"{address}\"")).collect();
    let text = format!(
        "listen = [{}]\nworkers = 1\n[upstream]\nservers = [\"{upstream}\"]\n\
         [dns64]\nprefixes = [\"64:ff9b::/96\"]\n[cache]\nsize = \"8MiB\"\n",
        quoted.join(", "),
    );
    config::parse(&text, "demo")
}

/// Starts the upstream server and the responder.
///
/// # Errors
/// As [`Server::start`].
pub fn start(
    listen: &[SocketAddr],
    runtime: Runtime,
) -> Result<(DemoUpstream, Server, Config), StartError> {
    let upstream = DemoUpstream::start().map_err(StartError::System)?;
    let config = configuration(listen, upstream.address())
        .map_err(|errors| StartError::System(io::Error::other(errors.to_string())))?;
    let server =
        Server::start(&config, ConfigSource::default(), PassedSockets::default(), runtime)?;
    Ok((upstream, server, config))
}

/// Asks every question of the demonstration and prints reply and explanation.
///
/// # Errors
/// Where a reply does not come, or cannot be printed.
pub fn show(server: &Server, out: &mut impl Write) -> io::Result<()> {
    let Some(address) = server.addresses().first().copied() else { return Ok(()) };
    for (id, question) in (1..).zip(QUESTIONS) {
        let name = question.name.parse().map_err(io::Error::other)?;
        let rtype = question.rtype.parse().map_err(io::Error::other)?;
        writeln!(
            out,
            "$ dig @{} -p {} {} {}",
            address.ip(),
            address.port(),
            question.name,
            question.rtype
        )?;
        let reply = Ask::new(name, rtype).ask(address, id)?;
        write!(out, "{}", render(&reply))?;
        for line in explain(&reply.message, server.policy()) {
            writeln!(out, "   = {line}")?;
        }
        writeln!(out, "   => {}\n", question.why)?;
    }
    Ok(())
}

/// What each synthesized address is made of.
fn explain(message: &Message, policy: &Policy) -> Vec<String> {
    let Some(view) = policy.views.first() else { return Vec::new() };
    let embedded = |address: Ipv6Addr| {
        let pref64 = view.prefixes.iter().map(|prefix| prefix.pref64);
        pref64.filter_map(|pref64| Some((pref64, pref64.extract(address)?))).next()
    };
    let mut lines = Vec::new();
    for record in &message.answers {
        if let RData::AAAA(address) = &record.data
            && let Some((pref64, v4)) = embedded(address.0)
        {
            lines.push(format!("{} is {pref64} with {v4} in it (RFC 6052)", address.0));
        }
    }
    lines
}

/// The addresses of [`LISTEN`] that this machine has: IPv6 may be switched off.
#[must_use]
pub fn listen_addresses() -> Vec<SocketAddr> {
    let available = |address: &SocketAddr| {
        let any_port = SocketAddr::new(address.ip(), 0);
        address.ip() == IpAddr::from([127, 0, 0, 1]) || std::net::UdpSocket::bind(any_port).is_ok()
    };
    LISTEN.iter().filter_map(|text| text.parse().ok()).filter(available).collect()
}
