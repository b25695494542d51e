//! Batches of datagrams: `recvmmsg(2)` and `sendmmsg(2)`, 64 datagrams a system call.
//!
//! A [`MessageBatch`] receives queries and sends the replies that were written beside them; a
//! [`ReplyBatch`] collects replies that come later. All memory is made with them. A datagram is
//! described to the kernel by four things, here the columns of an [`Envelopes`] table:
//!
//! ```text
//!   mmsghdr ──► name     SocketAddress    the peer
//!           ├─► iovec ──► octets          the DNS message
//!           └─► control  ControlMessage   our own address
//! ```
//!
//! The pointers among them are written anew before each system call and never read by us, so that
//! no pointer outlives the borrow it came from. That costs some nanoseconds a datagram; a
//! datagram costs some microseconds.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::control_message::{ControlMessage, PacketInfo};
use super::socket_address::SocketAddress;
use crate::datagram::{Channel, Client, Datagram};
use crate::limits::{BATCH_LEN, UDP_PAYLOAD_LEN, UDP_RECEIVE_LEN};

/// How often one flush may wait for room in the socket's send buffer.
const SEND_WAITS_MAX: u32 = 2;

/// How long it waits each time. Other clients wait meanwhile, so this is short.
const SEND_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// How a flush of replies went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Replies the kernel took.
    pub sent: usize,
    /// Replies the kernel refused, or had no room for.
    pub failed: usize,
}

/// Octets from one message to the next. Were they a power of two, the first octets of all messages
/// would compete for the same few places in the processor's cache.
const STRIDE: usize = UDP_RECEIVE_LEN + 3 * 64;

/// The memory of one message: [`UDP_RECEIVE_LEN`] octets, and a gap.
type Buffer = [u8; STRIDE];

/// Rows offered to the kernel while little comes. Each costs some nanoseconds a call, used or not.
const ROWS_MIN: usize = 8;

/// A client of no meaning, for slots that hold no message.
const NO_CLIENT: Client = Client {
    peer: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
    local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    interface: 0,
    channel: Channel::Udp { socket: 0 },
};

/// Memory for a whole batch, zeroed.
fn buffers() -> Box<[Buffer]> {
    vec![[0; STRIDE]; BATCH_LEN].into_boxed_slice()
}

// ---- Queries and the replies made at once

/// Queries of one system call, each with room for its reply.
pub struct MessageBatch {
    /// What was received.
    queries: Box<[Buffer]>,
    /// Octets received, by slot.
    query_lens: [usize; BATCH_LEN],
    /// Who sent it, by slot.
    clients: Box<[Client]>,
    /// How many slots hold a query. At most [`BATCH_LEN`].
    len: usize,
    /// How many slots the next call offers at first.
    rows: usize,
    /// What is to be sent.
    replies: Box<[Buffer]>,
    /// Octets to be sent, by slot; 0: no reply.
    reply_lens: [usize; BATCH_LEN],
    /// The kernel's view.
    envelopes: Envelopes,
}

