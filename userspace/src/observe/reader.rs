//! The thread of dnstap: keeps a connection to the reader, and gives it what the workers have seen.
//!
//! A reader that is not there is tried again, ever more seldom. One that stops reading is left
//! after a while. Meanwhile the lanes fill, and what then has no room is counted and gone.

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::net::RecvFlags;
use socket2::{Domain, SockAddr, Socket, Type};
use tracing::{info, warn};

use super::Shared;
use super::dnstap::Encoder;
use super::frames::{self, FrameError};
use super::lane::Outlet;
use crate::config::{DnstapReader, DnstapSettings};

/// Octets of frames that are written at once.
const BATCH_LEN: usize = 64 << 10;

/// Events taken from one lane before the others have their turn.
const EVENTS_IN_A_ROW: usize = 256;

/// The longest sleep: a wake that was missed is repaired after it.
const SLEEP_MAX: Duration = Duration::from_millis(200);

/// How long one attempt to write lasts before it is seen whether we are to end.
const WRITE_SLICE: Duration = Duration::from_millis(250);

/// How long a reader may read nothing.
const STALL_MAX: Duration = Duration::from_secs(5);

/// How long a reader may read nothing when we end.
const STALL_MAX_AT_END: Duration = Duration::from_millis(500);

/// How long a reader may take to say something.
const REPLY_WAIT: Duration = Duration::from_secs(1);

/// How soon a connection is tried again at first, and how seldom at last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// See [`RETRY_FIRST`].
const RETRY_LAST: Duration = Duration::from_secs(10);

impl fmt::Display for DnstapReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(address) => address.fmt(f),
        }
    }
}

/// Gives the reader what comes out of these lanes, until it is told to end.
pub fn run(settings: &DnstapSettings, outlets: Vec<Outlet>, shared: &Shared) {
    let mut tap = Connector {
        settings,
        outlets,
        shared,
        encoder: Encoder::new(&settings.identity, &settings.version),
        batch: Batch::default(),
        was_told: false,
    };
    let mut retry = RETRY_FIRST;
    loop {
        let began = Instant::now();
        let served = tap.connect().and_then(|mut connection| tap.serve(&mut connection));
        match served {
            Ok(()) => return,
            Err(error) => tap.complain(&error),
        }
        // One that goes as soon as it has come is not tried more often than one that is not there.
        if began.elapsed() >= RETRY_LAST {
            retry = RETRY_FIRST;
        }
        let deadline = Instant::now() + retry;
        retry = (retry * 2).min(RETRY_LAST);
        loop {
            if shared.is_stopping() {
                return tap.count_rest();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Workers would wake us for nothing meanwhile.
            std::thread::sleep(left.min(SLEEP_MAX));
        }
    }
}

/// Frames that are to be written together.
#[derive(Debug, Default)]
struct Batch {
    octets: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
}

impl Batch {
    /// How many frames are whole within so many octets.
    fn whole(&self, octets: usize) -> u64 {
        self.ends.partition_point(|end| *end <= octets) as u64
    }

    fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
    }
}

/// Connects, and writes.
struct Connector<'a> {
    settings: &'a DnstapSettings,
    outlets: Vec<Outlet>,
    shared: &'a Shared,
    encoder: Encoder,
    batch: Batch,
    /// Whether the log says already that there is no reader.
    was_told: bool,
}

impl Connector<'_> {
    /// Says once that there is no reader.
    fn complain(&mut self, error: &FrameError) {
        if !std::mem::replace(&mut self.was_told, true) {
            let reader = &self.settings.reader;
            warn!(%reader, "dnstap has no reader, and goes on trying: {error}");
        }
    }

    /// A connection on which frames may follow.
    fn connect(&mut self) -> Result<Socket, FrameError> {
        let (domain, address) = match &self.settings.reader {
            DnstapReader::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?),
            DnstapReader::Tcp(address) => (Domain::for_address(*address), (*address).into()),
        };
        let mut socket = Socket::new(domain, Type::STREAM, None)?;
        // It bounds the wait for the connection, too.
        socket.set_write_timeout(Some(REPLY_WAIT))?;
        socket.set_read_timeout(Some(REPLY_WAIT))?;
        socket.connect(&address)?;
        frames::begin(&mut socket)?;
        socket.set_write_timeout(Some(WRITE_SLICE))?;
        info!(reader = %self.settings.reader, "dnstap has a reader");
        self.was_told = false;
        Ok(socket)
    }

    /// Writes until the end, or until the reader has gone.
    fn serve(&mut self, connection: &mut Socket) -> Result<(), FrameError> {
        loop {
            // Seen first, so that what was put in before is written.
            let is_last = self.shared.is_stopping();
            let mut is_idle = true;
            loop {
                self.collect();
                if self.batch.ends.is_empty() {
                    break;
                }
                is_idle = false;
                self.write(connection)?;
            }
            if is_last {
                connection.set_read_timeout(Some(REPLY_WAIT))?;
                if let Err(error) = frames::end(connection) {
                    let reader = &self.settings.reader;
                    warn!(%reader, "dnstap has ended without a FINISH: {error}");
                }
                return Ok(());
            }
            if is_idle {
                has_gone(connection)?;
                std::thread::park_timeout(SLEEP_MAX);
            }
        }
    }

    /// Fills the batch from the lanes.
    fn collect(&mut self) {
        let Self { outlets, encoder, batch, .. } = self;
        for outlet in outlets {
            for _ in 0..EVENTS_IN_A_ROW {
                if batch.octets.len() >= BATCH_LEN {
                    return;
                }
                let Some(mut event) = outlet.take() else { break };
                frames::append(&mut batch.octets, |out| encoder.append(&mut event, out));
                batch.ends.push(batch.octets.len());
                outlet.give_back(event);
            }
        }
    }

    /// Writes the batch. What of it the reader has not got whole is counted as dropped.
    fn write(&mut self, connection: &mut Socket) -> Result<(), FrameError> {
        let mut written = 0;
        let result = self.write_counting(connection, &mut written);
        let whole = self.batch.whole(written);
        self.shared.counts.add_written(whole);
        self.shared.counts.add_dropped(self.batch.ends.len() as u64 - whole);
        self.batch.clear();
        result
    }

    fn write_counting(
        &self,
        connection: &mut Socket,
        written: &mut usize,
    ) -> Result<(), FrameError> {
        has_gone(connection)?;
        let mut moved = Instant::now();
        while let Some(rest) = self.batch.octets.get(*written..).filter(|rest| !rest.is_empty()) {
            match connection.write(rest) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(octets) => {
                    *written += octets;
                    moved = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let at_end = self.shared.is_stopping();
                    let patience = if at_end { STALL_MAX_AT_END } else { STALL_MAX };
                    if moved.elapsed() >= patience {
                        return Err(FrameError::Unexpected("it has stopped reading"));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// We end without a reader: nobody gets what still waits.
    fn count_rest(&self) {
        for outlet in &self.outlets {
            while let Some(event) = outlet.take() {
                outlet.give_back(event);
                self.shared.counts.add_dropped(1);
            }
        }
    }
}

/// Whether the reader has closed its end: it says nothing else before we do.
fn has_gone(connection: &Socket) -> Result<(), FrameError> {
    let mut octet = [0; 1];
    match rustix::net::recv(connection, &mut octet[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(()),
        Ok(_) => Err(FrameError::Unexpected("something before STOP")),
        Err(error) => Err(io::Error::from(error).into()),
    }
}
