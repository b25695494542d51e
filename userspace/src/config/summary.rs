//! What `dns64d check` says of a configuration that it accepts.

use std::fmt;

use serde_json::{Value, json};

use super::error::{ConfigError, ConfigErrors};
use super::{Config, PoolConfig};
use crate::policy::{DnssecMode, ViewSettings};

/// What `dns64d check --json` prints: keys are always there, and are never renamed.
#[must_use]
pub fn check_json(result: &Result<Config, ConfigErrors>) -> Value {
    let config = match result {
        Ok(config) => config,
        Err(errors) => return errors.to_json(),
    };
    let warnings: Vec<Value> = config.warnings.iter().map(ConfigError::to_json).collect();
    json!({ "ok": true, "warnings": warnings, "summary": config.summary_json() })
}

impl Config {
    /// The gist of the configuration for programs. `workers` is null where the machine decides;
    /// `prefixes` are those of the `[dns64]` table.
    #[must_use]
    pub fn summary_json(&self) -> Value {
        let views = self.policy.views.iter().map(|view| {
            json!({ "name": view.name, "enabled": view.enabled, "prefixes": prefixes(view) })
        });
        let rpz = self.policy.rpz.iter().map(|rpz| {
            json!({
                "name": rpz.zone.name, "triggers": rpz.zone.len(), "views": rpz.views,
            })
        });
        let policy = self.policy();
        json!({
            "included": self.included,
            "rpz": rpz.collect::<Vec<_>>(),
            "listen": self.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "workers": self.workers,
            "prefixes": self.policy.views.first().map(prefixes),
            "views": views.collect::<Vec<_>>(),
            "pools": self.pools.iter().map(pool_json).collect::<Vec<_>>(),
            "dnssec": self.policy.dnssec.mode.word(),
            "script": self.script.as_ref().map(|script| &script.name),
            "upstreams": policy.upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// The gist of the configuration for people, a line each.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |texts: Vec<String>| texts.join(", ");
        for file in &self.included {
            writeln!(f, "included  {file}")?;
        }
        let texts = self.listen.iter().map(ToString::to_string).collect();
        writeln!(f, "listen    {}", joined(texts))?;
        match self.workers {
            Some(workers) => writeln!(f, "workers   {workers}")?,
            None => writeln!(f, "workers   one for each CPU")?,
        }
        let texts = self.policy.servers.iter().map(ToString::to_string).collect();
        writeln!(f, "upstream  {}", joined(texts))?;
        let mode = self.policy.dnssec.mode;
        if mode == DnssecMode::Validate {
            writeln!(f, "dnssec    validate, from {}", self.trust_anchors)?;
        } else {
            writeln!(f, "dnssec    {}", mode.word())?;
        }
        for pool in &self.pools {
            writeln!(f, "pool      {}: {}", pool.settings.name, joined(gateways(pool)))?;
        }
        for view in &self.policy.views {
            let pool = view.pool.map(|used| &self.policy.pools[usize::from(used.pool.0)]);
            let texts = match (view.enabled, pool) {
                (true, Some(pool)) => format!("one of the pool {}", pool.name),
                (true, None) => joined(prefixes(view)),
                (false, _) => "no DNS64".to_owned(),
            };
            writeln!(f, "view      {}: {texts}", view.name)?;
        }
        for rpz in &self.policy.rpz {
            let (name, triggers) = (&rpz.zone.name, rpz.zone.len());
            let views = rpz.views.as_ref().map(|views| format!(", for {}", views.join(", ")));
            writeln!(f, "rpz       {name}: {triggers} triggers{}", views.unwrap_or_default())?;
        }
        if let Some(script) = &self.script {
            writeln!(f, "script    {}", script.name)?;
        }
        Ok(())
    }
}

/// A pool for programs.
fn pool_json(pool: &PoolConfig) -> Value {
    let gateways = pool.settings.gateways.iter().zip(&pool.probes);
    let gateways = gateways.map(|(gateway, probe)| {
        json!({
            "prefix": gateway.pref64.to_string(),
            "weight": gateway.weight,
            "probed": probe.is_some(),
        })
    });
    json!({ "name": pool.settings.name, "gateways": gateways.collect::<Vec<_>>() })
}

/// The gateways of a pool for people.
fn gateways(pool: &PoolConfig) -> Vec<String> {
    let gateways = pool.settings.gateways.iter().zip(&pool.probes);
    let gateways = gateways.map(|(gateway, probe)| {
        let note = if probe.is_some() { "" } else { ", not probed" };
        format!("{} (weight {}{note})", gateway.pref64, gateway.weight)
    });
    gateways.collect()
}

/// The prefixes of a view as they are used: 64:ff9b::/96 where none is configured.
fn prefixes(view: &ViewSettings) -> Vec<String> {
    let built = crate::policy::View::new(view);
    built.prefixes.iter().map(|prefix| prefix.pref64.to_string()).collect()
}
