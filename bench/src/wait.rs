//! Waiting for sockets: epoll(7) where there are many, poll(2) where there are a few.
#![forbid(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventFlags};
use rustix::event::{PollFd, Timespec};
use rustix::fd::OwnedFd;

/// Sockets that one wait tells of; the others come with the next.
const EVENTS_MAX: usize = 64;

/// The sockets of one thread, each with a number of the owner's choice.
#[derive(Debug)]
pub struct Poller {
    /// The epoll instance.
    epoll: OwnedFd,
}

/// Room for what a wait tells of.
#[derive(Debug)]
pub struct Room([MaybeUninit<epoll::Event>; EVENTS_MAX]);

/// A socket that is ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Its number.
    pub number: u64,
    /// For what.
    pub flags: EventFlags,
}

impl Poller {
    /// A poller without sockets.
    ///
    /// # Errors
    /// Those of epoll_create(2).
    pub fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Tells of a socket from now on, until it is closed.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn add(&self, socket: impl AsFd, number: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, epoll::EventData::new_u64(number), flags)?)
    }

    /// Tells of a socket by these flags from now on.
    ///
    /// # Errors
    /// Those of epoll_ctl(2).
    pub fn modify(&self, socket: impl AsFd, number: u64, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, epoll::EventData::new_u64(number), flags)?)
    }

    /// Waits until a socket is ready, at most so long; `None` is for ever. A signal ends the wait
    /// early.
    ///
    /// # Errors
    /// Those of epoll_wait(2).
    pub fn wait<'r>(
        &self,
        room: &'r mut Room,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = Ready> + use<'r>> {
        let timeout = timeout.map(timespec);
        let events: &[epoll::Event] = match epoll::wait(&self.epoll, &mut room.0, timeout.as_ref())
        {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => &[],
            Err(error) => return Err(error.into()),
        };
        Ok(events.iter().map(|event| {
            let (data, flags) = (event.data, event.flags);
            Ready { number: data.u64(), flags }
        }))
    }
}

impl Room {
    /// Empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; EVENTS_MAX])
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until one of these is ready, at most so long; `None` is for ever. Returns how many are. A
/// signal makes it wait anew.
///
/// # Errors
/// Those of poll(2).
pub fn wait_for(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(timespec);
    loop {
        match rustix::event::poll(fds, timeout.as_ref()) {
            Ok(count) => return Ok(count),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A span as system calls take it.
fn timespec(span: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(span.subsec_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::PollFlags;
    use std::net::UdpSocket;

    #[test]
    fn sockets_are_told_apart_by_their_numbers() {
        let sockets = [7, 9].map(|number| (number, UdpSocket::bind("127.0.0.1:0").unwrap()));
        let poller = Poller::new().unwrap();
        for (number, socket) in &sockets {
            poller.add(socket, *number, EventFlags::IN).unwrap();
        }
        let mut room = Room::new();
        let mut ready = |timeout: Option<Duration>| -> Vec<u64> {
            poller.wait(&mut room, timeout).unwrap().map(|ready| ready.number).collect()
        };
        assert!(ready(Some(Duration::ZERO)).is_empty());
        sockets[0].1.send_to(b"x", sockets[1].1.local_addr().unwrap()).unwrap();
        assert_eq!(ready(None), [9]);
        // Not asked about what comes, it does not tell of it; room to send there always is.
        poller.modify(&sockets[1].1, 9, EventFlags::empty()).unwrap();
        assert!(ready(Some(Duration::ZERO)).is_empty());
        poller.modify(&sockets[1].1, 8, EventFlags::OUT).unwrap();
        let told = poller.wait(&mut room, None).unwrap().next().unwrap();
        assert_eq!((told.number, told.flags), (8, EventFlags::OUT));
    }

    #[test]
    fn a_wait_for_nothing_ends_with_its_time_and_counts_what_is_ready() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let wait = |flags| wait_for(&mut [PollFd::new(&socket, flags)], Some(Duration::ZERO));
        assert_eq!((wait(PollFlags::IN).unwrap(), wait(PollFlags::OUT).unwrap()), (0, 1));
    }

    #[test]
    fn no_span_is_too_long_for_the_system() {
        assert_eq!(timespec(Duration::MAX).tv_sec, i64::MAX);
        let half = timespec(Duration::from_millis(1_500));
        assert_eq!((half.tv_sec, half.tv_nsec), (1, 500_000_000));
    }
}
