//! One try through a gateway: an IPv4 address, embedded in its prefix, is to answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use crate::config::ProbeKind;
use crate::pref64::Pref64;

/// A DNS query for the NS of the root, which every DNS server answers in some way.
const DNS_QUERY: [u8; 17] = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

/// Octets of an ICMPv6 echo without data.
const ECHO_LEN: usize = 8;

/// Types of ICMPv6 (RFC 4443 4.1, 4.2).
const ECHO_REQUEST: u8 = 128;
const ECHO_REPLY: u8 = 129;

/// How often a command is asked whether it has ended.
const COMMAND_POLL: Duration = Duration::from_millis(10);

/// Tries once. The caller bounds the time; a command is ended after `limit` by itself.
///
/// # Errors
/// Why the gateway does not work, for people.
pub async fn try_once(kind: &ProbeKind, pref64: Pref64, limit: Duration) -> Result<(), String> {
    match kind {
        ProbeKind::Tcp(server) => {
            connect(pref64, *server).await.map(drop).map_err(|error| error.to_string())
        }
        ProbeKind::Udp(server) => udp(pref64, *server).await.map_err(|error| error.to_string()),
        ProbeKind::Icmp(address) => icmp(pref64, *address).await.map_err(|error| error.to_string()),
        ProbeKind::Http { server, path } => http(pref64, *server, path).await,
        ProbeKind::Command(words) => {
            let (words, prefix) = (words.clone(), pref64.network().to_string());
            let run = move || command(&words, &prefix, limit);
            tokio::task::spawn_blocking(run).await.map_err(|error| error.to_string())?
        }
    }
}

/// An IPv4 address and port behind the gateway.
fn behind(pref64: Pref64, server: SocketAddrV4) -> SocketAddr {
    SocketAddrV6::new(pref64.embed(*server.ip()), server.port(), 0, 0).into()
}

/// Makes a TCP connection.
async fn connect(pref64: Pref64, server: SocketAddrV4) -> io::Result<TcpStream> {
    TcpStream::connect(behind(pref64, server)).await
}

/// Sends a DNS query and waits for its response.
async fn udp(pref64: Pref64, server: SocketAddrV4) -> io::Result<()> {
    let socket = UdpSocket::bind("[::]:0").await?;
    socket.connect(behind(pref64, server)).await?;
    let mut query = DNS_QUERY;
    getrandom::fill(&mut query[..2]).map_err(|error| io::Error::other(error.to_string()))?;
    socket.send(&query).await?;
    let mut response = [0; 512];
    loop {
        let len = socket.recv(&mut response).await?;
        // QR is set and the ID is ours.
        if len >= 12 && response[..2] == query[..2] && response[2] & 0x80 != 0 {
            return Ok(());
        }
    }
}

/// Sends an ICMPv6 echo request, which the gateway makes an ICMP one of (RFC 7915 5.2).
async fn icmp(pref64: Pref64, address: Ipv4Addr) -> io::Result<()> {
    let target = pref64.embed(address);
    // Without rights the kernel may still let us have a socket for echoes (ping_group_range).
    let protocol = Some(Protocol::ICMPV6);
    let socket = match Socket::new(Domain::IPV6, Type::RAW, protocol) {
        Ok(socket) => socket,
        Err(_) => Socket::new(Domain::IPV6, Type::DGRAM, protocol)?,
    };
    socket.set_nonblocking(true)?;
    socket.connect(&SocketAddr::from(SocketAddrV6::new(target, 0, 0, 0)).into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let mut request = [0; ECHO_LEN];
    getrandom::fill(&mut request[4..]).map_err(|error| io::Error::other(error.to_string()))?;
    request[0] = ECHO_REQUEST;
    // The kernel computes the checksum, and chooses the identifier of a socket for echoes.
    socket.send(&request).await?;
    let mut reply = [0; 512];
    loop {
        let len = socket.recv(&mut reply).await?;
        if len >= ECHO_LEN && reply[0] == ECHO_REPLY && reply[6..8] == request[6..8] {
            return Ok(());
        }
    }
}

/// Asks a web server; a status of 2xx or 3xx is good.
async fn http(pref64: Pref64, server: SocketAddrV4, path: &str) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let mut stream = connect(pref64, server).await.map_err(failed)?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.ip());
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    // `HTTP/1.1 200`
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.map_err(failed)?;
    match &status {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2' | b'3', ..] => Ok(()),
        other => Err(format!("the server says {:?}", String::from_utf8_lossy(other))),
    }
}

/// Runs a program, for `limit` at most.
fn command(words: &[String], prefix: &str, limit: Duration) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let failed = |error: io::Error| format!("{program}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .env("DNS64_PREFIX", prefix)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => return verdict(program, status),
            None if Instant::now() >= deadline => {
                // It may end by itself at this very moment.
                let _ended = child.kill();
                let _status = child.wait();
                return Err(format!("{program} does not end in time"));
            }
            None => std::thread::sleep(COMMAND_POLL),
        }
    }
}

/// What the end of a program says.
fn verdict(program: &str, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("{program}: {status}")) }
}
