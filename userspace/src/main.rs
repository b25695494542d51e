//! dns64d: the DNS64 responder.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use dns64::cli::daemon::{Arguments, Command};
use dns64::config::{self, Config, ConfigErrors, LogFormat, LogLevel};
use dns64::datapath::Mode;
use dns64::reload::{Reloader, SetLevel};
use dns64::runtime::{ConfigSource, Server, StartError, housekeeping, log_counters, spread_steps};
use dns64::sandbox::Sandbox;
use dns64::sys::listen_fds;
use dns64::transport::passed::PassedSockets;
use dns64::xdp::ladder::{Step, Tier};
use dns64::xdp::select::Steered;
use dns64::xdp::spreading::is_wanted;
use dns64::xdp::watch::try_all;
use dns64::{demo, policy};
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

/// Exit code for wrong usage, a wrong configuration, or an address that cannot be bound.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => serve(arguments.config.as_deref()),
        Some(Command::Check { config, json, datapath }) => {
            check(config.or(arguments.config).as_deref(), json, datapath)
        }
        Some(Command::Demo { listen, once }) => demonstrate(listen, once),
    }
}

/// Reads the configuration file, or makes the configuration of a machine without one.
fn read_config(path: Option<&Path>) -> Result<Config, ConfigErrors> {
    match path {
        Some(path) => config::load(path),
        None => {
            let mut config = Config::default_for_machine()?;
            // Loopback is all we listen on, and IPv6 may be switched off.
            let available = demo::listen_addresses();
            config.listen.retain(|address| available.contains(address));
            Ok(config)
        }
    }
}

/// `dns64d [--config FILE]`.
fn serve(path: Option<&Path>) -> ExitCode {
    let passed = match passed_sockets() {
        Ok(passed) => passed,
        Err(error) => return complain(&error, EXIT_USAGE),
    };
    let config = match read_config(path) {
        Ok(config) => config,
        Err(errors) => return complain(&errors, EXIT_USAGE),
    };
    let set_level = match start_logging(&config) {
        Ok(set_level) => set_level,
        Err(error) => return complain(&error, EXIT_USAGE),
    };
    for warning in &config.warnings {
        warn!("{warning}");
    }
    let sandbox = match Sandbox::enter(&config, path) {
        Ok(sandbox) => sandbox,
        Err(error) => return complain(&error, EXIT_USAGE),
    };
    let (runtime, signals) = match listen_to_signals() {
        Ok(parts) => parts,
        Err(error) => return complain(&error, 1),
    };
    let source = ConfigSource { path: path.map(Path::to_owned), set_level };
    let server = match Server::start(&config, source, passed, runtime) {
        Ok(server) => server,
        Err(
            error @ (StartError::Bind(_)
            | StartError::Passed(_)
            | StartError::Datapath(_)
            | StartError::Script(_)
            | StartError::Control(_)
            | StartError::Record(_)
            | StartError::Metrics(..)),
        ) => {
            return complain(&error, EXIT_USAGE);
        }
        Err(error @ StartError::System(_)) => return complain(&error, 1),
    };
    if let Err(error) = sandbox.close() {
        return complain(&error, 1);
    }
    log_ready(&server);
    run(server, signals)
}

/// The sockets that systemd has opened for us. To be called before there is a second thread.
fn passed_sockets() -> Result<PassedSockets, String> {
    let taken = listen_fds::take().map_err(|error| {
        format!(
            "LISTEN_FDS: the sockets that systemd has passed cannot be taken: {error}\n  hint: \
             LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are as in sd_listen_fds(3)"
        )
    })?;
    PassedSockets::of(taken).map_err(|error| error.to_string())
}

/// Answers until SIGTERM or SIGINT.
fn run(server: Server, signals: Signals) -> ExitCode {
    let reloader = Arc::clone(server.reloader());
    match server.run_until(signals.stop(reloader)) {
        Ok(counters) => {
            log_counters(&counters);
            ExitCode::SUCCESS
        }
        Err(cause) => {
            error!("{cause}");
            ExitCode::FAILURE
        }
    }
}

