//! A comparison: who takes part, and the order of all measurements.
//!
//! Servers take turns as A B C, C B A, A B C ..., so that drift of the machine hits them alike, and
//! costs are compared within a turn.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use dns64::xdp::{Attached, ModeWanted};

use super::catalog::{Entry, Own, UPSTREAM_PORT};
use super::drive::{Run, drive};
use super::generators::{GENERATORS, Generator};
use super::network::{Cpus, Lab, NICENESS, Site, UPSTREAM_NICENESS};
use super::process::Process;
use super::questions::{Questioner, Questions};
use super::trial::{Purpose, Subject};
use super::{check, machine, summary};
use crate::results::{
    Comparison, Generating, Load, Machine, Role, SCHEMA_VERSION, Server, Settings, Spread, Trial,
    Workload,
};
use crate::upstream::{self, Upstream};
use crate::xdp;

/// Answers live 300 s at least: names older than this are replaced by new ones.
const NAMES_AGE_MAX: Duration = Duration::from_secs(200);
/// Queries in flight of frames that the kernel makes: the ring of a veth device holds 256.
const FRAMES_OUTSTANDING: usize = 192;
/// How long a server whose answers become hot is asked before it is measured.
const HEATING: Duration = Duration::from_secs(3);
/// How long frames are sent before those that count: dns64d looks at the peer's XDP program, which
/// the generator exchanges, four times a second.
const LEAD_IN: Duration = Duration::from_millis(600);
/// Trials with overload in the short form.
const OVERLOADS_QUICK: u32 = 2;
/// Queries in flight while a cache is filled: few enough that hardly anybody loses any.
const WARM_OUTSTANDING: usize = 32;
/// How often a cache is filled at most: what was lost or late the first time is asked for again.
const WARM_ROUNDS_MAX: u32 = 4;
/// The longest time for a run whose length is a count.
const COUNTED_MAX: Duration = Duration::from_secs(60);
/// Trials in a row without one answer, which say nothing of a server that has answered rightly: the
/// machine stood still for as long as the trial. After so many it may be the server.
const EMPTY_MAX: u32 = 10;
/// New names for the first cold trial, a second: more than a server of one core can resolve.
const COLD_RATE_MAX: f64 = 150_000.0;
/// What the equal rate is, of the highest rate of the slowest server.
const EQUAL_PART: f64 = 0.5;
/// The draws of this turn fill caches; no trial has such a number.
const WARM_TURN: u64 = 1 << 32;
/// Trials of one workload are told apart by these steps of the number that draws their questions.
const LOAD_STEP: u64 = 1 << 16;

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Programs of this project.
    pub own: Own,
    /// Who takes part; this responder has to.
    pub entries: Vec<&'static Entry>,
    /// What is asked for.
    pub workloads: Vec<Workload>,
    /// The workloads with which all servers are asked at one rate, too.
    pub equal: Vec<Workload>,
    /// Parts of a server's own highest rate, in per cent, at which its latency is measured too.
    pub parts: Vec<u16>,
    /// The workloads of which it is.
    pub in_parts: Vec<Workload>,
    /// Whether servers are offered ten times of what they can do.
    pub overload: bool,
    /// How often a disturbed trial is made again.
    pub repetitions: u32,
    /// How much time all of these may take.
    pub repeating_max: Duration,
    /// Queries that fill the caches before `zipf` and `mixed`.
    pub warm_queries: u32,
    /// What the results say about all this.
    pub settings: Settings,
}

/// A server that takes part.
struct Member {
    /// What it is.
    entry: &'static Entry,
    /// Where it is.
    site: Site,
    /// It.
    process: Process,
    /// The XDP program that lets packets of the server pass at the generator's end, where it needs
    /// one and no generator has its own there.
    pass: Option<Attached>,
    /// Whether its reverse names are right.
    has_ptr: bool,
    /// The names it was asked last for a workload with warm names, and since when.
    warm: Option<(Workload, Questions, Instant)>,
    /// Its highest rate with the present workload; 0 before it is known.
    highest: f64,
}

/// A comparison that goes on.
struct Comparing<'a> {
    plan: &'a Plan,
    lab: Lab,
    upstream: Upstream,
    questioner: Questioner,
    members: Vec<Member>,
    servers: Vec<Server>,
    trials: Vec<Trial>,
    generators: Vec<Generating>,
    /// The time that trials took which were made again.
    repeated: Duration,
    say: &'a mut dyn FnMut(&str),
}

