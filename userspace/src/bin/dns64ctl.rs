//! dns64ctl: asks a responder, commands one that runs, reads configurations of other servers, and
//! says what the programs and their configuration are like.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use dns64::ask::{Ask, render};
use dns64::cli::man::{self, Page};
use dns64::cli::{Shell, completions, daemon};
use dns64::config::reference::SCHEMA;
use dns64::control::{self, FlushScope, Request, SOCKET_DEFAULT, client, top};
use dns64::import::{Disk, Peer, import};
use dns64::trace::Question;
use dns64::wire::NameBuf;
use hickory_proto::rr::{Name, RecordType};
use serde_json::Value;

/// Exit code for wrong usage or a wrong configuration.
const EXIT_USAGE: u8 = 2;

/// Asks a DNS64 responder, commands a dns64d that runs on this machine, and brings configurations
/// of other servers to it.
#[derive(Parser)]
#[command(name = "dns64ctl", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Asks a server one question and prints the reply. Exit code 1 if there is none.
    ///
    /// With --trace, tells which rules of the running dns64d decide about the question, or with
    /// --config those of a file.
    Query(Box<QueryArguments>),
    /// Says who runs, since when, and how queries come in.
    Status(Running),
    /// Prints what has been counted, a line each.
    Stats(Running),
    /// Reads the configuration of Unbound, BIND, PowerDNS Recursor, Knot Resolver or CoreDNS and
    /// writes one for dns64d that answers alike. What could not be carried over is listed on
    /// standard error, with file and line. Exit code 2 if the file cannot be understood.
    Import {
        /// The file: unbound.conf, named.conf, recursor.conf, recursor.yml, config.yaml, kresd.conf
        /// or Corefile. What it includes is read too.
        file: PathBuf,
        /// Whose it is. Seen from the file's name and content if not said.
        #[arg(long, value_parser = parse_peer())]
        from: Option<Peer>,
        /// The file to write; standard output if not given. It must not exist.
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Forgets answers, those of a name, of a zone or all, in every cache and in the kernel.
    Flush {
        /// The name.
        #[arg(required_unless_present_any = ["zone", "all"])]
        name: Option<String>,
        /// The type: AAAA, A, PTR, TXT, ... Without it every type. A means synthesized AAAA too.
        rtype: Option<String>,
        /// A name and all names below it.
        #[arg(long, value_name = "NAME", conflicts_with = "name")]
        zone: Option<String>,
        /// Everything.
        #[arg(long, conflicts_with_all = ["name", "zone"])]
        all: bool,
        #[command(flatten)]
        running: Running,
    },
    /// Prints what the caches hold, as lines of a master file with comments: of a name, of a zone
    /// or everything. Each worker has a cache; what is stored meanwhile may be there or not.
    /// With --json, a line for each answer.
    DumpCache {
        /// The name. Without it everything.
        name: Option<String>,
        /// The type: AAAA, A, PTR, TXT, ... Without it every type.
        #[arg(requires = "name")]
        rtype: Option<String>,
        /// A name and all names below it.
        #[arg(long, value_name = "NAME", conflicts_with = "name")]
        zone: Option<String>,
        #[command(flatten)]
        running: Running,
    },
    /// Puts the configuration file in force as it is now. If it has a mistake, or something in it
    /// needs a new start, nothing changes, and the exit code is 1.
    Reload {
        /// Only say what would change, and what needs a new start.
        #[arg(long)]
        diff: bool,
        #[command(flatten)]
        running: Running,
    },
    /// Says which servers are asked for a name, and how they fare.
    Lookup {
        /// The name.
        name: String,
        #[command(flatten)]
        running: Running,
    },
    /// Says how much is logged, or sets it until the next reload.
    LogLevel {
        /// error, warn, info, debug or trace.
        level: Option<String>,
        #[command(flatten)]
        running: Running,
    },
    /// Counts for some seconds which names are asked for most and which clients ask most, and
    /// prints both lists.
    ///
    /// Dropped and refused queries count too. A line has how often it was at least, how many times
    /// more it may have been at most (the error of counting with a fixed number of counters), its
    /// share of all queries, and queries a second. What the kernel answers or drops itself
    /// (datapath.hot_answers, drop) reaches no worker: a line says how many that were.
    Top(Box<TopArguments>),
    /// Gives a gateway of a pool no more clients.
    Drain(Gateway),
    /// Gives a gateway that was drained its clients back.
    Undrain(Gateway),
    /// Prints a JSON Schema (2020-12) of the configuration, for editors and other programs.
    Schema,
    /// Prints a script by which a shell completes commands and options.
    Completions {
        /// The shell.
        shell: Shell,
        /// The program. dns64bench has a command of its own for that.
        #[arg(long = "for", value_name = "PROGRAM", default_value = "dns64ctl")]
        program: Program,
    },
    /// Prints a manual page, or writes all of them: of dns64d, dns64ctl and dns64d.toml.
    Man {
        /// The page, such as dns64d.toml or dns64ctl-flush.
        #[arg(default_value = "dns64ctl")]
        page: String,
        /// Write every page below this directory: man1, man5 and man8.
        #[arg(long, value_name = "DIRECTORY", conflicts_with = "page")]
        output: Option<PathBuf>,
    },
}

