//! What is said while a run goes on: dnsperf's lines, and a progress bar on a terminal.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dns64_bench::load::totals::Totals;
use dns64_bench::load::{Options, Snapshot, Watcher};
use indicatif::{ProgressBar, ProgressStyle};

/// How often the rate on the progress bar is reckoned.
const RATE_TICK: Duration = Duration::from_millis(500);

/// Tells a person, or whoever reads dnsperf's output, how far a run is.
pub(super) struct Watch {
    /// How often a line is printed.
    interval: Option<Duration>,
    /// Whether standard output is kept for JSON.
    to_stderr: bool,
    /// When the next line is due.
    next_line: Duration,
    /// Answers and time when the last line was printed.
    last_line: (u64, Duration),
    /// The bar, if there is a terminal.
    bar: Option<ProgressBar>,
    /// What the bar's full length is.
    whole: Whole,
    /// Answers and time when the rate was reckoned last, and the rate.
    last_rate: (u64, Duration, f64),
}

/// What the length of a progress bar means.
#[derive(Clone, Copy, Debug)]
enum Whole {
    /// Milliseconds.
    Time(u64),
    /// It has no known end.
    Unknown,
}

impl Watch {
    /// A watch of a run that has not begun.
    pub(super) fn new(
        interval: Option<Duration>,
        to_stderr: bool,
        with_bar: bool,
        options: &Options,
    ) -> Self {
        let whole = match options.duration {
            Some(span) => Whole::Time(span.as_millis() as u64),
            None => Whole::Unknown,
        };
        let bar = with_bar.then(|| match whole {
            Whole::Time(millis) => {
                let style = ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {msg}");
                let bar = ProgressBar::new(millis);
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar
            }
            Whole::Unknown => ProgressBar::new_spinner(),
        });
        Self {
            interval,
            to_stderr,
            next_line: interval.unwrap_or(Duration::MAX),
            last_line: (0, Duration::ZERO),
            bar,
            whole,
            last_rate: (0, Duration::ZERO, 0.0),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Prints dnsperf's line of interval statistics: the time of day and the rate since the last.
    fn print_line(&mut self, snapshot: &Snapshot) {
        let (completed, elapsed) = self.last_line;
        let rate = (snapshot.completed - completed) as f64
            / (snapshot.elapsed.saturating_sub(elapsed)).as_secs_f64().max(1e-9);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = format!("{}.{:06}: {rate:.6}", now.as_secs(), now.subsec_micros());
        let print = || {
            // Nobody may be reading any more; the run goes on.
            let _unread = if self.to_stderr {
                writeln!(io::stderr(), "{line}")
            } else {
                writeln!(io::stdout(), "{line}")
            };
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
        self.last_line = (snapshot.completed, snapshot.elapsed);
    }

    /// Moves the bar on.
    fn move_bar(&mut self, snapshot: &Snapshot) {
        let (completed, elapsed, _) = self.last_rate;
        let span = snapshot.elapsed.saturating_sub(elapsed);
        if span >= RATE_TICK {
            let rate = (snapshot.completed - completed) as f64 / span.as_secs_f64();
            self.last_rate = (snapshot.completed, snapshot.elapsed, rate);
        }
        let Some(bar) = &self.bar else { return };
        if let Whole::Time(millis) = self.whole {
            bar.set_position((snapshot.elapsed.as_millis() as u64).min(millis));
        } else {
            bar.tick();
        }
        let loss = 100.0 * snapshot.lost as f64 / snapshot.sent.max(1) as f64;
        bar.set_message(format!(
            "{:.0} answers/s, lost {loss:.3} %, p99 {:.3} ms, wrong {}",
            self.last_rate.2,
            snapshot.p99_ns as f64 / 1e6,
            snapshot.wrong
        ));
    }
}

impl Watcher for Watch {
    fn wants_p99(&self) -> bool {
        self.bar.is_some()
    }

    fn see(&mut self, snapshot: &Snapshot) {
        if let Some(interval) = self.interval
            && snapshot.elapsed >= self.next_line
        {
            self.print_line(snapshot);
            while self.next_line <= snapshot.elapsed {
                self.next_line += interval;
            }
        }
        if self.bar.is_some() {
            self.move_bar(snapshot);
        }
    }
}

/// Writes what dnsperf says before a run.
pub(super) fn write_opening(options: &Options, limited: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let words: Vec<_> = std::env::args_os().map(|word| word.display().to_string()).collect();
    writeln!(out, "DNS Performance Testing Tool")?;
    writeln!(out, "Version {} (dns64bench)\n", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "[Status] Command line: {}", words.join(" "))?;
    writeln!(out, "[Status] Sending queries (to {})", options.server)?;
    // As ctime(3) writes the local time.
    let now = jiff::Zoned::now();
    writeln!(out, "[Status] Started at: {}", now.strftime("%a %b %e %H:%M:%S %Y"))?;
    let rounds = match options.rounds {
        1 => "1 run through file".to_owned(),
        rounds => format!("{rounds} runs through file"),
    };
    match options.duration.filter(|_| limited) {
        Some(span) if options.rounds == 0 => {
            writeln!(out, "[Status] Stopping after {:.6} seconds", span.as_secs_f64())?;
        }
        Some(span) => {
            writeln!(out, "[Status] Stopping after {:.6} seconds or {rounds}", span.as_secs_f64())?;
        }
        None => writeln!(out, "[Status] Stopping after {rounds}")?,
    }
    out.flush()
}

/// Writes what dnsperf says after a run, before its statistics.
pub(super) fn write_closing(options: &Options, totals: &Totals) -> io::Result<()> {
    let why = if totals.interrupted > 0 {
        "interruption"
    } else if options.duration.is_some_and(|span| totals.run_time >= span) {
        "time limit"
    } else {
        "end of file"
    };
    writeln!(io::stdout(), "[Status] Testing complete ({why})\n")
}
