//! The least that a UDP server can do: what the machine, and not the server under test, costs.
//!
//! Sockets, epoll and batches are those of dns64d's workers. Instead of an answer, a query comes
//! back with QR set and, if wanted, with fixed AAAA records, so that replies are as long as those
//! of a DNS64 server.
#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use dns64::limits::BATCH_LEN;
use dns64::sys::mmsg::MessageBatch;
use rustix::event::epoll::EventFlags;

use crate::socket::bind_udp;
use crate::wait::{Poller, Room};
use crate::wire::{CLASS_IN, HEADER_LEN, Query, Writer, flag, rtype};

/// The address in the records that are appended.
const FIXED_ADDRESS: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0x0b00, 1);

/// The most records that are appended: what 512 octets have room for.
pub const RECORDS_MAX: u8 = 8;

/// The sockets of an echo server.
#[derive(Debug)]
pub struct Echo {
    /// They share one address; the kernel deals the clients out among them.
    sockets: Vec<UdpSocket>,
    /// AAAA records appended to each reply; at most [`RECORDS_MAX`].
    records: u8,
}

impl Echo {
    /// Opens the sockets.
    ///
    /// # Errors
    /// Those of socket(2) and bind(2).
    pub fn bind(listen: SocketAddr, sockets: usize, records: u8) -> io::Result<Self> {
        let first = bind_udp(listen)?;
        let address = first.local_addr()?;
        let mut all = vec![first];
        for _ in 1..sockets {
            all.push(bind_udp(address)?);
        }
        Ok(Self { sockets: all, records: records.min(RECORDS_MAX) })
    }

    /// The address the sockets share.
    ///
    /// # Errors
    /// Those of getsockname(2).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets[0].local_addr()
    }

    /// Echoes for ever.
    ///
    /// # Errors
    /// Those of epoll(7).
    pub fn run(&self) -> io::Result<Infallible> {
        let poller = Poller::new()?;
        for (place, socket) in (0..).zip(&self.sockets) {
            poller.add(socket, place, EventFlags::IN)?;
        }
        let mut batch = MessageBatch::new();
        let mut room = Room::new();
        loop {
            for ready in poller.wait(&mut room, None)? {
                self.echo(ready.number as u16, &mut batch);
            }
        }
    }

    /// Echoes what waits at one socket.
    fn echo(&self, place: u16, batch: &mut MessageBatch) {
        let fd = self.sockets[usize::from(place)].as_fd();
        loop {
            let received = batch.recv(fd, place).unwrap_or(0);
            for slot in 0..received {
                let (datagram, room) = batch.split(slot);
                let len = write_echo(datagram.bytes, self.records, room);
                batch.set_reply(slot, len);
            }
            batch.send(fd);
            if received < BATCH_LEN {
                return;
            }
        }
    }
}

/// Writes the reply to a query; 0 if it is no query.
pub(crate) fn write_echo(query: &[u8], records: u8, out: &mut [u8]) -> usize {
    if records == 0 {
        let len = query.len().min(out.len());
        if len < HEADER_LEN || query[2] & 0x80 != 0 {
            return 0;
        }
        out[..len].copy_from_slice(&query[..len]);
        out[2] |= 0x80;
        return len;
    }
    let Ok(query) = Query::parse(query) else { return 0 };
    let mut writer = Writer::new(out);
    writer.u16(query.id());
    writer.u16(query.flags() | flag::QR | flag::RA);
    for count in [1, u16::from(records), 0, u16::from(query.edns.is_some())] {
        writer.u16(count);
    }
    writer.bytes(query.question());
    for _ in 0..records {
        writer.pointer(HEADER_LEN);
        writer.u16(rtype::AAAA);
        writer.u16(CLASS_IN);
        writer.u32(300);
        writer.u16(16);
        writer.bytes(&FIXED_ADDRESS.octets());
    }
    if let Some(edns) = query.edns {
        writer.opt(edns);
    }
    writer.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write_query;

    #[test]
    fn a_query_comes_back_as_a_response() {
        let mut query = [0; 64];
        let len = write_query(&mut query, 9, b"\x01t\x00", rtype::AAAA, None);
        let mut out = [0; 512];
        assert_eq!(write_echo(&query[..len], 0, &mut out), len);
        assert_eq!(out[..4], *b"\x00\x09\x81\x00");
        assert_eq!(out[4..len], query[4..len]);
        let reply = out;
        assert_eq!(write_echo(&reply[..len], 0, &mut out), 0, "responses get no reply");
    }

    #[test]
    fn records_make_the_reply_longer() {
        let mut query = [0; 64];
        let len = write_query(&mut query, 9, b"\x01t\x00", rtype::AAAA, None);
        let mut out = [0; 512];
        assert_eq!(write_echo(&query[..len], 2, &mut out), len + 2 * 28);
        assert_eq!(out[2..12], *b"\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00");
    }
}
