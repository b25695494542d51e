//! What the engine wants sent: messages and where they go, in the order they were made.

use std::collections::VecDeque;
use std::time::Duration;

use crate::counters::Source;
use crate::datagram::{Client, SourcePort, UpstreamId};
use crate::wire::header::Rcode;

use super::lookup::LookupId;
use super::validate::ToValidate;

/// Names a try for [`super::Engine::sent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryHandle {
    pub(super) lookup: LookupId,
    pub(super) generation: u32,
    pub(super) index: usize,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To a client: a reply that had to wait.
    Client(Client),
    /// To an upstream server by UDP. [`super::Engine::sent`] must be told the port it left from.
    Upstream {
        /// The server.
        server: UpstreamId,
        /// The try this is.
        handle: TryHandle,
        /// The port of the try before: another one is wanted.
        avoid: Option<SourcePort>,
    },
    /// To an upstream server by TCP. The outcome comes back through
    /// [`super::Engine::handle_tcp_response`] with the same token.
    UpstreamTcp {
        /// The server.
        server: UpstreamId,
        /// Names the look-up.
        token: u64,
        /// The longest wait for the response.
        timeout: Duration,
    },
    /// To the validator: a response to a look-up. What it finds comes back through
    /// [`super::Engine::handle_validation`].
    Validator(ToValidate),
}

/// How a reply came about, for those who keep a record of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyNote {
    /// Where it came from.
    pub source: Source,
    /// Its RCODE, with the bits that EDNS adds.
    pub rcode: Rcode,
    /// Whether it has synthesized AAAA.
    pub synthesized: bool,
    /// How long its client has waited; `None` if it was given at once, or that is not known.
    pub waited: Option<Duration>,
}

impl Default for ReplyNote {
    /// That of a message that is no reply.
    fn default() -> Self {
        Self { source: Source::Local, rcode: Rcode::NOERROR, synthesized: false, waited: None }
    }
}

/// Messages to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    octets: Vec<u8>,
    messages: VecDeque<(Destination, usize, usize)>,
    /// Of the replies among the messages, in their order.
    notes: VecDeque<ReplyNote>,
}

impl Outbox {
    /// An outbox that takes this many octets before it grows.
    pub(super) fn new(octets: usize) -> Self {
        Self {
            octets: Vec::with_capacity(octets),
            messages: VecDeque::with_capacity(256),
            notes: VecDeque::with_capacity(256),
        }
    }

    /// Adds a message of at most `len_max` octets; `write` says how many it has written.
    pub(super) fn push(
        &mut self,
        to: Destination,
        len_max: usize,
        write: impl FnOnce(&mut [u8]) -> usize,
    ) {
        let start = self.octets.len();
        self.octets.resize(start + len_max, 0);
        let len = write(&mut self.octets[start..]);
        debug_assert!(len <= len_max, "a message keeps to its length");
        self.octets.truncate(start + len);
        self.messages.push_back((to, start, len));
    }

    /// Adds a reply to a client.
    pub(super) fn push_reply(&mut self, client: Client, reply: &[u8], note: ReplyNote) {
        self.push(Destination::Client(client), reply.len(), |message| {
            message.copy_from_slice(reply);
            reply.len()
        });
        self.notes.push_back(note);
    }

    /// Takes the oldest message: copies it into `buffer` and says how long it is. The note is that
    /// of a reply.
    pub(super) fn pop(&mut self, buffer: &mut [u8]) -> Option<(Destination, usize, ReplyNote)> {
        let (to, start, len) = self.messages.pop_front()?;
        buffer[..len].copy_from_slice(&self.octets[start..start + len]);
        if self.messages.is_empty() {
            self.octets.clear();
        }
        let note = match to {
            Destination::Client(_) => self.notes.pop_front().unwrap_or_default(),
            Destination::Upstream { .. }
            | Destination::UpstreamTcp { .. }
            | Destination::Validator(_) => ReplyNote::default(),
        };
        Some((to, len, note))
    }

    /// Whether nothing is to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}