/// A program whose commands are known here.
#[derive(Clone, Copy, ValueEnum)]
enum Program {
    Dns64d,
    Dns64ctl,
}

impl Program {
    /// Its commands.
    fn commands(self) -> clap::Command {
        match self {
            Self::Dns64d => daemon::Arguments::command(),
            Self::Dns64ctl => Arguments::command(),
        }
    }
}

/// Prints a manual page, or writes all.
fn manual(name: &str, output: Option<&Path>) -> ExitCode {
    let mut pages = man::pages(Program::Dns64d.commands(), &man::DNS64D);
    pages.extend(man::pages(Program::Dns64ctl.commands(), &man::DNS64CTL));
    pages.push(man::settings_page());
    if let Some(directory) = output {
        return match man::write_pages(&pages, directory) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error, 1),
        };
    }
    match pages.iter().find(|page| page.name == name) {
        Some(Page { text, .. }) => print(text),
        None => {
            let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
            let error = format!("there is no page {name}\n  hint: there are {}", names.join(", "));
            complain(&error, EXIT_USAGE)
        }
    }
}

/// Prints a text to standard output.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, 1),
    }
}

/// A gateway of a pool.
#[derive(Args)]
struct Gateway {
    /// The pool.
    pool: String,
    /// The prefix of the gateway.
    prefix: String,
    #[command(flatten)]
    running: Running,
}

/// What is counted, for how long, and how it is printed.
#[derive(Args)]
struct TopArguments {
    /// For how many seconds, 1 to 60.
    #[arg(long, value_name = "SECONDS", default_value_t = top::SECONDS,
        value_parser = clap::value_parser!(u64).range(1..=top::SECONDS_MAX))]
    seconds: u64,
    /// Lines of each list, 1 to 1024.
    #[arg(long, value_name = "LINES", default_value_t = top::LINES as u64,
        value_parser = clap::value_parser!(u64).range(1..=top::LINES_MAX as u64))]
    count: u64,
    /// Only names.
    #[arg(long, conflicts_with = "clients")]
    names: bool,
    /// Only clients.
    #[arg(long)]
    clients: bool,
    /// Names that end in the same so many labels are one, whatever type is asked for: 2 shows the
    /// zones below which a flood of random names asks.
    #[arg(long, value_name = "LABELS", conflicts_with = "clients",
        value_parser = clap::value_parser!(u8).range(1..=i64::from(top::LABELS_MAX)))]
    labels: Option<u8>,
    /// IPv4 clients that have so many bits in common are one.
    #[arg(long, value_name = "BITS", default_value_t = 32, conflicts_with = "names",
        value_parser = clap::value_parser!(u8).range(0..=32))]
    ipv4_prefix_length: u8,
    /// IPv6 clients that have so many bits in common are one. A subscriber or a link mostly has 64.
    #[arg(long, value_name = "BITS", default_value_t = 64, conflicts_with = "names",
        value_parser = clap::value_parser!(u8).range(0..=128))]
    ipv6_prefix_length: u8,
    /// Count again and again until Ctrl-C. With --json each result is one line.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    running: Running,
}

