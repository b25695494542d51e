//! Reads `[metrics]`.

use std::net::SocketAddr;

use super::reader::Table;

/// Reads the table: the address on which monitoring asks; `None` if it cannot ask.
pub(super) fn read_metrics(document: &Table<'_>) -> Option<SocketAddr> {
    let item = document.item("metrics")?;
    let table = item.table(&["listen"])?;
    let item = table.item("listen")?;
    let text = item.string()?;
    let Ok(address) = text.parse::<SocketAddr>() else {
        let hint = "such as \"127.0.0.1:9164\" or \"[::1]:9164\"";
        item.refuse_with_hint(format_args!("{text:?} is no address with a port"), hint);
        return None;
    };
    if !address.ip().is_loopback() {
        let hint = "let a firewall say who may read it, or listen on 127.0.0.1";
        item.warn("whoever reaches this address can read the counters", hint);
    }
    Some(address)
}
