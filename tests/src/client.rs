//! The client of a case: one question sent raw, one reply taken as it comes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use crate::cases::{Question, Transport};
use crate::presentation::{parse_class, parse_name, parse_type};
use crate::stopwatch::Stopwatch;

/// The question on the wire.
///
/// # Errors
///
/// A name, type or class that cannot be written.
pub fn query_octets(question: &Question, id: u16) -> Result<Vec<u8>> {
    let mut octets = id.to_be_bytes().to_vec();
    octets.push(question.opcode << 3 | u8::from(question.rd));
    octets.push(u8::from(question.ad) << 5 | u8::from(question.cd) << 4);
    let additional = u8::from(question.edns_size.is_some());
    octets.extend([0, 1, 0, 0, 0, 0, 0, additional]);
    octets.extend(parse_name(&question.qname)?);
    octets.extend(parse_type(&question.qtype)?.to_int().to_be_bytes());
    octets.extend(parse_class(&question.qclass)?.to_int().to_be_bytes());
    if let Some(size) = question.edns_size {
        octets.extend([0, 0, 41]);
        octets.extend(size.to_be_bytes());
        octets.extend([0, question.edns_version, u8::from(question.dnssec_ok) << 7, 0, 0, 0]);
    }
    Ok(octets)
}

/// Sends a message once and waits for one reply.
///
/// # Errors
///
/// A socket error, or no reply within `patience`.
pub fn exchange(
    query: &[u8],
    source: IpAddr,
    server: SocketAddr,
    transport: Transport,
    patience: Duration,
) -> Result<(Vec<u8>, Duration)> {
    let watch = Stopwatch::start();
    let reply = match transport {
        Transport::Udp => over_udp(query, source, server, patience),
        Transport::Tcp => over_tcp(query, source, server, patience),
    };
    let reply =
        reply.with_context(|| format!("no reply in {:.1} s", watch.elapsed().as_secs_f64()))?;
    Ok((reply, watch.elapsed()))
}

fn over_udp(
    query: &[u8],
    source: IpAddr,
    server: SocketAddr,
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind((source, 0))?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(server)?;
    socket.send(query)?;
    let mut buffer = vec![0; 65_535];
    let length = socket.recv(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

fn over_tcp(
    query: &[u8],
    source: IpAddr,
    server: SocketAddr,
    patience: Duration,
) -> io::Result<Vec<u8>> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect_timeout(&server.into(), patience)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&framed(query))?;
    read_framed(&mut stream)
}

/// A message behind its length (RFC 1035 4.2.2).
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    let mut octets = length.to_be_bytes().to_vec();
    octets.extend(message);
    octets
}

/// Reads one message behind its length.
///
/// # Errors
///
/// The stream ends or waits too long.
pub fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_written_octet_for_octet() {
        let question: Question = serde_json::from_str(
            r#"{"qname": "Ab.", "qtype": "AAAA", "do": true, "cd": true, "edns_size": 512}"#,
        )
        .unwrap();
        assert_eq!(
            query_octets(&question, 0x1234).unwrap(),
            b"\x12\x34\x01\x10\x00\x01\x00\x00\x00\x00\x00\x01\x02Ab\x00\x00\x1c\x00\x01\
              \x00\x00\x29\x02\x00\x00\x00\x80\x00\x00\x00"
        );
    }
}