impl Default for MessageBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl MessageBatch {
    /// An empty batch. All allocation happens here.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queries: buffers(),
            query_lens: [0; BATCH_LEN],
            clients: vec![NO_CLIENT; BATCH_LEN].into_boxed_slice(),
            len: 0,
            rows: ROWS_MIN,
            replies: buffers(),
            reply_lens: [0; BATCH_LEN],
            envelopes: Envelopes::new(),
        }
    }

    /// Takes the datagrams that wait at `fd`, [`BATCH_LEN`] at most, and returns how many. Never
    /// waits. Whatever the batch held before is forgotten.
    ///
    /// `socket` is the place of `fd` in the list of listen addresses. A datagram that is longer
    /// than [`UDP_RECEIVE_LEN`] is cut to it: no query is that long.
    ///
    /// # Errors
    ///
    /// Those of `recvmmsg(2)`; that nothing waits is none.
    pub fn recv(&mut self, fd: BorrowedFd<'_>, socket: u16) -> io::Result<usize> {
        self.reply_lens[..self.len].fill(0);
        // First of all, so that after an error no slot seems to hold a query.
        self.len = 0;
        let rows = self.rows;
        let mut received = self.envelopes.recv(fd, &mut self.queries, 0, rows)?;
        if received == rows && rows < BATCH_LEN {
            // An error is that of the next call then: what has come is answered first.
            let more = self.envelopes.recv(fd, &mut self.queries, rows, BATCH_LEN - rows);
            received += more.unwrap_or_default();
        }
        // As many rows as there is traffic: all at once when many were used, fewer by and by.
        self.rows = if received > rows {
            BATCH_LEN
        } else if received * 2 < rows {
            (rows / 2).max(ROWS_MIN)
        } else {
            rows
        };
        let mut len = 0;
        for slot in 0..received {
            let (octets, client) = self.envelopes.received(slot, socket);
            // The kernel gives each datagram an IP source address. Were there none, there would
            // be nobody to answer; the slot stays, with an empty query that deserves no answer.
            self.query_lens[len] = if client.is_some() { octets } else { 0 };
            self.clients[len] = client.unwrap_or(NO_CLIENT);
            len += 1;
        }
        self.len = len;
        Ok(len)
    }

    /// Whether every slot was filled: then more may wait.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == BATCH_LEN
    }

    /// How many queries the batch holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The query in a slot below [`MessageBatch::len`].
    ///
    /// # Panics
    ///
    /// Where the slot is past [`BATCH_LEN`].
    #[must_use]
    pub fn datagram(&self, slot: usize) -> Datagram<'_> {
        debug_assert!(slot < self.len);
        let bytes = &self.queries[slot][..self.query_lens[slot]];
        Datagram { bytes, client: self.clients[slot] }
    }

    /// The query in a slot below [`MessageBatch::len`], and the room for its reply.
    ///
    /// # Panics
    ///
    /// Where the slot is past [`BATCH_LEN`].
    pub fn split(&mut self, slot: usize) -> (Datagram<'_>, &mut [u8]) {
        debug_assert!(slot < self.len);
        let bytes = &self.queries[slot][..self.query_lens[slot]];
        let reply = &mut self.replies[slot][..UDP_RECEIVE_LEN];
        (Datagram { bytes, client: self.clients[slot] }, reply)
    }

    /// Says that the first `len` octets of a slot's reply room are the reply to its query; with 0
    /// there is none.
    ///
    /// # Panics
    ///
    /// Where the slot is past the batch, or the reply longer than its room.
    pub fn set_reply(&mut self, slot: usize, len: usize) {
        assert!(slot < self.len && len <= UDP_RECEIVE_LEN);
        self.reply_lens[slot] = len;
    }

    /// Sends all replies set since the last [`MessageBatch::recv`], each from the address that
    /// was asked, and forgets them.
    pub fn send(&mut self, fd: BorrowedFd<'_>) -> SendReport {
        let lens = self.reply_lens.iter().zip(&self.replies).zip(&self.clients).take(self.len);
        let replies = lens
            .filter(|((len, _), _)| **len > 0)
            .map(|((len, reply), client)| (client, &reply[..*len]));
        let report = self.envelopes.send(fd, replies);
        self.reply_lens[..self.len].fill(0);
        report
    }
}

// ---- Replies that come later

/// Replies to queries of earlier batches, possibly from several sockets.
pub struct ReplyBatch {
    /// What is to be sent.
    replies: Box<[Buffer]>,
    /// Octets to be sent, by slot.
    lens: [usize; BATCH_LEN],
    /// To whom, by slot.
    clients: Box<[Client]>,
    /// How many slots hold a reply. At most [`BATCH_LEN`].
    len: usize,
    /// The kernel's view.
    envelopes: Envelopes,
}

impl Default for ReplyBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplyBatch {
    /// An empty batch. All allocation happens here.
    #[must_use]
    pub fn new() -> Self {
        Self {
            replies: buffers(),
            lens: [0; BATCH_LEN],
            clients: vec![NO_CLIENT; BATCH_LEN].into_boxed_slice(),
            len: 0,
            envelopes: Envelopes::new(),
        }
    }

    /// Whether messages of one length to one client may go to the kernel as one, as they do unless
    /// told otherwise. A tester sends each by itself, as many clients would.
    pub const fn set_segments(&mut self, segments: bool) {
        self.envelopes.segments = segments;
    }

