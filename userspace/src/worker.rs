//! A worker: one thread, one engine, its own sockets, and the loop that carries messages between
//! them. It decides nothing: what a message means is the engine's affair, how it travels the
//! transports'.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;

use crate::admission::Admission;
use crate::counters::Counters;
use crate::counting::Countings;
use crate::datagram::{Channel, Datagram, Epoch, InEpoch, WorkerId};
use crate::dnssec::{FromValidator, ToValidator};
use crate::engine::respond::TransportFailure;
use crate::engine::{Destination, Engine, HotOrder, PeerMessage, Validation, Verdict};
use crate::limits::{BATCH_LEN, MESSAGE_LEN_MAX, UDP_RECEIVE_LEN};
use crate::observe::Observed;
use crate::orders::{Command, ORDERS_MAX, RETIRED_MAX, Reconfiguration, Report};
use crate::publisher::HotOrders;
use crate::serving::{Serving, count_queue};
use crate::sys::clock::Clock;
use crate::sys::mmsg::{MessageBatch, ReplyBatch};
use crate::sys::waker::Waker;
use crate::time::Moment;
use crate::transport::af_xdp::{Services, XskQueue};
use crate::transport::inbox::{Inbox, Sender};
use crate::transport::poll::{Poller, Registry, Token, UpstreamToken};
use crate::transport::socket::SocketTransport;
use crate::transport::task_inbox::TaskSender;
use crate::transport::tcp::server::{Inbound, TcpReply};
use crate::transport::tcp::upstream::{TcpFailure, UpstreamTcpQuery, UpstreamTcpReply};
use crate::wire::PlainQuery;
use crate::wire::edns::InfoCode;
use crate::wire::question::Rtype;

/// Full batches taken from one socket before the others have their turn.
const BATCHES_IN_A_ROW: usize = 4;

/// Messages taken from one inbox before the sockets have their turn.
const MESSAGES_IN_A_ROW: usize = 256;

/// The longest sleep: retired sockets are closed and a lost wake-up is repaired after it.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// How long those who wait are served after the order to stop.
const STOP_WAIT: Duration = Duration::from_millis(2_500);

/// How often a worker that has no more clients looks whether the others have none either.
const STOP_POLL: Duration = Duration::from_millis(5);

/// Octets in use of a cache from which on loading entries ahead of a batch is worth its cost: what
/// fits the processor's own caches is fast without.
const TOUCH_FROM_LEN: u64 = 512 << 10;

/// The longest sleep while an interface has replies that it has not sent yet.
const UNSENT_SLEEP: Duration = Duration::from_millis(1);

/// How often a queue that closes is served: it holds less than this.
const CLOSING_TURNS_MAX: usize = 64;

/// Where a worker's messages come in; all wake it by the same waker.
pub struct Inboxes {
    /// Queries of TCP clients.
    pub tcp: Inbox<Inbound>,
    /// Outcomes of upstream queries by TCP.
    pub upstream_tcp: Inbox<UpstreamTcpReply>,
    /// Messages of other workers.
    pub peers: Inbox<InEpoch<PeerMessage>>,
    /// What validators say and ask.
    pub validator: Inbox<InEpoch<FromValidator>>,
    /// Orders.
    pub commands: Inbox<Command>,
    /// The waker.
    waker: Waker,
}

impl Inboxes {
    /// Inboxes of so many messages each.
    ///
    /// # Errors
    /// Where there is no file descriptor left for the waker.
    pub fn new(capacity: usize) -> io::Result<Self> {
        let waker = Waker::new()?;
        Ok(Self {
            tcp: Inbox::with_waker(capacity, waker.clone()),
            upstream_tcp: Inbox::with_waker(capacity, waker.clone()),
            peers: Inbox::with_waker(capacity, waker.clone()),
            validator: Inbox::with_waker(capacity, waker.clone()),
            commands: Inbox::with_waker(ORDERS_MAX, waker.clone()),
            waker,
        })
    }
}

