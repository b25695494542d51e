//! Reads `[metrics]`.

use std::net::SocketAddr;

use super::reader::Table;

/// What monitoring is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where it asks.
    pub listen: SocketAddr,
    /// Whether the status page is there.
    pub page: bool,
}

/// Reads the table; `None` if monitoring cannot ask.
pub(super) fn read_metrics(document: &Table<'_>) -> Option<MetricsSettings> {
    let item = document.item("metrics")?;
    let table = item.table(&["listen", "page"])?;
    let page = table.item("page").map(|item| (item.boolean(), item));
    let Some(item) = table.item("listen") else {
        if let Some((_, item)) = page {
            item.warn("this means nothing without an address", "set metrics.listen");
        }
        return None;
    };
    let text = item.string()?;
    let Ok(listen) = text.parse::<SocketAddr>() else {
        let hint = "such as \"127.0.0.1:9164\" or \"[::1]:9164\"";
        item.refuse_with_hint(format_args!("{text:?} is no address with a port"), hint);
        return None;
    };
    if !listen.ip().is_loopback() {
        let hint = "let a firewall say who may read it, or listen on 127.0.0.1";
        item.warn("whoever reaches this address can read the counters", hint);
    }
    let page = page.and_then(|(page, _)| page).unwrap_or(true);
    Some(MetricsSettings { listen, page })
}
