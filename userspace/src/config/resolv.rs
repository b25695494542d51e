//! The machine's own resolvers: the `nameserver` lines of `/etc/resolv.conf`.
//!
//! They are asked where the configuration names no upstream server. Only `nameserver` matters here;
//! search lists and options are for programs that ask about short names.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use super::error::ConfigError;

/// Where the machine's resolvers are written.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The port of DNS; resolv.conf(5) knows no other.
const DNS_PORT: u16 = 53;

/// What an operator can do if the machine names no resolver for us.
const HINT: &str = "name the servers to ask: [upstream] servers = [\"192.0.2.53\"]";

/// The resolvers of this machine.
///
/// # Errors
/// If the file cannot be read or has no resolver.
pub(super) fn machine_resolvers() -> Result<Vec<SocketAddr>, ConfigError> {
    let refusal = |message: String| ConfigError::of_file(RESOLV_CONF, message, Some(HINT));
    let text = fs::read_to_string(RESOLV_CONF)
        .map_err(|error| refusal(format!("cannot be read: {error}")))?;
    match nameservers(&text, interface_index) {
        servers if servers.is_empty() => Err(refusal("there is no nameserver in it".to_owned())),
        servers => Ok(servers),
    }
}

/// The error for resolvers that are all ourselves.
pub(super) fn only_ourselves(own: SocketAddr) -> ConfigError {
    let message = format!("its only nameserver is {own}, where we listen: a loop");
    ConfigError::of_file(RESOLV_CONF, message, Some(HINT))
}

/// The warning for a resolver that is ourselves.
pub(super) fn left_out(own: SocketAddr) -> ConfigError {
    let message = format!("the nameserver {own} is left out: we listen there");
    ConfigError::of_file(RESOLV_CONF, message, Some(HINT))
}

/// The addresses of the `nameserver` lines, each once. Lines that cannot be read are passed over,
/// as the C library does.
fn nameservers(text: &str, index_of: impl Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let server = words.next().and_then(|word| nameserver(word, &index_of));
        if let Some(server) = server.filter(|server| !servers.contains(server)) {
            servers.push(server);
        }
    }
    servers
}

/// An address, which may have the name or the index of an interface behind a percent sign.
fn nameserver(word: &str, index_of: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    match word.split_once('%') {
        None => Some(SocketAddr::new(word.parse::<IpAddr>().ok()?.to_canonical(), DNS_PORT)),
        Some((address, scope)) => {
            let address: Ipv6Addr = address.parse().ok()?;
            let index = scope.parse().ok().or_else(|| index_of(scope))?;
            Some(SocketAddrV6::new(address, DNS_PORT, 0, index).into())
        }
    }
}

/// The index of an interface by its name.
fn interface_index(name: &str) -> Option<u32> {
    // The name is part of a path; that of an interface has no slash.
    if name.contains('/') {
        return None;
    }
    let path = Path::new("/sys/class/net").join(name).join("ifindex");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_are_read_and_everything_else_is_passed_over() {
        let text = "# nameserver 192.0.2.1\n; nameserver 192.0.2.2\n\
                    search example\nnameserver 192.0.2.53\nnameserver\t2001:db8::53 # why\n\
                    nameserver nonsense\nnameserver\nnameserver 192.0.2.53\n\
                    nameserver fe80::1%eth0\nnameserver fe80::2%3\nnameserver fe80::3%gone\n";
        let servers = nameservers(text, |name| (name == "eth0").then_some(7));
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        assert_eq!(
            servers,
            ["192.0.2.53:53", "[2001:db8::53]:53", "[fe80::1%7]:53", "[fe80::2%3]:53"]
        );
    }

    #[test]
    fn the_name_of_an_interface_does_not_lead_out_of_its_directory() {
        assert_eq!(interface_index("../../../etc"), None);
    }
}
