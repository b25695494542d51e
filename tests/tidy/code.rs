//! Rust code without its comments and strings, and what must not be in it.

use crate::files::{assert_faultless, rust};

/// The code of a source: comments and the insides of literals are spaces, lines stay lines.
pub(crate) fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = end_of_comment(&chars, at).or_else(|| end_of_literal(&chars, at));
        match end {
            Some(end) => {
                let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
                code.extend(chars[at..end].iter().map(blank));
                at = end;
            }
            None => {
                code.push(chars[at]);
                at += 1;
            }
        }
    }
    code
}

fn starts(chars: &[char], at: usize, with: &str) -> bool {
    with.chars().enumerate().all(|(offset, c)| chars.get(at + offset) == Some(&c))
}

fn end_of_comment(chars: &[char], start: usize) -> Option<usize> {
    if starts(chars, start, "//") {
        let line = chars[start..].iter().position(|c| *c == '\n');
        return Some(line.map_or(chars.len(), |len| start + len));
    }
    if !starts(chars, start, "/*") {
        return None;
    }
    let (mut depth, mut at) = (0, start);
    while at < chars.len() {
        if starts(chars, at, "/*") {
            depth += 1;
            at += 2;
        } else if starts(chars, at, "*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    Some(chars.len())
}

fn end_of_literal(chars: &[char], start: usize) -> Option<usize> {
    let is_word = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let in_word = start > 0 && is_word(start - 1);
    match chars[start] {
        '"' => Some(end_of_quoted(chars, start + 1, '"')),
        'r' | 'b' if !in_word => {
            let prefix =
                ["br", "b", "r"].into_iter().find(|prefix| starts(chars, start, prefix))?;
            let hashes_at = start + prefix.len();
            let hashes = chars[hashes_at..].iter().take_while(|c| **c == '#').count();
            let quote = hashes_at + hashes;
            match chars.get(quote) {
                Some('"') if prefix.ends_with('r') => Some(end_of_raw(chars, quote + 1, hashes)),
                Some('"') if hashes == 0 => Some(end_of_quoted(chars, quote + 1, '"')),
                Some('\'') if prefix == "b" => Some(end_of_quoted(chars, quote + 1, '\'')),
                _ => None,
            }
        }
        // Not the lifetime in `&'a str`.
        '\'' if chars.get(start + 1) == Some(&'\\') || chars.get(start + 2) == Some(&'\'') => {
            Some(end_of_quoted(chars, start + 1, '\''))
        }
        _ => None,
    }
}

fn end_of_quoted(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn end_of_raw(chars: &[char], mut at: usize, hashes: usize) -> usize {
    let end = format!("\"{}", "#".repeat(hashes));
    while at < chars.len() && !starts(chars, at, &end) {
        at += 1;
    }
    (at + end.len()).min(chars.len())
}

/// The places of a word in code.
pub(crate) fn places_of<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Whether a word is in code.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    places_of(code, word).next().is_some()
}

/// The code in front of the unit tests, which stand at the end of a file.
pub(crate) fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]").next().unwrap_or_default()
}

/// Whether a file has tests and nothing else.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

/// Where `unsafe` may stand.
const UNSAFE_AT: [&str; 3] = ["userspace/src/sys/", "ebpf/programs/src/", "tests/src/alloc.rs"];

/// `unsafe` somewhere else.
fn misplaced_unsafe(path: &str, source: &str) -> Vec<String> {
    let allowed = UNSAFE_AT.iter().any(|place| path.starts_with(place));
    if allowed || !has_word(&code_of(source), "unsafe") {
        return Vec::new();
    }
    vec![format!("{path}: unsafe belongs into {}", UNSAFE_AT.join(" or "))]
}

/// Code that says it is not finished, and tests that are not run.
fn unfinished_code(path: &str, source: &str) -> Vec<String> {
    let code = code_of(source);
    let left = ["unimplemented!", "todo!", "#[ignore"].into_iter().filter(|word| {
        let place = code.find(word);
        place.is_some()
    });
    left.map(|word| format!("{path}: {word}")).collect()
}

#[test]
fn unsafe_stands_only_at_its_addresses() {
    assert_faultless(rust(), misplaced_unsafe);
}

#[test]
fn code_is_finished_and_every_test_is_run() {
    assert_faultless(rust(), unfinished_code);
}

// ---- The rules find what they are for

#[test]
fn comments_and_literals_are_not_code() {
    let source = "a /* unsafe /* b */ */ \"unsafe \\\" \" r#\"x \" unsafe\"# b\"u\" // unsafe\n\
                  'u' '\\'' b'u' fn f<'a>(x: &'a str) {}";
    let code = code_of(source);
    assert!(!code.contains("unsafe"));
    assert!(code.contains("fn f<'a>(x: &'a str) {}"), "{code}");
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn misplaced_unsafe_is_found() {
    let source = "fn f() { unsafe { g() } }";
    assert_eq!(misplaced_unsafe("userspace/src/wire/name.rs", source).len(), 1);
    assert!(misplaced_unsafe("userspace/src/sys/mmsg.rs", source).is_empty());
    let harmless = "#![forbid(unsafe_code)] // no unsafe\nconst A: &str = \"unsafe\";";
    assert!(misplaced_unsafe("userspace/src/wire/name.rs", harmless).is_empty());
}

#[test]
fn unfinished_code_is_found() {
    for source in ["fn f() { unimplemented!() }", "fn f() { todo!() }", "#[ignore = \"slow\"]"] {
        assert_eq!(unfinished_code("a.rs", source).len(), 1, "{source}");
    }
    assert!(unfinished_code("a.rs", "// todo!\nconst A: &str = \"#[ignore]\";").is_empty());
}
