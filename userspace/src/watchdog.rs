//! systemd's watchdog (`WatchdogSec=`): it is fed as long as queries are answered, and not because
//! some thread is alive.
//!
//! Before each feeding every worker must have answered, and a query that this process sends to its
//! own address must have come back with a reply. Otherwise it is not fed, systemd ends the process
//! and starts another.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use crate::daemon::Daemon;

/// How many tries to feed there are in the time after which systemd loses patience.
const TRIES: u32 = 3;

/// A query for `ipv4only.arpa A`, which is answered without asking anybody; whoever may not ask
/// gets a refusal, which will do.
const QUERY: &[u8] =
    b"\x64\x64\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x08ipv4only\x04arpa\x00\x00\x01\x00\x01";

/// Feeds the watchdog for ever, which barks after `patience` without food.
pub async fn feed(daemon: Arc<Daemon>, patience: Duration) {
    let mut turns = interval(patience / TRIES);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_well = true;
    loop {
        turns.tick().await;
        let seen = look(&daemon, patience / TRIES).await;
        match &seen {
            Ok(()) => {
                if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]) {
                    warn!(%error, "systemd cannot be told");
                }
            }
            Err(why) if was_well => warn!("queries are not answered, says the watchdog: {why}"),
            Err(_) => {}
        }
        was_well = seen.is_ok();
    }
}

/// Whether queries are answered.
async fn look(daemon: &Daemon, patience: Duration) -> Result<(), String> {
    daemon.counted().await?;
    let Some(server) = daemon.listen.first().copied().map(reachable) else { return Ok(()) };
    // Our own address may be one of those that get no reply.
    if daemon.in_force.get().policy.classify_at(server.ip(), 0, server.ip()).dropped {
        return Ok(());
    }
    match timeout(patience, ask(server)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("{server}: {error}")),
        Err(_) => Err(format!("{server} gives no reply")),
    }
}

/// Asks a server and waits for its reply.
async fn ask(server: SocketAddr) -> io::Result<()> {
    let own: SocketAddr = match server.ip() {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    socket.send(QUERY).await?;
    let mut reply = [0; 512];
    loop {
        let len = socket.recv(&mut reply).await?;
        if len >= 12 && reply[..2] == QUERY[..2] && reply[2] & 0x80 != 0 {
            return Ok(());
        }
    }
}

/// An address by which this machine reaches a listen address.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address @ (IpAddr::V4(_) | IpAddr::V6(_)) => address,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_reached_by_the_loopback() {
        let reached = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:53"), "127.0.0.1:53");
        assert_eq!(reached("[::]:5353"), "[::1]:5353");
        assert_eq!(reached("[2001:db8::53]:53"), "[2001:db8::53]:53");
    }
}
