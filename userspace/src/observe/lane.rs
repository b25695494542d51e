//! Events on their way from one worker to one writer: a bounded queue whose events are made at the
//! start and go round.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::config::DnstapMessage;
use crate::engine::ReplyNote;

/// Events that one worker has under way to one writer.
pub const EVENTS_MAX: usize = 4_096;

/// Octets of a message that an event has room for from the start: those of nearly all by UDP.
const EVENT_LEN: usize = 1_280;

/// Octets of longer messages that one worker has under way to one writer: TCP has messages of 64
/// KiB.
const LONG_OCTETS_MAX: usize = 4 << 20;

/// What an event says of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which of the four messages it is.
    pub message: DnstapMessage,
    /// Whether it came or went by TCP.
    pub is_tcp: bool,
    /// The client, or the server that is asked.
    pub peer: SocketAddr,
    /// Our address; `None` where it is not known.
    pub local: Option<IpAddr>,
    /// Our port; 0 where it is not known.
    pub local_port: u16,
    /// When the query came or left, in microseconds since 1970; `None` where it is not known.
    pub asked_us: Option<u64>,
    /// When the message came or left, in microseconds since 1970.
    pub at_us: u64,
    /// Of a reply: how it came about.
    pub note: ReplyNote,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            message: DnstapMessage::ClientQuery,
            is_tcp: false,
            peer: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
            local: None,
            local_port: 0,
            asked_us: None,
            at_us: 0,
            note: ReplyNote::default(),
        }
    }
}

/// A message and what is to be said of it.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// What is to be said of it.
    pub head: Head,
    /// The DNS message.
    pub bytes: Vec<u8>,
}

/// What has become of the events of one writer.
#[derive(Debug, Default)]
pub struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// Events that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Events that were not, because there was no room or nobody to read them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts events that were written.
    pub fn add_written(&self, events: u64) {
        self.written.fetch_add(events, Ordering::Relaxed);
    }

    /// Counts events that were not.
    pub fn add_dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }
}

/// What both ends of a lane have.
#[derive(Debug)]
struct Ring {
    /// Events that wait for the writer.
    full: ArrayQueue<Box<Event>>,
    /// Events that wait for a message.
    free: ArrayQueue<Box<Event>>,
    /// Octets of long messages under way.
    long_octets: AtomicUsize,
    counts: Arc<Counts>,
}

/// The worker's end.
#[derive(Debug)]
pub struct Lane(Arc<Ring>);

/// The writer's end.
#[derive(Debug)]
pub struct Outlet(Arc<Ring>);

/// A lane. All memory that usual messages need is allocated here.
#[must_use]
pub fn lane(counts: Arc<Counts>) -> (Lane, Outlet) {
    let ring = Arc::new(Ring {
        full: ArrayQueue::new(EVENTS_MAX),
        free: ArrayQueue::new(EVENTS_MAX),
        long_octets: AtomicUsize::new(0),
        counts,
    });
    for _ in 0..EVENTS_MAX {
        let event = Event { head: Head::default(), bytes: Vec::with_capacity(EVENT_LEN) };
        // There is a place for each.
        let _fits = ring.free.push(Box::new(event));
    }
    (Lane(Arc::clone(&ring)), Outlet(ring))
}

impl Lane {
    /// Puts a message in. Where there is no room it is counted as dropped.
    pub fn offer(&self, head: Head, bytes: &[u8]) {
        let Some(mut event) = self.0.free.pop() else { return self.0.counts.add_dropped(1) };
        let is_long = bytes.len() > EVENT_LEN;
        if is_long {
            let before = self.0.long_octets.fetch_add(bytes.len(), Ordering::Relaxed);
            if before + bytes.len() > LONG_OCTETS_MAX {
                self.0.long_octets.fetch_sub(bytes.len(), Ordering::Relaxed);
                let _fits = self.0.free.push(event);
                return self.0.counts.add_dropped(1);
            }
        }
        event.head = head;
        event.bytes.clear();
        event.bytes.extend_from_slice(bytes);
        // There are as many events as places.
        let _fits = self.0.full.push(event);
    }
}

impl Outlet {
    /// The oldest event that waits.
    #[must_use]
    pub fn take(&self) -> Option<Box<Event>> {
        self.0.full.pop()
    }

    /// Gives an event back for another message.
    pub fn give_back(&self, mut event: Box<Event>) {
        if event.bytes.len() > EVENT_LEN {
            self.0.long_octets.fetch_sub(event.bytes.len(), Ordering::Relaxed);
            event.bytes = Vec::with_capacity(EVENT_LEN);
        }
        let _fits = self.0.free.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_in_order_and_what_has_no_room_is_counted() {
        let counts = Arc::<Counts>::default();
        let (lane, outlet) = lane(Arc::clone(&counts));
        for number in 0..EVENTS_MAX + 3 {
            let head = Head { at_us: number as u64, ..Head::default() };
            lane.offer(head, &[number as u8; 12]);
        }
        assert_eq!(counts.dropped(), 3);
        for number in 0..EVENTS_MAX {
            let event = outlet.take().unwrap();
            assert_eq!((event.head.at_us, event.bytes[0]), (number as u64, number as u8));
            outlet.give_back(event);
        }
        assert!(outlet.take().is_none());
        lane.offer(Head::default(), b"again");
        assert_eq!(outlet.take().unwrap().bytes, b"again");
        assert_eq!(counts.dropped(), 3);
    }

    #[test]
    fn long_messages_have_a_bound_of_their_own_and_leave_no_memory_behind() {
        let counts = Arc::<Counts>::default();
        let (lane, outlet) = lane(Arc::clone(&counts));
        let longest = vec![7; 65_535];
        for _ in 0..LONG_OCTETS_MAX / longest.len() + 2 {
            lane.offer(Head::default(), &longest);
        }
        assert_eq!(counts.dropped(), 2);
        lane.offer(Head::default(), &[1; EVENT_LEN]);
        assert_eq!(counts.dropped(), 2, "a short one has its place");
        while let Some(event) = outlet.take() {
            outlet.give_back(event);
        }
        assert_eq!(lane.0.long_octets.load(Ordering::Relaxed), 0);
        lane.offer(Head::default(), &longest);
        assert_eq!(outlet.take().unwrap().bytes.len(), longest.len());
        let largest = std::iter::from_fn(|| lane.0.free.pop()).map(|event| event.bytes.capacity());
        assert!(largest.max().unwrap() <= EVENT_LEN);
    }
}
