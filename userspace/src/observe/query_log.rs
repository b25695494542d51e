//! The thread of the query log: a line in a file for each reply.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Shared;
use super::lane::Outlet;
use super::line::Lines;
use crate::config::QueryLogSettings;

/// Octets of lines that are written at once.
const BATCH_LEN: usize = 64 << 10;

/// Lines taken from one lane before the others have their turn.
const LINES_IN_A_ROW: usize = 256;

/// The longest sleep: a wake that was missed is repaired after it.
const SLEEP_MAX: Duration = Duration::from_millis(200);

/// How often a full disk is complained of.
const COMPLAINT_SPAN: Duration = Duration::from_secs(60);

/// The mode of a file that is made: who asks what is not for everybody.
const MODE: u32 = 0o640;

/// The file of the log.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    /// Whether it ends within a line.
    is_torn: bool,
}

impl LogFile {
    /// Opens a file, or makes it; lines go to its end.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(MODE).open(path)?;
        Ok(Self { path: path.to_owned(), file, is_torn: false })
    }

    /// Appends whole lines.
    fn write(&mut self, lines: &str) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
        }
        // Until it is known that all is there.
        self.is_torn = true;
        self.file.write_all(lines.as_bytes())?;
        self.is_torn = false;
        Ok(())
    }
}

/// Writes what comes out of these lanes, until it is told to end.
pub fn run(file: LogFile, settings: &QueryLogSettings, outlets: Vec<Outlet>, shared: &Shared) {
    let lines = Lines { format: settings.format, anonymise: settings.anonymise };
    let mut writer = Writer { file, lines, outlets, shared, text: String::new(), complained: None };
    let mut reopens = shared.reopens();
    loop {
        // Seen first, so that what was put in before is written.
        let is_last = shared.is_stopping();
        let wanted = shared.reopens();
        while writer.write_batch() {}
        if wanted != reopens {
            reopens = wanted;
            writer.reopen();
        }
        if is_last {
            return;
        }
        std::thread::park_timeout(SLEEP_MAX);
    }
}

/// Makes lines and writes them.
struct Writer<'a> {
    file: LogFile,
    lines: Lines,
    outlets: Vec<Outlet>,
    shared: &'a Shared,
    text: String,
    complained: Option<Instant>,
}

impl Writer<'_> {
    /// Writes what waits, up to a batch; false if nothing did.
    fn write_batch(&mut self) -> bool {
        let prefixes = self.shared.prefixes();
        let Self { lines, outlets, text, .. } = self;
        let mut count = 0;
        for outlet in outlets {
            for _ in 0..LINES_IN_A_ROW {
                if text.len() >= BATCH_LEN {
                    break;
                }
                let Some(event) = outlet.take() else { break };
                lines.append(&event, &prefixes, text);
                outlet.give_back(event);
                count += 1;
            }
        }
        if count == 0 {
            return false;
        }
        match self.file.write(&self.text) {
            Ok(()) => self.shared.counts.add_written(count),
            Err(error) => {
                self.shared.counts.add_dropped(count);
                self.complain(&error);
            }
        }
        self.text.clear();
        true
    }

    /// Opens the file anew. Where that fails the one that is open goes on.
    fn reopen(&mut self) {
        match LogFile::open(&self.file.path) {
            Ok(file) => {
                info!(file = %file.path.display(), "the query log goes on in a new file");
                self.file = file;
            }
            Err(error) => {
                let file = self.file.path.display();
                warn!(%file, %error, "the query log goes on in the old file");
            }
        }
    }

    /// Says now and then that lines are lost.
    fn complain(&mut self, error: &io::Error) {
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAINT_SPAN) {
            self.complained = Some(Instant::now());
            warn!(file = %self.file.path.display(), %error, "lines of the query log are lost");
        }
    }
}
