//! The worker's side: which messages become events, and what is said of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::thread::Thread;
use std::time::Duration;

use super::lane::{Head, Lane};
use crate::config::DnstapMessage;
use crate::datagram::{Channel, Client, Datagram, SourcePort};
use crate::engine::{Engine, ReplyNote, Verdict};
use crate::sys::clock::{Clock, real_time_us};
use crate::time::Moment;

/// The observer of a worker, if it has one. Each call is one branch where it has none.
#[derive(Debug, Default)]
pub struct Observed(Option<Box<Observer>>);

impl Observed {
    /// Observed by this one.
    #[must_use]
    pub fn by(observer: Observer) -> Self {
        Self(Some(Box::new(observer)))
    }

    /// A client has asked, and the engine has decided; a reply that was given at once is in `out`.
    #[inline]
    pub fn asked(
        &mut self,
        engine: &Engine,
        query: Datagram<'_>,
        verdict: Verdict,
        out: &[u8],
        now: Moment,
    ) {
        if let Some(observer) = &mut self.0 {
            observer.asked(query, verdict, out, engine.reply_note(), now);
        }
    }

    /// A client that had to wait gets its reply.
    #[inline]
    pub fn answered(&mut self, engine: &Engine, client: &Client, reply: &[u8], now: Moment) {
        if let Some(observer) = &mut self.0 {
            observer.answered(client, reply, engine.reply_note(), now);
        }
    }

    /// A query goes to a server; from this port by UDP, by TCP where there is none.
    #[inline]
    pub fn forwards(
        &mut self,
        server: Option<&SocketAddr>,
        port: Option<SourcePort>,
        query: &[u8],
        now: Moment,
    ) {
        if let Some(observer) = &mut self.0 {
            observer.exchange(DnstapMessage::ForwarderQuery, server, port, query, now);
        }
    }

    /// A response has come from a server; to this port by UDP, by TCP where there is none.
    #[inline]
    pub fn hears(
        &mut self,
        server: Option<&SocketAddr>,
        port: Option<SourcePort>,
        response: &[u8],
        now: Moment,
    ) {
        if let Some(observer) = &mut self.0 {
            observer.exchange(DnstapMessage::ForwarderResponse, server, port, response, now);
        }
    }

    /// Tells the writers that there may be something. To be called once a turn.
    #[inline]
    pub fn flush(&mut self) {
        if let Some(observer) = &mut self.0 {
            observer.flush();
        }
    }
}

/// Where events go, and which.
#[derive(Debug)]
pub struct Tap {
    lane: Lane,
    writer: Thread,
    /// One in so many.
    sample: u32,
    /// Which messages, by their places in [`DnstapMessage::ALL`].
    wanted: [bool; 4],
    /// Whether something was put in since the writer was told.
    is_dirty: bool,
}

impl Tap {
    /// Events of these messages, one in `sample`, go into this lane, to this thread.
    #[must_use]
    pub fn new(lane: Lane, writer: Thread, sample: u32, messages: &[DnstapMessage]) -> Self {
        let wanted = DnstapMessage::ALL.map(|message| messages.contains(&message));
        Self { lane, writer, sample: sample.max(1), wanted, is_dirty: false }
    }

    /// Whether a message of this kind is wanted at all.
    const fn wants(&self, message: DnstapMessage) -> bool {
        self.wanted[message as usize]
    }

    /// Puts a message in, if it is in the sample; `draw` is equal for a query and its reply.
    fn offer(&mut self, draw: u64, head: Head, bytes: &[u8]) {
        let is_drawn = self.sample == 1 || draw.is_multiple_of(u64::from(self.sample));
        if is_drawn && self.wants(head.message) {
            self.lane.offer(head, bytes);
            self.is_dirty = true;
        }
    }

    fn flush(&mut self) {
        if std::mem::take(&mut self.is_dirty) {
            self.writer.unpark();
        }
    }
}

/// What a worker records with.
#[derive(Debug)]
pub struct Observer {
    clock: Clock,
    /// The addresses we listen on, by their places.
    listen: Vec<SocketAddr>,
    /// Makes the sample one that nobody can choose to be in.
    seed: u64,
    dnstap: Option<Tap>,
    query_log: Option<Tap>,
}

impl Observer {
    /// An observer of a worker that listens on these addresses.
    #[must_use]
    pub const fn new(
        clock: Clock,
        listen: Vec<SocketAddr>,
        seed: u64,
        dnstap: Option<Tap>,
        query_log: Option<Tap>,
    ) -> Self {
        Self { clock, listen, seed, dnstap, query_log }
    }

