//! dns64ctl: asks a responder.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dns64::ask::{Ask, render};
use dns64::wire::NameBuf;
use hickory_proto::rr::{Name, RecordType};

/// Exit code for wrong usage.
const EXIT_USAGE: u8 = 2;

/// Asks a DNS64 responder.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Asks a server one question and prints the reply. Exit code 1 if there is none.
    Query {
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
    },
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
    let Command::Query { name, rtype, server, tcp, dnssec, cd } = command;
    let (name, rtype) = match parse_question(&name, &rtype) {
        Ok(question) => question,
        Err(error) => return complain(&error, EXIT_USAGE),
    };
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

/// The question that the arguments mean.
fn parse_question(name: &str, rtype: &str) -> Result<(Name, RecordType), String> {
    let rtype: RecordType = rtype
        .to_ascii_uppercase()
        .parse()
        .map_err(|_| format!("{rtype} is no record type: try AAAA, A, PTR, TXT"))?;
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
