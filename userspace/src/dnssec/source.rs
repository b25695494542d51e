//! Where hickory's validator gets its messages: the part of a response that is judged, what has
//! been fetched for it, and everything else from the worker that the response came from.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, Stream};
use hickory_net::NetError;
use hickory_net::runtime::TokioRuntimeProvider;
use hickory_net::xfer::DnsHandle;
use hickory_proto::op::{DnsRequest, DnsResponse, Message, Query, ResponseCode};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder, NameEncoding};
use tokio::sync::oneshot;

use super::FromValidator;
use super::job::{JOB, Job};
use super::parts::trim;
use crate::datagram::{Epoch, InEpoch};
use crate::limits::NAME_LEN_MAX;
use crate::transport::inbox::Sender;
use crate::wire::question::Rtype;

/// How long a reply of a worker is waited for: longer than it lets a client wait.
const REPLY_WAIT: Duration = Duration::from_millis(3_500);

/// The way to the workers.
#[derive(Debug)]
pub(super) struct Exchange {
    epoch: Epoch,
    workers: Vec<Sender<InEpoch<FromValidator>>>,
    next: AtomicU64,
    /// Who waits for the reply to a question, by its number.
    waiting: Mutex<HashMap<u64, oneshot::Sender<Vec<u8>>>>,
}

impl Exchange {
    /// The way to these workers' inboxes, by [`crate::datagram::WorkerId`], for the engines of this
    /// configuration.
    pub(super) fn new(epoch: Epoch, workers: Vec<Sender<InEpoch<FromValidator>>>) -> Self {
        Self { epoch, workers, next: AtomicU64::new(1), waiting: Mutex::new(HashMap::new()) }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Vec<u8>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a worker a message; false if it has no room for it.
    pub(super) fn tell(&self, job: &Job, message: FromValidator) -> bool {
        let worker = self.workers.get(usize::from(job.worker.0));
        let message = InEpoch { epoch: self.epoch, message };
        worker.is_some_and(|inbox| inbox.try_send(message).is_ok())
    }

    /// A worker's reply has come.
    pub(super) fn replied(&self, number: u64, bytes: Vec<u8>) {
        if let Some(waiting) = self.waiting().remove(&number) {
            // Whoever asked may have given up.
            let _gone = waiting.send(bytes);
        }
    }

    /// Asks the job's worker; `None` if there is no good reply in time.
    async fn ask(&self, job: &Job, query: &Query) -> Option<Message> {
        let mut name = Vec::with_capacity(NAME_LEN_MAX);
        let mut encoder = BinEncoder::new(&mut name);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        query.name().emit(&mut encoder).ok()?;
        let rtype = Rtype(u16::from(query.query_type()));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, reply) = oneshot::channel();
        self.waiting().insert(number, sender);
        let _forget = Forget(self, number);
        if !self.tell(job, FromValidator::Query { number, name, rtype }) {
            return None;
        }
        let bytes = tokio::time::timeout(REPLY_WAIT, reply).await.ok()?.ok()?;
        let message = Message::from_vec(&bytes).ok()?;
        let rcode = message.metadata.response_code;
        matches!(rcode, ResponseCode::NoError | ResponseCode::NXDomain).then_some(message)
    }

    /// What there is to this question: known to the job, or fetched for it.
    pub(super) async fn fetch(&self, job: &Job, query: &Query) -> Result<Message, NetError> {
        if let Some(message) = job.known(query) {
            return Ok(message);
        }
        if !job.may_ask() {
            return Err(NetError::Message("too many questions for one answer"));
        }
        let Some(response) = self.ask(job, query).await else {
            job.note_failure();
            return Err(NetError::Timeout);
        };
        match trim(&response, query) {
            Ok((message, signatures)) if job.may_check(signatures) => {
                job.remember(query.clone(), message.clone());
                Ok(message)
            }
            Ok(_) | Err(_) => Err(NetError::Message("too many records for one answer")),
        }
    }
}

/// Forgets a question that nobody waits for any more.
struct Forget<'e>(&'e Exchange, u64);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.waiting().remove(&self.1);
    }
}

/// The source of messages for the job of the task that runs.
#[derive(Clone)]
pub(super) struct Source(pub(super) Arc<Exchange>);

impl DnsHandle for Source {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let exchange = Arc::clone(&self.0);
        let query = request.queries.first().cloned();
        // Taken now: the validator polls what it is given in the task of the job.
        let job = JOB.try_with(Arc::clone).ok();
        Box::pin(stream::once(async move {
            let (Some(query), Some(job)) = (query, job) else {
                return Err(NetError::Message("a question outside any job"));
            };
            let message = exchange.fetch(&job, &query).await?;
            Ok(DnsResponse::from_message(message)?)
        }))
    }
}