    /// Whether the next [`ReplyBatch::push`] would find no room: flush first.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == BATCH_LEN
    }

    /// Whether there is nothing to flush.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Keeps a copy of a reply until the next flush. Returns false, and keeps nothing, where the
    /// batch is full or the reply longer than any UDP reply may be.
    #[must_use]
    pub fn push(&mut self, client: &Client, bytes: &[u8]) -> bool {
        if self.is_full() || bytes.len() > UDP_RECEIVE_LEN {
            return false;
        }
        self.replies[self.len][..bytes.len()].copy_from_slice(bytes);
        self.lens[self.len] = bytes.len();
        self.clients[self.len] = *client;
        self.len += 1;
        true
    }

    /// Sends everything, each reply by the socket its query came by, and forgets it. `socket`
    /// finds a socket by its place in the list of listen addresses. Replies to a socket that is
    /// not there any more, or to no UDP client, count as failed.
    pub fn flush<'s>(
        &mut self,
        mut socket: impl FnMut(u16) -> Option<BorrowedFd<'s>>,
    ) -> SendReport {
        let mut report = SendReport::default();
        let mut done = [false; BATCH_LEN];
        for first in 0..self.len {
            if done[first] {
                continue;
            }
            let channel = self.clients[first].channel;
            let mut slots = 0;
            for (client, done) in self.clients[..self.len].iter().zip(&mut done) {
                if client.channel == channel {
                    *done = true;
                    slots += 1;
                }
            }
            let fd = match channel {
                Channel::Udp { socket: place } => socket(place),
                Channel::Tcp { .. } | Channel::Validator { .. } => None,
            };
            let Some(fd) = fd else {
                report.failed += slots;
                continue;
            };
            let replies = self.lens.iter().zip(&self.replies).zip(&self.clients).take(self.len);
            let replies = replies
                .filter(|(_, client)| client.channel == channel)
                .map(|((len, reply), client)| (client, &reply[..*len]));
            let part = self.envelopes.send(fd, replies);
            report.sent += part.sent;
            report.failed += part.failed;
        }
        self.len = 0;
        report
    }
}

// ---- The kernel's view

/// The table of message headers, and what they point to apart from the messages themselves.
struct Envelopes {
    /// Peers.
    names: Box<[SocketAddress]>,
    /// Our own addresses.
    controls: Box<[ControlMessage]>,
    /// Where the messages lie.
    iovecs: Box<[libc::iovec]>,
    /// What the system calls are given.
    headers: Box<[libc::mmsghdr]>,
    /// Whether the kernel is asked to segment: until it has refused once.
    segments: bool,
}

// SAFETY: what keeps an `Envelopes` from being `Send` by itself are the raw pointers in `iovecs`
// and `headers`. They are written and followed within one call of `recv` or `send`, which holds
// `&mut self`; between the calls they are dead values that no code follows.
unsafe impl Send for Envelopes {}

/// An iovec that points nowhere.
const NO_IOVEC: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

impl Envelopes {
    /// A table of [`BATCH_LEN`] rows.
    fn new() -> Self {
        // SAFETY: an `mmsghdr` consists of integers and raw pointers, for which all zeros is a
        // valid value (no name, no message, no control message). It has private padding on some
        // systems, so it cannot be written as a literal.
        let no_header: libc::mmsghdr = unsafe { mem::zeroed() };
        Self {
            names: vec![SocketAddress::EMPTY; BATCH_LEN].into_boxed_slice(),
            controls: vec![ControlMessage::EMPTY; BATCH_LEN].into_boxed_slice(),
            iovecs: vec![NO_IOVEC; BATCH_LEN].into_boxed_slice(),
            headers: vec![no_header; BATCH_LEN].into_boxed_slice(),
            segments: true,
        }
    }

    /// Points row `slot` at its message and says how long name and control message are.
    fn address(&mut self, slot: usize, iovec: libc::iovec, name_len: usize, control_len: usize) {
        self.iovecs[slot] = iovec;
        self.envelope(slot, slot, 1, name_len, control_len);
    }

