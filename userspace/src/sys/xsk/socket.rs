//! An `AF_XDP` socket on one queue of one interface.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
    XDP_UMEM_PGOFF_COMPLETION_RING, XDP_UMEM_PGOFF_FILL_RING, XdpDesc, XdpDescOptions,
    XdpOptionsFlags, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use super::frames::{Census, FRAME_LEN, Frames, XskFrame};
use super::ring::{Consumer, Producer};
use crate::sys::sockopt::set_option;

/// Frames for each entry of a ring: one waits in the fill ring, one was received and is worked on,
/// one is being sent, and one is on its way back.
const FRAMES_PER_ENTRY: u32 = 4;

/// Octets of socket buffer for each frame that is sent by copy: its skb with bookkeeping.
const SEND_BUFFER_PER_FRAME: usize = 4_096;

/// How many frames one call may send by copy, where the kernel lets us say (6.17,
/// `XDP_MAX_TX_SKB_BUDGET`); before that it is 32.
const TX_BUDGET: u32 = 512;

/// `XDP_MAX_TX_SKB_BUDGET` of linux/if_xdp.h, which libc does not have yet.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// How long a queue may belong to a socket that was closed: the kernel takes it apart in its own
/// time, after close has returned (`xp_put_pool` leaves it to a work queue).
const RELEASE_WAIT: Duration = Duration::from_millis(500);
const RELEASE_POLL: Duration = Duration::from_millis(5);

/// Whether frames are shared with the network card or copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Shared if the driver can, copied if not.
    Auto,
    /// Shared, or there is no socket.
    ZeroCopy,
    /// Copied.
    Copy,
}

/// What a socket is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Entries of each ring: a power of two, 64 to 16,384.
    pub ring_len: u32,
    /// Whether frames are shared with the network card or copied.
    pub bind: Bind,
    /// How long a call may poll the network card itself instead of waiting for its interrupt
    /// (`SO_PREFER_BUSY_POLL`); `None`: not at all.
    pub busy_poll: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { ring_len: 2_048, bind: Bind::Auto, busy_poll: None }
    }
}

/// What the kernel has counted: getsockopt `XDP_STATISTICS` (af_xdp.rst). Zero where the kernel is
/// older than the counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Received packets dropped for other reasons than the following two.
    pub rx_dropped: u64,
    /// Received packets dropped because the rx ring was full: we were too slow.
    pub rx_ring_full: u64,
    /// Received packets dropped because the fill ring was empty: all frames were elsewhere.
    pub fill_ring_empty: u64,
    /// Entries of the fill ring that the kernel refused.
    pub rx_invalid: u64,
    /// Entries of the tx ring that the kernel refused.
    pub tx_invalid: u64,
    /// Calls to send when there was nothing to be sent.
    pub tx_ring_empty: u64,
}

/// Why there is no socket: the step, and what the kernel said.
#[derive(Debug)]
pub struct OpenError {
    /// The step.
    step: Step,
    /// What the kernel said.
    source: io::Error,
    queue: u32,
}

/// A step of opening a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Memory,
    Socket,
    Umem,
    Rings,
    Bind,
}

impl OpenError {
    /// What can be done about it, in a sentence.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        let errno = Errno::from_io_error(&self.source);
        match (self.step, errno) {
            (Step::Socket, Some(Errno::PERM)) => {
                "run it as root, or give it CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"
            }
            (Step::Socket, Some(Errno::AFNOSUPPORT)) => {
                "this kernel has no AF_XDP: it needs CONFIG_XDP_SOCKETS"
            }
            (Step::Umem, Some(Errno::NOBUFS)) => {
                "the limit of locked memory is too low: raise it (ulimit -l, LimitMEMLOCK=)"
            }
            (Step::Bind, Some(Errno::BUSY)) => {
                "another program has an AF_XDP socket on this queue: stop it or take another queue"
            }
            (Step::Bind, Some(Errno::INVAL)) => {
                "the interface has no such queue: ethtool -l shows how many there are"
            }
            (Step::Bind, Some(Errno::OPNOTSUPP | Errno::PROTONOSUPPORT)) => {
                "the driver has no zero-copy: let frames be copied"
            }
            (Step::Bind, Some(Errno::NODEV | Errno::NETDOWN)) => {
                "the interface is gone or down: ip link set dev ... up"
            }
            (Step::Memory, _) => "there is not enough memory: use shorter rings",
            (Step::Socket | Step::Umem | Step::Rings | Step::Bind, _) => {
                "see the kernel's log (dmesg)"
            }
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Memory => "mapping frames",
            Step::Socket => "socket",
            Step::Umem => "registering frames",
            Step::Rings => "making rings",
            Step::Bind => "bind",
        };
        let Self { source, queue, .. } = self;
        write!(f, "no AF_XDP socket on queue {queue}: {step}: {source}; {}", self.remedy())
    }
}

