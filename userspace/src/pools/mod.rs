//! Pools of NAT64 gateways while we run: which gateways serve, who finds out, and who is told.
//!
//! Each gateway with a probe has a task on the housekeeping thread that tries it again and again.
//! What changes in [`health`] becomes new tables for the engines: a worker has them as an order, so
//! that its queries read plain memory. Nothing of a pool is in the XDP program's hot answers, and
//! ready replies know whose gateway they are for: with the new table an engine gives no answer that
//! leads to a gateway that has failed.
#![forbid(unsafe_code)]

pub mod health;
pub mod probe;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use self::health::{Health, State, serving};
use crate::config::{PoolConfig, ProbeConfig};
use crate::datagram::Epoch;
use crate::orders::Command;
use crate::policy::{PoolTable, PrefixMask};
use crate::pref64::Pref64;
use crate::transport::inbox::Sender;

/// How long after a worker had no room for new tables it is told again.
const RETRY: Duration = Duration::from_millis(20);

/// The pools of the running program.
#[derive(Debug)]
pub struct Pools {
    /// The configuration that they are of.
    epoch: Epoch,
    pools: Vec<PoolConfig>,
    workers: Vec<Sender<Command>>,
    inner: Mutex<Inner>,
}

/// What changes.
#[derive(Debug)]
struct Inner {
    /// The gateways of each pool.
    health: Vec<Vec<Health>>,
    /// Which of them serve, by the tables that the workers have.
    tables: Vec<(PrefixMask, PoolTable)>,
}

impl Pools {
    /// The pools with every gateway up, as engines begin.
    #[must_use]
    pub fn new(pools: &[PoolConfig], workers: Vec<Sender<Command>>) -> Self {
        let health = pools.iter().map(|pool| vec![Health::default(); pool.probes.len()]).collect();
        let tables = pools.iter().map(|pool| {
            let all = PrefixMask::of(0..pool.probes.len());
            (all, PoolTable::new(&pool.settings, all))
        });
        let inner = Mutex::new(Inner { health, tables: tables.collect() });
        Self { epoch: Epoch::default(), pools: pools.to_vec(), workers, inner }
    }

    /// The pools of the configuration after this one. What is known of a gateway still holds where
    /// the pool has its name and the gateway its prefix and its probe.
    #[must_use]
    pub fn successor(&self, pools: &[PoolConfig]) -> Self {
        let successor = Self::new(pools, self.workers.clone());
        let inner = self.inner();
        {
            let mut next = successor.inner();
            for (at, pool) in pools.iter().enumerate() {
                let same = |known: &PoolConfig| known.settings.name == pool.settings.name;
                let Some(before) = self.pools.iter().position(same) else { continue };
                for (index, gateway) in pool.settings.gateways.iter().enumerate() {
                    let known = self.pools[before].settings.gateways.iter();
                    let known = known.zip(&self.pools[before].probes).position(|(other, probe)| {
                        other.pref64 == gateway.pref64 && *probe == pool.probes[index]
                    });
                    if let Some(known) = known {
                        next.health[at][index] = inner.health[before][known].clone();
                    }
                }
                let (mask, _) = serving(&next.health[at]);
                next.tables[at] = (mask, PoolTable::new(&pool.settings, mask));
            }
        }
        drop(inner);
        Self { epoch: self.epoch.next(), ..successor }
    }

    /// Which gateway of each pool a client has now.
    #[must_use]
    pub fn tables(&self) -> Arc<[PoolTable]> {
        self.inner().tables.iter().map(|(_, table)| table.clone()).collect()
    }

    /// Watches every gateway that has a probe, until dropped.
    pub async fn watch(self: Arc<Self>) {
        let mut tasks = tokio::task::JoinSet::new();
        for (at, pool) in self.pools.iter().enumerate() {
            for (index, probe) in pool.probes.iter().enumerate() {
                if let Some(probe) = probe {
                    tasks.spawn(Arc::clone(&self).watch_one(at, index, probe.clone()));
                }
            }
        }
        // None of them ends.
        while tasks.join_next().await.is_some() {}
    }

    /// Tries one gateway again and again.
    async fn watch_one(self: Arc<Self>, pool: usize, index: usize, probe: ProbeConfig) {
        let pref64 = self.gateway(pool, index);
        let mut ticks = interval(probe.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tried = probe::try_once(&probe.kind, pref64, probe.timeout);
            let result = match timeout(probe.timeout, tried).await {
                Ok(result) => result,
                Err(_) => Err("no answer in time".to_owned()),
            };
            let changed = {
                let mut inner = self.inner();
                inner.health[pool][index].observe(&result, probe.rise, probe.fall)
            };
            if let Some(state) = changed {
                self.log_change(pool, index, state, result.err());
                self.apply(pool).await;
            }
        }
    }

