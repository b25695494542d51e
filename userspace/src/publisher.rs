//! The publisher: the one thread that writes the kernel's table of hot answers.
//!
//! ```text
//!   workers ──► orders, a bounded queue ──► publisher ──► table and control page ──► XDP program
//! ```
//!
//! Workers say what is hot; what does not fit the queue is not published, and will be hot again.
//! Many times within the two seconds after which the program stops to answer, the publisher shows
//! that we live, and what time it is.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::queue::ArrayQueue;

use crate::engine::HotOrder;
use crate::sys::clock::{Clock, monotonic_ns};
use crate::xdp::hot::{HotTable, Published};

/// Orders that wait.
const ORDERS_MAX: usize = 256;

/// How often orders are carried out.
const TICK: Duration = Duration::from_millis(50);

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

/// The running publisher.
#[derive(Debug)]
pub struct Publisher {
    running: Option<(Sender<()>, JoinHandle<PublisherCounts>)>,
}

impl Publisher {
    /// Starts to carry out orders.
    ///
    /// # Errors
    /// Where there is no room for a thread.
    pub fn start(table: HotTable, orders: HotOrders, clock: Clock) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let mut work = Work { table, orders, clock, counts: PublisherCounts::default() };
        work.tick();
        let thread = std::thread::Builder::new().name("publisher".to_owned()).spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(TICK) {
                work.tick();
            }
            work.table.silence();
            work.counts
        })?;
        Ok(Self { running: Some((stop, thread)) })
    }

    /// Has the program answer nothing any more, and ends.
    pub fn stop(mut self) -> PublisherCounts {
        let Some((stop, thread)) = self.running.take() else { return PublisherCounts::default() };
        drop(stop);
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