/// Makes a comparison; `say` gets a line for everything that was done.
///
/// # Errors
/// [`super::Refusal`] if the lab cannot be built here; else what failed. That a peer is missing,
/// does not start or answers wrongly is none: it is left out, and the results say why.
pub fn compare(plan: &Plan, say: &mut dyn FnMut(&str)) -> anyhow::Result<Comparison> {
    let machine = machine::facts();
    let lab = Lab::build(Cpus {
        generator: plan.settings.generator_cpu,
        server: plan.settings.server_cpu,
    })?;
    // The upstream comes before servers that ask it, and goes after them.
    let listen: SocketAddr = (std::net::Ipv6Addr::UNSPECIFIED, UPSTREAM_PORT).into();
    let upstream = lab
        .as_generator(UPSTREAM_NICENESS, || Upstream::start(listen, upstream::Options::default()))?
        .context("cannot start the upstream")?;
    let mut comparing = Comparing {
        plan,
        lab,
        upstream,
        questioner: Questioner::new(plan.settings.zipf_names, 1),
        members: Vec::new(),
        servers: Vec::new(),
        trials: Vec::new(),
        generators: Vec::new(),
        repeated: Duration::ZERO,
        say,
    };
    for (number, entry) in (0..).zip(&plan.entries) {
        comparing.admit(entry, number)?;
    }
    for workload in &plan.workloads {
        comparing.measure_workload(*workload)?;
    }
    comparing.measure_generators()?;
    Ok(comparing.finish(machine))
}

