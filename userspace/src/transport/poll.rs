//! Waiting for several file descriptors at once: epoll, and the tokens that tell them apart.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// Events taken by one wait; what is over comes with the next.
const EVENTS_MAX: usize = 128;

/// What a file descriptor in the epoll stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// A listening UDP socket, by its place in the list of listen addresses.
    Listen(u16),
    /// A socket towards an upstream server.
    Upstream(UpstreamToken),
    /// The thread's own waker.
    Waker,
    /// An `AF_XDP` queue, by its number.
    Queue(u32),
}

/// Which socket towards which upstream server; private to
/// [`UpstreamSockets`](super::upstream::UpstreamSockets).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UpstreamToken {
    /// Whose table: the last bits of the number of its configuration.
    pub(super) epoch: u8,
    /// Place in the table of sockets.
    pub(super) slot: u32,
    /// How often that place has been used before, so that an event for a socket closed meanwhile
    /// is not taken for one of its successor. Wraps.
    pub(super) generation: u16,
}

/// The kind of [`Token::Listen`].
const KIND_LISTEN: u8 = 1;
/// The kind of [`Token::Upstream`].
const KIND_UPSTREAM: u8 = 2;
/// The kind of [`Token::Waker`].
const KIND_WAKER: u8 = 3;
/// The kind of [`Token::Queue`].
const KIND_QUEUE: u8 = 4;

impl From<Token> for u64 {
    /// Kind, configuration, generation and place in 8, 8, 16 and 32 bits.
    fn from(token: Token) -> Self {
        let (kind, epoch, generation, place) = match token {
            Token::Listen(socket) => (KIND_LISTEN, 0, 0, u32::from(socket)),
            Token::Upstream(UpstreamToken { epoch, slot, generation }) => {
                (KIND_UPSTREAM, epoch, generation, slot)
            }
            Token::Waker => (KIND_WAKER, 0, 0, 0),
            Token::Queue(queue) => (KIND_QUEUE, 0, 0, queue),
        };
        Self::from(kind) << 56
            | Self::from(epoch) << 48
            | Self::from(generation) << 32
            | Self::from(place)
    }
}

impl Token {
    /// The token of this number; `None` for a number that no token has.
    #[must_use]
    pub const fn from_u64(number: u64) -> Option<Self> {
        let (kind, epoch) = ((number >> 56) as u8, (number >> 48) as u8);
        let (generation, place) = ((number >> 32) as u16, number as u32);
        match (kind, epoch, generation) {
            (KIND_LISTEN, 0, 0) if place <= u16::MAX as u32 => Some(Self::Listen(place as u16)),
            (KIND_UPSTREAM, _, _) => {
                Some(Self::Upstream(UpstreamToken { epoch, slot: place, generation }))
            }
            (KIND_WAKER, 0, 0) if place == 0 => Some(Self::Waker),
            (KIND_QUEUE, 0, 0) => Some(Self::Queue(place)),
            _ => None,
        }
    }
}

/// An epoll and the events of its last wait. Readiness is level-triggered: what is not read now
/// is reported again.
pub struct Poller {
    /// The epoll.
    epoll: Arc<OwnedFd>,
    /// Events of the last wait.
    events: Vec<epoll::Event>,
}

impl Poller {
    /// An epoll without file descriptors.
    ///
    /// # Errors
    ///
    /// Where there is no file descriptor left for it.
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll: Arc::new(epoll), events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Another handle to the same epoll, for one who adds and removes sockets of its own.
    #[must_use]
    pub fn registry(&self) -> Registry {
        Registry { epoll: Arc::clone(&self.epoll) }
    }

    /// Reports from now on under this token when the file descriptor is readable or in error.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    pub fn add(&self, fd: impl AsFd, token: Token) -> io::Result<()> {
        add(self.epoll.as_fd(), fd, token)
    }

    /// As [`Poller::add`], for a file descriptor that others wait for too: what comes wakes one of
    /// those who sleep, not all (`EPOLLEXCLUSIVE`).
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    pub fn add_shared(&self, fd: impl AsFd, token: Token) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token.into());
        let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
        Ok(epoll::add(&self.epoll, fd, data, flags)?)
    }

    /// Stops reporting on the file descriptor.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// Waits until something is ready or the time is over (without a time: for ever), and returns
    /// how many are ready, by [`Poller::token`]. A signal ends the wait early.
    ///
    /// The kernel counts in milliseconds. A time between two of them is rounded up: rounded down,
    /// a wait for the last half millisecond would be a busy loop.
    ///
    /// # Errors
    ///
    /// Those of `epoll_wait(2)`, none of which can come up with an epoll of our own.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map(|timeout| {
            let ms = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i64;
            Timespec { tv_sec: ms / 1_000, tv_nsec: ms % 1_000 * 1_000_000 }
        });
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(count) => Ok(count),
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// The token of an event of the last wait.
    #[must_use]
    pub fn token(&self, event: usize) -> Option<Token> {
        let event = *self.events.get(event)?;
        // Copied out first: the kernel packs the struct, so its fields may lie unaligned.
        let data = event.data;
        Token::from_u64(data.u64())
    }
}

/// A handle to a [`Poller`]'s epoll that only adds and removes.
#[derive(Debug)]
pub struct Registry {
    /// The same epoll.
    epoll: Arc<OwnedFd>,
}

impl Registry {
    /// As [`Poller::add`].
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    pub fn add(&self, fd: impl AsFd, token: Token) -> io::Result<()> {
        add(self.epoll.as_fd(), fd, token)
    }
}

/// Registers a file descriptor.
fn add(epoll: BorrowedFd<'_>, fd: impl AsFd, token: Token) -> io::Result<()> {
    let data = epoll::EventData::new_u64(token.into());
    Ok(epoll::add(epoll, fd, data, epoll::EventFlags::IN)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::waker::Waker;

    #[test]
    fn tokens_survive_the_kernel() {
        let upstream = UpstreamToken { epoch: 7, slot: u32::MAX, generation: 0xbeef };
        let tokens = [
            Token::Listen(0),
            Token::Listen(u16::MAX),
            Token::Upstream(upstream),
            Token::Waker,
            Token::Queue(u32::MAX),
        ];
        for token in tokens {
            assert_eq!(Token::from_u64(token.into()), Some(token));
        }
        for number in [
            0,
            1 << 56 | 0x1_0000,
            3 << 56 | 1,
            4 << 56 | 1 << 48,
            4 << 56 | 1 << 32,
            5 << 56,
            u64::MAX,
        ] {
            assert_eq!(Token::from_u64(number), None);
        }
    }

    #[test]
    fn a_wait_reports_what_is_ready_until_it_is_taken() {
        let mut poller = Poller::new().unwrap();
        let waker = Waker::new().unwrap();
        poller.add(&waker, Token::Waker).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), 0);
        waker.wake();
        for _ in 0..2 {
            assert_eq!(poller.wait(None).unwrap(), 1);
            assert_eq!(poller.token(0), Some(Token::Waker));
            assert_eq!(poller.token(1), None);
        }
        waker.drain();
        assert_eq!(poller.wait(Some(Duration::from_micros(1))).unwrap(), 0);
        waker.wake();
        poller.remove(&waker).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), 0);
    }
}
