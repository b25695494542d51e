//! What `dns64d check` says of a configuration that it accepts.

use std::fmt;

use serde_json::{Value, json};

use super::Config;
use super::error::{ConfigError, ConfigErrors};
use crate::policy::ViewSettings;

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
        let policy = self.policy();
        json!({
            "listen": self.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "workers": self.workers,
            "prefixes": self.policy.views.first().map(prefixes),
            "views": views.collect::<Vec<_>>(),
            "upstreams": policy.upstreams.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

/// The gist of the configuration for people, a line each.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |texts: Vec<String>| texts.join(", ");
        let texts = self.listen.iter().map(ToString::to_string).collect();
        writeln!(f, "listen    {}", joined(texts))?;
        match self.workers {
            Some(workers) => writeln!(f, "workers   {workers}")?,
            None => writeln!(f, "workers   one for each CPU")?,
        }
        let texts = self.policy.servers.iter().map(ToString::to_string).collect();
        writeln!(f, "upstream  {}", joined(texts))?;
        for view in &self.policy.views {
            let texts = match view.enabled {
                true => joined(prefixes(view)),
                false => "no DNS64".to_owned(),
            };
            writeln!(f, "view      {}: {texts}", view.name)?;
        }
        Ok(())
    }
}

/// The prefixes of a view as they are used: 64:ff9b::/96 where none is configured.
fn prefixes(view: &ViewSettings) -> Vec<String> {
    let built = crate::policy::View::new(view);
    built.prefixes.iter().map(|prefix| prefix.pref64.to_string()).collect()
}
