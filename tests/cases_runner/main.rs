//! The data-driven case test: every case of `tests/cases` is one trial, named `category/id`.
//!
//! `DNS64_TEST_SUBJECT` chooses the server (`dns64d`, `unbound`, `bind`), `DNS64D` the `dns64d`
//! program, `DNS64_CASES_TABLE` a file for the summary. `tests/cases/README.md` tells the rest.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use dns64_tests::cases::{self, Case};
use dns64_tests::known_differences::{self, KnownDifferences};
use dns64_tests::loopback;
use dns64_tests::play::{self, Obstacle};
use dns64_tests::subject::Subject;
use dns64_tests::table::{self, Score};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Cases mostly wait: two at a time keep two processors busy without disturbing each other's
/// deadlines.
const THREADS: usize = 2;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cases: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let cases = cases::load(&directory)?;
    if arguments.list {
        let trials = cases.iter().map(|case| Trial::test(case.name(), || Ok(()))).collect();
        return Ok(libtest_mimic::run(&arguments, trials).exit_code());
    }

    let subject = Subject::from_environment()?;
    let clients: BTreeSet<_> = cases.iter().flat_map(play::clients).collect();
    let without_namespace = loopback::enter(&clients)?;
    if let Some(reason) = &without_namespace {
        eprintln!(
            "cases: {reason}: only the cases of the default client are played, from loopback"
        );
    }
    let known = known_differences::load(&directory.join("known-differences.toml"), subject.kind)?;
    let other_version = check_known(known.as_ref(), &cases, &subject)?;

    let mut score = Score::default();
    for case in &cases {
        score.category(&case.category);
    }
    let score = Arc::new(Mutex::new(score));
    let mut trials = Vec::new();
    for case in cases {
        let expected = known.as_ref().and_then(|known| known.cases.get(&case.name()).cloned());
        let obstacle = other_version
            .clone()
            .or_else(|| play::obstacle(&case, &subject, without_namespace.as_deref()));
        let in_namespace = without_namespace.is_none();
        trials.push(trial(case, subject.clone(), obstacle, expected, in_namespace, &score));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(file) = std::env::var_os("DNS64_CASES_TABLE") {
        let score = score.lock().unwrap_or_else(PoisonError::into_inner);
        table::update(Path::new(&file), &subject.kind.to_string(), &score)?;
    }
    Ok(conclusion.exit_code())
}

/// The list of known differences must be about cases that exist. Another version of the peer than
/// the one that it describes cannot be judged by it.
fn check_known(
    known: Option<&KnownDifferences>,
    cases: &[Case],
    subject: &Subject,
) -> Result<Option<Obstacle>> {
    let Some(known) = known else { return Ok(None) };
    let names: BTreeSet<String> = cases.iter().map(Case::name).collect();
    for name in known.cases.keys() {
        ensure!(names.contains(name), "known difference {name}: no such case");
    }
    let version = subject.version()?;
    if version.contains(&known.version) {
        return Ok(None);
    }
    eprintln!("cases: the known differences are those of {}, this is {version}", known.version);
    Ok(Some(Obstacle::OtherVersion(version)))
}

/// One case as a trial. `expected` is the reason why a peer is known to fail it.
fn trial(
    case: Case,
    subject: Subject,
    obstacle: Option<Obstacle>,
    expected: Option<String>,
    in_namespace: bool,
    score: &Arc<Mutex<Score>>,
) -> Trial {
    let score = Arc::clone(score);
    Trial::ignorable_test(case.name(), move || {
        if let Some(obstacle) = obstacle {
            return match (&obstacle, expected) {
                (Obstacle::Needs(_) | Obstacle::NotExpressible(_), Some(_)) => {
                    Err(Failed::from(format!("a known difference, but: {obstacle}")))
                }
                _ => Ok(Completion::ignored_with(obstacle)),
            };
        }
        let complaints = match play::play(&case, &subject, in_namespace) {
            Ok(complaints) => complaints,
            Err(error) => vec![format!("{error:#}")],
        };
        score
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .case(&case.category, complaints.is_empty());
        match (complaints.is_empty(), expected) {
            (true, None) | (false, Some(_)) => Ok(Completion::Completed),
            (true, Some(reason)) => {
                Err(Failed::from(format!("passes, but is listed as a known difference: {reason}")))
            }
            (false, None) => Err(Failed::from(format!(
                "{} {}\n{}",
                case.reference,
                case.expect.notes,
                complaints.join("\n")
            ))),
        }
    })
}
