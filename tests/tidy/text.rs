//! What holds for the text of every file: lengths, and words that have no place here.

use crate::code::code_of;
use crate::files::{all, assert_faultless, rust};

/// Columns of the longest line.
const COLUMNS_MAX: usize = 100;

/// Lines of the longest Rust file.
const LINES_MAX: usize = 900;

/// Files that are longer, and by how much they may be.
const LONGER: [(&str, usize); 1] = [("tests/simulation/world.rs", 1_100)];

/// Lines that are too long. Those whose length is that of a string are left to the formatter, and a
/// row of a table in a comment cannot be broken.
fn long_lines(path: &str, source: &str) -> Vec<String> {
    let code = code_of(source);
    let mut faults = Vec::new();
    for (number, (line, code)) in source.lines().zip(code.lines()).enumerate() {
        let is_table = line.trim_start().starts_with("//! |");
        let is_comment = line.trim_start().starts_with("//");
        let has_string = !is_comment && (line.contains('"') || code.trim().is_empty());
        if line.chars().count() > COLUMNS_MAX && !is_table && !has_string {
            faults.push(format!("{path}:{}: more than {COLUMNS_MAX} columns", number + 1));
        }
    }
    faults
}

/// A file that is too long.
fn long_file(path: &str, source: &str) -> Vec<String> {
    let lines_max =
        LONGER.iter().find(|(long, _)| *long == path).map_or(LINES_MAX, |(_, max)| *max);
    let lines = source.lines().count();
    if lines > lines_max { vec![format!("{path}: {lines} lines")] } else { Vec::new() }
}

/// Words about how, where or by whom the project is worked on. Written in parts, so that this file
/// does not have them.
const FORBIDDEN: [&str; 12] = [
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "a/"),
    concat!("/tmp/", "t/"),
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("deb.", "debian.org"),
    concat!("static.rust", "-lang.org"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("Co-authored", "-by"),
];

/// The same as whole words, letter case aside.
const FORBIDDEN_WORDS: [&str; 4] =
    [concat!("age", "nt"), concat!("age", "nts"), concat!("L", "LM"), concat!("chat", "bot")];

/// Words that have no place in a file.
fn forbidden_words(path: &str, text: &str) -> Vec<String> {
    // Lists the registry by its name; made by cargo.
    if path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let parts = FORBIDDEN.iter().filter(|word| line.contains(*word));
        faults.extend(parts.map(|word| format!("{path}:{number}: {word}")));
        let words: Vec<&str> = line.split(|c: char| !c.is_alphanumeric()).collect();
        for forbidden in FORBIDDEN_WORDS {
            if words.iter().any(|word| word.eq_ignore_ascii_case(forbidden)) {
                faults.push(format!("{path}:{number}: {forbidden}"));
            }
        }
        // The cases name the reports about other servers that they come from.
        if !path.starts_with("tests/cases/") && names_an_issue(line) {
            faults.push(format!("{path}:{number}: the number of an issue"));
        }
    }
    faults
}

/// Whether a line names an issue by its number, with or without `#`.
fn names_an_issue(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.match_indices(concat!("iss", "ue ")).any(|(at, word)| {
        let rest = &lower[at + word.len()..];
        rest.trim_start_matches('#').starts_with(|c: char| c.is_ascii_digit())
    })
}

#[test]
fn lines_have_at_most_100_columns() {
    assert_faultless(rust(), long_lines);
}

#[test]
fn files_have_at_most_900_lines() {
    assert_faultless(rust(), long_file);
}

#[test]
fn the_repository_speaks_of_itself_alone() {
    assert_faultless(all(), forbidden_words);
}

// ---- The rules find what they are for

#[test]
fn long_lines_and_files_are_found() {
    let long = "x".repeat(COLUMNS_MAX + 1);
    assert_eq!(long_lines("a.rs", &long).len(), 1);
    assert_eq!(long_lines("a.rs", &format!("// \"{long}\"")).len(), 1, "a comment");
    assert!(long_lines("a.rs", &format!("let a = \"{long}\";")).is_empty());
    assert!(long_lines("a.rs", &"é".repeat(COLUMNS_MAX)).is_empty(), "columns, not octets");
    assert_eq!(long_file("a.rs", &"\n".repeat(LINES_MAX + 1)).len(), 1);
    assert!(long_file("a.rs", &"\n".repeat(LINES_MAX)).is_empty());
}

#[test]
fn forbidden_words_are_found() {
    for word in FORBIDDEN {
        assert_eq!(forbidden_words("README.md", &format!("see {word}x")).len(), 1, "{word}");
    }
    for word in FORBIDDEN_WORDS {
        let text = format!("an {} did it", word.to_uppercase());
        assert_eq!(forbidden_words("a.rs", &text).len(), 1, "{word}");
    }
    let number = concat!("iss", "ue #12");
    assert_eq!(forbidden_words("a.rs", number).len(), 1);
    assert!(forbidden_words("tests/cases/a.json", number).is_empty());
    assert!(forbidden_words("a.rs", "no issue here; reagents; maintained").is_empty());
}