impl Comparing<'_> {
    /// Starts a server and asks it what has to be right.
    fn admit(&mut self, entry: &'static Entry, number: u16) -> anyhow::Result<()> {
        let mut server = Server {
            name: entry.name.to_owned(),
            title: entry.title.to_owned(),
            role: entry.role,
            version: String::new(),
            command: String::new(),
            configuration: String::new(),
            left_out: None,
            checks: Vec::new(),
        };
        match self.try_to_admit(entry, number, &mut server) {
            Ok(member) => {
                (self.say)(&format!("{:8} answers rightly: {}", entry.name, server.version));
                self.members.push(member);
            }
            Err(error) if entry.role == Role::Subject => {
                return Err(error.context(entry.name));
            }
            Err(error) => {
                (self.say)(&format!("{:8} is left out: {error:#}", entry.name));
                server.left_out = Some(format!("{error:#}"));
            }
        }
        self.servers.push(server);
        Ok(())
    }

    /// [`Self::admit`]; fails if the server cannot take part.
    fn try_to_admit(
        &self,
        entry: &'static Entry,
        number: u16,
        server: &mut Server,
    ) -> anyhow::Result<Member> {
        let Some(program) = entry.find(&self.plan.own) else {
            bail!("not installed; its Debian package is {}", entry.package);
        };
        server.version = entry.version(&program);
        let site = self.lab.add_site(entry.name, number)?;
        let pass = attach_pass(&self.lab, entry, &site)?;
        let directory = &self.lab.directory;
        let invocation = entry.prepare(program, &site, directory)?;
        server.command = command_line(&invocation.program, &invocation.arguments, directory);
        server.configuration.clone_from(&invocation.configuration);
        let log = directory.join(format!("{}.log", entry.name));
        let mut process = Process::start(&self.lab, &site, entry.has_both_cpus, &invocation, log)?;
        let is_limit = entry.role == Role::Limit;
        check::wait_until_answers(&self.lab, &site, &mut process, !is_limit)?;
        if !is_limit {
            server.checks = check::check(&self.lab, &site)?;
        }
        let fault = server.checks.iter().find(|check| {
            check.fault.is_some() && (check.about != check::PTR || entry.role == Role::Subject)
        });
        if let Some(check) = fault {
            let fault = check.fault.as_deref().unwrap_or_default();
            bail!("it answers wrongly: {}: {fault}", check.question);
        }
        let has_ptr = server.checks.iter().all(|check| check.fault.is_none());
        Ok(Member { entry, site, process, pass, has_ptr, warm: None, highest: 0.0 })
    }

    /// All trials of a workload.
    fn measure_workload(&mut self, workload: Workload) -> anyhow::Result<()> {
        let takes_part = |member: &Member| match workload {
            Workload::Hit => true,
            _ if member.entry.hits_only => false,
            // A limit resolves nothing.
            _ if member.entry.role == Role::Limit => false,
            Workload::Cold => true,
            // Most of what these cost is not the way of a packet.
            Workload::Zipf | Workload::Ptr | Workload::Mixed
                if member.entry.role == Role::Tier && self.plan.settings.quick =>
            {
                false
            }
            Workload::Zipf => true,
            Workload::Ptr | Workload::Mixed => member.has_ptr,
        };
        let places: Vec<usize> =
            (0..self.members.len()).filter(|place| takes_part(&self.members[*place])).collect();
        for place in &places {
            self.fill_cache(*place, workload)?;
            if self.members[*place].entry.is_hot() {
                self.heat(*place)?;
            }
        }
        for turn in 0..self.plan.settings.turns {
            for place in in_turn(&places, turn) {
                self.measure(place, workload, Load::Saturated, turn, None)?;
            }
        }
        for place in &places {
            self.members[*place].highest = self.highest_rate(*place, workload);
        }
        if workload == Workload::Hit {
            self.measure_frames(&places)?;
        }
        let slowest = places
            .iter()
            .map(|place| &self.members[*place])
            .filter(|member| member.entry.role != Role::Limit)
            .map(|member| member.highest)
            .fold(f64::INFINITY, f64::min);
        let mut loads = Vec::new();
        if self.plan.equal.contains(&workload) {
            loads.push(Load::Equal);
        }
        if self.plan.in_parts.contains(&workload) {
            loads.extend(self.plan.parts.iter().copied().map(Load::Part));
        }
        if workload == Workload::Cold && self.plan.overload {
            loads.push(Load::OVERLOAD);
        }
        for load in loads {
            // After an overload a server works off what it has, and others wait for that.
            let is_long = load == Load::OVERLOAD && self.plan.settings.quick;
            let turns = self.plan.settings.turns;
            for turn in 0..if is_long { turns.min(OVERLOADS_QUICK) } else { turns } {
                for place in in_turn(&places, turn) {
                    let rate = match load {
                        Load::Equal => EQUAL_PART * slowest,
                        Load::Part(percent) => {
                            self.members[place].highest * f64::from(percent) / 100.0
                        }
                        Load::Saturated | Load::Frames => continue,
                    };
                    if load != Load::Equal && self.members[place].entry.role == Role::Limit {
                        continue;
                    }
                    self.measure(place, workload, load, turn, Some(round_rate(rate)))?;
                }
            }
        }
        Ok(())
    }

    /// The cost of a hit to packets that come as frames.
    fn measure_frames(&mut self, places: &[usize]) -> anyhow::Result<()> {
        for turn in 0..self.plan.settings.turns {
            for place in in_turn(places, turn) {
                // The generator of frames has a program of its own at this place.
                drop(self.members[place].pass.take());
                self.measure(place, Workload::Hit, Load::Frames, turn, None)?;
                let Member { entry, site, .. } = &self.members[place];
                self.members[place].pass = attach_pass(&self.lab, entry, site)?;
            }
        }
        Ok(())
    }

    /// Asks for the names of the next hits for so long that they become hot.
    fn heat(&mut self, place: usize) -> anyhow::Result<()> {
        let mut run = self.run_of(place, None);
        let questions = self.questions(place, Workload::Hit, Load::Frames, 0, 0, &mut run)?;
        let run = Run {
            frames: Some(Duration::ZERO),
            outstanding: FRAMES_OUTSTANDING,
            duration: HEATING,
            ..run
        };
        let Member { entry, site, pass, .. } = &mut self.members[place];
        drop(pass.take());
        drive(&self.lab, site, &questions, &run, || ())?;
        *pass = attach_pass(&self.lab, entry, site)?;
        Ok(())
    }

    /// Load generators in turns, against the reflector, if it takes part.
    fn measure_generators(&mut self) -> anyhow::Result<()> {
        let Some(place) = self.members.iter().position(|member| member.entry.name == "reflect")
        else {
            return Ok(());
        };
        let settings = &self.plan.settings;
        let questions = self.questioner.new_names(Workload::Hit, settings.names);
        let (turns, seconds) = (settings.turns, settings.seconds);
        let all: Vec<usize> = (0..GENERATORS.len()).collect();
        for is_paced in [false, true] {
            for turn in 0..turns {
                for number in in_turn(&all, turn) {
                    let generator = &GENERATORS[number];
                    if is_paced && !generator.says_lateness() {
                        continue;
                    }
                    let rate = is_paced.then(|| round_rate(self.generators_rate(generator) / 2.0));
                    if generator.has_xdp {
                        drop(self.members[place].pass.take());
                    }
                    let at = (&self.lab, &self.members[place].site);
                    match generator.run(&self.plan.own, at, &questions, seconds, rate) {
                        Ok(run) => {
                            (self.say)(&format!(
                                "{:8} {:8.0} replies/s {:6.3} us/reply",
                                generator.name, run.answers_per_second, run.cpu_us_per_answer
                            ));
                            self.generators.push(Generating { turn, ..run });
                        }
                        Err(error) => {
                            (self.say)(&format!("{:8} is left out: {error:#}", generator.name));
                        }
                    }
                    let Member { entry, site, pass, .. } = &mut self.members[place];
                    if pass.is_none() {
                        *pass = attach_pass(&self.lab, entry, site)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The highest rate of a generator: the median of its runs so far.
    fn generators_rate(&self, generator: &Generator) -> f64 {
        let runs = self.generators.iter();
        let runs = runs.filter(|run| run.generator == generator.name && run.rate_qps.is_none());
        Spread::of(runs.map(|run| run.answers_per_second)).map_or(0.0, |rate| rate.median)
    }

    /// Asks a server for names by popularity, so that a cache that is in use is measured.
    fn fill_cache(&mut self, place: usize, workload: Workload) -> anyhow::Result<()> {
        if !matches!(workload, Workload::Zipf | Workload::Mixed) {
            return Ok(());
        }
        let questions = self.questioner.drawn(workload, WARM_TURN, self.plan.warm_queries);
        self.warm_up(place, &questions)
    }

    /// Asks a server some questions until it has answered each of them in time, at most
    /// [`WARM_ROUNDS_MAX`] times.
    fn warm_up(&mut self, place: usize, questions: &Questions) -> anyhow::Result<()> {
        let member = &mut self.members[place];
        member.process.must_run().context(member.entry.title)?;
        let run = Run {
            outstanding: WARM_OUTSTANDING,
            duration: COUNTED_MAX,
            repeat: false,
            ..self.run_of(place, None)
        };
        for _ in 0..WARM_ROUNDS_MAX {
            let outcome = drive(&self.lab, &self.members[place].site, questions, &run, || ())?;
            if outcome.lost + outcome.late + outcome.failed == 0 {
                break;
            }
        }
        Ok(())
    }

    /// What all runs against a server have in common.
    fn run_of(&self, place: usize, rate: Option<u32>) -> Run {
        let settings = &self.plan.settings;
        Run {
            rate,
            outstanding: settings.outstanding,
            duration: Duration::from_secs_f64(settings.seconds),
            repeat: true,
            sockets: settings.sockets,
            timeout: Duration::from_secs_f64(settings.timeout_s),
            verify: self.members[place].entry.role != Role::Limit,
            frames: None,
        }
    }

    /// One trial; made again if nothing was answered in it, or others disturbed it.
    fn measure(
        &mut self,
        place: usize,
        workload: Workload,
        load: Load,
        turn: u32,
        rate: Option<u32>,
    ) -> anyhow::Result<()> {
        let mut empty = 0;
        let mut repetition = 0;
        loop {
            let start = Instant::now();
            let mut run = self.run_of(place, rate);
            let questions = self.questions(place, workload, load, turn, repetition, &mut run)?;
            if load == Load::Frames {
                run.frames = Some(LEAD_IN);
                run.outstanding = FRAMES_OUTSTANDING;
            }
            let member = &mut self.members[place];
            member.process.must_run().context(member.entry.title)?;
            let subject = Subject {
                lab: &self.lab,
                upstream: &self.upstream,
                name: member.entry.name,
                site: &member.site,
                process: &member.process,
            };
            let mut trial = subject.measure(Purpose { workload, load, turn }, &questions, &run)?;
            trial.repetitions = repetition;
            if trial.answers == 0 && empty < EMPTY_MAX {
                empty += 1;
                continue;
            }
            let has_time = self.repeated < self.plan.repeating_max;
            if trial.disturbed && repetition < self.plan.repetitions && has_time {
                self.repeated += start.elapsed();
                repetition += 1;
                continue;
            }
            (self.say)(&line_of(&trial));
            self.trials.push(trial);
            return Ok(());
        }
    }

    /// The questions of a trial; says in `run` how long they are asked.
    fn questions(
        &mut self,
        place: usize,
        workload: Workload,
        load: Load,
        turn: u32,
        repetition: u32,
        run: &mut Run,
    ) -> anyhow::Result<Questions> {
        let settings = &self.plan.settings;
        let counted = |rate: f64| (rate * settings.seconds).ceil().max(1.0) as u32;
        match workload {
            Workload::Hit | Workload::Ptr => {
                let last = self.members[place].warm.take();
                let questions = match last {
                    Some((of, questions, since))
                        if of == workload && since.elapsed() < NAMES_AGE_MAX =>
                    {
                        self.members[place].warm = Some((of, questions.clone(), since));
                        return Ok(questions);
                    }
                    Some(_) | None => self.questioner.new_names(workload, settings.names),
                };
                let since = Instant::now();
                self.warm_up(place, &questions)?;
                self.members[place].warm = Some((workload, questions.clone(), since));
                Ok(questions)
            }
            Workload::Cold => {
                run.repeat = false;
                let highest = self.members[place].highest;
                let count = match run.rate {
                    Some(rate) => counted(f64::from(rate)),
                    None if highest > 0.0 => counted(2.0 * highest),
                    None => counted(COLD_RATE_MAX),
                };
                Ok(self.questioner.new_names(workload, count))
            }
            Workload::Zipf | Workload::Mixed => {
                run.repeat = false;
                let count = match run.rate {
                    Some(rate) => counted(f64::from(rate)),
                    None => {
                        run.duration = COUNTED_MAX;
                        settings.drawn_queries
                    }
                };
                let of_load = if load == Load::Saturated { 0 } else { LOAD_STEP };
                let number = of_load + u64::from(turn) + u64::from(repetition) * (LOAD_STEP >> 8);
                Ok(self.questioner.drawn(workload, number, count))
            }
        }
    }

    /// The highest rate of a server: the median of its saturated trials.
    fn highest_rate(&self, place: usize, workload: Workload) -> f64 {
        let name = self.members[place].entry.name;
        let rates = self.trials.iter().filter(|trial| {
            trial.server == name && (trial.workload, trial.load) == (workload, Load::Saturated)
        });
        Spread::of(rates.map(|trial| trial.answers_per_second)).map_or(0.0, |rate| rate.median)
    }

    /// Takes the lab down, and puts the results together.
    fn finish(self, machine: Machine) -> Comparison {
        let Self { plan, lab, upstream, members, servers, trials, generators, .. } = self;
        drop(members);
        drop(upstream);
        drop(lab);
        let rows = summary::summarize(&trials);
        let ratios = summary::ratios(&trials, &rows);
        Comparison {
            schema_version: SCHEMA_VERSION,
            machine,
            settings: plan.settings.clone(),
            servers,
            trials,
            summary: rows,
            ratios,
            generators,
        }
    }
}

/// Lets packets of a server that sends from XDP pass at the generator's end.
fn attach_pass(lab: &Lab, entry: &Entry, site: &Site) -> anyhow::Result<Option<Attached>> {
    if !entry.sends_from_xdp() {
        return Ok(None);
    }
    let attach = || xdp::pass(&site.generator_device, ModeWanted::Any);
    Ok(Some(lab.as_generator(NICENESS, attach)??))
}

/// A command as a reader would type it, without the directories of this machine.
fn command_line(program: &Path, arguments: &[String], directory: &Path) -> String {
    let directory = format!("{}/", directory.display());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let arguments = arguments.iter().map(|argument| argument.replace(&directory, ""));
    std::iter::once(name.to_string_lossy().into_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The servers in the order of a turn.
fn in_turn(places: &[usize], turn: u32) -> Vec<usize> {
    if turn.is_multiple_of(2) { places.to_vec() } else { places.iter().rev().copied().collect() }
}

/// A rate that people can read: two digits that count.
fn round_rate(rate: f64) -> u32 {
    let step = 10_f64.powf((rate.max(1.0).log10().floor() - 1.0).max(0.0));
    ((rate / step).floor() * step).max(1.0) as u32
}

/// A line about a trial.
fn line_of(trial: &Trial) -> String {
    let cost = trial
        .cpu_us_per_answer
        .map_or_else(|| "no answers".to_owned(), |cost| format!("{cost:8.3} us/answer"));
    format!(
        "{:5} {:12} {:8} {cost} {:8.0}/s p99 {:6.0} us lost {} late {} failed {} wrong {} foreign {:.0} %",
        trial.workload,
        trial.load,
        trial.server,
        trial.answers_per_second,
        trial.latency.p99_us,
        trial.lost,
        trial.late,
        trial.failed,
        trial.wrong,
        trial.foreign_cpu_percent
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_take_turns_there_and_back() {
        let turns: Vec<Vec<usize>> = (0..3).map(|turn| in_turn(&[4, 5, 7], turn)).collect();
        assert_eq!(turns, [[4, 5, 7], [7, 5, 4], [4, 5, 7]]);
    }

    #[test]
    fn rates_have_two_digits_and_are_never_none() {
        for (rate, rounded) in
            [(0.3, 1), (7.9, 7), (42.9, 42), (1_299.0, 1_200), (61_234.5, 61_000)]
        {
            assert_eq!(round_rate(rate), rounded);
        }
    }
}
