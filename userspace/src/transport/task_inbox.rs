//! Bounded queues from the workers into a tokio task. The counterpart of
//! [`Inbox`](super::inbox::Inbox), whose receiver sleeps in epoll.

use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use tokio::sync::Notify;

/// What both ends share.
#[derive(Debug)]
struct Shared<T> {
    /// What waits.
    queue: ArrayQueue<T>,
    /// Wakes the receiving task. Remembers one wake that nobody waited for.
    notify: Notify,
}

/// The receiving end, for one task.
#[derive(Debug)]
pub struct TaskInbox<T>(Arc<Shared<T>>);

impl<T> TaskInbox<T> {
    /// An inbox for `capacity` items.
    ///
    /// # Panics
    ///
    /// Where the capacity is 0.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared { queue: ArrayQueue::new(capacity), notify: Notify::new() }))
    }

    /// A sending end.
    #[must_use]
    pub fn sender(&self) -> TaskSender<T> {
        TaskSender(Arc::clone(&self.0))
    }

    /// Takes the oldest item, waiting for one if need be. May be given up while waiting without
    /// losing an item.
    pub async fn recv(&mut self) -> T {
        loop {
            if let Some(item) = self.0.queue.pop() {
                return item;
            }
            self.0.notify.notified().await;
        }
    }
}

/// A sending end of a [`TaskInbox`], for any thread.
#[derive(Debug)]
pub struct TaskSender<T>(Arc<Shared<T>>);

impl<T> Clone for TaskSender<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> TaskSender<T> {
    /// Puts an item in and wakes the receiver. Never waits.
    ///
    /// # Errors
    ///
    /// The item itself where the inbox is full.
    pub fn try_send(&self, item: T) -> Result<(), T> {
        self.0.queue.push(item)?;
        self.0.notify.notify_one();
        Ok(())
    }
}
