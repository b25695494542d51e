//! What a worker serves one configuration with: an engine, its sockets towards the upstream
//! servers, and its way to the validator.

use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;

use crate::counters::Counters;
use crate::dnssec::ToValidator;
use crate::engine::Engine;
use crate::observe::Observed;
use crate::time::Moment;
use crate::transport::af_xdp::XskQueue;
use crate::transport::poll::{Registry, UpstreamToken};
use crate::transport::task_inbox::TaskSender;
use crate::transport::upstream::UpstreamSockets;

/// One configuration, served.
pub struct Serving {
    /// What decides.
    pub engine: Engine,
    /// The sockets towards the upstream servers.
    pub upstream: UpstreamSockets<ChaCha20Rng>,
    /// The addresses of the upstream servers.
    pub servers: Vec<SocketAddr>,
    /// Where answers are validated; `None` where nothing is.
    pub validator: Option<TaskSender<ToValidator>>,
    /// Whether the engine's cache lies with the one that takes queries in its place.
    pub shares_cache: bool,
}

impl Serving {
    /// Serves the configuration of an engine. `random` draws source ports.
    #[must_use]
    pub fn new(
        engine: Engine,
        registry: Registry,
        random: ChaCha20Rng,
        validator: Option<TaskSender<ToValidator>>,
    ) -> Self {
        let servers = engine.policy().upstreams.clone();
        let mut upstream = UpstreamSockets::new(registry, random, engine.epoch());
        upstream.set_servers(&servers);
        Self { engine, upstream, servers, validator, shares_cache: false }
    }

    /// Gives the engine what has come to a socket.
    pub fn receive(&mut self, token: UpstreamToken, observed: &mut Observed, now: Moment) {
        let Self { upstream, engine, servers, .. } = self;
        upstream.recv_ready(token, |server, port, response| match response {
            Ok(bytes) => {
                observed.hears(servers.get(usize::from(server.0)), Some(port), bytes, now);
                engine.handle_response(server, port, bytes, now);
            }
            Err(_) => engine.handle_refused(server, port, now),
        });
    }

    /// Exchanges two configurations, one of which has been retired, with the cache if they share
    /// it.
    pub fn exchange(&mut self, other: &mut Self) {
        if self.shares_cache || other.shares_cache {
            self.engine.swap_cache(&mut other.engine);
        }
        std::mem::swap(self, other);
    }
}

/// Adds what a queue has seen.
pub(crate) fn count_queue(queue: &XskQueue, counters: &mut Counters) {
    let counts = queue.counts();
    let statistics = queue.statistics().unwrap_or_default();
    counters.xsk_queries += counts.queries;
    counters.xsk_replies += counts.replies;
    counters.xsk_strays += counts.strays;
    // What was dropped for want of a free frame is among `rx_dropped`.
    counters.xsk_full += statistics.rx_dropped + statistics.rx_ring_full;
    counters.xsk_ring_full += statistics.rx_ring_full;
    counters.xsk_fill_empty += statistics.fill_ring_empty;
}
