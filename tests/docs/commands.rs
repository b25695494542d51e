//! Commands in the documents print what is shown, or are named here with the reason why not.
//!
//! A `console` block has commands behind `$ ` and under each what it prints; `...` stands for lines
//! that are left out. All of them are run, in a directory with the first configuration of README.md
//! as `dns64d.toml`. A `sh` block has commands that are not run; each stands in [`NOT_RUN`], or in
//! that of [`crate::guide`].

use std::env;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use dns64_tests::program::{directory, dns64bench};
use dns64_tests::subject::TemporaryDirectory;

use crate::markdown::blocks;
use crate::{DOCUMENTS, guide, text};

/// Commands that the tests do not run, and why.
const NOT_RUN: &[(&str, &str)] = &[
    (
        "cargo run --release -- demo",
        "takes minutes to build; that cargo runs dns64d is tested beside",
    ),
    ("cargo build --release", "takes minutes; what it builds is tested beside"),
    (
        "cargo run --release --bin dns64bench -- compare --quick",
        "takes ten minutes; tests/lab has shorter ones",
    ),
    (
        "dns64bench flood eth1 -s 2001:db8:1::53 --generate hit:10000 -Q 1000000 -l 10",
        "needs a server behind an interface; tests/generator does it in a namespace",
    ),
    ("tests/run", "runs these tests"),
    ("dns64d --config dns64d.toml", "needs port 53; that the file is good is tested beside"),
    (
        "dns64d check --config dns64d.toml --datapath",
        "tries the interfaces of the machine; tests/datapath does it in a namespace",
    ),
    ("dns64ctl query ipv4only.arpa AAAA --server 2001:db8::64", "the address is an example"),
    ("cargo build --workspace", "has been done before tests run"),
    ("DNS64_CASES_TABLE=/tmp/table.md cargo test -p dns64-tests --test cases", "a test of its own"),
    (
        "DNS64_CASES_TABLE=/tmp/table.md DNS64_TEST_SUBJECT=unbound cargo test -p dns64-tests --test cases",
        "a step of tests/run",
    ),
    (
        "DNS64_CASES_TABLE=/tmp/table.md DNS64_TEST_SUBJECT=bind cargo test -p dns64-tests --test cases",
        "a step of tests/run",
    ),
];

/// The port in the documents, which a program on this machine may have.
const PORT: &str = "5364";

#[test]
fn every_command_that_is_not_run_is_named_with_the_reason() {
    let mut commands = Vec::new();
    for document in DOCUMENTS {
        for block in blocks(&text(document), "sh") {
            commands.extend(block.lines().map(str::to_owned));
        }
    }
    for command in &commands {
        let mut named = NOT_RUN.iter().chain(guide::NOT_RUN);
        assert!(named.any(|(named, _)| named == command), "{command:?} is not named");
    }
    for (named, reason) in NOT_RUN.iter().chain(guide::NOT_RUN) {
        assert!(commands.iter().any(|command| command == named), "{named:?} ({reason}) is gone");
    }
}

#[test]
fn commands_print_what_the_documents_show() {
    let readme = text("README.md");
    let configuration = blocks(&readme, "toml").into_iter().next().expect("a configuration");
    let directory = TemporaryDirectory::new("docs").expect("a directory");
    fs::write(directory.path().join("dns64d.toml"), configuration).expect("a file");
    let programs = programs();
    let mut path = vec![programs];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let path = env::join_paths(path).expect("a path");
    let port = free_port().to_string();
    let mut commands = 0;
    let guide = DOCUMENTS.into_iter().filter(|document| document.starts_with("userspace/doc/"));
    let texts: Vec<String> = guide.map(text).chain([readme]).collect();
    for block in texts.iter().flat_map(|text| blocks(text, "console")) {
        for (command, shown) in commands_of(&block) {
            let output = Command::new("sh")
                .arg("-c")
                .arg(format!("exec 2>&1; {}", command.replace(PORT, &port)))
                .current_dir(directory.path())
                .env("PATH", &path)
                .env_remove("RUST_LOG")
                .stdin(Stdio::null())
                .output()
                .expect("a shell");
            let printed = String::from_utf8_lossy(&output.stdout).replace(&port, PORT);
            assert_shown(&command, &printed, &shown);
            commands += 1;
        }
    }
    assert!(commands > 0, "README.md shows commands");
}

/// The commands of a block and what is shown under each. A line `$ dig` is a part of what the
/// demonstration prints, not a command.
fn commands_of(block: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) if !command.starts_with("dig ") => {
                commands.push((command.to_owned(), Vec::new()));
            }
            (_, Some((_, shown))) => shown.push(line.to_owned()),
            (_, None) => panic!("{line:?} stands before any command"),
        }
    }
    commands
}

/// Compares line by line; after `...` the next line shown may come later.
fn assert_shown(command: &str, printed: &str, shown: &[String]) {
    let mut lines = printed.lines().map(steady);
    let mut skips = false;
    for line in shown {
        if line == "..." {
            skips = true;
            continue;
        }
        let wanted = steady(line);
        let found = if skips { lines.find(|line| *line == wanted) } else { lines.next() };
        assert_eq!(found.as_ref(), Some(&wanted), "$ {command}\n{printed}");
        skips = false;
    }
}

/// A line without what differs from run to run: how long a reply took.
fn steady(line: &str) -> String {
    match line.split_once(" ms from ") {
        Some((_, rest)) => format!(";; N ms from {rest}"),
        None => line.to_owned(),
    }
}

/// The directory of the programs that cargo built beside this test.
fn programs() -> PathBuf {
    let _built = dns64bench();
    directory()
}

/// A port that nobody has now.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.local_addr().expect("an address").port()
}
