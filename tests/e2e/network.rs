//! The network of most tests.
//!
//! ```text
//!   client                responder                     upstream
//!   2001:db8:1::2 ------- 2001:db8:1::53
//!                         2001:db8:1::54
//!   192.0.2.2             192.0.2.53
//!                         192.0.2.54
//!                         2001:db8:2::1 --------------- 2001:db8:2::53  Unbound
//!                                                       127.0.0.1:5300  NSD
//! ```

use dns64_tests::netns::{Netns, Scratch};
use dns64_tests::server::Server;

use crate::dig::{Reply, dig};
use crate::subject::{Settings, Subject};
use crate::zone::{start_nsd, start_resolver};

/// The responder's addresses on the client's side.
pub(crate) const RESPONDER_V6: &str = "2001:db8:1::53";
pub(crate) const RESPONDER_V4: &str = "192.0.2.53";
/// The resolver behind it.
pub(crate) const RESOLVER: &str = "2001:db8:2::53";

/// Three hosts in a row, with their servers. Servers end before their hosts do: fields are dropped
/// in order.
pub(crate) struct Network {
    pub(crate) responder: Server,
    pub(crate) resolver: Server,
    _nsd: Server,
    pub(crate) client: Netns,
    _responder_host: Netns,
    upstream_host: Netns,
    pub(crate) scratch: Scratch,
}

impl Network {
    /// The network with the responder on its two addresses.
    pub(crate) fn start(subject: &Subject) -> Self {
        Self::start_with(subject, &["[2001:db8:1::53]:53", "192.0.2.53:53"], 0)
    }

    /// The network with the responder on `listen`, and numbered names in the zone.
    pub(crate) fn start_with(subject: &Subject, listen: &[&str], numbered_names: u32) -> Self {
        let scratch = Scratch::new();
        let client = Netns::new("client");
        let responder_host = Netns::new("responder");
        let upstream_host = Netns::new("upstream");

        client.link("eth0", &responder_host, "eth0");
        client.address("eth0", "2001:db8:1::2/64");
        client.address("eth0", "192.0.2.2/24");
        for address in ["2001:db8:1::53/64", "2001:db8:1::54/64", "192.0.2.53/24", "192.0.2.54/24"]
        {
            responder_host.address("eth0", address);
        }
        responder_host.link("eth1", &upstream_host, "eth0");
        responder_host.address("eth1", "2001:db8:2::1/64");
        upstream_host.address("eth0", "2001:db8:2::53/64");

        let nsd = start_nsd(&upstream_host, &scratch, numbered_names);
        let resolver = start_resolver(&upstream_host, &scratch, RESOLVER);
        let settings = Settings { listen, upstream: "[2001:db8:2::53]:53" };
        let responder = subject.start(&responder_host, &scratch, &settings);
        Self {
            responder,
            resolver,
            _nsd: nsd,
            client,
            _responder_host: responder_host,
            upstream_host,
            scratch,
        }
    }

    /// Starts the resolver once more, after its end.
    pub(crate) fn restart_resolver(&mut self) {
        self.resolver = start_resolver(&self.upstream_host, &self.scratch, RESOLVER);
    }

    /// Asks the responder.
    pub(crate) fn dig(&self, arguments: &[&str]) -> Reply {
        dig(&self.client, RESPONDER_V6, arguments)
    }
}
