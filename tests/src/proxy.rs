//! A lossy line to an upstream server: a proxy for UDP that loses messages in both directions.
//!
//! The kernel of a test machine may not know how to lose packets (`netem`), so that a program does
//! it. All queries go on from one socket: the proxy gives each a new ID, by which it knows whom the
//! answer is for.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the threads look whether they are to end.
const STOP_POLL: Duration = Duration::from_millis(50);
/// Octets of the longest message.
const MESSAGE_LEN_MAX: usize = 65_535;

/// Whom an answer is for, and the ID it waits for.
type Asker = (SocketAddr, [u8; 2]);

/// What the two threads share.
#[derive(Debug)]
struct Shared {
    /// Where the askers send to.
    front: UdpSocket,
    /// Connected to the server.
    back: UdpSocket,
    /// Of each hundred messages in one direction so many get lost.
    loss_percent: u64,
    /// By the ID that the server sees.
    askers: Mutex<Vec<Option<Asker>>>,
    lost: AtomicU64,
    stop: AtomicBool,
}

/// A running proxy; it ends with the value.
#[derive(Debug)]
pub struct LossyProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl LossyProxy {
    /// Starts a proxy on a free port of 127.0.0.1 that loses `loss_percent` of the messages in each
    /// direction. `seed` decides which.
    ///
    /// # Errors
    ///
    /// No socket.
    pub fn start(server: SocketAddr, loss_percent: u8, seed: u64) -> io::Result<Self> {
        let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let front = UdpSocket::bind(local)?;
        let back = UdpSocket::bind(local)?;
        back.connect(server)?;
        front.set_read_timeout(Some(STOP_POLL))?;
        back.set_read_timeout(Some(STOP_POLL))?;
        let address = front.local_addr()?;
        let shared = Arc::new(Shared {
            front,
            back,
            loss_percent: u64::from(loss_percent.min(100)),
            askers: Mutex::new(vec![None; 1 << 16]),
            lost: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let (forth, back) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || forth.carry_queries(Chance(seed | 1))),
            thread::spawn(move || back.carry_answers(Chance(!seed | 1))),
        ];
        Ok(Self { address, shared, threads })
    }

    /// Where the askers send to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Messages that got lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn carry_queries(&self, mut chance: Chance) {
        let mut buffer = vec![0; MESSAGE_LEN_MAX];
        let mut next_id = 0_u16;
        while !self.stop.load(Ordering::Acquire) {
            let Ok((len, asker)) = self.front.recv_from(&mut buffer) else { continue };
            if self.is_lost(&mut chance) {
                continue;
            }
            let Some(id) = buffer[..len].first_chunk_mut::<2>() else { continue };
            next_id = next_id.wrapping_add(1);
            self.askers()[usize::from(next_id)] = Some((asker, *id));
            *id = next_id.to_be_bytes();
            // A server that is gone loses it too.
            let _sent = self.back.send(&buffer[..len]);
        }
    }

    fn carry_answers(&self, mut chance: Chance) {
        let mut buffer = vec![0; MESSAGE_LEN_MAX];
        while !self.stop.load(Ordering::Acquire) {
            let Ok(len) = self.back.recv(&mut buffer) else { continue };
            if self.is_lost(&mut chance) {
                continue;
            }
            let Some(id) = buffer[..len].first_chunk_mut::<2>() else { continue };
            let place = usize::from(u16::from_be_bytes(*id));
            let Some((asker, asked_with)) = self.askers()[place].take() else { continue };
            *id = asked_with;
            let _sent = self.front.send_to(&buffer[..len], asker);
        }
    }

    fn askers(&self) -> std::sync::MutexGuard<'_, Vec<Option<Asker>>> {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_lost(&self, chance: &mut Chance) -> bool {
        let lost = chance.per_cent() < self.loss_percent;
        self.lost.fetch_add(u64::from(lost), Ordering::Relaxed);
        lost
    }
}

/// Numbers that look random and are the same for the same seed (xorshift; the seed is not 0).
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// A number below 100.
    fn per_cent(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_is_lost_in_each_direction_and_the_rest_comes_back_with_its_id() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let proxy = LossyProxy::start(server.local_addr().unwrap(), 20, 7).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(proxy.address()).unwrap();
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        }
        let mut buffer = [0; 16];
        let (mut arrived, mut returned) = (0, 0);
        for round in 0..10_u8 {
            for number in 0..50 {
                client.send(&[round, number, 1]).unwrap();
            }
            while let Ok((len, from)) = server.recv_from(&mut buffer) {
                arrived += 1;
                server.send_to(&buffer[..len], from).unwrap();
            }
            while let Ok(len) = client.recv(&mut buffer) {
                returned += 1;
                assert_eq!((buffer[0], buffer[2], len), (round, 1, 3));
            }
        }
        assert!((350..450).contains(&arrived), "{arrived} of 500 arrived");
        assert!((250..380).contains(&returned), "{returned} of 500 returned");
        assert_eq!(proxy.lost(), 500 - returned);
    }
}