    /// Both taps.
    fn taps(&mut self) -> impl Iterator<Item = &mut Tap> {
        self.dnstap.iter_mut().chain(&mut self.query_log)
    }

    #[inline(never)]
    fn asked(
        &mut self,
        query: Datagram<'_>,
        verdict: Verdict,
        out: &[u8],
        note: ReplyNote,
        now: Moment,
    ) {
        let client = query.client;
        if client.channel.is_validator() {
            return;
        }
        let at_us = real_time_us();
        let since = micros(self.clock.now().since(now));
        let asked_us = at_us.saturating_sub(since);
        let draw = self.draw(client.peer, query.bytes);
        let head = Head {
            message: DnstapMessage::ClientQuery,
            asked_us: Some(asked_us),
            at_us: asked_us,
            ..self.head_of(&client)
        };
        if let Some(tap) = &mut self.dnstap {
            tap.offer(draw, head, query.bytes);
        }
        if let Verdict::Reply { len } = verdict {
            let head = Head { message: DnstapMessage::ClientResponse, at_us, note, ..head };
            let reply = out.get(..len).unwrap_or_default();
            self.taps().for_each(|tap| tap.offer(draw, head, reply));
        }
    }

    #[inline(never)]
    fn answered(&mut self, client: &Client, reply: &[u8], note: ReplyNote, now: Moment) {
        // An empty one only frees the query's place on its connection.
        if client.channel.is_validator() || reply.is_empty() {
            return;
        }
        let at_us = real_time_us();
        let late = micros(self.clock.now().since(now));
        let asked_us = note.waited.map(|waited| at_us.saturating_sub(micros(waited) + late));
        let draw = self.draw(client.peer, reply);
        let head = Head {
            message: DnstapMessage::ClientResponse,
            asked_us,
            at_us,
            note,
            ..self.head_of(client)
        };
        self.taps().for_each(|tap| tap.offer(draw, head, reply));
    }

    #[inline(never)]
    fn exchange(
        &mut self,
        message: DnstapMessage,
        server: Option<&SocketAddr>,
        port: Option<SourcePort>,
        bytes: &[u8],
        now: Moment,
    ) {
        let Some(server) = server.copied().filter(|_| !bytes.is_empty()) else { return };
        if self.dnstap.as_ref().is_none_or(|tap| !tap.wants(message)) {
            return;
        }
        let at_us = real_time_us().saturating_sub(micros(self.clock.now().since(now)));
        let draw = self.draw(server, bytes);
        let is_query = message == DnstapMessage::ForwarderQuery;
        let head = Head {
            message,
            is_tcp: port.is_none(),
            peer: server,
            local_port: port.map_or(0, |port| port.0),
            asked_us: is_query.then_some(at_us),
            at_us,
            ..Head::default()
        };
        if let Some(tap) = &mut self.dnstap {
            tap.offer(draw, head, bytes);
        }
    }

    fn flush(&mut self) {
        self.taps().for_each(Tap::flush);
    }

    /// What is said of a client's message.
    fn head_of(&self, client: &Client) -> Head {
        let listen = self.listen.get(usize::from(client.channel.socket()));
        // A socket that has but one address does not say which.
        let mut local = [Some(client.local), listen.map(SocketAddr::ip)].into_iter().flatten();
        Head {
            is_tcp: matches!(client.channel, Channel::Tcp { .. }),
            peer: client.peer,
            local: local.find(|address| !address.is_unspecified()),
            local_port: listen.map_or(0, SocketAddr::port),
            ..Head::default()
        }
    }

    /// What decides whether an exchange is in a sample: the other end and the message's ID, so that
    /// a query and its reply are both in it or both not.
    fn draw(&self, peer: SocketAddr, message: &[u8]) -> u64 {
        let is_sampled = |tap: &Option<Tap>| tap.as_ref().is_some_and(|tap| tap.sample > 1);
        if !is_sampled(&self.dnstap) && !is_sampled(&self.query_log) {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        (peer.ip(), peer.port()).hash(&mut hasher);
        message.first_chunk::<2>().hash(&mut hasher);
        hasher.finish()
    }
}

/// A duration in whole microseconds.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::lane::{Outlet, lane};
    use super::*;

    fn tap(sample: u32, messages: &[DnstapMessage]) -> (Tap, Outlet) {
        let (lane, outlet) = lane(Arc::default());
        (Tap::new(lane, std::thread::current(), sample, messages), outlet)
    }

    fn client(port: u16) -> Client {
        Client {
            peer: SocketAddr::new([192, 0, 2, 1].into(), port),
            local: [192, 0, 2, 53].into(),
            interface: 0,
            channel: Channel::Udp { socket: 1 },
        }
    }

