//! What a worker serves one configuration with: an engine, its sockets towards the upstream
//! servers, and its way to the validator.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;

use crate::counters::Counters;
use crate::dnssec::ToValidator;
use crate::engine::Engine;
use crate::observe::Observed;
use crate::policy::PoolTable;
use crate::script::LuaScript;
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
    ) -> Box<Self> {
        let servers = engine.policy().upstreams.clone();
        let mut upstream = UpstreamSockets::new(registry, random, engine.epoch());
        upstream.set_servers(&servers);
        Box::new(Self { engine, upstream, servers, validator, shares_cache: false })
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
    pub fn exchange(one: &mut Box<Self>, other: &mut Box<Self>) {
        if one.shares_cache || other.shares_cache {
            one.engine.swap_cache(&mut other.engine);
        }
        std::mem::swap(one, other);
    }
}

/// A configuration that waits for its worker. All that takes time to make is made: tables, cache,
/// sockets, script.
pub struct Prepared {
    serving: Box<Serving>,
    script: Option<Box<LuaScript>>,
}

impl Prepared {
    /// What is served has the engine of a [successor](Engine::successor), without its script.
    #[must_use]
    pub const fn new(serving: Box<Serving>, script: Option<Box<LuaScript>>) -> Self {
        Self { serving, script }
    }

    /// Clients have the gateways of these tables.
    pub fn set_pools(&mut self, tables: Arc<[PoolTable]>) {
        self.serving.engine.set_pools(tables);
    }

    /// What is published will have this generation; without one nothing is published.
    pub fn publish_as(&mut self, generation: Option<u32>) {
        self.serving.engine.publish_as(generation);
    }

    /// Is served in the place of another configuration: see [`Engine::take_over`].
    #[must_use]
    pub fn take_over(self, before: &mut Serving) -> Box<Serving> {
        let Self { mut serving, script } = self;
        before.shares_cache = serving.engine.take_over(&mut before.engine);
        if let Some(script) = script {
            serving.engine.set_script(Some(script));
        }
        serving
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("epoch", &self.serving.engine.epoch()).finish()
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
