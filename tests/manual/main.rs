//! What the programs say of themselves: manual pages that groff and mandoc have nothing to say
//! against, and completions that shells can use.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use dns64_tests::daemon::dns64ctl;
use dns64_tests::netns::Scratch;
use dns64_tests::program::{directory, dns64bench, installed};

/// Runs a program that must succeed; what it prints.
fn output(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it can be run");
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// What a command of dns64ctl prints.
fn ctl(arguments: &[&str]) -> String {
    let output = dns64ctl(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// What a command of dns64bench prints.
fn bench(arguments: &[&str]) -> String {
    output(Command::new(dns64bench()).args(arguments))
}

/// A program of this build.
fn program(name: &str) -> PathBuf {
    directory().join(name)
}

/// The commands that a program itself names in its help.
fn commands_of(name: &str) -> Vec<String> {
    let help = output(Command::new(program(name)).arg("--help"));
    let list = help.split("\nCommands:\n").nth(1).expect("it has commands");
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    let names = lines.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.filter(|name| *name != "help").map(str::to_owned).collect();
    assert!(names.len() > 1, "{help}");
    names
}

/// All pages, as they are installed.
fn pages() -> (Scratch, BTreeSet<String>) {
    let scratch = Scratch::new();
    let directory = scratch.path().to_string_lossy().into_owned();
    assert_eq!(ctl(&["man", "--output", &directory]), "");
    assert_eq!(bench(&["man", "--output", &directory]), "");
    let mut names = BTreeSet::new();
    for section in fs::read_dir(scratch.path()).expect("a directory") {
        for page in fs::read_dir(section.expect("an entry").path()).expect("a directory") {
            let path = page.expect("an entry").path();
            let below = path.strip_prefix(scratch.path()).expect("it is below");
            names.insert(below.to_string_lossy().into_owned());
        }
    }
    (scratch, names)
}

/// A page as people read it.
fn read(directory: &Path, section: &str, name: &str) -> String {
    let mut man = Command::new("man");
    man.arg("-M").arg(directory).args([section, name]);
    // Without marks for bold, in lines that are not broken.
    man.envs([("MANWIDTH", "1000"), ("MANPAGER", "cat"), ("LC_ALL", "C.UTF-8")]);
    man.env_remove("MAN_KEEP_FORMATTING");
    output(&mut man)
}

// ---- Manual pages

#[test]
fn every_program_command_and_the_configuration_has_a_page() {
    let (_scratch, names) = pages();
    let mut expected = BTreeSet::from(["man5/dns64d.toml.5".to_owned()]);
    for (name, section) in [("dns64d", 8), ("dns64ctl", 1), ("dns64bench", 1)] {
        expected.insert(format!("man{section}/{name}.{section}"));
        for command in commands_of(name) {
            expected.insert(format!("man{section}/{name}-{command}.{section}"));
        }
    }
    assert_eq!(names, expected);
}

#[test]
fn no_page_gives_groff_or_mandoc_reason_to_warn() {
    if !installed(&["man", "groff", "mandoc"]) {
        return;
    }
    let (scratch, names) = pages();
    for name in names {
        let path = scratch.path().join(&name);
        let clean = |output: &Output| output.status.success() && output.stderr.is_empty();
        let run = |command: &mut Command| {
            command.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80").stdin(Stdio::null());
            command.output().expect("it can be run")
        };
        let man = run(Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(&path));
        assert!(clean(&man), "{name}: {}", String::from_utf8_lossy(&man.stderr));
        let groff =
            run(Command::new("groff").args(["-ww", "-man", "-Tutf8", "-k", "-z"]).arg(&path));
        assert!(clean(&groff), "{name}: {}", String::from_utf8_lossy(&groff.stderr));
        let lint = run(Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&path));
        let said = String::from_utf8_lossy(&lint.stdout).into_owned();
        assert!(clean(&lint) && said.is_empty(), "{name}: {said}");
    }
}

#[test]
fn pages_have_their_sections_and_the_commands_that_there_are() {
    if !installed(&["man"]) {
        return;
    }
    let (scratch, _) = pages();
    for (name, section, titles) in [
        ("dns64d", "8", &["SIGNALS", "FILES", "ENVIRONMENT"][..]),
        ("dns64ctl", "1", &["FILES"]),
        ("dns64bench", "1", &[]),
    ] {
        let page = read(scratch.path(), section, name);
        let all = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "SUBCOMMANDS",
            "EXIT STATUS",
            "SEE ALSO",
        ];
        for title in all.iter().chain(titles) {
            assert!(page.lines().any(|line| line == *title), "{name}: {title}\n{page}");
        }
        for command in commands_of(name) {
            let reference = format!("{name}-{command}({section})");
            assert!(page.contains(&reference), "{reference}\n{page}");
            let page = read(scratch.path(), section, &format!("{name}-{command}"));
            assert!(page.lines().any(|line| line == "EXIT STATUS"), "{page}");
        }
    }
    let page = read(scratch.path(), "8", "dns64d-check");
    assert!(page.contains("--datapath"), "{page}");
}

#[test]
fn the_page_of_the_configuration_has_every_key_of_the_example() {
    if !installed(&["man"]) {
        return;
    }
    let (scratch, _) = pages();
    let page = read(scratch.path(), "5", "dns64d.toml");
    for line in [
        "       workers 1 to 256",
        "       timeout_ms 10 to 10000",
        "              Default: 250",
        "       ptr \"cname\", \"direct\", \"off\"",
        "   [[view]]",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line:?}\n{page}");
    }
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../userspace/example.toml");
    let example = fs::read_to_string(example).expect("the example");
    let mut keys = 0;
    for line in example.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        let Some((key, _)) = line.split_once(" = ") else { continue };
        let is_key =
            |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'_';
        if key.bytes().all(is_key) {
            let start = format!("       {key} ");
            // A key that is a table has a part of its own.
            let part = format!(".{key}]");
            let is_there = |line: &str| line.starts_with(&start) || line.ends_with(&part);
            assert!(page.lines().any(is_there), "{key}\n{page}");
            keys += 1;
        }
    }
    assert!(keys > 80, "the example has many keys");
}

