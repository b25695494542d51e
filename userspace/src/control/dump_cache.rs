//! `dns64ctl dump-cache`: what the caches hold, a page at a time. Whoever asks says where the next
//! page begins, so that nothing of a dump is kept here, and no worker waits for its reader.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{FlushScope, flush};
use crate::answer::encode::Age;
use crate::answer::records::{PlainRecord, Section, of_answer};
use crate::answer::{Answer, AnswerFlags, Outcome};
use crate::daemon::Daemon;
use crate::engine::snapshot::{Life, Record, Wanted, records};
use crate::wire::Name;
use crate::wire::question::{Class, Rtype};

/// A page: answers, and what asks for the next page.
///
/// # Errors
/// If a name is none, there is no such worker, or it does not answer in time.
pub(super) async fn answer(
    daemon: &Daemon,
    scope: FlushScope,
    worker: usize,
    from: u32,
) -> Result<Value, String> {
    let wanted = Arc::new(Wanted::Named(flush::read(scope)?));
    let page = daemon.cache_page(worker, from, &wanted).await?;
    let next = match page.next {
        Some(from) => Some((worker, from)),
        None => Some((worker + 1, 0)).filter(|(worker, _)| *worker < daemon.workers.len()),
    };
    let next = next.map(|(worker, from)| json!({ "worker": worker, "from": from }));
    // Some thousand records may have to be put into words, and TCP clients must not wait for that.
    let told = move || records(&page.octets).map(|record| tell(&record, worker)).collect();
    let answers: Result<Vec<Value>, _> = tokio::task::spawn_blocking(told).await;
    let answers = answers.map_err(|error| error.to_string())?;
    Ok(json!({ "answers": answers, "next": next }))
}

/// Where the next page begins, as a page says; `None`: there is none.
#[must_use]
pub fn next(page: &Value) -> Option<(usize, u32)> {
    let place = |key: &str| page["next"][key].as_u64();
    let worker = usize::try_from(place("worker")?).ok()?;
    Some((worker, u32::try_from(place("from")?).ok()?))
}

/// One answer for programs: keys are always there, and are never renamed.
fn tell(record: &Record<'_>, worker: usize) -> Value {
    let name = Name::from_wire(record.name).map_or_else(|_| "?".to_owned(), |it| it.to_string());
    let head = Answer::read(record.answer).map(|answer| answer.head());
    let outcome = match head.map(|head| head.outcome) {
        Some(Outcome::Records) => "records",
        Some(Outcome::NoData) => "nodata",
        Some(Outcome::NxDomain) => "nxdomain",
        Some(Outcome::Failure) if is_note(record) => "untouched",
        Some(Outcome::Failure) | None => "failure",
    };
    let has = |flag| head.is_some_and(|head| head.flags.has(flag));
    let companion = record.companion.map(|(octets, life)| {
        json!({
            "type": Rtype::A.to_string(),
            "age": life.age_secs,
            "ttl": life.left_secs(),
            "stale": life.is_stale(),
            "records": tell_records(octets, record.name, (Rtype::A, record.class), life),
        })
    });
    let kind = (record.rtype, record.class);
    json!({
        "worker": worker,
        "name": name,
        "type": record.rtype.to_string(),
        "class": record.class.to_string(),
        "do": record.dnssec_ok(),
        "cd": record.checking_disabled(),
        "source": source(record),
        "outcome": outcome,
        "rcode": head.map(|head| head.rcode.to_string()),
        "extended_error": head.and_then(|head| head.info_code).map(|code| code.0),
        "authentic": has(AnswerFlags::AUTHENTIC),
        "secure": has(AnswerFlags::SECURE),
        "age": record.life.age_secs,
        "ttl": record.life.left_secs(),
        "stale": record.life.is_stale(),
        "stale_left": record.life.usable_secs.saturating_sub(record.life.age_secs),
        "records": tell_records(record.answer, record.name, kind, record.life),
        "companion": companion,
    })
}

