//! A thread that answers over UDP: batches of queries in, batches of answers out, and a line of
//! answers that leave later.
#![forbid(unsafe_code)]

use std::io;
use std::mem::take;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use dns64::datagram::{Channel, Client};
use dns64::limits::BATCH_LEN;
use dns64::sys::mmsg::{MessageBatch, ReplyBatch};
use dns64::time::Moment;
use rustix::event::epoll::EventFlags;

use crate::wait::{Poller, Room};
use crate::wire::{Query, Refusal};

use super::answer::{ANSWER_MAX, Carrier, write_answer, write_junk, write_refusal};
use super::chance::{Chance, Fate};
use super::delay::DelayLine;
use super::script::Script;
use super::{Counts, Shared};

/// What epoll says of the waker.
const STOP: u64 = u64::MAX;

/// Batches read from one socket before the others, and the delayed answers, get their turn.
const BATCHES_IN_A_ROW: usize = 8;

/// One thread's sockets and memory.
pub(super) struct UdpServer {
    /// What the threads share.
    shared: Arc<Shared>,
    /// One socket a listen address.
    sockets: Vec<UdpSocket>,
    /// Waits for all of them and for the end.
    poller: Poller,
    /// Queries, and the answers that leave at once.
    batch: MessageBatch,
    /// Answers that leave on their own: junk, and delayed ones.
    late: ReplyBatch,
    /// Answers that are to leave later.
    line: DelayLine<Client>,
    /// Decides about loss and delay.
    chance: Chance,
    /// What happened since the counters were last written.
    counts: Counts,
}

impl UdpServer {
    /// A server of these sockets.
    pub(super) fn new(
        shared: Arc<Shared>,
        sockets: Vec<UdpSocket>,
        number: u64,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(&shared.stop, STOP, EventFlags::IN)?;
        for (place, socket) in (0..).zip(&sockets) {
            poller.add(socket, place, EventFlags::IN)?;
        }
        let chance = Chance::new(shared.options.seed.wrapping_add(number), &shared.options);
        Ok(Self {
            shared,
            sockets,
            poller,
            batch: MessageBatch::new(),
            late: ReplyBatch::new(),
            line: DelayLine::new(),
            chance,
            counts: Counts::default(),
        })
    }

    /// Answers until the end.
    pub(super) fn run(mut self) {
        let mut room = Room::new();
        loop {
            let timeout = self.time_to_next_due();
            // Nothing but a broken program makes epoll fail; a test then times out and says so.
            let Ok(events) = self.poller.wait(&mut room, timeout) else { return };
            for ready in events {
                if ready.number == STOP {
                    return;
                }
                self.serve_socket(ready.number as u16);
            }
            self.send_due();
            self.shared.counters.add(&take(&mut self.counts));
        }
    }

    /// Answers what waits at a socket, up to a number of batches.
    fn serve_socket(&mut self, place: u16) {
        for _ in 0..BATCHES_IN_A_ROW {
            let fd = self.sockets[usize::from(place)].as_fd();
            // An error is one of an answer sent before (ICMP); it is taken away by being read.
            let received = self.batch.recv(fd, place).unwrap_or(0);
            let now = self.shared.clock.now();
            for slot in 0..received {
                self.serve(slot, now);
            }
            // Written first, so that whoever has an answer finds it counted.
            self.shared.counters.add(&take(&mut self.counts));
            self.flush_late();
            let report = self.batch.send(self.sockets[usize::from(place)].as_fd());
            self.counts.failed += report.failed as u64;
            if received < BATCH_LEN {
                return;
            }
        }
    }

    /// Answers one query of the batch, which came now: at once or later or never.
    fn serve(&mut self, slot: usize, now: Moment) {
        self.counts.udp_queries += 1;
        let (datagram, room) = self.batch.split(slot);
        let Some(room) = room.first_chunk_mut::<ANSWER_MAX>() else { return };
        let client = datagram.client;
        let query = match Query::parse(datagram.bytes) {
            Ok(query) => query,
            Err(refusal) => {
                self.counts.refused += 1;
                if let Refusal::Rcode(code) = refusal {
                    let len = write_refusal(datagram.bytes, code, room);
                    self.batch.set_reply(slot, len);
                }
                return;
            }
        };
        self.shared.record(&query, Carrier::Udp, client.peer);
        let script = Script::of(query.name);
        let delivery = script.delivery(query.qtype);
        let Fate::After(delay) = self.chance.draw(&delivery) else {
            self.counts.lost += 1;
            return;
        };
        self.counts.answers += 1;
        let due = (delay > Duration::ZERO).then(|| now + delay);
        if delivery.junk {
            let len = write_junk(&query, room);
            if let Some(due) = due {
                let full = self.line.put(due, &room[..len], client).is_err();
                self.counts.failed += u64::from(full);
            } else {
                // Room for one a slot: the batch of late answers was flushed before this one.
                let kept = self.late.push(&client, &room[..len]);
                self.counts.failed += u64::from(!kept);
            }
        }
        let len = write_answer(&query, &script, Carrier::Udp, room);
        if let Some(due) = due {
            let full = self.line.put(due, &room[..len], client).is_err();
            self.counts.failed += u64::from(full);
        } else {
            self.batch.set_reply(slot, len);
        }
    }

    /// Sends the delayed answers whose time has come.
    fn send_due(&mut self) {
        if self.line.next_due().is_none() {
            return;
        }
        let now = self.shared.clock.now();
        loop {
            let Self { line, late, counts, .. } = self;
            let sent = line.take_due(now, |bytes, client| {
                counts.failed += u64::from(!late.push(client, bytes));
            });
            if !sent || self.late.is_full() {
                self.flush_late();
            }
            if !sent {
                return;
            }
        }
    }

    /// Sends the answers that leave on their own.
    fn flush_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let sockets = &self.sockets;
        let report = self.late.flush(|place| sockets.get(usize::from(place)).map(AsFd::as_fd));
        self.counts.failed += report.failed as u64;
    }

    /// How long there is nothing to do but wait for queries; `None` if no answer waits.
    fn time_to_next_due(&self) -> Option<Duration> {
        Some(self.line.next_due()?.since(self.shared.clock.now()))
    }
}

// The channel of a late answer is that of its query, which came by UDP.
const _: () = assert!(Channel::Udp { socket: 0 }.is_udp());