impl TopArguments {
    /// Has it counted, and prints it.
    fn run(&self) -> ExitCode {
        let socket = match self.running.socket() {
            Ok(socket) => socket,
            Err(error) => return complain(&error, EXIT_USAGE),
        };
        let request = Request::Top(top::Wanted {
            seconds: self.seconds,
            count: self.count as usize,
            names: !self.clients,
            clients: !self.names,
            labels: self.labels,
            ipv4_prefix_length: self.ipv4_prefix_length,
            ipv6_prefix_length: self.ipv6_prefix_length,
        });
        let lasts = Duration::from_secs(self.seconds);
        let mut between = "";
        loop {
            let reply = match client::ask_for(&socket, &request, lasts) {
                Ok(reply) => reply,
                Err(error) => return complain(&error, 1),
            };
            let text = match (self.running.json, self.follow) {
                (true, true) => format!("{reply}\n"),
                (true, false) => format!("{reply:#}\n"),
                (false, _) => format!("{between}{}", top::render(&reply)),
            };
            let mut out = io::stdout();
            if let Err(error) = write!(out, "{text}").and_then(|()| out.flush()) {
                return complain(&error, 1);
            }
            if !self.follow {
                return ExitCode::SUCCESS;
            }
            between = "\n";
        }
    }
}

/// A peer by its word.
fn parse_peer() -> impl clap::builder::TypedValueParser<Value = Peer> {
    PossibleValuesParser::new(Peer::ALL.map(Peer::word)).map(|word| {
        let peer = Peer::ALL.into_iter().find(|peer| peer.word() == word);
        peer.expect("only these words are accepted")
    })
}

/// Reads a configuration of another server and writes ours.
fn convert(file: &Path, from: Option<Peer>, output: Option<&Path>) -> ExitCode {
    let imported = match import(file, from, &Disk) {
        Ok(imported) => imported,
        Err(error) => return complain(&error, EXIT_USAGE),
    };
    let written = match output {
        None => io::stdout().write_all(imported.text.as_bytes()).map_err(|error| error.to_string()),
        // A file that is there may have been worked on by hand.
        Some(path) => fs::File::create_new(path)
            .and_then(|mut file| file.write_all(imported.text.as_bytes()))
            .map_err(|error| format!("{}: {error}", path.display())),
    };
    if let Err(error) = written {
        return complain(&error, 1);
    }
    let mut list = format!(
        "from {}; not carried over, or not quite: {}\n",
        imported.peer,
        imported.notes.len()
    );
    for note in &imported.notes {
        list.push_str(&format!("  {note}\n"));
    }
    // The list stands at the end of what was written too.
    let _closed = io::stderr().write_all(list.as_bytes());
    ExitCode::SUCCESS
}

/// A question, who is asked, and whether the reply or the way to it is wanted.
#[derive(Args)]
struct QueryArguments {
    /// The name. An IP address with type PTR is turned into its reverse name.
    name: String,
    /// The type: AAAA, A, PTR, TXT, ...
    #[arg(default_value = "AAAA")]
    rtype: String,
    /// The server: ADDRESS or ADDRESS:PORT.
    #[arg(long, default_value = "127.0.0.1:5364", value_parser = parse_server)]
    server: SocketAddr,
    /// Ask by TCP.
    #[arg(long)]
    tcp: bool,
    /// Ask for DNSSEC records (DO).
    #[arg(long)]
    dnssec: bool,
    /// Ask the server not to validate (CD).
    #[arg(long)]
    cd: bool,
    /// Tell which view, rule and prefix decide, and why nothing is synthesized.
    #[arg(long, conflicts_with = "server")]
    trace: bool,
    /// The client whose question it is.
    #[arg(long, value_name = "ADDRESS", default_value = "::1", requires = "trace")]
    client: IpAddr,
    /// The listen address that is asked. Without it: the first one.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_server, requires = "trace")]
    listen: Option<SocketAddr>,
    /// The control socket of the dns64d whose rules are meant.
    #[arg(long, value_name = "PATH", requires = "trace")]
    socket: Option<PathBuf>,
    /// A configuration whose rules are meant, whether a dns64d runs or not; its servers are asked.
    #[arg(long, value_name = "FILE", requires = "trace", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, requires = "trace")]
    json: bool,
}

