//! A server that a test runs: started, waited for, listened to, and ended.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How long a program may take to end after SIGTERM before it is killed.
const TERM_WAIT: Duration = Duration::from_secs(3);
/// How often the end of a program is looked for.
const POLL: Duration = Duration::from_millis(10);

/// A running program whose output is kept, and that ends when dropped.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

/// What a server wrote so far, and a signal for whoever waits for more.
#[derive(Debug, Default)]
struct Log {
    written: Mutex<Written>,
    grown: Condvar,
}

/// What a server wrote so far.
#[derive(Debug, Default)]
struct Written {
    text: String,
    /// Streams that have not come to their end.
    open_streams: usize,
}

impl Log {
    /// What was written, also if a reader panicked.
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps each line of a stream from a thread of its own, until the stream ends.
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = Arc::clone(self);
        log.written().open_streams += 1;
        thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(stream.read_until(b'\n', &mut line), Ok(1..)) {
                log.written().text.push_str(&String::from_utf8_lossy(&line));
                log.grown.notify_all();
                line.clear();
            }
            log.written().open_streams -= 1;
            log.grown.notify_all();
        })
    }
}

impl Server {
    /// Starts a command and follows what it writes.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let log = Arc::new(Log::default());
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|stdout| log.follow(stdout)));
        readers.extend(child.stderr.take().map(|stderr| log.follow(stderr)));
        Self { name: name.to_owned(), child, log, readers }
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What the server wrote so far, to both of its streams.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.written().text.clone()
    }

    /// Everything the server wrote, once it and all who share its streams have ended.
    ///
    /// # Panics
    /// If it still runs.
    pub fn final_log(&mut self) -> String {
        let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
        assert!(has_ended, "{} still runs:\n{}", self.name, self.log());
        for reader in self.readers.drain(..) {
            // A reader that panicked has kept what it read.
            let _ = reader.join();
        }
        self.log()
    }

    /// Waits until the server has written `text`.
    ///
    /// # Panics
    /// If it ends before, or does not write it in time.
    pub fn wait_for(&mut self, text: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        loop {
            let has_ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            let written = self.log.written();
            let log = &written.text;
            if log.contains(text) {
                return;
            }
            // The last words may still be on their way when the program has ended.
            let is_silent = has_ended && written.open_streams == 0;
            assert!(!is_silent, "{} ended before it wrote {text:?}:\n{log}", self.name);
            assert!(Instant::now() < deadline, "{} never wrote {text:?}:\n{log}", self.name);
            // Not only on growth: the end of the program grows nothing.
            drop(self.log.grown.wait_timeout(written, Duration::from_millis(100)));
        }
    }

    /// Sends the server a signal.
    ///
    /// # Panics
    /// If it has been waited for already.
    pub fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Waits for the server's end; `None` if it still runs after `limit`.
    ///
    /// # Panics
    /// If the system cannot tell.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.child.try_wait();
            match status.unwrap_or_else(|error| panic!("{}: {error}", self.name)) {
                Some(status) => return Some(status),
                None if Instant::now() >= deadline => return None,
                None => thread::sleep(POLL),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default();
            eprintln!("---- {} wrote:\n{}", self.name, last.join("\n"));
        }
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = Pid::from_child(&self.child);
        // A stopped process sees SIGTERM only when it goes on.
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        let _ = rustix::process::kill_process(pid, Signal::CONT);
        let deadline = Instant::now() + TERM_WAIT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Server::start("sh", command)
    }

    #[test]
    fn both_streams_are_kept_to_the_last_line() {
        let mut server = shell("echo one; echo two >&2; printf three; exit 7");
        server.wait_for("two", Duration::from_secs(10));
        let status = server.wait(Duration::from_secs(10)).unwrap();
        assert_eq!(status.code(), Some(7));
        let log = server.final_log();
        for word in ["one\n", "two\n", "three"] {
            assert!(log.contains(word), "{log}");
        }
    }

    #[test]
    #[should_panic(expected = "sh ended before it wrote \"ready\"")]
    fn an_early_end_is_noticed_while_waiting() {
        shell("echo no; exit 1").wait_for("ready", Duration::from_secs(60));
    }

    #[test]
    fn a_server_that_ignores_sigterm_is_gone_after_the_drop() {
        let mut server = shell("trap '' TERM; echo up; while :; do sleep 1; done");
        server.wait_for("up", Duration::from_secs(10));
        let pid = Pid::from_child(&server.child);
        drop(server);
        assert!(rustix::process::test_kill_process(pid).is_err());
    }
}