    /// Points a row at `iovec_count` iovecs from `first_iovec` on, and at its name and control
    /// message.
    fn envelope(
        &mut self,
        row: usize,
        first_iovec: usize,
        iovec_count: usize,
        name_len: usize,
        control_len: usize,
    ) {
        debug_assert!(name_len <= SocketAddress::LEN_MAX && control_len <= ControlMessage::LEN_MAX);
        let iovecs = &mut self.iovecs[first_iovec..first_iovec + iovec_count];
        let header = &mut self.headers[row].msg_hdr;
        header.msg_name = (&raw mut self.names[row]).cast();
        header.msg_namelen = name_len as libc::socklen_t;
        header.msg_iov = iovecs.as_mut_ptr();
        header.msg_iovlen = iovec_count as _;
        header.msg_control = (&raw mut self.controls[row]).cast();
        header.msg_controllen = control_len as _;
        header.msg_flags = 0;
        self.headers[row].msg_len = 0;
    }

    /// Receives into `buffers`, from place `first` on and `rows` of them at most, what waits at
    /// `fd`; returns how many datagrams.
    fn recv(
        &mut self,
        fd: BorrowedFd<'_>,
        buffers: &mut [Buffer],
        first: usize,
        rows: usize,
    ) -> io::Result<usize> {
        let buffers = &mut buffers[first..first + rows];
        for (slot, buffer) in (first..).zip(buffers.iter_mut()) {
            let iov_base = buffer.as_mut_ptr().cast();
            let iovec = libc::iovec { iov_base, iov_len: UDP_RECEIVE_LEN };
            self.address(slot, iovec, SocketAddress::LEN_MAX, ControlMessage::LEN_MAX);
        }
        let headers = &mut self.headers[first..first + rows];
        // SAFETY: each of the `rows` headers was just pointed at memory that lives
        // through the call and is borrowed mutably: names, controls and iovecs of `self`, and the
        // caller's buffers, each with its true length. The kernel writes within these lengths.
        let received = unsafe {
            libc::recvmmsg(
                // "sockfd is the file descriptor of the socket to receive data from".
                fd.as_raw_fd(),
                // "The msgvec argument is a pointer to an array of mmsghdr structures".
                headers.as_mut_ptr(),
                // "The size of this array is specified in vlen": the length of the slice.
                headers.len() as libc::c_uint,
                // MSG_DONTWAIT (recv(2)): "Enables nonblocking operation".
                libc::MSG_DONTWAIT,
                // No timeout: "A nonblocking call reads as many messages as are available (up to
                // the limit specified by vlen) and returns immediately".
                ptr::null_mut(),
            )
        };
        match usize::try_from(received) {
            Ok(count) => Ok(count.min(rows)),
            Err(_) => match io::Error::last_os_error() {
                nothing if nothing.kind() == io::ErrorKind::WouldBlock => Ok(0),
                signal if signal.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            },
        }
    }

