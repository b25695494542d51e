//! `dns64ctl log-level`: how much is logged, until the next reload.

use serde_json::{Value, json};

use crate::config::LogLevel;
use crate::reload::Reloader;

/// Sets the level, if there is one to be set; the level that holds then.
///
/// # Errors
/// If it is the word for no level, or something else decides.
pub(super) async fn answer(reloader: &Reloader, level: Option<&str>) -> Result<Value, String> {
    if let Some(word) = level {
        let level = LogLevel::of_word(word).ok_or_else(|| {
            let words = LogLevel::ALL.map(LogLevel::word).join(", ");
            format!("{word:?} is no level: {words}")
        })?;
        if !reloader.set_log_level(level).await {
            return Err("RUST_LOG decides what is logged\n  hint: start it without".to_owned());
        }
    }
    let (level, configured) = reloader.log_level().await;
    Ok(json!({ "level": level.word(), "configured": configured.word() }))
}

/// The reply for people.
#[must_use]
pub fn render(reply: &Value) -> String {
    let text = |key: &str| reply[key].as_str().unwrap_or("?").to_owned();
    let (level, configured) = (text("level"), text("configured"));
    if level == configured {
        format!("{level}, as the configuration says\n")
    } else {
        format!("{level}, until the next reload, which sets {configured}\n")
    }
}