/// Logs the one line that says queries are answered, and tells systemd if it asked to be told.
fn log_ready(server: &Server) {
    let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
    let prefixes: Vec<String> = server.policy().views.iter().map(describe_view).collect();
    info!(
        listen = addresses.join(" "),
        tier = %server.tiers(),
        workers = server.workers(),
        steering = %server.steered().word(),
        prefixes = prefixes.join(" "),
        "ready"
    );
    tell_systemd(&[NotifyState::Ready]);
}

/// A view's prefixes in one word.
fn describe_view(view: &policy::View) -> String {
    if !view.enabled {
        return format!("{}:off", view.name);
    }
    let prefixes: Vec<String> =
        view.prefixes.iter().map(|prefix| prefix.pref64.to_string()).collect();
    format!("{}:{}", view.name, prefixes.join(","))
}

/// The signals we listen to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

/// Listens to signals from here on, on the runtime that is returned with them.
fn listen_to_signals() -> io::Result<(Runtime, Signals)> {
    let runtime = housekeeping()?;
    let context = runtime.enter();
    let signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
        hangup: signal(SignalKind::hangup())?,
        user1: signal(SignalKind::user_defined1())?,
    };
    drop(context);
    Ok((runtime, signals))
}

impl Signals {
    /// Waits for SIGTERM or SIGINT; SIGHUP puts the configuration file in force as it is now,
    /// SIGUSR1 has the query log go on in a new file.
    async fn stop(mut self, reloader: Arc<Reloader>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload_from(&reloader).await,
                _ = self.user1.recv() => reloader.daemon().records.reopen(),
            }
        }
    }
}

/// Puts the configuration file in force as it is now, or says why not.
async fn reload_from(reloader: &Reloader) {
    // Without a clock systemd would take it for a failure.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell_systemd(&[NotifyState::Reloading, now]);
    }
    match reloader.reload().await {
        Ok(outcome) if outcome.changes.is_empty() => {
            info!("the configuration is what it was: nothing to reload");
        }
        Ok(_) => {}
        Err(cause) => error!("the configuration stays as it was: {cause}"),
    }
    tell_systemd(&[NotifyState::Ready]);
}

/// Tells systemd, if it asked to be told.
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "systemd cannot be told");
    }
}

