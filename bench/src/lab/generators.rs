//! Load generators side by side: what each can do with one CPU against a reflector in XDP, which
//! costs its own CPU less than any of them costs theirs.
//!
//! Each runs as the program that people run, from its command line, in the generator's namespace
//! and on its CPU. What it did is read from what it prints.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::catalog::Own;
use super::machine::{ksoftirqd, schedstat_ns};
use super::network::{Lab, Site, find_program};
use super::questions::Questions;
use crate::results::{CpuTime, Generating};

/// Queries in flight of those that wait for answers, dnsperf's own number, and source ports. The
/// ring of a veth device holds 256 frames.
const OUTSTANDING: usize = 100;
const PORTS: usize = 8;
/// More queries a second than any generator sends.
const RATE_MAX: u32 = 20_000_000;
/// How much longer than asked a generator may run.
const END_WAIT: Duration = Duration::from_secs(20);
/// How often its CPU time is read: what it used after the last time is lost.
const POLL: Duration = Duration::from_millis(2);

/// A load generator.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// Its key.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Its program.
    program: &'static str,
    /// Its arguments, with words between `@`.
    arguments: &'static str,
    /// What it prints.
    output: Output,
    /// How it is told the rate of an open loop; empty if it does not say how late it is.
    rate_arguments: &'static str,
    /// Whether it needs the XDP hook of its device for itself.
    pub has_xdp: bool,
}

/// What a generator prints.
#[derive(Clone, Copy, Debug)]
enum Output {
    /// dnsperf's block.
    Dnsperf,
    /// kxdpgun's lines.
    Kxdpgun,
    /// JSON of `dns64bench load`.
    Load,
    /// JSON of `dns64bench flood`.
    Flood,
}

/// Everyone, in the order in which they are shown.
pub const GENERATORS: [Generator; 6] = [
    Generator {
        name: "dnsperf",
        title: "dnsperf",
        program: "dnsperf",
        arguments: "-s @SERVER@ -p 53 -d @FILE@ -l @SECONDS@ -c @PORTS@ -T 1 -q @OUTSTANDING@ -t 1",
        output: Output::Dnsperf,
        rate_arguments: "",
        has_xdp: false,
    },
    Generator {
        name: "sockets",
        title: "dns64bench load",
        program: "dns64bench",
        arguments: "load -s @SERVER@ -d @FILE@ -l @SECONDS@ -c @PORTS@ -q @OUTSTANDING@ -t 1 \
                    --form-only --json",
        output: Output::Load,
        rate_arguments: "load -s @SERVER@ -d @FILE@ -l @SECONDS@ -c @PORTS@ -Q @RATE@ -t 1 \
                         --form-only --json",
        has_xdp: false,
    },
    Generator {
        name: "segments",
        title: "dns64bench load --gso",
        program: "dns64bench",
        arguments: "load -s @SERVER@ -d @FILE@ -l @SECONDS@ -c @PORTS@ -q @OUTSTANDING@ -t 1 \
                    --gso --form-only --json",
        output: Output::Load,
        rate_arguments: "",
        has_xdp: false,
    },
    Generator {
        name: "kxdpgun",
        title: "kxdpgun",
        program: "kxdpgun",
        arguments: "-t @SECONDS@ -Q @RATE_MAX@ -I @DEVICE@ -p 53 -i @FILE@ @SERVER@",
        output: Output::Kxdpgun,
        rate_arguments: "",
        has_xdp: true,
    },
    Generator {
        name: "af_xdp",
        title: "dns64bench load --xdp",
        program: "dns64bench",
        arguments: "load -s @SERVER@ -d @FILE@ -l @SECONDS@ -c @PORTS@ -q @OUTSTANDING@ -t 1 \
                    --xdp @DEVICE@ --form-only --json",
        output: Output::Load,
        rate_arguments: "load -s @SERVER@ -d @FILE@ -l @SECONDS@ -c @PORTS@ -Q @RATE@ -t 1 \
                         --xdp @DEVICE@ --form-only --json",
        has_xdp: true,
    },
    Generator {
        name: "frames",
        title: "dns64bench flood",
        program: "dns64bench",
        arguments: "flood @DEVICE@ --server @SERVER@ -d @FILE@ -l @SECONDS@ -c @PORTS@ -q 192 \
                    -t 1 --expect reflected --json",
        output: Output::Flood,
        rate_arguments: "",
        has_xdp: true,
    },
];