/// The text says what the kernel said already, so there is no source to be printed beside it.
impl std::error::Error for OpenError {}

/// An `AF_XDP` socket with its frames.
#[derive(Debug)]
pub struct Xsk {
    // First, so that the kernel lets go of rings and frames before they are unmapped.
    fd: OwnedFd,
    fill: Producer<u64>,
    completion: Consumer<u64>,
    rx: Consumer<XdpDesc>,
    tx: Producer<XdpDesc>,
    frames: Frames,
    /// Entries of each ring.
    ring_len: u32,
    queue: u32,
    zero_copy: bool,
    busy_poll: bool,
}

impl Xsk {
    /// Opens a socket on a queue of an interface, by the interface's index. Waits up to half a
    /// second for a queue that another socket has: it may have been closed a moment ago.
    ///
    /// # Errors
    /// Says which step failed and what can be done.
    ///
    /// # Panics
    /// If the length of the rings is none that [`Settings`] allows.
    pub fn open(interface: u32, queue: u32, settings: &Settings) -> Result<Self, OpenError> {
        let Settings { ring_len, .. } = *settings;
        assert!(
            ring_len.is_power_of_two() && (64..=16_384).contains(&ring_len),
            "rings of {ring_len} entries"
        );
        let at = |step| move |error: io::Error| OpenError { step, source: error, queue };
        let call = |step| move |error: Errno| OpenError { step, source: error.into(), queue };

        let frames = Frames::new(ring_len * FRAMES_PER_ENTRY).map_err(at(Step::Memory))?;
        let fd = socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map_err(call(Step::Socket))?;
        let memory = XdpUmemReg {
            addr: frames.memory().start().as_ptr().expose_provenance() as u64,
            len: frames.memory().len() as u64,
            chunk_size: FRAME_LEN as u32,
            headroom: 0,
            flags: XdpUmemRegFlags::empty(),
            tx_metadata_len: 0,
        };
        sockopt::set_xdp_umem_reg(&fd, memory).map_err(call(Step::Umem))?;
        let rings = call(Step::Rings);
        sockopt::set_xdp_umem_fill_ring_size(&fd, ring_len).map_err(rings)?;
        sockopt::set_xdp_umem_completion_ring_size(&fd, ring_len).map_err(rings)?;
        sockopt::set_xdp_rx_ring_size(&fd, ring_len).map_err(rings)?;
        sockopt::set_xdp_tx_ring_size(&fd, ring_len).map_err(rings)?;
        let offsets = sockopt::xdp_mmap_offsets(&fd).map_err(rings)?;
        let (rings, socket) = (at(Step::Rings), fd.as_fd());
        let fill = Producer::map(socket, XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, ring_len);
        let completion =
            Consumer::map(socket, XDP_UMEM_PGOFF_COMPLETION_RING, &offsets.cr, ring_len);
        let rx = Consumer::map(socket, XDP_PGOFF_RX_RING, &offsets.rx, ring_len);
        let tx = Producer::map(socket, XDP_PGOFF_TX_RING, &offsets.tx, ring_len);
        tune(socket, settings);
        let mut flags = SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP;
        match settings.bind {
            Bind::Auto => {}
            Bind::ZeroCopy => flags |= SocketAddrXdpFlags::XDP_ZEROCOPY,
            Bind::Copy => flags |= SocketAddrXdpFlags::XDP_COPY,
        }
        let mut xsk = Self {
            fill: fill.map_err(rings)?,
            completion: completion.map_err(rings)?,
            rx: rx.map_err(rings)?,
            tx: tx.map_err(rings)?,
            fd,
            frames,
            ring_len,
            queue,
            zero_copy: false,
            busy_poll: settings.busy_poll.is_some(),
        };
        // Before packets can come.
        xsk.refill();
        bind_when_released(&xsk.fd, &SocketAddrXdp::new(flags, interface, queue))
            .map_err(call(Step::Bind))?;
        let options = sockopt::xdp_options(&xsk.fd).map_err(call(Step::Bind))?;
        xsk.zero_copy = options.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY);
        Ok(xsk)
    }

    /// The queue.
    #[must_use]
    pub const fn queue(&self) -> u32 {
        self.queue
    }

    /// Whether frames are shared with the network card; otherwise they are copied.
    #[must_use]
    pub const fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// Takes up to `max` packets that have come, and appends them to `into`; how many. Does not
    /// wait.
    pub fn receive(&mut self, into: &mut Vec<XskFrame>, max: usize) -> usize {
        let mut count = 0;
        while count < max {
            let Some(descriptor) = self.rx.pop() else { break };
            into.push(self.frames.received(descriptor.addr, descriptor.len));
            count += 1;
        }
        if count > 0 {
            self.rx.release();
        }
        self.refill();
        // An empty ring with busy polling is polled by the call, as is a driver that has slept
        // since it found the fill ring empty.
        if self.fill.needs_wakeup() || (count == 0 && self.busy_poll) {
            // What keeps it from polling now keeps it the next time too: there are no packets.
            let _ = recv(&self.fd, &mut [0_u8; 0][..], RecvFlags::DONTWAIT);
        }
        count
    }

    /// How many packets more can come before the kernel has no place or no frame for them.
    pub fn room(&mut self) -> u32 {
        let places = self.ring_len.saturating_sub(self.rx.waiting());
        places.min(self.fill.waiting())
    }

    /// Gives free frames to the kernel, as many as the fill ring has room for.
    fn refill(&mut self) {
        let mut filled = false;
        while self.fill.room(1) > 0 {
            let Some(address) = self.frames.fill() else { break };
            self.fill.push(address);
            filled = true;
        }
        if filled {
            self.fill.publish();
        }
    }

    /// A free frame for a packet of one's own, with nothing in it; `None` if all are in use: then
    /// `flush`, and look again.
    pub fn allocate(&mut self) -> Option<XskFrame> {
        self.frames.allocate()
    }

    /// The packet in a frame, from its Ethernet header on.
    ///
    /// # Panics
    /// If the frame is another socket's.
    #[must_use]
    pub fn packet(&self, frame: &XskFrame) -> &[u8] {
        self.frames.packet(frame)
    }

    /// The packet in a frame and the room behind it; [`XskFrame::set_len`] says how much of it is
    /// the packet.
    ///
    /// # Panics
    /// If the frame is another socket's.
    pub fn room_mut(&mut self, frame: &mut XskFrame) -> &mut [u8] {
        self.frames.room_mut(frame)
    }

    /// Hands frames to the kernel, from the front, as many as the tx ring has room for; the others
    /// stay. They leave with [`Self::flush`].
    ///
    /// # Panics
    /// If a frame is another socket's.
    pub fn send(&mut self, frames: &mut Vec<XskFrame>) -> usize {
        let room = self.tx.room(frames.len() as u32);
        let count = frames.len().min(room as usize);
        for frame in frames.drain(..count) {
            let len = frame.len() as u32;
            let addr = self.frames.transmit(frame);
            self.tx.push(XdpDesc { addr, len, options: XdpDescOptions::empty() });
        }
        if count > 0 {
            self.tx.publish();
        }
        count
    }

    /// Gives a frame back without sending it.
    ///
    /// # Panics
    /// If the frame is another socket's.
    pub fn release(&mut self, frame: XskFrame) {
        self.frames.release(frame);
    }

    /// Takes back the frames that have been sent; how many.
    pub fn complete(&mut self) -> usize {
        let mut count = 0;
        while let Some(address) = self.completion.pop() {
            self.frames.sent(address);
            count += 1;
        }
        if count > 0 {
            self.completion.release();
        }
        count
    }

    /// Makes the kernel send what was handed to it, and takes back what has been sent.
    ///
    /// By copy a call sends a bounded number of frames and then says `EAGAIN`, so it is called for
    /// as long as that helps. What is left when the interface takes no more goes out with the next
    /// flush.
    ///
    /// # Errors
    /// If the interface is down or gone.
    pub fn flush(&mut self) -> io::Result<()> {
        loop {
            let waiting = self.tx.waiting();
            if waiting == 0 || !self.tx.needs_wakeup() {
                self.complete();
                return Ok(());
            }
            let result = send(&self.fd, &[], SendFlags::DONTWAIT);
            let completed = self.complete();
            match result {
                Ok(_) | Err(Errno::INTR) => {}
                // The bound is reached, the completion ring is full, or the interface is.
                Err(Errno::AGAIN | Errno::BUSY | Errno::NOBUFS) => {
                    if completed == 0 && self.tx.waiting() == waiting {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How many frames were handed to the kernel and have not left yet.
    pub fn unsent(&mut self) -> u32 {
        self.tx.waiting()
    }

    /// Waits until packets are there to be received or `timeout` is over.
    ///
    /// # Errors
    /// Those of poll(2) but for interruption by a signal.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: timeout.as_secs().cast_signed(),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn statistics(&self) -> io::Result<Statistics> {
        let counted = sockopt::xdp_statistics(&self.fd)?;
        Ok(Statistics {
            rx_dropped: counted.rx_dropped,
            rx_ring_full: counted.rx_ring_full.unwrap_or(0),
            fill_ring_empty: counted.rx_fill_ring_empty_descs.unwrap_or(0),
            rx_invalid: counted.rx_invalid_descs,
            tx_invalid: counted.tx_invalid_descs,
            tx_ring_empty: counted.tx_ring_empty_descs.unwrap_or(0),
        })
    }

    /// Where the frames are: the sum is always that of the frames there are, and `held` the number
    /// of tokens in callers' hands.
    #[must_use]
    pub fn census(&self) -> Census {
        self.frames.census()
    }
}

impl AsFd for Xsk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Binds a socket; where its queue is taken, again and again until [`RELEASE_WAIT`] is over. A bind
/// that was refused leaves the socket as it was.
fn bind_when_released(socket: &OwnedFd, address: &SocketAddrXdp) -> Result<(), Errno> {
    let deadline = Instant::now() + RELEASE_WAIT;
    loop {
        match bind(socket, address) {
            Err(Errno::BUSY) if Instant::now() < deadline => std::thread::sleep(RELEASE_POLL),
            done => return done,
        }
    }
}

/// Options without which the socket works too, only slower: older kernels lack them.
fn tune(socket: BorrowedFd<'_>, settings: &Settings) {
    let buffer = settings.ring_len as usize * SEND_BUFFER_PER_FRAME;
    if sockopt::set_socket_send_buffer_size_force(socket, buffer).is_err() {
        let _kept_as_it_was = sockopt::set_socket_send_buffer_size(socket, buffer);
    }
    let budget = settings.ring_len.min(TX_BUDGET).cast_signed();
    let mut options = vec![(libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, budget)];
    if let Some(span) = settings.busy_poll {
        let micros = i32::try_from(span.as_micros()).unwrap_or(i32::MAX);
        options.push((libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, 1));
        options.push((libc::SOL_SOCKET, libc::SO_BUSY_POLL, micros));
        options.push((libc::SOL_SOCKET, libc::SO_BUSY_POLL_BUDGET, 64));
    }
    for (level, name, value) in options {
        let _older_kernel = set_option(socket, level, name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_to_do() {
        let error = |step, errno: Errno| OpenError { step, source: errno.into(), queue: 3 };
        let text = error(Step::Bind, Errno::BUSY).to_string();
        assert!(text.contains("queue 3") && text.contains("another program"), "{text}");
        let text = error(Step::Umem, Errno::NOBUFS).to_string();
        assert!(text.contains("LimitMEMLOCK"), "{text}");
        let text = error(Step::Socket, Errno::PERM).to_string();
        assert!(text.contains("CAP_NET_RAW"), "{text}");
    }

    #[test]
    #[should_panic(expected = "rings of 100 entries")]
    fn rings_have_the_lengths_that_the_kernel_takes() {
        let _ = Xsk::open(1, 0, &Settings { ring_len: 100, ..Settings::default() });
    }
}
