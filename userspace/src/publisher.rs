//! The publisher: the one thread that writes the kernel's table of hot answers.
//!
//! ```text
//!   workers ──► orders, a bounded queue ──► publisher ──► table and control page ──► XDP program
//! ```
//!
//! Workers say what is hot, and wait where the queue is full.
//! Many times within the two seconds after which the program stops to answer, the publisher shows
//! that we live, and what time it is.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use crate::engine::HotOrder;
use crate::sys::capabilities::{Capabilities, spawn_with};
use crate::sys::clock::{Clock, monotonic_ns};
use crate::xdp::hot::{HotTable, Published};

/// Orders that wait.
const ORDERS_MAX: usize = 1_024;

/// How often orders are carried out.
const TICK: Duration = Duration::from_millis(20);

/// Orders of workers.
pub type HotOrders = Arc<ArrayQueue<HotOrder>>;

/// A queue for orders.
#[must_use]
pub fn orders() -> HotOrders {
    Arc::new(ArrayQueue::new(ORDERS_MAX))
}

/// What the publisher has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublisherCounts {
    /// Replies that were published, for the first time or anew.
    pub published: u64,
    /// Replies that found every place of theirs in use.
    pub full: u64,
    /// Replies that were withdrawn before their time.
    pub withdrawn: u64,
}

/// A flush: the longest reply by UDP from then on, if that changes, and where to say which
/// generation counts.
#[derive(Debug)]
struct Flush {
    payload_max: Option<u16>,
    done: SyncSender<u32>,
}

/// The running publisher. Stop it, or it goes on until the process ends.
#[derive(Debug)]
pub struct Publisher {
    running: Option<(Sender<Option<Flush>>, JoinHandle<PublisherCounts>)>,
}

/// Has all that is published count no more.
#[derive(Clone, Debug)]
pub struct Flusher(Sender<Option<Flush>>);

impl Flusher {
    /// Makes all that is published count no more. When it returns nothing of it is given, and
    /// publications of the generation that it returns count; `None` if the publisher has stopped,
    /// and nothing is given at all.
    #[must_use]
    pub fn flush(&self) -> Option<u32> {
        self.send(None)
    }

    /// As [`Self::flush`], and from then on replies by UDP have so many octets at most.
    #[must_use]
    pub fn flush_for(&self, payload_max: u16) -> Option<u32> {
        self.send(Some(payload_max))
    }

    fn send(&self, payload_max: Option<u16>) -> Option<u32> {
        let (done, generation) = sync_channel(1);
        self.0.send(Some(Flush { payload_max, done })).ok()?;
        generation.recv().ok()
    }
}

impl Publisher {
    /// Starts to carry out orders.
    ///
    /// # Errors
    /// Where there is no room for a thread.
    pub fn start(table: HotTable, orders: HotOrders, clock: Clock) -> io::Result<Self> {
        let (stop, stopped) = channel::<Option<Flush>>();
        let mut work = Work { table, orders, clock, counts: PublisherCounts::default() };
        work.tick();
        let thread = spawn_with(Capabilities::NONE, "publisher", move || {
            loop {
                match stopped.recv_timeout(TICK) {
                    Ok(Some(flush)) => {
                        if let Some(octets) = flush.payload_max {
                            work.table.set_payload_max(octets);
                        }
                        // Who has asked may have gone.
                        let _gone = flush.done.send(work.table.flush());
                    }
                    Err(RecvTimeoutError::Timeout) => work.tick(),
                    Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            work.table.silence();
            work.counts
        })?;
        Ok(Self { running: Some((stop, thread)) })
    }

    /// What makes all that is published count no more.
    #[must_use]
    pub fn flusher(&self) -> Option<Flusher> {
        self.running.as_ref().map(|(orders, _)| Flusher(orders.clone()))
    }

    /// Has the program answer nothing any more, and ends.
    pub fn stop(mut self) -> PublisherCounts {
        let Some((stop, thread)) = self.running.take() else { return PublisherCounts::default() };
        // If the thread has gone there is nobody to be told.
        let _gone = stop.send(None);
        // Without its signs of life the program stops by itself.
        thread.join().unwrap_or_default()
    }
}

/// The thread.
struct Work {
    table: HotTable,
    orders: HotOrders,
    clock: Clock,
    counts: PublisherCounts,
}

impl Work {
    /// Carries out what has been ordered, and shows that we live.
    fn tick(&mut self) {
        // Read first: what passes until then makes answers younger than they are, never older.
        let monotonic_ns = monotonic_ns();
        let now = self.clock.now();
        let left_micros = 1_000_000 - now.as_micros() % 1_000_000;
        self.table.beat(now.as_secs(), left_micros * 1_000, monotonic_ns);
        for _ in 0..ORDERS_MAX {
            match self.orders.pop() {
                Some(HotOrder::Publish(entry)) => match self.table.publish(&entry, now.as_secs()) {
                    Published::New | Published::Renewed => self.counts.published += 1,
                    Published::Full => self.counts.full += 1,
                    Published::Known => {}
                },
                Some(HotOrder::Withdraw(hash)) => {
                    self.table.withdraw(hash);
                    self.counts.withdrawn += 1;
                }
                None => break,
            }
        }
    }
}