    /// Octets and sender of the datagram just received into a slot.
    fn received(&self, slot: usize, socket: u16) -> (usize, Option<Client>) {
        let message = &self.headers[slot];
        // "The msg_len field is the number of bytes returned for the message in the entry": without
        // MSG_TRUNC among the flags given, no more than the iovec has room for.
        let octets = (message.msg_len as usize).min(UDP_RECEIVE_LEN);
        let Some(peer) = self.names[slot].read(message.msg_hdr.msg_namelen as usize) else {
            return (octets, None);
        };
        #[allow(
            clippy::unnecessary_cast,
            reason = "the field is a usize in glibc and a socklen_t in musl"
        )]
        let control_len = message.msg_hdr.msg_controllen as usize;
        let info = self.controls[slot].read(control_len);
        let wildcard = match peer {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        // Without packet information the socket has but one address, and the kernel chooses it.
        let info = info.unwrap_or(PacketInfo { local: wildcard, interface: 0 });
        let channel = Channel::Udp { socket };
        let client = Client { peer, local: info.local, interface: info.interface, channel };
        (octets, Some(client))
    }

    /// Sends messages, [`BATCH_LEN`] at most, to clients of one socket.
    ///
    /// Messages of one length to one client go to the kernel as one, to be cut into datagrams on
    /// its last steps (udp(7), `UDP_SEGMENT`): a forwarder or a tester with many queries under way
    /// costs a fraction of what as many clients cost.
    fn send<'a>(
        &mut self,
        fd: BorrowedFd<'_>,
        messages: impl Iterator<Item = (&'a Client, &'a [u8])> + Clone,
    ) -> SendReport {
        let groups = if self.segments { Groups::of(messages.clone()) } else { Groups::single() };
        let rows = self.fill(messages.clone(), &groups);
        // SAFETY: `fill` has just pointed each of the headers at memory that lives through this
        // function: names, controls and iovecs of `self`, and messages borrowed for 'a, each with
        // its true length.
        let (mut report, refused_group) = unsafe { send_all(fd, &mut self.headers[..rows]) };
        if refused_group {
            // This interface cannot segment, or a message is longer than its packets may be. Those
            // of refused groups go one by one, and so does everything after.
            self.segments = false;
            let refused: [bool; BATCH_LEN] =
                std::array::from_fn(|row| row < rows && self.headers[row].msg_len == REFUSED);
            let again = messages
                .enumerate()
                .filter(|(index, _)| refused[usize::from(groups.row_of[*index])])
                .map(|(_, message)| message);
            let rows = self.fill(again, &Groups::single());
            // SAFETY: as above.
            let (second, _) = unsafe { send_all(fd, &mut self.headers[..rows]) };
            report.sent += second.sent;
            report.failed += second.failed;
        }
        report
    }

    /// Fills a row for each group; returns how many rows there are.
    fn fill<'a>(
        &mut self,
        messages: impl Iterator<Item = (&'a Client, &'a [u8])>,
        groups: &Groups,
    ) -> usize {
        let mut filled = [0_u8; BATCH_LEN];
        let mut rows = 0;
        for (index, (client, bytes)) in messages.take(BATCH_LEN).enumerate() {
            let row = usize::from(groups.row_of[index]);
            let first = usize::from(groups.first_iovec[row]);
            // sendmmsg(2) does not write to the message: `iov_base` is not const because
            // readv(2) shares the type.
            let iov_base = bytes.as_ptr().cast_mut().cast();
            self.iovecs[first + usize::from(filled[row])] =
                libc::iovec { iov_base, iov_len: bytes.len() };
            if filled[row] == 0 {
                let name_len = self.names[row].write(&client.peer);
                let info = PacketInfo { local: client.local, interface: client.interface };
                let mut control_len = self.controls[row].write(info);
                let count = usize::from(groups.count[row]);
                if count > 1 {
                    // Groups are of messages that fit a datagram: their length fits 16 bits.
                    control_len =
                        self.controls[row].write_segment_len(control_len, bytes.len() as u16);
                }
                self.envelope(row, first, count, name_len, control_len);
                rows = rows.max(row + 1);
            }
            filled[row] += 1;
        }
        rows
    }
}

/// The mark of a row whose group the kernel refused; no message has this length.
const REFUSED: libc::c_uint = libc::c_uint::MAX;

/// Longest message that is sent in a group: its segments must fit the packets of every path.
const GROUPED_LEN_MAX: usize = UDP_PAYLOAD_LEN;

/// Octets of one group: those of the longest datagram, of which it is one until it is cut.
const GROUP_LEN_MAX: usize = 60_000;

/// Which messages of a batch go to the kernel as one: those of one length to one client.
struct Groups {
    /// By message: the row of its group.
    row_of: [u8; BATCH_LEN],
    /// By row: how many messages.
    count: [u8; BATCH_LEN],
    /// By row: the place of its first iovec; those of a group stand side by side.
    first_iovec: [u8; BATCH_LEN],
}

impl Groups {
    /// Every message by itself.
    fn single() -> Self {
        let numbers = std::array::from_fn(|index| index as u8);
        Self { row_of: numbers, count: [1; BATCH_LEN], first_iovec: numbers }
    }

