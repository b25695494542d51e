//! The validator's thread: takes responses and replies, judges so many at a time, gives verdicts.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::anchors::TrustAnchors;
use super::job::Job;
use super::judge::Judge;
use super::source::Exchange;
use super::{FromValidator, ToValidator};
use crate::datagram::{Epoch, InEpoch, WorkerId};
use crate::engine::{ToValidate, Validation};
use crate::policy::DnssecPolicy;
use crate::sys::capabilities::{Capabilities, spawn_with};
use crate::transport::inbox::Sender;
use crate::transport::task_inbox::TaskInbox;
use crate::wire::edns::InfoCode;

/// Responses judged at a time.
const JOBS_MAX: usize = 256;

/// Responses that wait for their turn.
const WAITING_MAX: usize = 2_048;

/// How long a verdict may take, the wait for its turn included: less than the engine waits for it.
const JOB_LIFE: Duration = Duration::from_millis(5_000);

/// What the validator begins with.
#[derive(Debug)]
pub struct Settings {
    /// The configuration whose engines it judges for.
    pub epoch: Epoch,
    /// Where chains of trust begin.
    pub anchors: TrustAnchors,
    /// Negative trust anchors.
    pub policy: DnssecPolicy,
    /// The workers' inboxes, by [`WorkerId`].
    pub workers: Vec<Sender<InEpoch<FromValidator>>>,
}

/// The validator's thread. Ends when it is dropped.
pub struct Service {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts the validator, which takes what comes into `inbox`.
    ///
    /// # Errors
    /// If the system has no thread, or no file descriptors, for it.
    pub fn start(settings: Settings, inbox: TaskInbox<ToValidator>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = spawn_with(Capabilities::NONE, "validator", move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(settings, inbox) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It has ended already if nobody listens.
            let _ended = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// A response that waits for its turn.
struct Waiting {
    worker: WorkerId,
    of: ToValidate,
    bytes: Vec<u8>,
    deadline: Instant,
}

/// Judges for ever.
async fn serve(settings: Settings, mut inbox: TaskInbox<ToValidator>) {
    let Settings { epoch, anchors, policy, workers } = settings;
    let exchange = Arc::new(Exchange::new(epoch, workers));
    let judge = Arc::new(Judge::new(Arc::clone(&exchange), anchors, policy));
    let mut waiting = VecDeque::new();
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            message = inbox.recv() => match message {
                ToValidator::Reply { number, bytes } => exchange.replied(number, bytes),
                ToValidator::Response { worker, of, bytes } => {
                    let deadline = Instant::now() + JOB_LIFE;
                    let response = Waiting { worker, of, bytes, deadline };
                    if waiting.len() < WAITING_MAX {
                        waiting.push_back(response);
                    } else {
                        let verdict = Validation::Indeterminate(InfoCode::DNSSEC_INDETERMINATE);
                        give(&exchange, &Job::new(worker), of, verdict);
                    }
                }
            },
            Some(_ended) = running.join_next() => {}
        }
        while running.len() < JOBS_MAX
            && let Some(response) = waiting.pop_front()
        {
            running.spawn(work(Arc::clone(&exchange), Arc::clone(&judge), response));
        }
    }
}

/// Judges one response and says what was found.
async fn work(exchange: Arc<Exchange>, judge: Arc<Judge>, response: Waiting) {
    let Waiting { worker, of, bytes, deadline } = response;
    let job = Job::new(worker);
    let verdict = timeout_at(deadline, judge.judge(&job, &bytes)).await;
    let late = Validation::Indeterminate(InfoCode::DNSSEC_INDETERMINATE);
    give(&exchange, &job, of, verdict.unwrap_or(late));
}

/// Gives a worker a verdict. If its inbox is full its look-up goes without, as after a time-out.
fn give(exchange: &Exchange, job: &Job, of: ToValidate, validation: Validation) {
    let _told = exchange.tell(job, FromValidator::Verdict { of, validation });
}