/// Where a worker's messages to others go.
pub struct Outlets {
    /// All workers' inboxes, by [`WorkerId`].
    pub peers: Vec<Sender<InEpoch<PeerMessage>>>,
    /// Replies to TCP clients.
    pub tcp_replies: TaskSender<TcpReply>,
    /// Upstream queries by TCP.
    pub upstream_tcp: TaskSender<UpstreamTcpQuery>,
    /// How many workers still may owe a client a reply.
    pub unfinished: Arc<AtomicUsize>,
    /// Answers to be validated, and what the validator has asked for, under the first
    /// configuration; `None` where nothing is validated.
    pub validator: Option<TaskSender<ToValidator>>,
    /// What is hot, for the publisher; `None` where nothing is published.
    pub hot: Option<HotOrders>,
    /// What is recorded of queries.
    pub observed: Observed,
    /// Configurations under which nobody waits any more, to be dropped.
    pub ended: TaskSender<Box<Serving>>,
}

/// One worker.
pub struct Worker {
    id: WorkerId,
    /// The configuration in force.
    serving: Box<Serving>,
    /// Earlier ones, whose clients still wait.
    retired: Vec<Box<Serving>>,
    clock: Clock,
    poller: Poller,
    sockets: SocketTransport,
    /// What the sockets listen on.
    services: Services,
    /// The `AF_XDP` queues.
    queues: Vec<XskQueue>,
    /// What queues have seen that are closed.
    closed: Counters,
    inboxes: Inboxes,
    outlets: Outlets,
    /// What is counted for those who look.
    countings: Countings,
    batch: MessageBatch,
    /// Its queries, read ahead.
    ahead: Vec<Option<PlainQuery>>,
    admission: Admission,
    /// The socket at which too many queries wait, if there is one.
    crowded: Option<u16>,
    /// What the publisher had no room for.
    held_hot: Option<HotOrder>,
    late: ReplyBatch,
    /// Space for one message of any length.
    message: Box<[u8]>,
    /// When the order to stop came.
    stopping: Option<Moment>,
    /// Whether it has answered its last client.
    finished: bool,
}

impl Worker {
    /// A worker with its engine and sockets. All memory it needs for hits is allocated here.
    ///
    /// # Errors
    /// Where there is no file descriptor left for its epoll.
    pub fn new(
        id: WorkerId,
        engine: Engine,
        clock: Clock,
        sockets: SocketTransport,
        random: ChaCha20Rng,
        inboxes: Inboxes,
        mut outlets: Outlets,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        let validator = outlets.validator.take();
        sockets.register(&poller)?;
        poller.add(&inboxes.waker, Token::Waker)?;
        Ok(Self {
            id,
            serving: Serving::new(engine, poller.registry(), random, validator),
            retired: Vec::with_capacity(RETIRED_MAX),
            clock,
            poller,
            services: Services::new(sockets.local_addresses()),
            sockets,
            queues: Vec::new(),
            closed: Counters::default(),
            inboxes,
            outlets,
            countings: Countings::default(),
            batch: MessageBatch::new(),
            ahead: Vec::with_capacity(BATCH_LEN),
            admission: Admission::default(),
            crowded: None,
            held_hot: None,
            late: ReplyBatch::new(),
            message: vec![0; MESSAGE_LEN_MAX].into_boxed_slice(),
            stopping: None,
            finished: false,
        })
    }

