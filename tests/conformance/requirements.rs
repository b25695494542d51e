//! The list of requirements and the tests, held against each other.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Where the tests are.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// `requirements.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirements {
    requirement: Vec<Requirement>,
}

/// How strongly an RFC demands something (RFC 2119).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Level {
    #[serde(rename = "MUST")]
    Must,
    #[serde(rename = "MUST NOT")]
    MustNot,
    #[serde(rename = "SHOULD")]
    Should,
    #[serde(rename = "SHOULD NOT")]
    ShouldNot,
    #[serde(rename = "MAY")]
    May,
    /// Said without a word of RFC 2119.
    #[serde(rename = "text")]
    Text,
}

/// One sentence and what became of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    rfc: u16,
    section: String,
    level: Level,
    sentence: String,
    /// Names of tests.
    #[serde(default)]
    covered: Vec<String>,
    /// Why it is not kept, or not tested.
    missing: Option<String>,
    /// Why it does not concern us.
    not_applicable: Option<String>,
}

impl Requirement {
    fn place(&self) -> String {
        format!("rfc{}#{}", self.rfc, self.section)
    }

    /// Exactly one status, and words behind it.
    fn status(&self) -> Option<Status> {
        let says = |reason: &Option<String>| reason.as_ref().is_some_and(|text| text.len() > 10);
        match (!self.covered.is_empty(), says(&self.missing), says(&self.not_applicable)) {
            (true, false, false) => Some(Status::Covered),
            (false, true, false) => Some(Status::Missing),
            (false, false, true) => Some(Status::NotApplicable),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Covered,
    Missing,
    NotApplicable,
}

/// A sentence that a test quotes.
#[derive(Debug, PartialEq, Eq)]
struct Annotation {
    /// `rfc6147#5.1.4`
    place: String,
    sentence: String,
    test: String,
}

/// The annotations of a source, each with the test below it.
fn annotations(source: &str) -> Result<Vec<Annotation>, String> {
    let mut found = Vec::new();
    let mut open: Vec<Annotation> = Vec::new();
    let mut typed = true;
    for line in source.lines().map(str::trim) {
        if let Some(place) = line.strip_prefix("//= rfc") {
            if !typed {
                return Err(format!("no type=test before {place}"));
            }
            let place = format!("rfc{place}");
            open.push(Annotation { place, sentence: String::new(), test: String::new() });
            typed = false;
        } else if line == "//= type=test" {
            typed = true;
        } else if let Some(words) = line.strip_prefix("//# ") {
            let annotation = open.last_mut().ok_or("a sentence without a place")?;
            if !annotation.sentence.is_empty() {
                annotation.sentence.push(' ');
            }
            annotation.sentence.push_str(words);
        } else if let Some(rest) = line.strip_prefix("fn ")
            && !open.is_empty()
        {
            let name = rest.split('(').next().unwrap_or_default();
            for mut annotation in open.drain(..) {
                if annotation.sentence.is_empty() || !typed {
                    return Err(format!("{name}: an annotation without sentence or type"));
                }
                annotation.test = name.to_owned();
                found.push(annotation);
            }
        }
    }
    if open.is_empty() { Ok(found) } else { Err("an annotation without test".to_owned()) }
}

/// All sources below a directory.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The annotations of all tests. This file quotes them only to read them.
fn all_annotations() -> Vec<Annotation> {
    let mut found = Vec::new();
    for path in sources(&directory()) {
        if path.ends_with("requirements.rs") || path.ends_with("conformance/main.rs") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        found.extend(annotations(&source).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
    }
    found
}

fn requirements() -> Vec<Requirement> {
    let text = fs::read_to_string(directory().join("requirements.toml")).unwrap();
    toml::from_str::<Requirements>(&text).unwrap().requirement
}

/// What is wrong between the list and the annotations.
fn discrepancies(requirements: &[Requirement], annotations: &[Annotation]) -> Vec<String> {
    let mut wrong = Vec::new();
    for requirement in requirements {
        let (place, sentence) = (requirement.place(), &requirement.sentence);
        if requirement.status().is_none() {
            wrong.push(format!("{place}: not exactly one status: {sentence}"));
        }
        for test in &requirement.covered {
            let quoted = annotations.iter().any(|annotation| {
                annotation.test == *test
                    && annotation.place == place
                    && annotation.sentence == *sentence
            });
            if !quoted {
                wrong.push(format!("{place}: no test {test} quotes: {sentence}"));
            }
        }
    }
    for annotation in annotations {
        let listed = requirements.iter().any(|requirement| {
            requirement.place() == annotation.place
                && requirement.sentence == annotation.sentence
                && requirement.covered.contains(&annotation.test)
        });
        if !listed {
            let Annotation { place, sentence, test } = annotation;
            wrong.push(format!("{place}: {test} is not listed with: {sentence}"));
        }
    }
    wrong
}

#[test]
fn list_and_tests_agree() {
    let wrong = discrepancies(&requirements(), &all_annotations());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn sentences_are_listed_once_and_levels_are_those_of_their_words() {
    let requirements = requirements();
    for (index, requirement) in requirements.iter().enumerate() {
        let Requirement { sentence, level, .. } = requirement;
        let place = requirement.place();
        let twice = requirements[..index]
            .iter()
            .any(|before| before.place() == place && before.sentence == *sentence);
        assert!(!twice, "{place} twice: {sentence}");
        let fits = match level {
            Level::Must => sentence.contains("MUST"),
            Level::MustNot => sentence.contains("MUST NOT"),
            Level::Should => sentence.contains("SHOULD") || sentence.contains("RECOMMENDED"),
            Level::ShouldNot => sentence.contains("SHOULD NOT"),
            Level::May => sentence.contains("MAY"),
            Level::Text => true,
        };
        assert!(fits, "{place}: not {level:?}: {sentence}");
    }
}

#[test]
fn the_summary_is_printed() {
    let mut by_rfc: BTreeMap<u16, [usize; 3]> = BTreeMap::new();
    for requirement in requirements() {
        let counts = by_rfc.entry(requirement.rfc).or_default();
        match requirement.status() {
            Some(Status::Covered) => counts[0] += 1,
            Some(Status::Missing) => counts[1] += 1,
            Some(Status::NotApplicable) => counts[2] += 1,
            None => {}
        }
    }
    let mut table = String::from("\nRFC   covered  missing  not applicable\n");
    let mut sum = [0; 3];
    for (rfc, counts) in by_rfc {
        let [covered, missing, not_applicable] = counts;
        table += &format!("{rfc}  {covered:>7}  {missing:>7}  {not_applicable:>14}\n");
        sum = [0, 1, 2].map(|place| sum[place] + counts[place]);
    }
    table += &format!("sum   {:>7}  {:>7}  {:>14}\n", sum[0], sum[1], sum[2]);
    // Past the test harness, which would keep it.
    io::stdout().write_all(table.as_bytes()).unwrap();
    assert!(sum[0] > 0);
}

// ---- The checks find what they are for

#[test]
fn annotations_belong_to_the_test_below_them() {
    let source = "//= rfc1#2\n//= type=test\n//# One\n//# sentence.\n//= rfc1#3\n//= type=test\n\
                  //# Another.\n#[test]\nfn a() {\n}\n";
    let found = annotations(source).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].sentence, "One sentence.");
    assert!(found.iter().all(|annotation| annotation.test == "a"));
    assert!(annotations("//= rfc1#2\n//= type=test\n//# Nobody.\n").is_err());
    assert!(annotations("//= rfc1#2\n//# No type.\nfn a() {}\n").is_err());
}

#[test]
fn a_test_that_is_not_listed_and_a_listed_test_that_is_not_there_are_found() {
    let text = "[[requirement]]\nrfc = 1\nsection = \"2\"\nlevel = \"MUST\"\n\
                sentence = \"It MUST.\"\ncovered = [\"gone\"]\n";
    let requirements = toml::from_str::<Requirements>(text).unwrap().requirement;
    let annotation = Annotation {
        place: "rfc1#2".to_owned(),
        sentence: "It MUST.".to_owned(),
        test: "new".to_owned(),
    };
    assert_eq!(discrepancies(&requirements, &[annotation]).len(), 2);
    let both = format!("{text}missing = \"no time for it yet\"\n");
    let requirements = toml::from_str::<Requirements>(&both).unwrap().requirement;
    assert_eq!(discrepancies(&requirements, &[]).len(), 2, "two statuses, and no test");
}
