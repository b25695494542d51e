//! What a worker is ordered to do from outside, and what it says back.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use crate::cache::{Scope, Stats};
use crate::counters::Counters;
use crate::counting::Counting;
use crate::datagram::{Epoch, WorkerId};
use crate::engine::UpstreamReport;
use crate::engine::snapshot::{Page, Restored, Wanted};
use crate::policy::PoolTable;
use crate::serving::Prepared;
use crate::time::Moment;
use crate::transport::af_xdp::XskQueue;
use crate::transport::task_inbox::TaskSender;

/// Orders that wait for a worker: all queues of all interfaces, opened and closed.
pub const ORDERS_MAX: usize = 1_024;

/// Earlier configurations that are served at a time; whoever reconfigures faster than their clients
/// are answered ends the oldest.
pub const RETIRED_MAX: usize = 8;

/// An order to a worker.
#[derive(Debug)]
pub enum Command {
    /// Serve this `AF_XDP` queue.
    OpenQueue(Box<XskQueue>),
    /// Packets of the `AF_XDP` queue with this number have so many octets at most from now on.
    SetMtu(u32, usize),
    /// Answer what has come by the `AF_XDP` queue with this number, and close it.
    CloseQueue(u32),
    /// What was published counts no more; publications of this generation do.
    FlushHot(u32),
    /// Clients have the gateways of these tables from now on, by this configuration.
    SetPools(Epoch, Arc<[PoolTable]>),
    /// Serve this configuration from now on.
    Reconfigure(Box<Reconfiguration>),
    /// Forget these answers, and say how many there were.
    Flush(Arc<Scope>, TaskSender<u64>),
    /// Show this page of the cache: from this bucket on, what is wanted.
    ShowCache(u32, Arc<Wanted>, TaskSender<Page>),
    /// Put these answers into the cache, and say what has become of them.
    Restore(Arc<Restoring>, TaskSender<Restored>),
    /// Say what has been counted so far.
    Report(TaskSender<Report>),
    /// Count who asks, and for what, for a time, and say it then.
    Count(Counting),
    /// Take no more queries, answer those who wait, and end.
    Stop,
}

/// Answers of an earlier cache.
#[derive(Debug)]
pub struct Restoring {
    /// The records, one behind the other.
    pub octets: Vec<u8>,
    /// How long ago they were written, at a moment.
    pub elapsed: Duration,
    /// That moment.
    pub as_of: Moment,
}

impl Restoring {
    /// Seconds since they were written, rounded up.
    #[must_use]
    pub fn elapsed_secs(&self, now: Moment) -> u32 {
        let elapsed = self.elapsed + now.since(self.as_of) + Duration::from_nanos(999_999_999);
        u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX)
    }
}

/// A configuration that takes the place of another.
#[derive(Debug)]
pub struct Reconfiguration {
    /// What it is served with.
    pub prepared: Prepared,
    /// Told when it is in force.
    pub done: TaskSender<WorkerId>,
}

/// What a worker says of itself while it works.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which worker.
    pub worker: WorkerId,
    /// The configuration that it serves.
    pub epoch: Epoch,
    /// What it has counted.
    pub counters: Counters,
    /// Clients that wait for a reply.
    pub clients_waiting: usize,
    /// Look-ups under way.
    pub lookups: usize,
    /// Its cache.
    pub cache: Stats,
    /// What has come of its queries to each upstream server, in their order.
    pub upstreams: Vec<UpstreamReport>,
    /// Earlier configurations that somebody still waits under.
    pub retired: usize,
}