/// `dns64d check`.
fn check(path: Option<&Path>, json: bool, datapath: bool) -> ExitCode {
    let result = read_config(path);
    let (steered, steps) = match &result {
        Ok(config) if datapath => try_datapath(config),
        _ => (None, Vec::new()),
    };
    let insists = result.as_ref().is_ok_and(|config| config.datapath.mode == Mode::Xdp);
    let stays = |step: &Step| step.tier == Tier::Socket && step.refusal.is_none();
    let fails = result.is_err() || insists && steps.iter().any(stays);
    let code = if fails { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
    let mut out = io::stdout().lock();
    let printed = match &result {
        _ if json => {
            let mut report = config::check_json(&result);
            if datapath {
                report["datapath"] = steps.iter().map(step_json).collect();
                report["steering"] = steered.as_ref().map(steered_json).into();
            }
            writeln!(out, "{report:#}")
        }
        Ok(config) => {
            for warning in &config.warnings {
                complain(&format_args!("warning: {warning}"), 0);
            }
            write!(out, "{config}").and_then(|()| {
                if datapath && steps.is_empty() {
                    writeln!(out, "datapath  queries come by {}", Tier::Socket)?;
                }
                steps.iter().try_for_each(|step| writeln!(out, "datapath  {step}"))?;
                steered.iter().try_for_each(|steered| writeln!(out, "steering  {steered}"))
            })
        }
        Err(errors) => {
            complain(errors, EXIT_USAGE);
            Ok(())
        }
    };
    if printed.is_err() { ExitCode::FAILURE } else { code }
}

/// Tries the data path of a configuration: what steers queries to workers, and each interface.
fn try_datapath(config: &Config) -> (Option<Steered>, Vec<Step>) {
    let settings = &config.datapath;
    let steered = Steered::try_out(settings.steering);
    let steps = if is_wanted(settings) { spread_steps(config) } else { try_all(settings) };
    (Some(steered), steps)
}

/// A step of the ladder for programs: `refusal` is null for the way that queries would take.
fn step_json(step: &Step) -> serde_json::Value {
    serde_json::json!({
        "interface": step.interface, "tier": step.tier.name(), "refusal": step.refusal,
    })
}

/// What steers queries, for programs: `refusal` is null if that is what the configuration wants.
fn steered_json(steered: &Steered) -> serde_json::Value {
    serde_json::json!({ "by": steered.word(), "refusal": steered.refusal })
}

/// `dns64d demo`.
fn demonstrate(listen: Vec<SocketAddr>, once: bool) -> ExitCode {
    let listen = if listen.is_empty() { demo::listen_addresses() } else { listen };
    let (runtime, signals) = match listen_to_signals() {
        Ok(parts) => parts,
        Err(error) => return complain(&error, 1),
    };
    let (upstream, server, config) = match demo::start(&listen, runtime) {
        Ok(parts) => parts,
        Err(error @ StartError::Bind(_)) => {
            complain(&format_args!("{error}\n  hint: dns64d demo --listen 127.0.0.1:PORT"), 0);
            return ExitCode::from(EXIT_USAGE);
        }
        Err(
            error @ (StartError::Passed(_)
            | StartError::Datapath(_)
            | StartError::Script(_)
            | StartError::Control(_)
            | StartError::Record(_)
            | StartError::Metrics(..)
            | StartError::System(_)),
        ) => {
            return complain(&error, 1);
        }
    };
    if let Err(error) = start_logging(&config) {
        return complain(&error, 1);
    }
    let mut out = io::stdout().lock();
    if let Err(error) = demo::show(&server, &mut out) {
        return complain(&error, 1);
    }
    let code = if once {
        match server.run_until(std::future::ready(())) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => complain(&error, 1),
        }
    } else {
        let Some(address) = server.addresses().first().copied() else { return ExitCode::FAILURE };
        let _closed = writeln!(
            out,
            "Answering on. Ask it yourself, in another terminal:\n\
             \n    dig @{0} -p {1} web.demo.test AAAA\n\
             \n    dns64ctl query web.demo.test AAAA --server {address}\n\
             \nCtrl-C ends it.",
            address.ip(),
            address.port()
        );
        drop(out);
        log_ready(&server);
        run(server, signals)
    };
    drop(upstream);
    code
}

/// Logs to standard error or to the journal, at the configured level. RUST_LOG overrides it, now
/// and after each reload. What sets another level is returned.
fn start_logging(config: &Config) -> Result<SetLevel, JournalError> {
    let filter = |level: LogLevel| {
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.word()))
    };
    let (filtered, handle) = reload::Layer::new(filter(config.log_level));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry().with(filtered);
    match config.log_format {
        LogFormat::Text => registry.with(lines.with_ansi(false).with_target(false)).init(),
        LogFormat::Json => registry.with(lines.json()).init(),
        LogFormat::Journald => registry.with(journal().map_err(JournalError)?).init(),
    }
    let is_ours = EnvFilter::try_from_default_env().is_err();
    // Without the subscriber nothing is logged, whatever the level.
    Ok(Box::new(move |level| is_ours && handle.reload(filter(level)).is_ok()))
}

/// The way to the journal, with the priorities that systemd has for these levels.
fn journal() -> io::Result<tracing_journald::Layer> {
    let priorities = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        ..PriorityMappings::new()
    };
    let layer = tracing_journald::layer()?
        .with_priority_mappings(priorities)
        .with_field_prefix(Some("DNS64".to_owned()))
        .with_syslog_identifier("dns64d".to_owned());
    Ok(layer)
}

/// The journal cannot be reached.
#[derive(Debug)]
struct JournalError(io::Error);

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "log.format: the journal cannot be reached: {}\n  hint: systemd-journald listens at \
             /run/systemd/journal/socket; where it does not run, write \"text\" or \"json\"",
            self.0
        )
    }
}

/// Prints an error to standard error; the exit code to end with.
fn complain(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // If standard error is closed there is nobody to tell.
    let _closed = writeln!(io::stderr(), "dns64d: {error}");
    ExitCode::from(code)
}