    /// Groups messages. A client's replies meet in a table by its port; two clients with one place
    /// take turns there, which costs them nothing but the grouping.
    fn of<'a>(messages: impl Iterator<Item = (&'a Client, &'a [u8])>) -> Self {
        const PLACES: usize = 128;
        const NONE: u8 = u8::MAX;
        let mut groups =
            Self { row_of: [0; BATCH_LEN], count: [0; BATCH_LEN], first_iovec: [0; BATCH_LEN] };
        let mut heads: [Option<(&Client, usize)>; BATCH_LEN] = [None; BATCH_LEN];
        let mut table = [NONE; PLACES];
        let mut rows = 0;
        for (index, (client, bytes)) in messages.take(BATCH_LEN).enumerate() {
            let place = (usize::from(client.peer.port()) ^ bytes.len() << 3) % PLACES;
            let row = usize::from(table[place]);
            let joins = heads.get(row).copied().flatten().is_some_and(|(head, len)| {
                len == bytes.len()
                    && len <= GROUPED_LEN_MAX
                    && len * (usize::from(groups.count[row]) + 1) <= GROUP_LEN_MAX
                    && head.peer == client.peer
                    && head.local == client.local
                    && head.interface == client.interface
            });
            let row = if joins {
                row
            } else {
                heads[rows] = Some((client, bytes.len()));
                table[place] = rows as u8;
                rows += 1;
                rows - 1
            };
            groups.row_of[index] = row as u8;
            groups.count[row] += 1;
        }
        let mut next = 0;
        for (first, count) in groups.first_iovec.iter_mut().zip(groups.count) {
            *first = next;
            next += count;
        }
        groups
    }
}

/// Sends all messages, whatever becomes of single ones.
///
/// sendmmsg(2): "If an error occurs after at least one message has been sent, the call succeeds,
/// and returns the number of messages sent. The error code is lost." So we call it again behind
/// the last success, and step over a message that fails at the head of a call: one bad
/// destination costs no other client its reply. A group that is refused is not counted but marked
/// ([`REFUSED`]); the second result says whether there was one.
///
/// # Safety
///
/// All pointers in `headers` must be valid, with the lengths beside them: names and control
/// messages and iovecs and what these point to.
unsafe fn send_all(fd: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> (SendReport, bool) {
    let mut refused_group = false;
    let mut report = SendReport::default();
    let mut waits = 0;
    let mut next = 0;
    // Each turn moves `next` on or uses up a wait, so this ends.
    while next < headers.len() {
        let rest = &mut headers[next..];
        // SAFETY: the caller vouches for the pointers in the headers.
        let sent = unsafe {
            libc::sendmmsg(
                // "sockfd is the file descriptor of the socket on which data is to be
                // transmitted".
                fd.as_raw_fd(),
                // "The msgvec argument is a pointer to an array of mmsghdr structures".
                rest.as_mut_ptr(),
                // "The size of this array is specified in vlen": the length of the slice.
                rest.len() as libc::c_uint,
                // The worker does not sleep in here but in `wait_writable`, for a bounded time.
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        if let Ok(sent @ 1..) = usize::try_from(sent) {
            report.sent += datagrams(&rest[..sent]);
            next += sent;
            continue;
        }
        let full = io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
        if full && waits < SEND_WAITS_MAX {
            waits += 1;
            wait_writable(fd);
        } else if full {
            report.failed += datagrams(rest);
            break;
        } else if rest[0].msg_hdr.msg_iovlen > 1 {
            rest[0].msg_len = REFUSED;
            refused_group = true;
            next += 1;
        } else {
            report.failed += 1;
            next += 1;
        }
    }
    (report, refused_group)
}

/// How many datagrams these rows are.
fn datagrams(headers: &[libc::mmsghdr]) -> usize {
    #[allow(clippy::unnecessary_cast, reason = "the field is a usize in glibc and an int in musl")]
    headers.iter().map(|header| header.msg_hdr.msg_iovlen as usize).sum()
}

/// Waits, at most [`SEND_WAIT`], for room in the socket's send buffer.
fn wait_writable(fd: BorrowedFd<'_>) {
    let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
    // Whatever the outcome, the next sendmmsg tells.
    let _either_way = poll(&mut fds, Some(&SEND_WAIT));
}

#[cfg(test)]
mod tests;
