//! A way to wake a thread that waits in epoll: an eventfd.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

/// Wakes the thread whose epoll it is registered in. Clones wake the same thread.
///
/// Wakes do not queue up: however many there are before the thread looks, it sees one.
#[derive(Clone, Debug)]
pub struct Waker {
    /// The eventfd: its counter is above zero exactly while a wake is pending.
    event: Arc<OwnedFd>,
}

impl Waker {
    /// A waker with no wake pending.
    ///
    /// # Errors
    ///
    /// Where the process or the machine has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { event: Arc::new(event) })
    }

    /// Makes the eventfd readable. Cannot fail: the one possible error is a counter at its
    /// maximum, and then the eventfd is readable already.
    pub fn wake(&self) {
        let _full_is_awake = rustix::io::write(&*self.event, &1_u64.to_ne_bytes());
    }

    /// Takes all pending wakes back. To be called *before* looking at what the wake was for, so
    /// that whatever comes while looking wakes again.
    pub fn drain(&self) {
        let mut counter = [0_u8; 8];
        let _nothing_pending = rustix::io::read(&*self.event, &mut counter);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    /// Whether a wake is pending.
    fn is_awake(waker: &Waker) -> bool {
        let mut fds = [PollFd::new(waker, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn many_wakes_are_one_and_a_drain_takes_them_all() {
        let waker = Waker::new().unwrap();
        assert!(!is_awake(&waker));
        waker.clone().wake();
        waker.wake();
        assert!(is_awake(&waker));
        waker.drain();
        assert!(!is_awake(&waker));
    }

    #[test]
    fn draining_without_a_wake_does_not_block() {
        Waker::new().unwrap().drain();
    }
}