    /// Takes a gateway out of service, or puts it back.
    ///
    /// # Errors
    /// If there is no such pool or gateway, or no other that is not drained.
    pub async fn drain(&self, name: &str, prefix: &str, drained: bool) -> Result<Value, String> {
        let pool = self.pools.iter().position(|pool| pool.settings.name == name);
        let pool = pool.ok_or_else(|| {
            let names: Vec<&str> =
                self.pools.iter().map(|pool| pool.settings.name.as_str()).collect();
            format!("there is no pool {name:?}; pools: {}", names.join(", "))
        })?;
        let gateways = &self.pools[pool].settings.gateways;
        let index = gateways.iter().position(|gateway| {
            let network = gateway.pref64.network();
            prefix.parse().is_ok_and(|wanted: ipnet::Ipv6Net| wanted == network)
        });
        let index = index.ok_or_else(|| {
            let prefixes: Vec<String> =
                gateways.iter().map(|gateway| gateway.pref64.network().to_string()).collect();
            format!("the pool {name:?} has no prefix {prefix:?}; it has {}", prefixes.join(", "))
        })?;
        {
            let mut inner = self.inner();
            let health = &mut inner.health[pool];
            let others = health.iter().enumerate().filter(|(other, _)| *other != index);
            let mut others = others.map(|(_, health)| health);
            if drained && others.all(|other| other.drained) {
                return Err(format!(
                    "{prefix} is the last gateway of {name:?} that is not drained"
                ));
            }
            health[index].drained = drained;
        }
        info!(pool = name, prefix, drained, "a gateway is drained or put back by command");
        self.apply(pool).await;
        Ok(self.to_json())
    }

    /// Computes which gateways of a pool serve, and tells every worker if that has changed.
    async fn apply(&self, pool: usize) {
        let tables: Arc<[PoolTable]> = {
            let mut inner = self.inner();
            let (mask, fails_static) = serving(&inner.health[pool]);
            if inner.tables[pool].0 == mask {
                return;
            }
            if fails_static {
                let name = &self.pools[pool].settings.name;
                warn!(pool = name, "every gateway has failed: all of them count as up");
            }
            inner.tables[pool] = (mask, PoolTable::new(&self.pools[pool].settings, mask));
            inner.tables.iter().map(|(_, table)| table.clone()).collect()
        };
        for worker in &self.workers {
            let mut order = Command::SetPools(self.epoch, Arc::clone(&tables));
            while let Err(refused) = worker.try_send(order) {
                order = refused;
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Calls `tell` with the pool, the prefix, whether it serves and how often it has failed, for
    /// each gateway.
    pub fn each_gateway(&self, mut tell: impl FnMut(&str, ipnet::Ipv6Net, bool, u64)) {
        let inner = self.inner();
        for ((pool, health), (mask, _)) in self.pools.iter().zip(&inner.health).zip(&inner.tables) {
            for (index, (gateway, health)) in pool.settings.gateways.iter().zip(health).enumerate()
            {
                let prefix = gateway.pref64.network();
                tell(&pool.settings.name, prefix, mask.has(index), health.failures);
            }
        }
    }

    /// What `dns64ctl status` shows.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let inner = self.inner();
        let pools = self.pools.iter().zip(&inner.health).zip(&inner.tables);
        let pools = pools.map(|((pool, health), (mask, _))| {
            let gateways = pool.settings.gateways.iter().zip(health).enumerate();
            let gateways = gateways.map(|(index, (gateway, health))| {
                json!({
                    "prefix": gateway.pref64.network().to_string(),
                    "weight": gateway.weight,
                    "state": health.state.word(),
                    "drained": health.drained,
                    "serves": mask.has(index),
                    "probed": pool.probes[index].is_some(),
                    "probes_good": health.good,
                    "probes_bad": health.bad,
                    "failures": health.failures,
                    "last_error": health.last_error,
                })
            });
            json!({
                "name": pool.settings.name,
                "fail_static": serving(health).1,
                "gateways": gateways.collect::<Vec<_>>(),
            })
        });
        pools.collect()
    }

    fn log_change(&self, pool: usize, index: usize, state: State, error: Option<String>) {
        let name = &self.pools[pool].settings.name;
        let prefix = self.gateway(pool, index).network();
        match (state, error) {
            (State::Down, Some(error)) => {
                warn!(pool = name, %prefix, error, "a gateway has failed");
            }
            (State::Down, None) => warn!(pool = name, %prefix, "a gateway has failed"),
            (State::Up, _) => info!(pool = name, %prefix, "a gateway serves again"),
        }
    }

    fn gateway(&self, pool: usize, index: usize) -> Pref64 {
        self.pools[pool].settings.gateways[index].pref64
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
