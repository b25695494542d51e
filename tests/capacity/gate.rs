//! A gate before a server: of the questions of each zone of new names it lets so many through, and
//! drops the rest. The new names of each trial are in a zone of their own; cached ones are not
//! counted.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use dns64_bench::wire::{Query, labels};

/// How often the threads look whether they are to end.
const POLL: Duration = Duration::from_millis(50);

/// What the zone of cached names begins with; others begin with an `n`.
const CACHED: &[u8] = b"c";

/// Who asked by which ID, by the ID that the server sees.
type Asked = Arc<Mutex<Vec<Option<(SocketAddr, [u8; 2])>>>>;

/// A running gate; it ends when dropped.
pub(crate) struct Gate {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Gate {
    /// A gate before this server that lets so many questions of each zone of new names through.
    pub(crate) fn before(server: SocketAddr, limit: usize) -> Self {
        let clients = socket();
        let behind = socket();
        behind.connect(server).expect("loopback is there");
        let address = clients.local_addr().expect("it is bound");
        let ends = Arc::new(AtomicBool::new(false));
        let asked: Asked = Arc::new(Mutex::new(vec![None; 1 << 16]));
        let threads = vec![
            {
                let (ends, asked) = (Arc::clone(&ends), Arc::clone(&asked));
                let clients = clients.try_clone().expect("a descriptor is free");
                let behind = behind.try_clone().expect("a descriptor is free");
                std::thread::spawn(move || forward(&ends, &asked, &clients, &behind, limit))
            },
            {
                let ends = Arc::clone(&ends);
                std::thread::spawn(move || bring_back(&ends, &asked, &clients, &behind))
            },
        ];
        Self { address, ends, threads }
    }

    /// Where it is asked.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("the gate works");
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback is there");
    socket.set_read_timeout(Some(POLL)).expect("a time-out can be set");
    socket
}

/// Takes questions to the server, with IDs of the gate's own.
fn forward(
    ends: &AtomicBool,
    asked: &Asked,
    clients: &UdpSocket,
    behind: &UdpSocket,
    limit: usize,
) {
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut next = 0_u16;
    let mut buffer = [0; 1_024];
    while !ends.load(Ordering::Relaxed) {
        let Ok((len, client)) = clients.recv_from(&mut buffer) else { continue };
        let zone = {
            let query = Query::parse(&buffer[..len]).expect("the tester sends queries");
            labels(query.name).nth(1).expect("its names have a zone").to_vec()
        };
        if !zone.starts_with(CACHED) {
            let count = seen.entry(zone).or_default();
            *count += 1;
            if *count > limit {
                continue;
            }
        }
        let id = [buffer[0], buffer[1]];
        asked.lock().expect("no thread panics")[usize::from(next)] = Some((client, id));
        buffer[..2].copy_from_slice(&next.to_be_bytes());
        next = next.wrapping_add(1);
        behind.send(&buffer[..len]).expect("loopback carries it");
    }
}

/// Takes answers to whoever asked.
fn bring_back(ends: &AtomicBool, asked: &Asked, clients: &UdpSocket, behind: &UdpSocket) {
    let mut buffer = [0; 4_096];
    while !ends.load(Ordering::Relaxed) {
        let Ok(len) = behind.recv(&mut buffer) else { continue };
        let place = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
        let Some((client, id)) = asked.lock().expect("no thread panics")[place].take() else {
            continue;
        };
        buffer[..2].copy_from_slice(&id);
        // A client that has gone does not want it.
        let _gone = clients.send_to(&buffer[..len], client);
    }
}
