//! Whether a server's answers are right, before anything about it is measured.
//!
//! A server that answers NXDOMAIN to everything would be the fastest of all.
#![forbid(unsafe_code)]

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use dns64::pref64::WELL_KNOWN;

use super::drive::{Run, drive};
use super::network::{Lab, Site};
use super::process::Process;
use super::questions::Questions;
use crate::names::ReverseName;
use crate::results::Check;

/// How long a server may take from its start to its first answer.
const START_WAIT: Duration = Duration::from_secs(20);
/// What [`Check::about`] is for reverse names: the one thing that a server may lack.
pub const PTR: &str = "ptr";
/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(50);

/// What is asked, and what it shows: each for a name of its own that no workload has.
fn all_questions() -> [(&'static str, String); 6] {
    let reverse = ReverseName(WELL_KNOWN.embed(Ipv4Addr::new(11, 255, 255, 6)));
    [
        ("synthesized", "a-11-255-255-1.check.test AAAA".to_owned()),
        ("synthesized", "a-11-255-255-2--a-11-255-255-3.check.test AAAA".to_owned()),
        ("native", "q-20010db8000000000000000000000abc.check.test AAAA".to_owned()),
        ("a", "a-11-255-255-4.check.test A".to_owned()),
        ("nxdomain", "a-11-255-255-5--nx.check.test AAAA".to_owned()),
        (PTR, format!("{reverse} PTR")),
    ]
}

/// Asks one question, once; what is wrong with the answer.
fn ask(lab: &Lab, site: &Site, question: &str, verify: bool) -> anyhow::Result<Option<String>> {
    let questions = Questions { text: format!("{question}\n"), count: 1 };
    let run = Run {
        rate: None,
        outstanding: 1,
        duration: Duration::from_secs(1),
        repeat: false,
        sockets: 1,
        timeout: Duration::from_secs(1),
        verify,
        frames: None,
    };
    let outcome = drive(lab, site, &questions, &run, || ())?;
    let rcodes: Vec<&str> = outcome.rcodes.keys().map(String::as_str).collect();
    Ok(match (outcome.answers, outcome.completed) {
        (1, _) => None,
        (_, 0) => Some("no answer in a second".to_owned()),
        _ if outcome.wrong > 0 => Some(format!("{}, and not what the name says", rcodes.join(" "))),
        _ => Some(rcodes.join(" ")),
    })
}

/// Waits until a server that was just started answers. A limit answers nothing that is right.
///
/// # Errors
/// If it ends, or does not answer in time.
pub fn wait_until_answers(
    lab: &Lab,
    site: &Site,
    process: &mut Process,
    verify: bool,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + START_WAIT;
    for number in 0.. {
        process.must_run()?;
        // A name of its own each time: a failure may be remembered.
        let question = format!("a-11-254-{}-{}.check.test A", number / 256 % 256, number % 256);
        let Some(fault) = ask(lab, site, &question, verify)? else { return Ok(()) };
        if Instant::now() > deadline {
            let words = process.last_words();
            anyhow::bail!("it does not answer: {fault}; its last words: {words}");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Asks everything.
///
/// # Errors
/// If the generator fails.
pub fn check(lab: &Lab, site: &Site) -> anyhow::Result<Vec<Check>> {
    all_questions()
        .into_iter()
        .map(|(about, question)| {
            let fault = ask(lab, site, &question, true)?;
            Ok(Check { about: about.to_owned(), question, fault })
        })
        .collect()
}
