//! The numbers of a configuration: cache, timing and limits, with their defaults.

use std::time::Duration;

/// The `[cache]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Octets of memory for the whole program; at least 1 MiB.
    pub size_bytes: u64,
    /// Answers are kept at least this long.
    pub min_ttl_secs: u32,
    /// Answers are kept at most this long; 0: nothing is cached.
    pub max_ttl_secs: u32,
    /// Negative answers are kept at most this long (RFC 2308 5).
    pub max_negative_ttl_secs: u32,
    /// Whether an expired answer is given when no fresh one comes in time (RFC 8767).
    pub serve_stale: bool,
    /// How long after its end an answer may be given.
    pub max_stale_secs: u32,
    /// Whether an answer that is asked for is renewed before its end.
    pub prefetch: bool,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            size_bytes: 256 << 20,
            min_ttl_secs: 0,
            max_ttl_secs: 86_400,
            max_negative_ttl_secs: 3_600,
            serve_stale: true,
            max_stale_secs: 86_400,
            prefetch: true,
        }
    }
}

/// How long upstream servers and clients wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The longest wait for one try at an upstream server.
    pub timeout: Duration,
    /// After this long the client is answered, with what there is.
    pub budget: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(250), budget: Duration::from_millis(2_000) }
    }
}

/// The `[limits]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the longest UDP reply, whatever the client announces; 512 to 4096.
    pub udp_payload: u32,
    /// Look-ups under way in one worker; 64 to 65536.
    pub inflight: u32,
    /// Look-ups under way for one client in one worker; 0: no limit.
    pub inflight_per_client: u32,
    /// TCP connections of all clients.
    pub tcp_clients: u32,
    /// TCP connections of one client.
    pub tcp_per_client: u32,
    /// A TCP connection without a query for this long is closed.
    pub tcp_idle_ms: u32,
    /// Queries under way on one TCP connection.
    pub tcp_pipeline: u32,
    /// UDP queries a second from one client network (IPv4 /32, IPv6 /56); 0: no limit.
    pub rate: u32,
    /// UDP queries that a client network may send at once; twice the rate by default.
    pub rate_burst: u32,
    /// Every n-th query over the rate gets an empty truncated reply instead of none, so that a
    /// client whose address is misused can come back by TCP; 0: never.
    pub rate_slip: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_payload: 1_232,
            inflight: 16_384,
            inflight_per_client: 1_000,
            tcp_clients: 1_024,
            tcp_per_client: 64,
            tcp_idle_ms: 10_000,
            tcp_pipeline: 100,
            rate: 0,
            rate_burst: 0,
            rate_slip: 2,
        }
    }
}