/// What a generator did, as it says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Said {
    sent: u64,
    answered: u64,
    run_time_s: f64,
    lateness_p99_us: Option<f64>,
}

impl Generator {
    /// Whether it can say how late it was itself.
    #[must_use]
    pub const fn says_lateness(&self) -> bool {
        !self.rate_arguments.is_empty()
    }

    /// Where its program is; `None` if it is not on this machine.
    #[must_use]
    pub fn find(&self, own: &Own) -> Option<PathBuf> {
        match self.program {
            "dns64bench" => Some(own.dns64bench.clone()),
            program => find_program(program),
        }
    }

    /// Runs it once: as fast as it can, or at a rate.
    ///
    /// # Errors
    /// If it fails, or prints what cannot be read.
    pub fn run(
        &self,
        own: &Own,
        (lab, site): (&Lab, &Site),
        questions: &Questions,
        seconds: f64,
        rate: Option<u32>,
    ) -> anyhow::Result<Generating> {
        let program = self.find(own).with_context(|| format!("{} is missing", self.program))?;
        let file = lab.directory.join("questions.txt");
        fs::write(&file, &questions.text).with_context(|| file.display().to_string())?;
        let words = [
            ("@SERVER@", site.address.to_string()),
            ("@DEVICE@", site.generator_device.clone()),
            ("@FILE@", file.display().to_string()),
            // kxdpgun takes whole ones.
            ("@SECONDS@", seconds.ceil().to_string()),
            ("@PORTS@", PORTS.to_string()),
            ("@OUTSTANDING@", OUTSTANDING.to_string()),
            ("@RATE_MAX@", RATE_MAX.to_string()),
            ("@RATE@", rate.unwrap_or(0).to_string()),
        ];
        let arguments = if rate.is_some() { self.rate_arguments } else { self.arguments };
        let fill_in = |text: &str| {
            words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
        };
        let arguments: Vec<String> = arguments.split_whitespace().map(fill_in).collect();
        let mut command = lab.generator.command(&lab.cpus.generator.to_string(), &program);
        command.args(&arguments);
        let limit = Duration::from_secs_f64(seconds.ceil()) + END_WAIT;
        let run = run_to_end(&mut command, &lab.directory, &cpu_of(lab, site)?, limit);
        if matches!(self.output, Output::Kxdpgun) {
            // It leaves its program where it was.
            lab.generator.ip(&["link", "set", "dev", &site.generator_device, "xdp", "off"])?;
        }
        let (text, cpu) = run?;
        let said = self.output.read(&text).with_context(|| format!("{}: {text}", self.title))?;
        ensure!(said.answered > 0, "{}: no answers: {text}", self.title);
        let arguments = arguments.join(" ").replace(&format!("{}/", lab.directory.display()), "");
        Ok(Generating {
            generator: self.name.to_owned(),
            command: format!("{} {arguments}", self.program),
            turn: 0,
            rate_qps: rate.map(f64::from),
            sent: said.sent,
            answered: said.answered,
            run_time_s: said.run_time_s,
            answers_per_second: said.answered as f64 / said.run_time_s,
            cpu,
            cpu_us_per_answer: cpu.total_ns() as f64 / 1e3 / said.answered as f64,
            lateness_p99_us: said.lateness_p99_us,
        })
    }
}

/// The kernel threads that work for a generator, by their process IDs: NAPI, ksoftirqd.
fn cpu_of(lab: &Lab, site: &Site) -> anyhow::Result<(Vec<i32>, i32)> {
    Ok((site.generator_napi.clone(), ksoftirqd(lab.cpus.generator)?))
}

