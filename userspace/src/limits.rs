//! Every capacity and every fixed span of time in one place, with what must hold between them.

use std::time::Duration;

/// Octets of the longest name in wire form (RFC 1035 2.3.4).
pub const NAME_LEN_MAX: usize = 255;

/// Octets of a DNS message header (RFC 1035 4.1.1).
pub const HEADER_LEN: usize = 12;

/// Octets of the longest message a TCP length prefix can announce (RFC 1035 4.2.2).
pub const MESSAGE_LEN_MAX: usize = 65_535;

/// Octets of the longest UDP reply to a client without EDNS (RFC 1035 4.2.1).
pub const UDP_PLAIN_LEN_MAX: usize = 512;

/// Octets of UDP payload that pass every path without fragmentation (RFC 9715); the default
/// limit for replies, and the size we announce to clients and upstream servers.
pub const UDP_PAYLOAD_LEN: usize = 1_232;

/// Octets kept of a UDP datagram from a client or an upstream server.
pub const UDP_RECEIVE_LEN: usize = 4_096;

/// Datagrams taken from or given to the kernel by one system call.
pub const BATCH_LEN: usize = 64;

/// CNAME and DNAME steps followed in one answer; a longer chain is a failure.
pub const CHAIN_LEN_MAX: usize = 16;

/// Pref64 in one view.
pub const PREFIXES_MAX: usize = 32;

/// AAAA records made for one answer (A records times prefixes).
pub const SYNTHESIZED_RECORDS_MAX: usize = 256;

/// TTL of a synthesized AAAA where the AAAA answer brought no SOA (RFC 6147 5.1.7).
pub const TTL_WITHOUT_SOA_SECS: u32 = 600;

/// TTL of records in a stale answer (RFC 8767 5: 30 seconds recommended).
pub const TTL_STALE_SECS: u32 = 30;

/// How long a look-up goes on after its client has been answered, counted from its start.
pub const LOOKUP_LIFE: Duration = Duration::from_secs(10);

const _: () = assert!(UDP_PLAIN_LEN_MAX <= UDP_PAYLOAD_LEN);
const _: () = assert!(UDP_PAYLOAD_LEN <= UDP_RECEIVE_LEN);
const _: () = assert!(UDP_RECEIVE_LEN <= MESSAGE_LEN_MAX);