impl QueryArguments {
    /// Tells how the question is answered.
    fn trace(&self, name: &Name, rtype: RecordType) -> ExitCode {
        let question = Question {
            name: name.to_string(),
            rtype: rtype.into(),
            client: self.client,
            listen: self.listen,
            dnssec_ok: self.dnssec,
            checking_disabled: self.cd,
            tcp: self.tcp,
        };
        let told = match &self.config {
            Some(file) => {
                let config = match dns64::config::load(file) {
                    Ok(config) => config,
                    Err(errors) => return complain(&errors, EXIT_USAGE),
                };
                match dns64::trace::trace(config.policy().into(), &config.trust_anchors, &question)
                {
                    Ok(told) => control::trace::to_json(&told),
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                        return complain(&error, EXIT_USAGE);
                    }
                    Err(error) => return complain(&error, 1),
                }
            }
            None => {
                let socket = self.socket.clone().unwrap_or_else(|| SOCKET_DEFAULT.into());
                match client::ask(&socket, &Request::Trace(question)) {
                    Ok(told) => told,
                    Err(error) => {
                        let hint = "  hint: --config FILE tells it without a running dns64d";
                        return complain(&format_args!("{error}\n{hint}"), 1);
                    }
                }
            }
        };
        let text = if self.json { format!("{told:#}\n") } else { control::trace::render(&told) };
        match write!(io::stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error, 1),
        }
    }
}

/// Which running dns64d, and how its reply is printed.
#[derive(Args)]
struct Running {
    /// The control socket. Without it: that of --config, or /run/dns64d/control.sock.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The configuration file that names the control socket.
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Running {
    /// The control socket.
    fn socket(&self) -> Result<PathBuf, String> {
        let Some(file) = &self.config else {
            return Ok(self.socket.clone().unwrap_or_else(|| SOCKET_DEFAULT.into()));
        };
        let config = dns64::config::load(file).map_err(|errors| errors.to_string())?;
        let control = config.control.ok_or_else(|| {
            format!(
                "{}: there is no control socket\n  hint: [control] socket = \"{SOCKET_DEFAULT}\"",
                file.display()
            )
        })?;
        Ok(control.socket)
    }

    /// Sends a request and prints the reply, for people by `render`.
    fn command(&self, request: &Request, render: fn(&Value) -> String) -> ExitCode {
        let socket = match self.socket() {
            Ok(socket) => socket,
            Err(error) => return complain(&error, EXIT_USAGE),
        };
        let reply = match client::ask(&socket, request) {
            Ok(reply) => reply,
            Err(error) => return complain(&error, 1),
        };
        let text = if self.json { format!("{reply:#}\n") } else { render(&reply) };
        match write!(io::stdout(), "{text}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error, 1),
        }
    }
}

impl Running {
    /// Prints the caches, page by page.
    fn dump_cache(&self, scope: &FlushScope) -> ExitCode {
        let socket = match self.socket() {
            Ok(socket) => socket,
            Err(error) => return complain(&error, EXIT_USAGE),
        };
        let render =
            if self.json { control::dump_cache::render_json } else { control::dump_cache::render };
        let mut next = Some((0, 0));
        while let Some((worker, from)) = next {
            let request = Request::DumpCache { scope: scope.clone(), worker, from };
            let page = match client::ask(&socket, &request) {
                Ok(page) => page,
                Err(error) => return complain(&error, 1),
            };
            if let Err(error) = io::stdout().write_all(render(&page).as_bytes()) {
                return complain(&error, 1);
            }
            next = control::dump_cache::next(&page);
        }
        ExitCode::SUCCESS
    }
}

/// An address with or without a port.
fn parse_server(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = bare.parse().map_err(|_| {
        format!(
            "{text} is no address: give 192.0.2.1, 192.0.2.1:53, 2001:db8::1 or [2001:db8::1]:53"
        )
    })?;
    Ok(SocketAddr::new(address, 53))
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    let query = match command {
        Command::Query(query) => query,
        Command::Status(running) => {
            return running.command(&Request::Status {}, control::status::render);
        }
        Command::Import { file, from, output } => return convert(&file, from, output.as_deref()),
        Command::Schema => return print(SCHEMA),
        Command::Completions { shell, program } => {
            return print(&completions(shell, program.commands()));
        }
        Command::Top(arguments) => return arguments.run(),
        Command::Man { page, output } => return manual(&page, output.as_deref()),
        Command::Drain(Gateway { pool, prefix, running }) => {
            return running.command(&Request::Drain { pool, prefix }, control::drain::render);
        }
        Command::Undrain(Gateway { pool, prefix, running }) => {
            return running.command(&Request::Undrain { pool, prefix }, control::drain::render);
        }
        Command::Flush { name, rtype, zone, all: _, running } => {
            let scope = match parse_scope(name, rtype.as_deref(), zone) {
                Ok(scope) => scope,
                Err(error) => return complain(&error, EXIT_USAGE),
            };
            return running.command(&Request::Flush { scope }, control::flush::render);
        }
        Command::DumpCache { name, rtype, zone, running } => {
            return match parse_scope(name, rtype.as_deref(), zone) {
                Ok(scope) => running.dump_cache(&scope),
                Err(error) => complain(&error, EXIT_USAGE),
            };
        }
        Command::Lookup { name, running } => {
            return running.command(&Request::Lookup { name }, control::lookup::render);
        }
        Command::LogLevel { level, running } => {
            return running.command(&Request::LogLevel { level }, control::log_level::render);
        }
        Command::Reload { diff, running } => {
            return running.command(&Request::Reload { diff }, control::reload::render);
        }
        Command::Stats(running) => {
            return running.command(&Request::Stats {}, control::stats::render);
        }
    };
    let (name, rtype) = match parse_question(&query.name, &query.rtype) {
        Ok(question) => question,
        Err(error) => return complain(&error, EXIT_USAGE),
    };
    if query.trace {
        return query.trace(&name, rtype);
    }
    let QueryArguments { server, tcp, dnssec, cd, .. } = *query;
    let mut id = [0; 2];
    if let Err(error) = getrandom::fill(&mut id) {
        return complain(&error, 1);
    }
    let ask = Ask { name, rtype, dnssec_ok: dnssec, checking_disabled: cd, tcp };
    match ask.ask(server, u16::from_be_bytes(id)) {
        Ok(reply) => match write!(io::stdout(), "{}", render(&reply)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error, 1),
        },
        Err(error) => complain(&format_args!("no reply from {server}: {error}"), 1),
    }
}

