//! The messages of dnstap, by the numbers of its schema: an event as protocol buffers.

use std::net::IpAddr;

use prost::{Enumeration, Message};

use super::lane::{Event, Head};
use crate::config::DnstapMessage;

/// Microseconds of a second.
const MICROS: u64 = 1_000_000;

/// What one frame holds.
#[derive(Clone, PartialEq, Message)]
pub struct Dnstap {
    /// Which server this is.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub identity: Option<Vec<u8>>,
    /// Which program.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub version: Option<Vec<u8>>,
    /// The message.
    #[prost(message, optional, tag = "14")]
    pub message: Option<Exchange>,
    /// What the frame holds: [`MESSAGE`].
    #[prost(int32, required, tag = "15")]
    pub kind: i32,
}

/// The only kind of [`Dnstap`] there is: a message.
pub const MESSAGE: i32 = 1;

/// A DNS message and what is known of it.
#[derive(Clone, PartialEq, Message)]
pub struct Exchange {
    /// Which message of which exchange.
    #[prost(enumeration = "Kind", required, tag = "1")]
    pub kind: i32,
    /// The family of the addresses.
    #[prost(enumeration = "Family", optional, tag = "2")]
    pub family: Option<i32>,
    /// By which protocol.
    #[prost(enumeration = "Protocol", optional, tag = "3")]
    pub protocol: Option<i32>,
    /// Who asks.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub query_address: Option<Vec<u8>>,
    /// Who is asked.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub response_address: Option<Vec<u8>>,
    /// From which port.
    #[prost(uint32, optional, tag = "6")]
    pub query_port: Option<u32>,
    /// At which port.
    #[prost(uint32, optional, tag = "7")]
    pub response_port: Option<u32>,
    /// When the query came or left, in seconds since 1970.
    #[prost(uint64, optional, tag = "8")]
    pub query_time_sec: Option<u64>,
    /// The nanoseconds of it.
    #[prost(fixed32, optional, tag = "9")]
    pub query_time_nsec: Option<u32>,
    /// The query.
    #[prost(bytes = "vec", optional, tag = "10")]
    pub query_message: Option<Vec<u8>>,
    /// When the response came or left, in seconds since 1970.
    #[prost(uint64, optional, tag = "12")]
    pub response_time_sec: Option<u64>,
    /// The nanoseconds of it.
    #[prost(fixed32, optional, tag = "13")]
    pub response_time_nsec: Option<u32>,
    /// The response.
    #[prost(bytes = "vec", optional, tag = "14")]
    pub response_message: Option<Vec<u8>>,
}

/// Which message of which exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Kind {
    /// A client asks us.
    ClientQuery = 5,
    /// We answer a client.
    ClientResponse = 6,
    /// We ask a resolver.
    ForwarderQuery = 7,
    /// A resolver answers us.
    ForwarderResponse = 8,
}

impl From<DnstapMessage> for Kind {
    fn from(message: DnstapMessage) -> Self {
        match message {
            DnstapMessage::ClientQuery => Self::ClientQuery,
            DnstapMessage::ClientResponse => Self::ClientResponse,
            DnstapMessage::ForwarderQuery => Self::ForwarderQuery,
            DnstapMessage::ForwarderResponse => Self::ForwarderResponse,
        }
    }
}

/// The family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Family {
    /// IPv4.
    Inet = 1,
    /// IPv6.
    Inet6 = 2,
}

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Protocol {
    /// UDP.
    Udp = 1,
    /// TCP.
    Tcp = 2,
}

/// Makes frames of events.
#[derive(Debug)]
pub struct Encoder {
    frame: Dnstap,
}

impl Encoder {
    /// Frames that say who we are: nothing of what is empty.
    #[must_use]
    pub fn new(identity: &str, version: &str) -> Self {
        let octets = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        let frame = Dnstap {
            identity: octets(identity),
            version: octets(version),
            message: None,
            kind: MESSAGE,
        };
        Self { frame }
    }

