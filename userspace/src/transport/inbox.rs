//! Bounded queues into a thread: many senders, one receiver that sleeps in epoll.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;

use crate::sys::waker::Waker;

/// The receiving end. Its file descriptor is readable when something may have come.
#[derive(Debug)]
pub struct Inbox<T> {
    /// What waits.
    queue: Arc<ArrayQueue<T>>,
    /// Rung after each item.
    waker: Waker,
}

impl<T> Inbox<T> {
    /// An inbox for `capacity` items that wakes by a waker of its own.
    ///
    /// # Errors
    ///
    /// Where there is no file descriptor left for the waker.
    ///
    /// # Panics
    ///
    /// Where the capacity is 0.
    pub fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self::with_waker(capacity, Waker::new()?))
    }

    /// An inbox that wakes by this waker: a thread with several inboxes needs but one.
    ///
    /// # Panics
    ///
    /// Where the capacity is 0.
    #[must_use]
    pub fn with_waker(capacity: usize, waker: Waker) -> Self {
        Self { queue: Arc::new(ArrayQueue::new(capacity)), waker }
    }

    /// A sending end.
    #[must_use]
    pub fn sender(&self) -> Sender<T> {
        Sender { queue: Arc::clone(&self.queue), waker: self.waker.clone() }
    }

    /// The waker, to be registered in the thread's epoll.
    #[must_use]
    pub const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Takes the oldest item. After a wake: first [`Waker::drain`], then pop until `None`.
    #[must_use]
    pub fn pop(&self) -> Option<T> {
        self.queue.pop()
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

/// A sending end of an [`Inbox`].
#[derive(Debug)]
pub struct Sender<T> {
    /// What waits.
    queue: Arc<ArrayQueue<T>>,
    /// Wakes the receiver.
    waker: Waker,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { queue: Arc::clone(&self.queue), waker: self.waker.clone() }
    }
}

impl<T> Sender<T> {
    /// Puts an item in and wakes the receiver.
    ///
    /// # Errors
    ///
    /// The item itself where the inbox is full.
    pub fn try_send(&self, item: T) -> Result<(), T> {
        self.queue.push(item)?;
        self.waker.wake();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_in_order_and_a_full_inbox_gives_them_back() {
        let inbox = Inbox::new(2).unwrap();
        let sender = inbox.sender();
        assert_eq!(sender.try_send(1), Ok(()));
        assert_eq!(sender.clone().try_send(2), Ok(()));
        assert_eq!(sender.try_send(3), Err(3));
        assert_eq!((inbox.pop(), inbox.pop(), inbox.pop()), (Some(1), Some(2), None));
        assert_eq!(sender.try_send(3), Ok(()));
    }
}