    /// A handle to its epoll, for sockets of configurations to come.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.poller.registry()
    }

    /// Works until [`Command::Stop`], and says what it has counted; its engine is left behind.
    ///
    /// # Errors
    /// Where the epoll fails: nothing can be done without it.
    pub fn run(mut self) -> io::Result<(Counters, Engine)> {
        loop {
            let now = self.clock.now();
            if self.has_stopped(now) {
                break;
            }
            let wake_at = self.wakes_at();
            let longest = if self.has_unsent() {
                UNSENT_SLEEP
            } else if self.finished {
                STOP_POLL
            } else {
                SLEEP_MAX
            };
            let sleep = wake_at.map_or(longest, |at| at.since(now).min(longest));
            let events = self.poller.wait(Some(sleep))?;
            let now = self.clock.now();
            let mut responses = 0;
            for event in 0..events {
                if let Some(Token::Upstream(token)) = self.poller.token(event) {
                    responses += 1;
                    self.receive(token, now);
                }
            }
            let lookups = self.serving.engine.lookups_under_way();
            let reads_queries = self.admission.reads_queries(responses, lookups);
            for event in 0..events {
                match self.poller.token(event) {
                    Some(Token::Listen(_) | Token::Queue(_)) if !reads_queries => {}
                    Some(Token::Listen(socket)) => self.serve_socket(socket),
                    Some(Token::Queue(id)) => {
                        let _comes_again = self.serve_queue(id);
                    }
                    Some(Token::Waker) => self.read_inboxes(now),
                    Some(Token::Upstream(_)) | None => {}
                }
            }
            let now = self.clock.now();
            if self.serving.engine.poll_timeout().is_some_and(|at| at <= now) {
                self.serving.engine.handle_timeout(now);
            }
            self.send_all(now);
            self.serve_retired(now);
            self.serving.engine.replies_took(self.clock.now().since(now));
            self.send_hot();
            self.outlets.observed.flush();
            self.countings.end_due(now);
            self.queues.iter_mut().for_each(XskQueue::tell_room);
            if events == 0 {
                self.serving.upstream.close_retired(now);
            }
        }
        while let Some(queue) = self.queues.first() {
            self.close_queue(queue.id());
        }
        for serving in std::iter::once(&mut self.serving).chain(&mut self.retired) {
            serving.engine.stop();
        }
        Ok((self.counters(), self.serving.engine))
    }

    /// Answers what waits at a socket, and says whether queries may come there from `AF_XDP`
    /// queues that are full.
    fn serve_socket(&mut self, socket: u16) {
        let more = self.serve_batches(socket);
        let crowded = match (more && !self.queues.is_empty()) && self.sockets.is_crowded(socket) {
            true => Some(socket),
            false => self.crowded.filter(|other| *other != socket),
        };
        if crowded != self.crowded {
            self.crowded = crowded;
            self.queues.iter().for_each(|queue| queue.shed(crowded.is_some()));
        }
    }

    /// Answers what waits at a socket: hits at once, in the batch they came in. True if more may
    /// wait.
    fn serve_batches(&mut self, socket: u16) -> bool {
        for _ in 0..BATCHES_IN_A_ROW {
            let Some(fd) = self.sockets.socket(socket) else { return false };
            // An error here is an ICMP message about an earlier reply: it concerns nobody else.
            let received = self.batch.recv(fd, socket).unwrap_or_default();
            if received == 0 {
                return false;
            }
            let now = self.clock.now();
            let touch =
                received > 1 && self.serving.engine.shard().stats().used_octets >= TOUCH_FROM_LEN;
            let queries = (0..received).map(|slot| self.batch.datagram(slot).bytes);
            self.serving.engine.read_ahead(queries, touch, &mut self.ahead);
            for (slot, plain) in self.ahead.iter().enumerate() {
                let (query, out) = self.batch.split(slot);
                let plain = plain.as_ref();
                let verdict = self.serving.engine.handle_query_ahead(query, plain, out, now);
                self.outlets.observed.asked(&self.serving.engine, query, verdict, out, now);
                self.countings.asked(&self.serving.engine, query, verdict, now);
                if let Verdict::Reply { len } = verdict {
                    self.batch.set_reply(slot, len);
                }
            }
            let report = self.batch.send(fd);
            self.serving.engine.count_unsent(report.failed as u64);
            self.serving.engine.replies_took(self.clock.now().since(now));
            if self.serving.engine.has_output() {
                self.send_all(now);
            }
            if !self.batch.is_full() {
                return false;
            }
            if Admission::is_pressed(self.serving.engine.lookups_under_way()) {
                return true;
            }
        }
        true
    }

    /// Answers what waits at an `AF_XDP` queue: hits at once, in the frames they came in.
    /// False if more may wait.
    fn serve_queue(&mut self, id: u32) -> bool {
        let Some(place) = self.queues.iter().position(|queue| queue.id() == id) else {
            return true;
        };
        for _ in 0..BATCHES_IN_A_ROW {
            let queue = &mut self.queues[place];
            let received = queue.receive(&self.services);
            if received == 0 {
                return true;
            }
            let now = self.clock.now();
            let touch =
                received > 1 && self.serving.engine.shard().stats().used_octets >= TOUCH_FROM_LEN;
            self.serving.engine.read_ahead(queue.messages(), touch, &mut self.ahead);
            for (slot, plain) in self.ahead.iter().enumerate() {
                let Some(query) = queue.query(slot) else { continue };
                let client = query.client;
                // As much room as at a socket, so that the reply is the same.
                let out = &mut self.message[..UDP_RECEIVE_LEN];
                let verdict =
                    self.serving.engine.handle_query_ahead(query, plain.as_ref(), out, now);
                self.outlets.observed.asked(&self.serving.engine, query, verdict, out, now);
                self.countings.asked(&self.serving.engine, query, verdict, now);
                let Verdict::Reply { len } = verdict else { continue };
                let reply = &self.message[..len];
                if !queue.reply(slot, reply) && !self.late.push(&client, reply) {
                    self.serving.engine.count_unsent(1);
                }
            }
            let unsent = queue.finish();
            self.serving.engine.count_unsent(unsent);
            self.flush_late();
            self.serving.engine.replies_took(self.clock.now().since(now));
            if self.serving.engine.has_output() {
                self.send_all(now);
            }
            if received < BATCH_LEN {
                return true;
            }
            if Admission::is_pressed(self.serving.engine.lookups_under_way()) {
                return false;
            }
        }
        false
    }

    /// Whether an interface has replies that it has not sent yet: it is asked once more.
    fn has_unsent(&mut self) -> bool {
        let mut unsent = false;
        for queue in &mut self.queues {
            if queue.has_unsent() {
                queue.flush();
                unsent |= queue.has_unsent();
            }
        }
        unsent
    }

    /// Serves a queue from now on.
    fn open_queue(&mut self, queue: XskQueue) {
        // Without it nothing is read, and the sockets have the traffic as soon as it is dropped.
        if self.poller.add(&queue, Token::Queue(queue.id())).is_ok() {
            // Its place in the map may have been that of a queue that was closed under pressure.
            queue.shed(self.crowded.is_some());
            self.queues.push(queue);
        }
    }

    /// Answers what has come by a queue, and closes it.
    fn close_queue(&mut self, id: u32) {
        for _ in 0..CLOSING_TURNS_MAX {
            if self.serve_queue(id) {
                break;
            }
        }
        let Some(place) = self.queues.iter().position(|queue| queue.id() == id) else { return };
        let queue = self.queues.swap_remove(place);
        let _not_registered = self.poller.remove(&queue);
        count_queue(&queue, &mut self.closed);
    }

    /// The configuration in force, and earlier ones.
    fn servings(&self) -> impl Iterator<Item = &Serving> {
        std::iter::once(&self.serving).chain(&self.retired).map(|serving| &**serving)
    }

    /// What all engines and closed queues have counted.
    fn counters(&self) -> Counters {
        let mut counters = self.closed.clone();
        self.servings().for_each(|serving| counters.add(serving.engine.counters()));
        counters
    }

    /// What is counted and under way now.
    fn report(&self) -> Report {
        let mut counters = self.counters();
        self.queues.iter().for_each(|queue| count_queue(queue, &mut counters));
        let engines = || self.servings().map(|serving| &serving.engine);
        Report {
            worker: self.id,
            epoch: self.serving.engine.epoch(),
            counters,
            clients_waiting: engines().map(Engine::clients_waiting).sum(),
            lookups: engines().map(Engine::lookups_under_way).sum(),
            cache: self.serving.engine.shard().stats(),
            upstreams: self.serving.engine.upstreams().collect(),
            retired: self.retired.len(),
        }
    }

    /// Takes what others have sent.
    fn read_inboxes(&mut self, now: Moment) {
        self.inboxes.waker.drain();
        for _ in 0..MESSAGES_IN_A_ROW {
            match self.inboxes.commands.pop() {
                Some(Command::Stop) => self.begin_stop(now),
                Some(Command::OpenQueue(queue)) => self.open_queue(*queue),
                Some(Command::SetMtu(id, mtu)) => {
                    let queue = self.queues.iter_mut().find(|queue| queue.id() == id);
                    // Closed meanwhile if it is not there.
                    if let Some(queue) = queue {
                        queue.set_mtu(mtu);
                    }
                }
                Some(Command::CloseQueue(id)) => self.close_queue(id),
                Some(Command::FlushHot(generation)) => {
                    self.serving.engine.flush_hot(generation);
                    self.held_hot = None;
                }
                Some(Command::SetPools(epoch, tables)) => {
                    let _ended =
                        self.in_epoch(epoch, |worker| worker.serving.engine.set_pools(tables));
                }
                Some(Command::Flush(scope, reply)) => {
                    // What other workers have sent before they forgot it is forgotten here.
                    while let Some(message) = self.inboxes.peers.pop() {
                        self.hear_peer(message, now);
                    }
                    // There is a place in it for each worker, or nobody waits any more.
                    let _gone = reply.try_send(self.serving.engine.flush(&scope));
                }
                Some(Command::ShowCache(from, wanted, reply)) => {
                    // There is a place in it for each page, or nobody waits any more.
                    let _gone = reply.try_send(self.serving.engine.cache_page(from, &wanted, now));
                }
                Some(Command::Restore(page, reply)) => {
                    let elapsed_secs = page.elapsed_secs(now);
                    let engine = &mut self.serving.engine;
                    let _gone = reply.try_send(engine.restore(&page.octets, elapsed_secs, now));
                }
                Some(Command::Reconfigure(order)) => self.reconfigure(*order),
                Some(Command::Report(reply)) => {
                    // There is a place in it for each worker, or nobody waits any more.
                    let _gone = reply.try_send(self.report());
                }
                Some(Command::Count(order)) => self.countings.begin(order, now),
                None => break,
            }
        }
        let mut left = [true; 4];
        for _ in 0..MESSAGES_IN_A_ROW {
            match self.inboxes.tcp.pop() {
                Some(query) => self.serve_tcp(&query, now),
                None => left[0] = false,
            }
            match self.inboxes.upstream_tcp.pop() {
                Some(UpstreamTcpReply { epoch, token, server, result }) => {
                    let result = result.as_deref().map_err(|failure| match failure {
                        TcpFailure::Connect => TransportFailure::Refused,
                        TcpFailure::Timeout => TransportFailure::Timeout,
                        TcpFailure::Closed | TcpFailure::Busy => TransportFailure::Broken,
                    });
                    // Whoever waited under a configuration that has ended waits no more.
                    let _ended = self.in_epoch(epoch, |worker| {
                        let from = worker.serving.servers.get(usize::from(server.0));
                        worker.outlets.observed.hears(from, None, result.unwrap_or_default(), now);
                        worker.serving.engine.handle_tcp_response(token, result, now);
                    });
                }
                None => left[1] = false,
            }
            match self.inboxes.peers.pop() {
                Some(message) => self.hear_peer(message, now),
                None => left[2] = false,
            }
            match self.inboxes.validator.pop() {
                Some(InEpoch { epoch, message }) => {
                    let _ended = self.in_epoch(epoch, |worker| match message {
                        FromValidator::Verdict { of, validation } => {
                            worker.serving.engine.handle_validation(of, validation, now);
                        }
                        FromValidator::Query { number, name, rtype } => {
                            worker.serve_validator(number, &name, rtype, now);
                        }
                    });
                }
                None => left[3] = false,
            }
            if left == [false; 4] {
                return;
            }
        }
        // There may be more: come back after the sockets have had their turn.
        self.inboxes.waker.wake();
    }

    /// Gives the engine of a socket what has come to it.
    fn receive(&mut self, token: UpstreamToken, now: Moment) {
        if self.serving.upstream.has(token) {
            self.serving.receive(token, &mut self.outlets.observed, now);
        } else if let Some(place) = self.retired.iter().position(|one| one.upstream.has(token)) {
            self.as_retired(place, |worker| {
                worker.serving.receive(token, &mut worker.outlets.observed, now);
            });
        }
    }

    /// Takes a message of another worker. One that belongs to a configuration that is not served
    /// here, no more or not yet, gets the answer that frees the asker from waiting.
    fn hear_peer(&mut self, heard: InEpoch<PeerMessage>, now: Moment) {
        let InEpoch { epoch, message } = heard;
        let declined = message.declined();
        let served = self.in_epoch(epoch, |worker| worker.serving.engine.handle_peer(message, now));
        if !served && let Some((asker, message)) = declined {
            // An asker without room asks the servers itself when its time comes.
            let _full = self.tell_peer(asker, InEpoch { epoch, message });
        }
    }

    /// Sends another worker a message; what has no room comes back.
    fn tell_peer(
        &self,
        worker: WorkerId,
        message: InEpoch<PeerMessage>,
    ) -> Option<InEpoch<PeerMessage>> {
        match self.outlets.peers.get(usize::from(worker.0)) {
            Some(peer) => peer.try_send(message).err(),
            None => Some(message),
        }
    }

    /// Serves a configuration from now on. Those who wait under the present one are answered by it.
    fn reconfigure(&mut self, order: Reconfiguration) {
        if self.retired.len() >= RETIRED_MAX {
            // Whoever orders so fast has been told how many there are.
            let mut oldest = self.retired.remove(0);
            oldest.engine.stop();
            self.end(oldest);
        }
        let Reconfiguration { prepared, done } = order;
        let mut successor = prepared.take_over(&mut self.serving);
        let (before, after) = (self.serving.engine.policy(), successor.engine.policy());
        if !before.rpz.names().eq(after.rpz.names()) {
            self.closed.rpz.clear();
        }
        self.held_hot = None;
        std::mem::swap(&mut self.serving, &mut successor);
        let keeps_cache = successor.shares_cache;
        self.retired.push(successor);
        if !keeps_cache {
            // What earlier engines know or learn is nothing for the new cache.
            self.retired.iter_mut().for_each(|retired| retired.shares_cache = false);
        }
        // There is a place in it for each worker, or nobody waits any more.
        let _gone = done.try_send(self.id);
    }

    /// Answers those who wait under earlier configurations, and lets go of the configurations under
    /// which nobody does.
    fn serve_retired(&mut self, now: Moment) {
        for place in (0..self.retired.len()).rev() {
            self.as_retired(place, |worker| {
                if worker.serving.engine.poll_timeout().is_some_and(|at| at <= now) {
                    worker.serving.engine.handle_timeout(now);
                }
                worker.send_all(now);
            });
            if !self.retired[place].engine.is_awaited() {
                let ended = self.retired.remove(place);
                self.end(ended);
            }
        }
    }

    /// Lets go of a configuration, but for what has been counted under it. Another thread drops it:
    /// its tables, its sockets, perhaps a cache and a policy that nobody else has.
    fn end(&mut self, ended: Box<Serving>) {
        let mut counters = ended.engine.counters().clone();
        let same_zones =
            ended.engine.policy().rpz.names().eq(self.serving.engine.policy().rpz.names());
        if !same_zones {
            counters.rpz.clear();
        }
        self.closed.add(&counters);
        // Without room it is dropped here: there is a place for all that a worker may have.
        let _no_room = self.outlets.ended.try_send(ended);
    }

    /// Does something under the configuration of an epoch; false if it is not served here.
    fn in_epoch(&mut self, epoch: Epoch, act: impl FnOnce(&mut Self)) -> bool {
        if self.serving.engine.epoch() == epoch {
            act(self);
            return true;
        }
        let place = self.retired.iter().position(|retired| retired.engine.epoch() == epoch);
        if let Some(place) = place {
            self.as_retired(place, act);
        }
        place.is_some()
    }

    /// Does something with an earlier configuration in the place of the present one.
    fn as_retired(&mut self, place: usize, act: impl FnOnce(&mut Self)) {
        // Out of the list meanwhile, which `act` may look at.
        let mut retired = self.retired.remove(place);
        Serving::exchange(&mut self.serving, &mut retired);
        act(self);
        Serving::exchange(&mut self.serving, &mut retired);
        self.retired.insert(place, retired);
    }

    /// When the next engine must be called, or a counting ends.
    fn wakes_at(&self) -> Option<Moment> {
        let engines = self.servings().filter_map(|serving| serving.engine.poll_timeout());
        engines.chain(self.countings.ends_at()).min()
    }

    /// Answers a query that came by TCP.
    fn serve_tcp(&mut self, query: &Inbound, now: Moment) {
        let Channel::Tcp { connection, .. } = query.client.channel else { return };
        let datagram = Datagram { bytes: &query.bytes, client: query.client };
        let verdict = self.serving.engine.handle_query(datagram, &mut self.message, now);
        let Self { outlets, serving, message, countings, .. } = self;
        outlets.observed.asked(&serving.engine, datagram, verdict, message, now);
        countings.asked(&serving.engine, datagram, verdict, now);
        let bytes = match verdict {
            Verdict::Reply { len } => self.message[..len].to_vec(),
            // An empty reply frees the query's place on its connection.
            Verdict::Drop(_) => Vec::new(),
            Verdict::Pending => return,
        };
        if self.outlets.tcp_replies.try_send(TcpReply { connection, bytes }).is_err() {
            self.serving.engine.count_unsent(1);
        }
    }

    /// Answers a question of the validator.
    fn serve_validator(&mut self, number: u64, name: &[u8], rtype: Rtype, now: Moment) {
        let out = &mut self.message;
        let verdict = self.serving.engine.handle_validator_query(number, name, rtype, out, now);
        if let Verdict::Reply { len } = verdict {
            self.tell_validator(number, len);
        }
    }

    /// Sends the validator the reply that lies in the space for messages. If there is no room it
    /// gives the question up in its own time.
    fn tell_validator(&self, number: u64, len: usize) {
        let bytes = self.message[..len].to_vec();
        if let Some(validator) = &self.serving.validator {
            let _full = validator.try_send(ToValidator::Reply { number, bytes });
        }
    }

    /// Sends everything the engine wants sent.
    fn send_all(&mut self, now: Moment) {
        // What is sent may fail at once, and the engine then has something else to send.
        while self.serving.engine.has_output() {
            while let Some((to, len)) = self.serving.engine.poll_transmit(&mut self.message) {
                self.send_one(to, len, now);
            }
            while let Some((worker, message)) = self.serving.engine.poll_peer() {
                debug_assert_ne!(worker, self.id, "a worker does not write to itself");
                let message = InEpoch { epoch: self.serving.engine.epoch(), message };
                if let Some(back) = self.tell_peer(worker, message) {
                    self.serving.engine.peer_unreachable(&back.message, now);
                }
            }
            while let Some((server, port)) = self.serving.upstream.take_refusal() {
                self.serving.engine.handle_refused(server, port, now);
            }
        }
        self.flush_late();
    }

    /// Tells the publisher what is hot.
    fn send_hot(&mut self) {
        let Some(orders) = &self.outlets.hot else { return };
        while let Some(order) = self.held_hot.take().or_else(|| self.serving.engine.poll_hot()) {
            if let Err(order) = orders.push(order) {
                // It waits: a reply that must be withdrawn would be given until its time is up.
                self.held_hot = Some(order);
                return;
            }
        }
    }

    /// Sends one message.
    fn send_one(&mut self, to: Destination, len: usize, now: Moment) {
        let Self { outlets, serving, message, .. } = self;
        if let Destination::Client(client) = &to {
            outlets.observed.answered(&serving.engine, client, &message[..len], now);
        }
        match to {
            Destination::Client(client) => match client.channel {
                Channel::Udp { .. } => {
                    if self.late.is_full() {
                        self.flush_late();
                    }
                    if !self.late.push(&client, &self.message[..len]) {
                        self.serving.engine.count_unsent(1);
                    }
                }
                Channel::Tcp { connection, .. } => {
                    let bytes = self.message[..len].to_vec();
                    let reply = TcpReply { connection, bytes };
                    if self.outlets.tcp_replies.try_send(reply).is_err() {
                        self.serving.engine.count_unsent(1);
                    }
                }
                Channel::Validator { question } => self.tell_validator(question, len),
            },
            Destination::Validator(of) => {
                let bytes = self.message[..len].to_vec();
                let response = ToValidator::Response { worker: self.id, of, bytes };
                let sent = match &self.serving.validator {
                    Some(validator) => validator.try_send(response).is_ok(),
                    None => false,
                };
                if !sent {
                    // More is to be validated than can be: nothing unproved is used for that.
                    let validation = Validation::Indeterminate(InfoCode::DNSSEC_INDETERMINATE);
                    self.serving.engine.handle_validation(of, validation, now);
                }
            }
            Destination::Upstream { server, handle, avoid } => {
                match self.serving.upstream.send(server, avoid, &self.message[..len], now) {
                    Ok(port) => {
                        self.serving.engine.sent(handle, port);
                        let to = self.serving.servers.get(usize::from(server.0));
                        let query = &self.message[..len];
                        self.outlets.observed.forwards(to, Some(port), query, now);
                    }
                    Err(_) => self.serving.engine.not_sent(handle, now),
                }
            }
            Destination::UpstreamTcp { server, token, timeout } => {
                let Some(address) = self.serving.servers.get(usize::from(server.0)).copied() else {
                    return;
                };
                let bytes = self.message[..len].to_vec();
                self.outlets.observed.forwards(Some(&address), None, &bytes, now);
                let query = UpstreamTcpQuery {
                    worker: self.id,
                    epoch: self.serving.engine.epoch(),
                    token,
                    server,
                    address,
                    bytes,
                    timeout,
                };
                if self.outlets.upstream_tcp.try_send(query).is_err() {
                    self.serving.engine.handle_tcp_response(
                        token,
                        Err(TransportFailure::Broken),
                        now,
                    );
                }
            }
        }
    }

    /// Sends the replies that had to wait.
    fn flush_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let Self { late, sockets, .. } = self;
        let report = late.flush(|place| sockets.socket(place));
        self.serving.engine.count_unsent(report.failed as u64);
    }

    /// Takes what has come so far, and no more.
    fn begin_stop(&mut self, now: Moment) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(now);
        for id in self.queues.iter().map(XskQueue::id).collect::<Vec<_>>() {
            self.close_queue(id);
        }
        for place in 0..self.sockets.len() as u16 {
            self.serve_socket(place);
            if let Some(socket) = self.sockets.socket(place) {
                // Without the registration nothing more is read; the socket closes at the end.
                let _not_registered = self.poller.remove(socket);
            }
        }
    }

    /// Whether the order to stop has been carried out: by all workers, because one without clients
    /// may own the names that another's clients wait for.
    fn has_stopped(&mut self, now: Moment) -> bool {
        let Some(since) = self.stopping else { return false };
        let waiting: usize = self.servings().map(|one| one.engine.clients_waiting()).sum();
        if !self.finished && waiting == 0 {
            self.finished = true;
            self.outlets.unfinished.fetch_sub(1, Ordering::Relaxed);
        }
        self.outlets.unfinished.load(Ordering::Relaxed) == 0 || now.since(since) >= STOP_WAIT
    }
}
