//! What is known of one response while it is judged: what has been asked for its sake, and how
//! much more may be.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hickory_proto::op::{Message, Query};

use crate::datagram::WorkerId;

/// Questions that one response may lead to: a chain of trust through ten zones asks for two sets
/// of keys and digests in each, and looks for zone cuts between them.
pub(super) const QUESTIONS_MAX: u32 = 96;

/// Signatures that one response may bring along or make us fetch. Each is checked against at most
/// two keys, since no more may have one key tag.
pub(super) const SIGNATURES_MAX: u32 = 192;

tokio::task_local! {
    /// The job of the task that runs.
    pub(super) static JOB: Arc<Job>;
}

/// One response that is judged.
#[derive(Debug)]
pub(super) struct Job {
    /// Who asks for the verdict, and is asked for what it takes.
    pub(super) worker: WorkerId,
    questions: AtomicU32,
    signatures: AtomicU32,
    /// Whether something that was asked for could not be had.
    failed: AtomicBool,
    /// Whether a bound was reached.
    exhausted: AtomicBool,
    /// The part that is judged.
    part: Mutex<Option<(Query, Message)>>,
    /// What was fetched.
    fetched: Mutex<Vec<(Query, Message)>>,
}

/// Takes a lock. Each use leaves what it guards whole, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Job {
    /// A job for this worker.
    pub(super) fn new(worker: WorkerId) -> Arc<Self> {
        Arc::new(Self {
            worker,
            questions: AtomicU32::new(0),
            signatures: AtomicU32::new(0),
            failed: AtomicBool::new(false),
            exhausted: AtomicBool::new(false),
            part: Mutex::new(None),
            fetched: Mutex::new(Vec::new()),
        })
    }

    /// Judges another part from now on.
    pub(super) fn set_part(&self, query: Query, message: Message) {
        *lock(&self.part) = Some((query, message));
    }

    /// What is known already: the part that is judged, or what was fetched for it.
    pub(super) fn known(&self, query: &Query) -> Option<Message> {
        let is_it = |(known, _): &&(Query, Message)| known == query;
        if let Some((_, message)) = lock(&self.part).as_ref().filter(is_it) {
            return Some(message.clone());
        }
        lock(&self.fetched).iter().find(is_it).map(|(_, message)| message.clone())
    }

    /// Remembers what was fetched.
    pub(super) fn remember(&self, query: Query, message: Message) {
        lock(&self.fetched).push((query, message));
    }

    /// Counts a question; false if there have been too many.
    pub(super) fn may_ask(&self) -> bool {
        let may = self.questions.fetch_add(1, Ordering::Relaxed) < QUESTIONS_MAX;
        if !may {
            self.exhausted.store(true, Ordering::Relaxed);
        }
        may
    }

    /// Counts signatures; false if there have been too many.
    pub(super) fn may_check(&self, signatures: usize) -> bool {
        let signatures = u32::try_from(signatures).unwrap_or(u32::MAX / 2);
        let before = self.signatures.fetch_add(signatures, Ordering::Relaxed);
        let may = before.saturating_add(signatures) <= SIGNATURES_MAX;
        if !may {
            self.exhausted.store(true, Ordering::Relaxed);
        }
        may
    }

    /// Something that was asked for could not be had.
    pub(super) fn note_failure(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether something that was asked for could not be had.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether a bound was reached.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }

    /// Questions asked and signatures admitted so far.
    pub(super) fn spent(&self) -> (u32, u32) {
        (self.questions.load(Ordering::Relaxed), self.signatures.load(Ordering::Relaxed))
    }
}