/// Runs a program to its end; what it printed, and the CPU time of it and of the kernel's threads.
fn run_to_end(
    command: &mut Command,
    directory: &Path,
    (napi, ksoftirqd): &(Vec<i32>, i32),
    limit: Duration,
) -> anyhow::Result<(String, CpuTime)> {
    let log = directory.join("generator.out");
    let out = fs::File::create(&log).with_context(|| log.display().to_string())?;
    let errors = out.try_clone()?;
    let kernel = |pid: &i32| schedstat_ns(&Path::new("/proc").join(pid.to_string()));
    let kernel_time = || (napi.iter().map(kernel).sum::<u64>(), kernel(ksoftirqd));
    let before = kernel_time();
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn()?;
    let tasks = format!("/proc/{}/task", child.id());
    let (start, mut server_ns) = (Instant::now(), 0);
    let status = loop {
        let threads = fs::read_dir(&tasks).into_iter().flatten().flatten();
        // Threads take their time with them when they end.
        server_ns = threads.map(|task| schedstat_ns(&task.path())).sum::<u64>().max(server_ns);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("it did not end");
        }
        thread::sleep(POLL);
    };
    let after = kernel_time();
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    ensure!(status.success(), "{status}: {}", text.trim());
    let (napi_ns, ksoftirqd_ns) =
        (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1));
    Ok((text, CpuTime { server_ns, napi_ns, ksoftirqd_ns }))
}

impl Output {
    /// What a generator did; `None` if that is not in the text.
    fn read(self, text: &str) -> Option<Said> {
        match self {
            Self::Dnsperf => Some(Said {
                sent: number_after(text, "Queries sent:")?,
                answered: number_after(text, "Queries completed:")?,
                run_time_s: number_after(text, "Run time (s):")?,
                lateness_p99_us: None,
            }),
            Self::Kxdpgun => Some(Said {
                sent: number_after(text, "total queries:")?,
                answered: number_after(text, "total replies:")?,
                run_time_s: number_after(text, "duration:")?,
                lateness_p99_us: None,
            }),
            Self::Load => {
                let report = json(text)?;
                Some(Said {
                    sent: report["sent"].as_u64()?,
                    answered: report["completed"].as_u64()?,
                    run_time_s: report["run_time_s"].as_f64()?,
                    lateness_p99_us: report["lateness_us"]["p99"].as_f64(),
                })
            }
            Self::Flood => {
                let report = json(text)?;
                Some(Said {
                    sent: report["sent"].as_u64()?,
                    answered: report["right"].as_u64()?,
                    run_time_s: report["run_time_s"].as_f64()?,
                    lateness_p99_us: None,
                })
            }
        }
    }
}

/// The JSON object in a text that may have lines of warnings before it.
fn json(text: &str) -> Option<Value> {
    serde_json::from_str(&text[text.find('{')?..]).ok()
}

/// The number behind some words.
fn number_after<T: std::str::FromStr>(text: &str, words: &str) -> Option<T> {
    let (_, rest) = text.split_once(words)?;
    let number = rest.split_whitespace().next()?;
    number.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_generators_print_is_read() {
        let dnsperf = "Statistics:\n\n  Queries sent:         10\n  Queries completed:    9 (90%)\n\
                       \n  Run time (s):         1.500000\n";
        let said = Said { sent: 10, answered: 9, run_time_s: 1.5, lateness_p99_us: None };
        assert_eq!(Output::Dnsperf.read(dnsperf), Some(said));
        let kxdpgun = "thread#0: sent 7\nTotal:\ntotal queries:     7 (3 pps) (0%)\n\
                       total replies:     6 (3 pps) (85%)\nduration: 2 s\n";
        let said = Said { sent: 7, answered: 6, run_time_s: 2.0, lateness_p99_us: None };
        assert_eq!(Output::Kxdpgun.read(kxdpgun), Some(said));
        let load = "warned\n{\"sent\":5,\"completed\":4,\"run_time_s\":0.5,\
                    \"lateness_us\":{\"p99\":7.5}}";
        let said = Said { sent: 5, answered: 4, run_time_s: 0.5, lateness_p99_us: Some(7.5) };
        assert_eq!(Output::Load.read(load), Some(said));
        assert_eq!(Output::Flood.read("refused"), None);
    }

    #[test]
    fn every_generator_gets_all_of_its_words() {
        for generator in GENERATORS {
            for word in ["@SERVER@", "@FILE@", "@SECONDS@"] {
                assert!(generator.arguments.contains(word), "{}: {word}", generator.name);
            }
            assert_eq!(generator.has_xdp, generator.arguments.contains("@DEVICE@"));
            assert_eq!(generator.says_lateness(), generator.rate_arguments.contains("@RATE@"));
        }
    }
}
