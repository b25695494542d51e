//! The troubleshooting page knows what the program may say: reasons by their enumerations, refusals
//! and lines of the log by the texts in the sources.

use std::fs;
use std::path::{Path, PathBuf};

use dns64::counters::{DropReason, Suspect};
use dns64_ebpf::classify;

use crate::markdown::{code_spans, section};
use crate::{root, text};

/// The page.
const PAGE: &str = "userspace/doc/troubleshooting.md";

/// Sources whose every sentence is one that an operator may read: files, and directories for all
/// that lies in them.
const SPOKEN: [&str; 6] = [
    "xdp",
    "sys/xsk/socket.rs",
    "transport/socket.rs",
    "transport/passed.rs",
    "control/listen.rs",
    "control/client.rs",
];

/// Sources among them whose sentences are for tests.
const UNSPOKEN: [&str; 1] = ["xdp/run.rs"];

/// A text has to be on the page from so many words on; what is shorter is a part of another.
const WORDS_MIN: usize = 4;

/// A part of a text without gaps that has so many words is enough to find its entry by.
const PART_WORDS_MIN: usize = 3;

#[test]
fn every_reason_of_a_drop_has_a_row() {
    let page = text(PAGE);
    let missing = |heading: &str, reasons: &[&'static str]| -> Vec<&'static str> {
        let lines = section(&page, heading);
        let rows: Vec<&str> = lines
            .into_iter()
            // Up to the next heading, of whatever level.
            .take_while(|line| !line.starts_with('#'))
            .filter(|line| line.starts_with("| `"))
            .flat_map(|row| code_spans(row.split('|').nth(1).unwrap_or_default()))
            .collect();
        let is_missing = |reason: &&&str| !rows.contains(*reason);
        let missing: Vec<&str> = reasons.iter().filter(is_missing).copied().collect();
        let invented = rows.iter().find(|row| !reasons.contains(*row));
        assert_eq!(invented, None, "{heading}: there is no such reason");
        missing
    };
    let drops = DropReason::ALL.map(DropReason::name);
    assert_eq!(missing("## Drops", &drops), Vec::<&str>::new());
    let kernel = classify::DropReason::ALL.map(classify::DropReason::name);
    assert_eq!(missing("### Drops inside the XDP program", &kernel), Vec::<&str>::new());
    let passes = classify::PassReason::ALL.map(classify::PassReason::name);
    let heading = "### What the XDP program leaves to the network stack";
    assert_eq!(missing(heading, &passes), Vec::<&str>::new());
    let suspects = Suspect::ALL.map(Suspect::name);
    assert_eq!(missing("## Suspicious responses", &suspects), Vec::<&str>::new());
}

#[test]
fn every_refusal_of_the_data_path_has_an_entry() {
    let page = words(&text(PAGE));
    let mut seen = 0;
    let mut missing = Vec::new();
    for path in SPOKEN.into_iter().flat_map(|path| sources(&source_root().join(path))) {
        let name = name_of(&path);
        if UNSPOKEN.contains(&name.as_str()) {
            continue;
        }
        for literal in literals(&code_of(&path)) {
            if literal.text.split_whitespace().count() < WORDS_MIN {
                continue;
            }
            let Some(part) = telling_part(&literal.text) else { continue };
            seen += 1;
            if !page.contains(&part) {
                missing.push(format!("userspace/src/{name}:{}: {part:?}", literal.line));
            }
        }
    }
    assert!(seen > 60, "{seen} sentences are found in the sources");
    assert!(missing.is_empty(), "{PAGE} has no entry for\n{}", missing.join("\n"));
}

#[test]
fn every_warning_and_error_of_the_log_has_an_entry() {
    let page = words(&text(PAGE));
    let mut seen = 0;
    let mut missing = Vec::new();
    for path in sources(&source_root()) {
        let code = code_of(&path);
        for call in calls(&code) {
            for literal in literals(&code[call.clone()]) {
                let Some(part) = telling_part(&literal.text) else { continue };
                seen += 1;
                if !page.contains(&part) {
                    let line = code[..call.start].matches('\n').count() + literal.line;
                    missing.push(format!("userspace/src/{}:{line}: {part:?}", name_of(&path)));
                }
            }
        }
    }
    assert!(seen > 30, "{seen} lines of the log are found in the sources");
    assert!(missing.is_empty(), "{PAGE} has no entry for\n{}", missing.join("\n"));
}

// ---- Sources

fn source_root() -> PathBuf {
    root().join("userspace/src")
}

/// The path of a source below `userspace/src`.
fn name_of(path: &Path) -> String {
    path.strip_prefix(source_root()).expect("a source").display().to_string()
}

/// A source, or all sources in a directory and below, but for tests.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).expect("a directory of sources") {
        let path = entry.expect("an entry of a directory").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" {
                found.extend(sources(&path));
            }
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A source without the unit tests at its end.
fn code_of(path: &Path) -> String {
    let source = fs::read_to_string(path).expect("a source");
    let end = source.find("#[cfg(test)]\nmod tests").unwrap_or(source.len());
    source[..end].to_owned()
}

