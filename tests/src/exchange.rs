//! A question to an engine whose upstream server answers at once, in no time.
//!
//! For tests of what the engine replies, not of when: [`crate::in_process`] has time, delays and
//! servers that say nothing.

use dns64::datagram::{Datagram, SourcePort};
use dns64::engine::{Destination, Engine, Verdict};
use dns64::time::Moment;

/// The port that all look-ups leave from.
const PORT: SourcePort = SourcePort(4_711);

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What the engine said to the query itself.
    pub verdict: Verdict,
    /// The reply that the client got, at once or after look-ups.
    pub reply: Option<Vec<u8>>,
}

/// Brings a query to the engine and carries messages between it and its server until nothing is
/// under way. `respond` makes the server's answer of a question; a reply has room for `room`
/// octets.
///
/// # Panics
/// If the engine asks by TCP, which it does only where an answer is truncated.
pub fn exchange(
    engine: &mut Engine,
    query: Datagram<'_>,
    now: Moment,
    room: usize,
    respond: impl Fn(&[u8]) -> Vec<u8>,
) -> Exchange {
    let mut out = vec![0; room];
    let verdict = engine.handle_query(query, &mut out, now);
    let mut reply = match verdict {
        Verdict::Reply { len } => Some(out[..len].to_vec()),
        Verdict::Pending | Verdict::Drop(_) => None,
    };
    let mut message = vec![0; usize::from(u16::MAX)];
    while let Some((to, len)) = engine.poll_transmit(&mut message) {
        match to {
            Destination::Client(_) => reply = Some(message[..len].to_vec()),
            Destination::Upstream { server, handle, .. } => {
                let response = respond(&message[..len]);
                engine.sent(handle, PORT);
                engine.handle_response(server, PORT, &response, now);
            }
            Destination::UpstreamTcp { .. } => unreachable!("nothing is truncated"),
            Destination::Validator(_) => unreachable!("nothing is validated"),
        }
    }
    Exchange { verdict, reply }
}