/// Where an answer comes from.
const fn source(record: &Record<'_>) -> &'static str {
    match (record.variant, record.behind_script()) {
        (0, false) => "upstream",
        (0, true) => "upstream, behind the script",
        _ => "script",
    }
}

/// Whether it is no answer, but what a script has said of the others.
fn is_note(record: &Record<'_>) -> bool {
    let answer = Answer::read(record.answer);
    answer.is_some_and(|answer| answer.head().flags.has(AnswerFlags::UNTOUCHED))
}

/// The records of an answer.
fn tell_records(octets: &[u8], name: &[u8], kind: (Rtype, Class), life: Life) -> Vec<Value> {
    let Some(answer) = Answer::read(octets) else { return Vec::new() };
    let (_, class) = kind;
    let tell = |record: &PlainRecord| {
        json!({
            "section": if record.section == Section::Answer { "answer" } else { "authority" },
            "name": record.name.to_string(),
            "ttl": if life.is_stale() { 0 } else { record.ttl_secs },
            "class": class.to_string(),
            "type": record.rtype.to_string(),
            "data": record.text(),
        })
    };
    of_answer(&answer, name, kind, Age::Secs(life.age_secs)).iter().map(tell).collect()
}

/// A page as lines of a master file: what is no record of an answer stands in comments.
#[must_use]
pub fn render(page: &Value) -> String {
    let mut out = String::new();
    for answer in page["answers"].as_array().into_iter().flatten() {
        let text = |key: &str| printable(answer[key].as_str().unwrap_or("?"));
        let (name, class, rtype) = (text("name"), text("class"), text("type"));
        let outcome = match answer["outcome"].as_str() {
            Some("nodata") => "no data".to_owned(),
            Some("records" | "nxdomain") => text("rcode"),
            Some("untouched") => "the answers from upstream hold".to_owned(),
            _ => format!("failure, {}", text("rcode")),
        };
        let source = text("source");
        let _ = write!(out, "; {name} {class} {rtype}: {outcome}; {source}; ");
        let _ = write!(out, "worker {}, {}", answer["worker"], lifetime(answer));
        let flags = ["do", "cd", "authentic", "secure"];
        for flag in flags.into_iter().filter(|flag| answer[*flag] == true) {
            let _ = write!(out, ", {flag}");
        }
        if let Some(code) = answer["extended_error"].as_u64() {
            let _ = write!(out, ", extended error {code}");
        }
        out.push('\n');
        render_records(&answer["records"], answer["outcome"] == "records", &mut out);
        let companion = &answer["companion"];
        if companion.is_object() {
            let _ = writeln!(out, "; beside it {class} A: {}", lifetime(companion));
            render_records(&companion["records"], true, &mut out);
        }
    }
    out
}

/// How old an answer is, and how long it holds.
fn lifetime(answer: &Value) -> String {
    let left = match answer["stale"] == true {
        true => "stale".to_owned(),
        false => format!("ttl {}", answer["ttl"]),
    };
    format!("age {}, {left}", answer["age"])
}

/// Lines of records; in comments, unless they answer.
fn render_records(records: &Value, they_answer: bool, out: &mut String) {
    for record in records.as_array().into_iter().flatten() {
        if !they_answer || record["section"] != "answer" {
            out.push_str("; ");
        }
        let text = |key: &str| printable(record[key].as_str().unwrap_or("?"));
        let (name, class, rtype) = (text("name"), text("class"), text("type"));
        let _ = writeln!(out, "{name}\t{}\t{class}\t{rtype}\t{}", record["ttl"], text("data"));
    }
}

/// A text that no terminal obeys and no line breaks in.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let mut octets = [0; 4];
            for octet in c.encode_utf8(&mut octets).bytes() {
                let _ = write!(out, "\\{octet:03}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// A page for programs: a line of JSON for each answer.
#[must_use]
pub fn render_json(page: &Value) -> String {
    let mut out = String::new();
    for answer in page["answers"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "{answer}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Value {
        let record = |section: &str, rtype: &str, data: &str| {
            json!({
                "section": section, "name": "a.test.", "ttl": 7, "class": "IN", "type": rtype,
                "data": data,
            })
        };
        let answer = |outcome: &str, records: Vec<Value>| {
            json!({
                "worker": 1, "name": "a.test.", "type": "AAAA", "class": "IN", "do": true,
                "cd": false, "source": "upstream", "outcome": outcome, "rcode": "NOERROR",
                "extended_error": null, "authentic": false, "secure": false, "age": 3, "ttl": 7,
                "stale": false, "stale_left": 7, "records": records, "companion": null,
            })
        };
        let address = record("answer", "AAAA", "2001:db8::1");
        let soa = record("authority", "SOA", "a\u{1b}[2J b 1 2 3 4 5");
        let mut denied = answer("nodata", vec![soa]);
        denied["companion"] = json!({
            "type": "A", "age": 90, "ttl": 0, "stale": true,
            "records": [record("answer", "A", "192.0.2.1")],
        });
        let records = answer("records", vec![address, record("authority", "NSEC", "b")]);
        json!({ "answers": [records, denied], "next": null })
    }

    #[test]
    fn only_what_answers_is_outside_of_comments() {
        let text = render(&page());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "; a.test. IN AAAA: NOERROR; upstream; worker 1, age 3, ttl 7, do",
                "a.test.\t7\tIN\tAAAA\t2001:db8::1",
                "; a.test.\t7\tIN\tNSEC\tb",
                "; a.test. IN AAAA: no data; upstream; worker 1, age 3, ttl 7, do",
                "; a.test.\t7\tIN\tSOA\ta\\027[2J b 1 2 3 4 5",
                "; beside it IN A: age 90, stale",
                "a.test.\t7\tIN\tA\t192.0.2.1",
            ]
        );
    }

    #[test]
    fn the_next_page_is_where_the_last_one_says() {
        assert_eq!(next(&page()), None);
        assert_eq!(next(&json!({ "next": { "worker": 1, "from": 77 } })), Some((1, 77)));
        assert_eq!(render_json(&page()).lines().count(), 2);
    }
}