/// A string of a source.
struct Literal {
    /// The line of the text that it was found in, from 1.
    line: usize,
    text: String,
}

/// The strings of a source, joined where a backslash breaks the line; comments are passed over.
fn literals(code: &str) -> Vec<Literal> {
    let mut found = Vec::new();
    let mut rest = code.char_indices().peekable();
    let mut line = 1;
    while let Some((at, c)) = rest.next() {
        match c {
            '\n' => line += 1,
            '/' if code[at..].starts_with("//") => {
                while rest.next_if(|(_, c)| *c != '\n').is_some() {}
            }
            // The character of a quotation mark, which begins no string.
            '\'' if code[at..].starts_with("'\"'") || code[at..].starts_with("'\\\"'") => {
                while rest.next_if(|(_, c)| *c != '"').is_some() {}
                rest.next();
                rest.next();
            }
            '"' => {
                let begins = line;
                let mut text = String::new();
                while let Some((_, c)) = rest.next() {
                    match c {
                        '"' => break,
                        '\\' => match rest.next() {
                            Some((_, '\n')) => {
                                line += 1;
                                while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
                            }
                            Some((_, 'n')) => text.push('\n'),
                            Some((_, c)) => text.push(c),
                            None => {}
                        },
                        c => {
                            line += usize::from(c == '\n');
                            text.push(c);
                        }
                    }
                }
                found.push(Literal { line: begins, text });
            }
            _ => {}
        }
    }
    found
}

/// Where the arguments of `warn!` and `error!` stand.
fn calls(code: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    for name in ["warn!(", "error!("] {
        for (at, _) in code.match_indices(name) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let begin = at + name.len();
            found.push(begin..begin + length_of_arguments(&code[begin..]));
        }
    }
    found
}

/// How far it is to the parenthesis that closes the one before the text; those in strings do not
/// count.
fn length_of_arguments(code: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (1, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '(' if !in_string => depth += 1,
            ')' if !in_string => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// What of a text its entry is found by: the longest part without a gap of its first clause that
/// has one of some words. A text without such a part is one of gaps.
fn telling_part(text: &str) -> Option<String> {
    let clauses = text.split([';', '\n']).flat_map(|clause| clause.split(": "));
    for clause in clauses {
        let parts = clause.split('{');
        let parts = parts.map(|part| part.split_once('}').map_or(part, |(_, behind)| behind));
        let parts = parts.map(|part| words(part.trim_matches([' ', ':', ',', '.'])));
        let longest =
            parts.filter(|part| part.split(' ').count() >= PART_WORDS_MIN).max_by_key(String::len);
        if longest.is_some() {
            return longest;
        }
    }
    None
}

/// A text with one space between any two words.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn strings_are_found_whole_and_comments_are_not() {
    let code = "// \"no\"\nlet a = '\"'; warn!(%b, \"one \\\n    two {c}: three \\\"d\\\"\");\n";
    let found = literals(code);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].line, found[0].text.as_str()), (2, "one two {c}: three \"d\""));
}

#[test]
fn a_call_ends_at_its_own_parenthesis() {
    let code = "warn!(\"a (b\", f(c));\nx_warn!(d);";
    let calls = calls(code);
    assert_eq!(calls.len(), 1);
    assert_eq!(&code[calls[0].clone()], "\"a (b\", f(c)");
}

#[test]
fn a_text_is_told_by_its_longest_part_without_gaps() {
    let part = |text: &str| telling_part(text).unwrap_or_default();
    assert_eq!(part("{a} has {b} queues, and all {c} may be"), "queues, and all");
    assert_eq!(part("{a}: this is it; do that"), "this is it");
    assert_eq!(part("cannot {action}: {source}{}"), "");
}