    fn observer(sample: u32, messages: &[DnstapMessage]) -> (Observer, Outlet, Outlet) {
        let (dnstap, dnstap_outlet) = tap(sample, messages);
        let (log, log_outlet) = tap(1, &[DnstapMessage::ClientResponse]);
        let listen = vec!["[::]:5301".parse().unwrap(), "0.0.0.0:5302".parse().unwrap()];
        let observer = Observer::new(Clock::start(), listen, 7, Some(dnstap), Some(log));
        (observer, dnstap_outlet, log_outlet)
    }

    fn taken(outlet: &Outlet) -> Vec<(DnstapMessage, Vec<u8>)> {
        std::iter::from_fn(|| outlet.take())
            .map(|event| (event.head.message, event.bytes.clone()))
            .collect()
    }

    #[test]
    fn a_query_and_its_reply_are_two_events_and_one_line() {
        let (mut observer, dnstap, log) = observer(1, &DnstapMessage::ALL);
        let query = Datagram { bytes: b"query", client: client(9) };
        let note = ReplyNote::default();
        observer.asked(query, Verdict::Reply { len: 5 }, b"reply and room", note, Moment::START);
        observer.asked(query, Verdict::Pending, b"", note, Moment::START);
        observer.answered(&query.client, b"late", note, Moment::START);
        let event = dnstap.take().expect("the query");
        assert_eq!(event.head.peer, query.client.peer);
        assert_eq!((event.head.local, event.head.local_port), (Some([192, 0, 2, 53].into()), 5302));
        let expected: [(_, &[u8]); 3] = [
            (DnstapMessage::ClientResponse, b"reply"),
            (DnstapMessage::ClientQuery, b"query"),
            (DnstapMessage::ClientResponse, b"late"),
        ];
        assert_eq!(taken(&dnstap), expected.map(|(kind, bytes)| (kind, bytes.to_vec())));
        assert_eq!(taken(&log).len(), 2);
    }

    #[test]
    fn a_sample_has_both_messages_of_an_exchange_or_none_and_about_its_share() {
        let (mut observer, dnstap, log) = observer(10, &DnstapMessage::ALL);
        for port in 1..=2_000 {
            let query = Datagram { bytes: b"\x01\x02 query", client: client(port) };
            let note = ReplyNote::default();
            observer.asked(query, Verdict::Pending, b"", note, Moment::START);
            observer.answered(&query.client, b"\x01\x02 reply", note, Moment::START);
        }
        let events = taken(&dnstap);
        let queries = events.iter().filter(|(kind, _)| *kind == DnstapMessage::ClientQuery);
        assert_eq!(queries.count() * 2, events.len());
        assert!((200..=600).contains(&events.len()), "{} of 4000 in a tenth", events.len());
        assert_eq!(taken(&log).len(), 2_000, "which has a sample of its own");
    }

    #[test]
    fn where_the_socket_does_not_say_its_address_the_one_that_is_listened_on_is_told() {
        let (observer, ..) = observer(1, &DnstapMessage::ALL);
        let unknown = Client { local: [0, 0, 0, 0].into(), ..client(9) };
        assert_eq!(observer.head_of(&unknown).local, None, "both are any address");
        let listen = vec!["[::1]:5301".parse().unwrap(), "192.0.2.9:5302".parse().unwrap()];
        let observer = Observer { listen, ..observer };
        assert_eq!(observer.head_of(&unknown).local, Some([192, 0, 2, 9].into()));
        assert_eq!(observer.head_of(&client(9)).local, Some([192, 0, 2, 53].into()));
    }

    #[test]
    fn only_the_wanted_messages_are_recorded() {
        let (mut observer, dnstap, _) = observer(1, &[DnstapMessage::ForwarderResponse]);
        let server: SocketAddr = "192.0.2.7:53".parse().unwrap();
        let port = Some(SourcePort(4_000));
        let query = Datagram { bytes: b"query", client: client(9) };
        observer.asked(query, Verdict::Pending, b"", ReplyNote::default(), Moment::START);
        let now = Moment::START;
        observer.exchange(DnstapMessage::ForwarderQuery, Some(&server), port, b"ask", now);
        observer.exchange(DnstapMessage::ForwarderResponse, Some(&server), port, b"told", now);
        let event = dnstap.take().expect("the response");
        assert_eq!((event.head.peer, event.head.local_port), (server, 4_000));
        assert_eq!((event.head.is_tcp, event.bytes.as_slice()), (false, &b"told"[..]));
        assert!(dnstap.take().is_none());
    }
}