    /// Appends the protocol buffer of an event. Its message is as it was afterwards.
    pub fn append(&mut self, event: &mut Event, out: &mut Vec<u8>) {
        let octets = std::mem::take(&mut event.bytes);
        self.frame.message = Some(exchange(&event.head, octets));
        // A vector grows as it must.
        let _infallible = self.frame.encode(out);
        if let Some(Exchange { query_message, response_message, .. }) = self.frame.message.take() {
            event.bytes = query_message.or(response_message).unwrap_or_default();
        }
    }
}

/// What is known of a message.
fn exchange(head: &Head, octets: Vec<u8>) -> Exchange {
    let of_client = head.message.is_of_client();
    let ours = (head.local.map(address), u32::from(head.local_port));
    let theirs = (Some(address(head.peer.ip())), u32::from(head.peer.port()));
    let (asker, asked) = if of_client { (theirs, ours) } else { (ours, theirs) };
    let port = |port: u32| (port != 0).then_some(port);
    let secs = |at: Option<u64>| at.map(|at| at / MICROS);
    let nanos = |at: Option<u64>| at.map(|at| (at % MICROS) as u32 * 1_000);
    let family = if head.peer.is_ipv4() { Family::Inet } else { Family::Inet6 };
    let protocol = if head.is_tcp { Protocol::Tcp } else { Protocol::Udp };
    let is_query = head.message.is_query();
    let answered = (!is_query).then_some(head.at_us);
    let (query_message, response_message) =
        if is_query { (Some(octets), None) } else { (None, Some(octets)) };
    Exchange {
        kind: Kind::from(head.message).into(),
        family: Some(family.into()),
        protocol: Some(protocol.into()),
        query_address: asker.0,
        response_address: asked.0,
        query_port: port(asker.1),
        response_port: port(asked.1),
        query_time_sec: secs(head.asked_us),
        query_time_nsec: nanos(head.asked_us),
        query_message,
        response_time_sec: secs(answered),
        response_time_nsec: nanos(answered),
        response_message,
    }
}

/// The octets of an address.
fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_who_asked_whom_and_when() {
        let head = Head {
            message: DnstapMessage::ClientResponse,
            is_tcp: true,
            peer: "[2001:db8::1]:4000".parse().unwrap(),
            local: Some("2001:db8::53".parse().unwrap()),
            local_port: 53,
            asked_us: Some(1_700_000_000_999_999),
            at_us: 1_700_000_001_000_001,
            ..Head::default()
        };
        let mut event = Event { head, bytes: b"a message".to_vec() };
        let mut out = vec![1, 2, 3];
        Encoder::new("here", "").append(&mut event, &mut out);
        assert_eq!(event.bytes, b"a message", "it goes back as it came");
        let frame = Dnstap::decode(&out[3..]).unwrap();
        assert_eq!((frame.identity.as_deref(), frame.version), (Some(&b"here"[..]), None));
        let told = frame.message.unwrap();
        assert_eq!(
            (told.kind(), told.family(), told.protocol()),
            (Kind::ClientResponse, Family::Inet6, Protocol::Tcp,)
        );
        assert_eq!((told.query_port, told.response_port), (Some(4_000), Some(53)));
        assert_eq!(told.query_address.unwrap().last(), Some(&1));
        assert_eq!(told.response_address.unwrap().last(), Some(&0x53));
        assert_eq!(
            (told.query_time_sec, told.query_time_nsec),
            (Some(1_700_000_000), Some(999_999_000),)
        );
        assert_eq!(
            (told.response_time_sec, told.response_time_nsec),
            (Some(1_700_000_001), Some(1_000),)
        );
        assert_eq!(told.response_message.as_deref(), Some(&b"a message"[..]));
        assert_eq!(told.query_message, None);
    }

    #[test]
    fn towards_a_server_it_is_us_who_ask() {
        let head = Head {
            message: DnstapMessage::ForwarderQuery,
            peer: "192.0.2.53:53".parse().unwrap(),
            local_port: 4_000,
            asked_us: Some(5),
            at_us: 5,
            ..Head::default()
        };
        let told = exchange(&head, b"query".to_vec());
        assert_eq!((told.query_port, told.response_port), (Some(4_000), Some(53)));
        assert_eq!(told.response_address, Some(vec![192, 0, 2, 53]));
        assert_eq!((told.query_address, told.response_time_sec), (None, None));
        assert_eq!(told.query_message.as_deref(), Some(&b"query"[..]));
    }
}