#[test]
fn a_page_is_printed_by_its_name_and_a_wrong_name_is_refused() {
    assert!(ctl(&["man"]).contains(".TH DNS64CTL 1 "));
    assert!(ctl(&["man", "dns64d.toml"]).contains(".TH DNS64D.TOML 5 "));
    assert!(bench(&["man"]).contains(".TH DNS64BENCH 1 "));
    let refused = dns64ctl(&["man", "dns64"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("there is no page dns64\n") && said.contains("dns64ctl-flush"), "{said}");
}

// ---- Completions

/// The completions of a program for a shell.
fn completions(program: &str, shell: &str) -> String {
    match program {
        "dns64bench" => bench(&["completions", shell]),
        "dns64ctl" => ctl(&["completions", shell]),
        other => ctl(&["completions", shell, "--for", other]),
    }
}

#[test]
fn every_shell_gets_a_script_with_every_command() {
    for program in ["dns64d", "dns64ctl", "dns64bench"] {
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let script = completions(program, shell);
            for command in commands_of(program) {
                assert!(script.contains(&command), "{program}, {shell}: {command}");
            }
        }
    }
}

#[test]
fn shells_understand_the_scripts() {
    if !installed(&["bash", "zsh", "fish"]) {
        return;
    }
    let scratch = Scratch::new();
    for program in ["dns64d", "dns64ctl", "dns64bench"] {
        for shell in ["bash", "zsh", "fish"] {
            let script = scratch.write(&format!("{program}.{shell}"), &completions(program, shell));
            let said = output(Command::new(shell).arg("-n").arg(script));
            assert_eq!(said, "", "{program}, {shell}");
        }
    }
}

#[test]
fn bash_completes_commands_options_and_words() {
    if !installed(&["bash"]) {
        return;
    }
    let scratch = Scratch::new();
    for (program, words, wanted) in [
        ("dns64ctl", &["sch"][..], "schema"),
        ("dns64ctl", &["reload", "--d"], "--diff"),
        ("dns64ctl", &["completions", "po"], "powershell"),
        ("dns64d", &["check", "--data"], "--datapath"),
        ("dns64bench", &["capa"], "capacity"),
    ] {
        let script = scratch.write("script", &completions(program, "bash"));
        let line: Vec<String> = std::iter::once(program)
            .chain(words.iter().copied())
            .map(|word| format!("'{word}'"))
            .collect();
        let ask = format!(
            ". {script:?}; COMP_WORDS=({}); COMP_CWORD={}; \
             _{program} {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \
             \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            line.join(" "),
            words.len()
        );
        let said = output(Command::new("bash").args(["--norc", "-c", &ask]));
        assert!(said.lines().any(|word| word == wanted), "{program} {words:?}: {said}");
    }
}

#[test]
fn an_unknown_shell_is_refused_with_those_that_are_known() {
    let refused = dns64ctl(&["completions", "tcsh"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("bash") && said.contains("powershell"), "{said}");
}
