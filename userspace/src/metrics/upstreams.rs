//! The servers that are asked, as all workers together see them.

use crate::daemon::Counted;

/// What is known of one server.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    /// Its address.
    pub(super) server: String,
    /// Whether at least one worker counts it as up.
    pub(super) is_up: bool,
    /// Queries sent to it.
    pub(super) queries: u64,
    /// Those of them by UDP that had no answer in time.
    pub(super) timeouts: u64,
    /// Look-ups that wait for its answer.
    pub(super) in_flight: u64,
    /// Smoothed round-trip time in microseconds, the mean of the workers; `None` before the first
    /// answer.
    pub(super) rtt_us: Option<f64>,
}

/// Every server, in the order of the configuration.
pub(super) fn all(counted: &Counted) -> Vec<Upstream> {
    let servers = counted.rules.policy.upstreams.iter().enumerate();
    let upstreams = servers.map(|(place, server)| {
        let reports = || counted.reports.iter().filter_map(|report| report.upstreams.get(place));
        let times: Vec<f64> =
            reports().filter_map(|report| report.smoothed_us).map(f64::from).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        Upstream {
            server: server.to_string(),
            is_up: reports().any(|report| !report.is_down),
            queries: reports().map(|report| report.queries).sum(),
            timeouts: reports().map(|report| report.timeouts).sum(),
            in_flight: reports().map(|report| u64::from(report.in_flight)).sum(),
            rtt_us: (!times.is_empty()).then_some(mean),
        }
    });
    upstreams.collect()
}

/// Why new clients should be sent elsewhere; `None` where they need not.
pub(super) fn unready(counted: &Counted) -> Option<&'static str> {
    let mut servers = counted.reports.iter().flat_map(|report| &report.upstreams).peekable();
    // Halfway in a reload there are none, and nothing is known against it.
    let is_ready = servers.peek().is_none() || servers.any(|server| !server.is_down);
    (!is_ready).then_some("no upstream server answers")
}
