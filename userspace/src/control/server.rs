//! Serves the control socket on the housekeeping thread.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{
    CONNECTIONS_MAX, IDLE_WAIT, REQUEST_LEN_MAX, Request, WORKER_WAIT, drain, parse_request,
    reply_line, stats, status, trace,
};
use crate::counters::Counters;
use crate::dnssec::TrustAnchors;
use crate::policy::Policy;
use crate::pools::Pools;
use crate::runtime::kernel_counters;
use crate::transport::inbox::Sender;
use crate::transport::task_inbox::TaskInbox;
use crate::worker::{Command, Report};
use crate::xdp::select::Steered;
use crate::xdp::watch::{DatapathView, SharedTiers};

/// What the commands are answered from: handles to the parts of the running program.
pub struct Daemon {
    /// When it began to answer.
    pub started: Instant,
    /// The addresses that queries are taken on.
    pub listen: Vec<SocketAddr>,
    /// What decides which worker's socket gets a query.
    pub steered: Steered,
    /// The configuration that is in force.
    pub policy: Arc<Policy>,
    /// Where chains of trust begin.
    pub trust_anchors: TrustAnchors,
    /// The workers, by their numbers.
    pub workers: Vec<Sender<Command>>,
    /// The data path.
    pub datapath: DatapathView,
    /// The interfaces whose queries are taken to other CPUs.
    pub spreading: SharedTiers,
    /// The pools of gateways.
    pub pools: Arc<Pools>,
}

/// What has been counted so far.
#[derive(Debug)]
pub struct Counted {
    /// By all workers and the XDP programs together.
    pub counters: Counters,
    /// What each worker says, by their numbers.
    pub reports: Vec<Report>,
}

impl Daemon {
    /// What has been counted so far.
    ///
    /// # Errors
    /// If a worker does not answer in time.
    pub async fn counted(&self) -> Result<Counted, String> {
        let mut reports = self.reports().await?;
        reports.sort_by_key(|report| report.worker);
        let datapath = self.datapath.clone();
        // Its thread may be busy with an interface, and TCP clients must not wait for that.
        let counted = tokio::task::spawn_blocking(move || datapath.counted()).await;
        let mut counters = kernel_counters(&counted.unwrap_or_default());
        for report in &reports {
            counters.add(&report.counters);
        }
        Ok(Counted { counters, reports })
    }

    /// What each worker has counted, in the order in which they answer.
    ///
    /// # Errors
    /// If one of them does not answer in time.
    async fn reports(&self) -> Result<Vec<Report>, String> {
        let mut inbox = TaskInbox::new(self.workers.len());
        for (number, worker) in self.workers.iter().enumerate() {
            let order = Command::Report(inbox.sender());
            worker
                .try_send(order)
                .map_err(|_| format!("worker {number} has no room for an order: try again"))?;
        }
        let mut reports = Vec::with_capacity(self.workers.len());
        let all = async {
            while reports.len() < self.workers.len() {
                reports.push(inbox.recv().await);
            }
        };
        if timeout(WORKER_WAIT, all).await.is_err() {
            let (there, wanted) = (reports.len(), self.workers.len());
            return Err(format!("only {there} of {wanted} workers have answered in time"));
        }
        Ok(reports)
    }
}

/// Serves the socket for ever; dropping the future closes all connections.
///
/// # Errors
/// Where the socket cannot be registered with the runtime.
pub async fn serve(listener: UnixListener, daemon: Arc<Daemon>) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of files, most likely: whoever waits is taken in later.
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let daemon = Arc::clone(&daemon);
                connections.spawn(async move {
                    // Whoever has gone needs no reply.
                    let _gone = converse(stream, &daemon).await;
                    drop(place);
                });
            }
            Err(_) => {
                let error = format!("more than {CONNECTIONS_MAX} connections: try again");
                // Fits the buffer of a new socket, so nobody waits for it.
                let _gone = stream.try_write(format!("{}\n", reply_line(&Err(error))).as_bytes());
            }
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn converse(stream: UnixStream, daemon: &Daemon) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(REQUEST_LEN_MAX as u64);
        let read = bounded.read_until(b'\n', &mut line);
        let Ok(read) = timeout(IDLE_WAIT, read).await.map_err(io::Error::from).flatten() else {
            return Ok(());
        };
        if read == 0 {
            return Ok(());
        }
        let is_whole = line.last() == Some(&b'\n');
        let result = if is_whole {
            match parse_request(&line) {
                Ok(request) => answer(daemon, request).await,
                Err(error) => Err(error),
            }
        } else {
            Err(format!("a request is one line of at most {REQUEST_LEN_MAX} octets"))
        };
        let mut reply = reply_line(&result);
        reply.push('\n');
        timeout(IDLE_WAIT, writer.write_all(reply.as_bytes())).await??;
        if !is_whole {
            return Ok(());
        }
    }
}

/// Carries out one request.
async fn answer(daemon: &Daemon, request: Request) -> Result<Value, String> {
    match request {
        Request::Status {} => Ok(status::answer(daemon)),
        Request::Stats {} => stats::answer(daemon).await,
        Request::Trace(question) => trace::answer(daemon, question).await,
        Request::Drain { pool, prefix } => drain::answer(daemon, &pool, &prefix, true).await,
        Request::Undrain { pool, prefix } => drain::answer(daemon, &pool, &prefix, false).await,
    }
}
