//! The limits of a machine below its sockets: an echo over `AF_XDP`, and a reflector inside XDP.
//!
//! Both send each query back to where it came from, with QR set and right checksums, as a DNS
//! server on the same layer would have to. They answer the datagrams to one address and port of one
//! interface; everything else goes on to the network stack.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use dns64::limits::BATCH_LEN;
use dns64::sys::xsk::{Settings, Xsk, XskFrame};
use dns64::xdp::{Attached, ModeWanted, Object, Program, XdpMode, interface};
use dns64_ebpf::abi::{self, mapped};
use dns64_ebpf::flow::{Datagram, Endpoints, FlowFilter};
use dns64_ebpf::headers;

use crate::echo::write_echo;

/// The longest that an idle echo waits before it looks again.
const IDLE: Duration = Duration::from_secs(1);

/// Room for a reply: what a query without EDNS may get, and more than the echo ever writes.
const REPLY_LEN_MAX: usize = 1_232;

/// An interface, and how programs and sockets are put on it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The interface's name.
    pub interface: String,
    /// Where the XDP program goes.
    pub mode: ModeWanted,
    /// The queues that get a socket; empty: all.
    pub queues: Vec<u32>,
    /// The sockets.
    pub settings: Settings,
}

impl Place {
    /// The queues that are meant.
    fn queues(&self) -> Vec<u32> {
        if self.queues.is_empty() {
            return (0..interface::queue_count(&self.interface)).collect();
        }
        self.queues.clone()
    }

    /// Opens a socket on each queue and has the datagrams of a filter brought to them.
    ///
    /// # Errors
    /// Says what is in the way and what to do about it.
    pub fn open(&self, filter: &FlowFilter) -> anyhow::Result<(Vec<Xsk>, Attached)> {
        let index = interface::index_of(&self.interface)?;
        let mut program = Program::load(Object::Bench, abi::PROGRAM_REDIRECT)?;
        program.set_filter(filter)?;
        let mut sockets = Vec::new();
        for queue in self.queues() {
            let socket =
                Xsk::open(index, queue, &self.settings).with_context(|| self.interface.clone())?;
            program.insert_socket(queue, &socket)?;
            sockets.push(socket);
        }
        let attached = program.attach(&self.interface, self.mode)?;
        Ok((sockets, attached))
    }
}

/// Takes what anybody sends to an address and port; an unspecified address stands for all.
fn queries_to(listen: SocketAddr) -> FlowFilter {
    let bits = if listen.ip().is_unspecified() { 0 } else { 128 };
    let service = Endpoints::new(mapped(listen.ip()), bits, listen.port(), listen.port());
    FlowFilter::new(Endpoints::ANY, service)
}

/// An echo over `AF_XDP`.
#[derive(Debug)]
pub struct XdpEcho {
    sockets: Vec<Xsk>,
    attached: Attached,
    records: u8,
}

impl XdpEcho {
    /// Attaches the program and opens the sockets. `records` AAAA records go with each reply.
    ///
    /// # Errors
    /// Says what is in the way and what to do about it.
    pub fn open(place: &Place, listen: SocketAddr, records: u8) -> anyhow::Result<Self> {
        let (sockets, attached) = place.open(&queries_to(listen))?;
        Ok(Self { sockets, attached, records })
    }

    /// What the echo stands on, in words.
    #[must_use]
    pub fn description(&self) -> String {
        let copies = self.sockets.iter().filter(|socket| !socket.is_zero_copy()).count();
        let total = self.sockets.len();
        let mode = describe(&self.attached);
        format!("AF_XDP, {mode}, {total} queues, {copies} of them by copy")
    }

    /// Echoes for ever, with a thread for each queue.
    ///
    /// # Errors
    /// If the interface goes down or away.
    pub fn run(self) -> io::Result<Infallible> {
        let records = self.records;
        std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .sockets
                .into_iter()
                .map(|socket| scope.spawn(move || echo(socket, records)))
                .collect();
            let mut error = io::Error::other("an echo has no queue");
            for thread in threads {
                match thread.join() {
                    Ok(Err(failed)) => error = failed,
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Err(error)
        })
    }
}

/// How a program is attached, in words.
#[must_use]
pub fn describe(attached: &Attached) -> String {
    match (attached.mode(), attached.native_refusal()) {
        (XdpMode::Native, _) => "native XDP".to_owned(),
        (XdpMode::Generic, None) => "generic XDP".to_owned(),
        (XdpMode::Generic, Some(refusal)) => format!("generic XDP ({refusal})"),
    }
}

/// Echoes what comes by one queue.
fn echo(mut socket: Xsk, records: u8) -> io::Result<Infallible> {
    let mut received = Vec::with_capacity(BATCH_LEN);
    let mut replies = Vec::with_capacity(BATCH_LEN);
    loop {
        if socket.receive(&mut received, BATCH_LEN) == 0 {
            socket.flush()?;
            socket.wait(IDLE)?;
            continue;
        }
        for mut frame in received.drain(..) {
            match turn(&mut socket, &mut frame, records) {
                Some(len) => {
                    frame.set_len(len);
                    replies.push(frame);
                }
                None => socket.release(frame),
            }
        }
        socket.send(&mut replies);
        socket.flush()?;
        // What the interface has no room for is lost, as it would be with sockets.
        for frame in replies.drain(..) {
            socket.release(frame);
        }
    }
}

/// Makes the query in a frame its reply; how long the frame is then. `None` if it is no query.
fn turn(socket: &mut Xsk, frame: &mut XskFrame, records: u8) -> Option<usize> {
    let len = frame.len();
    let room = socket.room_mut(frame);
    let packet = room.get_mut(..len)?;
    let query = Datagram::read(packet).ok()?;
    if records == 0 {
        return headers::reflect(packet, &query);
    }
    let message = packet.get(query.message()..query.message() + query.message_len())?;
    let mut reply = [0; REPLY_LEN_MAX];
    let reply_len = write_echo(message, records, &mut reply);
    if reply_len == 0 {
        return None;
    }
    let place = room.get_mut(query.message()..query.message() + reply_len)?;
    place.copy_from_slice(&reply[..reply_len]);
    let turned = headers::turn_round(room, &query)?;
    headers::finish(room, &turned, reply_len)
}

/// Attaches the reflector; it works until what is returned is dropped.
///
/// # Errors
/// Says what is in the way and what to do about it.
pub fn reflect(interface: &str, mode: ModeWanted, listen: SocketAddr) -> anyhow::Result<Attached> {
    let mut program = Program::load(Object::Bench, abi::PROGRAM_REFLECT)?;
    program.set_filter(&queries_to(listen))?;
    Ok(program.attach(interface, mode)?)
}

/// Attaches the program that leaves everything to the network stack: the other end of a veth pair
/// needs one before packets that XDP sends arrive there.
///
/// # Errors
/// Says what is in the way and what to do about it.
pub fn pass(interface: &str, mode: ModeWanted) -> anyhow::Result<Attached> {
    Ok(Program::load(Object::Bench, abi::PROGRAM_PASS)?.attach(interface, mode)?)
}