/// The answers that are meant: those of a name, perhaps of one type, of a zone, or all.
fn parse_scope(
    name: Option<String>,
    rtype: Option<&str>,
    zone: Option<String>,
) -> Result<FlushScope, String> {
    let rtype = rtype.map(parse_rtype).transpose()?.map(u16::from);
    Ok(match (name, zone) {
        (Some(name), _) => FlushScope::Name { name, rtype },
        (None, Some(zone)) => FlushScope::Zone { zone },
        (None, None) => FlushScope::All,
    })
}

/// A type by its name.
fn parse_rtype(rtype: &str) -> Result<RecordType, String> {
    let unknown = |_| format!("{rtype} is no record type: try AAAA, A, PTR, TXT");
    rtype.to_ascii_uppercase().parse().map_err(unknown)
}

/// The question that the arguments mean.
fn parse_question(name: &str, rtype: &str) -> Result<(Name, RecordType), String> {
    let rtype = parse_rtype(rtype)?;
    if rtype == RecordType::PTR
        && let Ok(address) = name.parse::<IpAddr>()
    {
        return Ok((Name::from(address), rtype));
    }
    // Read by ourselves: our errors say what is wrong with it.
    let wire: NameBuf = name.parse().map_err(|error| format!("{name} is no name: {error}"))?;
    let labels = wire.as_name().labels();
    let name = Name::from_labels(labels).map_err(|error| format!("{name} is no name: {error}"))?;
    Ok((name, rtype))
}

/// Prints an error to standard error; the exit code to end with.
fn complain(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    // If standard error is closed there is nobody to tell.
    let _closed = writeln!(io::stderr(), "dns64ctl: {error}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_or_refused_with_the_reason() {
        let (name, rtype) = parse_question("www.Example.org", "aaaa").unwrap();
        assert_eq!((name.to_string().as_str(), rtype), ("www.Example.org.", RecordType::AAAA));
        let (name, _) = parse_question("192.0.2.1", "PTR").unwrap();
        assert_eq!(name.to_string(), "1.2.0.192.in-addr.arpa.");
        let error = parse_question("a..b", "AAAA").unwrap_err();
        assert_eq!(error, "a..b is no name: a label of a domain name is empty");
        let error = parse_question("a.b", "AAA").unwrap_err();
        assert_eq!(error, "AAA is no record type: try AAAA, A, PTR, TXT");
    }
}
