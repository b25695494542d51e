//! What a worker is ordered to do from outside, and what it says back.
#![forbid(unsafe_code)]

use std::sync::Arc;

use crate::cache::{Scope, Stats};
use crate::counters::Counters;
use crate::datagram::{Epoch, WorkerId};
use crate::engine::UpstreamReport;
use crate::policy::PoolTable;
use crate::serving::Prepared;
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
    /// Say what has been counted so far.
    Report(TaskSender<Report>),
    /// Take no more queries, answer those who wait, and end.
    Stop,
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
